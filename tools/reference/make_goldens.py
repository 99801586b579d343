"""Writes tests/golden/*.safetensors: small models with random weights, and what the reference computes for them.

    /usr/bin/python3 tools/reference/make_goldens.py [OUTPUT FOLDER]

tests/golden/README.md describes the files. A seed is accepted only if no membrane potential, and no weight of a
binary embedding, comes within MARGIN of its threshold, in float32 and in a separate float64 run alike, and both
runs fire the same spikes: before training and in each of the training steps. So an implementation with
other rounding still has to fire exactly the same spikes.
"""
import dataclasses
import json
import pathlib
import sys

import numpy as np
import torch

from kernel_goldens import kernel_tensors
from neuron import has_payload, thresholds
from reference_model import Config, forward, leaves, train, training_loss
from safetensors_io import write_safetensors

MARGIN = 2e-5
TRAINING_STEPS = 5
LEAST_RATES = (0.1, 0.3)  # each population is made to fire at a rate between one drawn from here ...
GREATEST_RATE = 0.45  # ... and this, before training


@dataclasses.dataclass
class Case:
    name: str
    config: Config
    batch: int = 2
    length: int = 16


def case(name, batch=2, length=16, **fields):
    return Case(name, Config(dropout=0.0, ctx_len=max(length, 16), **fields), batch, length)


FFN_PRE = {"model_type": "RWKV-ffnPre"}
RWKV = {"arch": "rwkv", "binary_embedding": False}
EVENT = {"arch": "event"}
SOFT_DETACHED = {"v_reset": None, "detach_reset": True, "decay_input": False, "surrogate": "sigmoid",
                 "alpha": 4.0, "tau": 1.7, "v_threshold": 0.8}
GRADED = {"v_reset": None, "spike_levels": 8, "signed_spikes": True, "squared_current": True}
CASES = [
    case("spikegpt", 3, 24, n_layer=3, n_embd=24, vocab_size=50),
    case("spikegpt_ffnpre", vocab_size=29, **FFN_PRE),
    case("rwkv", 2, 40, vocab_size=37, **RWKV),
    case("rwkv_ffnpre", vocab_size=29, **RWKV, **FFN_PRE),
    case("event", 2, 24, n_layer=3, vocab_size=50, **EVENT),
    case("event_ffnpre", vocab_size=29, **EVENT, **FFN_PRE),
    case("event_head", vocab_size=29, event_head=True, **EVENT),
    case("spikegpt_odd", 3, 13, n_embd=13, vocab_size=31),
    case("event_odd", 3, 13, n_embd=13, vocab_size=31, **EVENT),
    case("spikegpt_soft_reset_detached", vocab_size=29, **SOFT_DETACHED),
    case("spikegpt_vreset", vocab_size=29, v_reset=-0.3, v_threshold=0.9),
    case("event_raw_embedding", vocab_size=29, binary_embedding=False, **EVENT),
    case("event_graded", 2, 24, n_layer=3, vocab_size=50, **EVENT, **GRADED),
    case("event_graded_ffnpre", vocab_size=29, event_head=True, tau=1.6, **EVENT, **FFN_PRE, **GRADED),
    case("spikegpt_learnable_tau", vocab_size=29, learnable_tau=True),
    case("event_learnable_tau", 2, 24, vocab_size=29, learnable_tau=True, attention_norm=True, event_head=True,
         **EVENT, **GRADED),
    case("spikegpt_after", vocab_size=29, token_shift="after"),
    case("rwkv_after", 2, 24, n_embd=13, vocab_size=31, token_shift="after", **RWKV),
    case("event_after", 2, 24, n_layer=3, vocab_size=37, token_shift="after", **EVENT, **GRADED),
    case("event_payload", 2, 24, vocab_size=37, token_shift="after", payload_steps=4,
         payload_places=("att_in", "ffn_in"), **EVENT, **GRADED),
    case("event_payload_before", vocab_size=29, payload_steps=2, **EVENT, **{**GRADED, "spike_levels": 1}),
    case("spikegpt_t1", 3, 1, vocab_size=19),
    case("spikegpt_b1", 1, 33, vocab_size=29),
]


