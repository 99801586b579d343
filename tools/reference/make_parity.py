"""Writes tests/golden/parity.json and parity_{f16,bf16}.pth: cases whose weights would be too large to keep.

Usage: /usr/bin/python3 tools/reference/make_parity.py [FOLDER]

Weights come from a hash that tests/model/parity_test.cc computes as well. A case keeps its tokens, a sample of its
logits, its loss and the events of every spike site. Seeds are searched until float32 and float64 fire the same spikes,
with a margin to every threshold.
"""
import dataclasses
import json
import pathlib
import sys

import numpy as np
import torch

from make_goldens import GRADED, margin, parameter_shapes, rounding, same_spikes
from reference_model import Config, forward, training_loss

EVENT = {"arch": "event", "binary_embedding": False, **GRADED}
RWKV = {"arch": "rwkv", "binary_embedding": False}
FFN_PRE = {"model_type": "RWKV-ffnPre"}
# name, tokens, least margin, configuration
CASES = [
    ("spikegpt_v50277", 24, 1e-5, {"n_embd": 16, "vocab_size": 50277}),
    ("rwkv_v50277", 24, 0.0, {"n_embd": 16, "vocab_size": 50277, **RWKV}),
    ("event_v50277", 24, 1e-5, {"n_embd": 16, "vocab_size": 50277, **EVENT}),
    ("spikegpt_t1024", 1024, 4e-6, {"n_embd": 7, "n_layer": 1, "vocab_size": 40}),
    ("rwkv_t1024", 1024, 0.0, {"n_embd": 7, "vocab_size": 40, **RWKV}),
    ("event_t1024", 1024, 4e-6, {"n_embd": 5, "n_layer": 1, "vocab_size": 40, **EVENT}),
    ("spikegpt_t1", 1, 1e-5, {"n_embd": 13, "vocab_size": 31}),
    ("rwkv_ffnpre_t1", 1, 0.0, {"n_embd": 13, "vocab_size": 31, **RWKV, **FFN_PRE}),
    ("event_ffnpre_t1", 1, 1e-5, {"n_embd": 13, "vocab_size": 31, **EVENT, **FFN_PRE}),
]
CHECKPOINTS = [("f16", torch.float16), ("bf16", torch.bfloat16)]


def hashed(seed, tensor, count):
    """Uniform in [-1, 1): element i of the `tensor`-th parameter."""
    x = (np.arange(count, dtype=np.uint64) * 2654435761 + seed * 40503 + tensor * 2246822519) % 2**32
    for shift, factor in ((16, 2146121005), (15, 2221713035)):
        x = ((x ^ (x >> np.uint64(shift))) * np.uint64(factor)) % 2**32
    x ^= x >> np.uint64(16)
    return x.astype(np.float64) / 2**31 - 1.0


def value_range(name, shape):
    """Middle and half width of a parameter's values."""
    kind = name.rsplit(".", 1)[-1]
    if ".ln" in name or name.startswith("ln_out"):
        return (1.5, 0.5) if kind == "weight" else (0.0, 0.3)
    if kind.startswith("time_mix"):
        return 0.5, 0.45
    if kind == "time_decay":
        return -1.0, 2.0
    if kind == "time_first":
        return -0.5, 1.0
    if kind == "gain":
        return 6.0, 2.0
    if name in ("emb.weight", "head.weight"):
        return 0.0, 1.0
    strong = ".output." in name or ".ffn.value." in name or ".ffnPre.value." in name  # what drives LIF1 and LIF2
    return 0.0, (9.0 if strong else 2.0) / np.sqrt(shape[1])


def parameters_of(config, seed):
    parameters = {}
    for i, (name, shape) in enumerate(parameter_shapes(config).items()):
        middle, width = value_range(name, shape)
        values = middle + width * hashed(seed, i, int(np.prod(shape)))
        parameters[name] = torch.from_numpy(values.astype(np.float32).reshape(shape))
    return parameters


def tokens_of(config, seed, count):
    return np.floor((hashed(seed, 1000, count + 1) + 1.0) / 2.0 * config.vocab_size).astype(np.int64)


def measure(config, parameters, tokens):
    idx, targets = torch.from_numpy(tokens[None, :-1]), torch.from_numpy(tokens[None, 1:])
    with torch.no_grad():
        logits, trace = forward(parameters, config, idx)
        exact = forward({name: p.double() for name, p in parameters.items()}, config, idx)[1]
        loss = training_loss(logits, targets).item()
    # The embedding's weights are the same bits on both sides: only potentials come close to a threshold.
    neurons = dataclasses.replace(config, binary_embedding=False)
    smallest = min(margin(trace, parameters, neurons), margin(exact, parameters, neurons))
    return logits[0], trace, loss, smallest, same_spikes(trace, exact), rounding(trace, exact)


def sample(logits):
    """(row, token, logit) of at most 16 rows and 8 tokens, first and last among them."""
    rows = np.unique(np.linspace(0, logits.shape[0] - 1, 16).astype(int))
    columns = np.unique(np.linspace(0, logits.shape[1] - 1, 8).astype(int))
    return [[int(r), int(c), float(logits[r, c])] for r in rows for c in columns]


def find_case(name, count, least, fields):
    config = Config(dropout=0.0, ctx_len=max(count, 16), **fields)
    for seed in range(1, 2000):
        parameters, tokens = parameters_of(config, seed), tokens_of(config, seed, count)
        logits, trace, loss, smallest, same, error = measure(config, parameters, tokens)
        rates = [s.abs().mean().item() for s in trace.spikes.values()]
        if smallest < max(least, 3 * error if rates else 0.0) or not same or (count > 1 and min(rates, default=1.0) < 0.01):
            continue
        print(f"{name}: seed {seed}, margin {smallest:.1e}, float32 error {error:.1e}, loss {loss:.4f}, "
              f"rates {min(rates, default=0):.2f} to {max(rates, default=0):.2f}", flush=True)
        return {"name": name, "config": json.loads(config.to_json()), "seed": seed, "tokens": tokens.tolist(),
                "logits": sample(logits), "loss": loss,
                "events": {site: int(s.abs().sum()) for site, s in trace.spikes.items()}}
    raise SystemExit(f"{name}: no seed with reproducible spikes")


def write_checkpoint(kind, dtype, folder):
    """A whole model in half precision, as PyTorch saves it; what is expected comes from the rounded weights."""
    config = Config(n_embd=8, n_layer=2, vocab_size=19)
    for seed in range(1, 100):
        parameters = {name: p.to(dtype) for name, p in parameters_of(config, seed).items()}
        tokens = tokens_of(config, seed, 20)
        wide = {name: p.float() for name, p in parameters.items()}
        logits, trace, loss, smallest, same, error = measure(config, wide, tokens)
        if smallest > max(1e-5, 3 * error) and same:
            break
    torch.save(parameters, folder / f"parity_{kind}.pth")
    return {"name": kind, "config": json.loads(config.to_json()), "tokens": tokens.tolist(), "logits": sample(logits),
            "loss": loss, "events": {site: int(s.abs().sum()) for site, s in trace.spikes.items()}}


def main():
    torch.set_num_threads(1)
    default = pathlib.Path(__file__).resolve().parents[2] / "tests" / "golden"
    folder = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else default
    cases = [find_case(*case) for case in CASES]
    checkpoints = [write_checkpoint(kind, dtype, folder) for kind, dtype in CHECKPOINTS]
    (folder / "parity.json").write_text(json.dumps({"cases": cases, "checkpoints": checkpoints}, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