def parameter_shapes(config):
    C, V = config.n_embd, config.vocab_size
    event = config.arch == "event"
    shapes = {"emb.weight": (V, C)}

    def norm(name):
        shapes[name + ".weight"] = shapes[name + ".bias"] = (C,)

    def channel_mix(name):
        shapes[name + ".time_mix_r"] = (1, 1, C)
        shapes[name + ".time_mix_k"] = (1, 1, 4 * C if config.token_shift == "after" else C)
        shapes[name + ".key.weight"] = (4 * C, C)
        shapes[name + ".receptance.weight"] = (C, C)
        shapes[name + ".value.weight"] = (C, 4 * C)
        if event:
            shapes[name + ".gain"] = (4 * C,)

    def time_mix(name):
        shapes[name + ".time_decay"] = shapes[name + ".time_first"] = (C,)
        for part in "kvr":
            shapes[f"{name}.time_mix_{part}"] = (1, 1, C)
        for part in ("key", "value", "receptance", "output"):
            shapes[f"{name}.{part}.weight"] = (C, C)
        if config.attention_norm:
            norm(name + ".ln_out")
        elif event:
            shapes[name + ".gain"] = (C,)

    for i in range(config.n_layer):
        name = f"blocks.{i}"
        for part in (["ln0"] if i == 0 else []) + ["ln1", "ln2"]:
            norm(f"{name}.{part}")
        if i == 0 and config.model_type == "RWKV-ffnPre":
            channel_mix(name + ".ffnPre")
        else:
            time_mix(name + ".att")
        channel_mix(name + ".ffn")
    norm("ln_out")
    shapes["head.weight"] = (V, C)
    if config.learnable_tau:
        shapes.update(leak_shapes(config))
    return shapes


def leak_shapes(config):
    C, shapes = config.n_embd, {}
    for i in range(config.n_layer):
        pre = i == 0 and config.model_type == "RWKV-ffnPre"
        if config.arch == "spikegpt":
            sites = {"lif1": C, "lif2": C}
        elif pre:
            sites = {"pre_in": C, "pre_hidden": 4 * C, "ffn_in": C, "ffn_hidden": 4 * C}
        else:
            sites = {"att_in": C, "att_out": C, "ffn_in": C, "ffn_hidden": 4 * C}
        shapes.update({f"spikes.{i}.{site}.leak": (neurons,) for site, neurons in sites.items()})
    if config.event_head:
        shapes["spikes.head_in.leak"] = (C,)
    return shapes


def random_parameter(name, shape, rng):
    kind = name.rsplit(".", 1)[-1]
    if ".ln" in name or name.startswith("ln_out"):
        values = rng.uniform(0.6, 1.6, shape) if kind == "weight" else rng.normal(0.0, 0.25, shape)
    elif kind.startswith("time_mix"):
        values = rng.uniform(0.05, 0.95, shape)
    elif kind == "time_decay":
        values = rng.uniform(-4.0, 1.5, shape)
    elif kind == "time_first":
        values = rng.normal(-0.5, 0.8, shape)
    elif kind == "leak":
        values = rng.normal(0.0, 1.0, shape)
    elif kind == "gain":
        values = rng.uniform(1.0, 3.0, shape)
    elif name == "emb.weight":
        values = rng.normal(0.0, 1.0, shape)
    else:  # a matrix [out, in]: outputs of about the size of the inputs
        values = rng.normal(0.0, 1.2 / np.sqrt(shape[1]), shape)
    return torch.from_numpy(values.astype(np.float32))


def scaled_by(site, config):
    """The parameter that scales what the neurons of a site receive."""
    parts = site.split(".")
    if parts[-1] == "head_in":
        return "ln_out.weight"
    block = "blocks." + parts[1]
    return {
        "lif1": block + ".att.output.weight", "lif2": block + ".ffn.value.weight",
        "att_in": block + ".ln1.weight", "pre_in": block + ".ln1.weight", "ffn_in": block + ".ln2.weight",
        "att_out": block + (".att.ln_out.weight" if config.attention_norm else ".att.gain"), "pre_hidden": block + ".ffnPre.gain", "ffn_hidden": block + ".ffn.gain",
    }[parts[-1]]


def calibrate(parameters, config, idx, rng):
    """Scales the input of each population, in forward order, until its firing rate is as wanted."""
    sites = list(forward(parameters, config, idx)[1].spikes)
    for site in sites:
        name = scaled_by(site, config)
        if name not in parameters:  # LIF1 behind ffnPre
            name = name.replace(".att.output.", ".ffnPre.value.")
        least = rng.uniform(*LEAST_RATES)
        for _ in range(60):
            spikes = forward(parameters, config, idx)[1].spikes[site]
            rate = (spikes.sign() if has_payload(config.at(site)) else spikes).abs().mean().item()
            if least <= rate <= GREATEST_RATE:
                break
            parameters[name] = parameters[name] * (1.15 if rate < least else 0.9)
        else:
            return False
    return True


def margin(trace, parameters, config):
    """Smallest distance of a potential from its threshold, or from where another payload begins."""
    distances = [(sign * h - threshold).abs().min().item()
                 for site, h in trace.potentials.items() for sign, threshold in thresholds(config.at(site))]
    for site, h in trace.potentials.items():
        neuron = config.at(site)
        if has_payload(neuron):
            unit = neuron.v_threshold / neuron.payload_steps
            distances.append(unit * ((h / unit) % 1.0 - 0.5).abs().min().item())
    if config.binary_embedding:
        distances.append(parameters["emb.weight"].abs().min().item())
    return min(distances, default=float("inf"))


def rounding(a, b):
    """Largest difference of potentials between two passes."""
    return max(((a.potentials[site] - b.potentials[site]).abs().max().item() for site in a.potentials), default=0.0)


def same_spikes(a, b):
    return all(torch.equal(a.spikes[site].int(), b.spikes[site].int()) for site in a.spikes)


def gradient_of(tensor):
    """Zeros where no path leads to the loss: time_decay when T = 1."""
    return np.zeros(tensor.shape, np.float32) if tensor.grad is None else tensor.grad.numpy()


def attempt(case, seed):
    """Tensors, smallest margin and largest float32 error of a case; None if its spikes are not reproducible."""
    config, rng = case.config, np.random.RandomState(seed)
    parameters = {name: random_parameter(name, shape, rng) for name, shape in parameter_shapes(config).items()}
    batches = rng.randint(0, config.vocab_size, (TRAINING_STEPS, 2, case.batch, case.length))
    sample = rng.randint(0, config.vocab_size, (2, case.batch, case.length))
    idx, targets = torch.from_numpy(sample)
    with torch.no_grad():
        if not calibrate(parameters, config, idx, rng):
            return None

    single = leaves(parameters)
    logits, trace = forward(single, config, idx)
    with torch.no_grad():
        _, exact = forward(leaves(parameters, torch.float64), config, idx)
    smallest = min(margin(trace, parameters, config), margin(exact, parameters, config))
    if smallest < MARGIN or not same_spikes(trace, exact):
        return None

    steps = [tuple(torch.from_numpy(batch)) for batch in batches]
    noise, losses = rounding(trace, exact), []
    for (loss, trace32, p32), (_, trace64, p64) in zip(
            train(parameters, config, steps), train(parameters, config, steps, torch.float64)):
        smallest = min(smallest, margin(trace32, p32, config), margin(trace64, p64, config))
        if smallest < MARGIN or not same_spikes(trace32, trace64):
            return None
        noise = max(noise, rounding(trace32, trace64))
        losses.append(loss)

    loss = training_loss(logits, targets)
    loss.backward()
    tensors = {"idx": sample[0].astype(np.int32), "targets": sample[1].astype(np.int32)}
    tensors.update({"param." + name: tensor.numpy() for name, tensor in parameters.items()})
    tensors["logits"] = logits.detach().numpy()
    tensors["loss"] = np.array([loss.item()], np.float32)
    tensors.update({site: spikes.numpy().astype(np.int8 if config.spike_levels > 1 or config.payload_steps else np.uint8) for site, spikes in trace.spikes.items()})
    tensors.update({"grad." + name: gradient_of(tensor) for name, tensor in single.items()})
    tensors["train.batches"] = batches.astype(np.int32)
    tensors["train.losses"] = np.array(losses, np.float32)
    return tensors, smallest, noise


def report(case, seed, tensors, smallest, noise):
    rates = [np.abs(tensors[name]).mean() for name in tensors if name.startswith("spikes.")]
    firing = f"firing {min(rates):.2f}-{max(rates):.2f}" if rates else "no neurons"
    silent = [name for name, value in tensors.items() if name.startswith("grad.") and np.abs(value).max() < 1e-7]
    print(f"{case.name}: seed {seed}, margin {smallest:.1e}, float32 error {noise:.1e}, {firing}, "
          f"loss {tensors['loss'][0]:.4f}, training {tensors['train.losses'][0]:.4f} -> "
          f"{tensors['train.losses'][-1]:.4f}" + (f", zero gradients: {silent}" if silent else ""), flush=True)


def write_case(case, folder):
    for seed in range(1, 1000):
        found = attempt(case, seed)
        if found is not None:
            break
    else:
        raise SystemExit(f"{case.name}: no seed with reproducible spikes")
    tensors, smallest, noise = found
    report(case, seed, tensors, smallest, noise)
    metadata = {"config": case.config.to_json(), "seed": str(seed), "margin": f"{smallest:.3e}"}
    write_safetensors(folder / (case.name + ".safetensors"), tensors, metadata)


def main():
    torch.set_num_threads(1)
    default = pathlib.Path(__file__).resolve().parents[2] / "tests" / "golden"
    folder = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else default
    wanted = sys.argv[2:]  # names of cases; none = all
    folder.mkdir(parents=True, exist_ok=True)
    tensors, parameters = kernel_tensors()
    metadata = {name: json.dumps(value) for name, value in parameters.items()}
    write_safetensors(folder / "kernels.safetensors", tensors, metadata)
    for case in CASES:
        if not wanted or case.name in wanted:
            write_case(case, folder)


if __name__ == "__main__":
    main()
