"""Tokens per second of decoding one token at a time in PyTorch, the way the public inference script does it: a Python
loop over layers, one matrix-vector product after another, float32, random weights.

Usage: /usr/bin/python3 tools/reference/bench_pytorch_decode.py [--layers 12] [--channels 512] [--vocab 205] [--tokens 200]
"""
import argparse
import time

import torch
import torch.nn.functional as F


def make_layer(C):
    def matrix(out, inputs):
        return torch.randn(out, inputs) / inputs**0.5

    vectors = {name: torch.rand(C) for name in ("ln1", "ln1b", "ln2", "ln2b", "ak", "av", "ar", "fk", "fr", "first", "decay")}
    return {**vectors, "k": matrix(C, C), "v": matrix(C, C), "r": matrix(C, C), "o": matrix(C, C),
            "fk_w": matrix(4 * C, C), "fr_w": matrix(C, C), "fv_w": matrix(C, 4 * C)}


def fire(state, name, x):
    """A LIF neuron of SPEC 1: tau 2, threshold 1, hard reset."""
    h = state[name] + (x - state[name]) / 2.0
    spike = (h >= 1.0).float()
    state[name] = (1.0 - spike) * h
    return spike


def step(layers, states, x, C):
    for w, s in zip(layers, states):
        y = F.layer_norm(x, (C,), w["ln1"], w["ln1b"])
        xk, xv, xr = (y * w[m] + s["att"] * (1 - w[m]) for m in ("ak", "av", "ar"))
        s["att"] = y
        r, k, v = torch.sigmoid(w["r"] @ xr), w["k"] @ xk, w["v"] @ xv
        ww = w["first"] + k
        p = torch.maximum(s["o"], ww)
        a, b = torch.exp(s["o"] - p), torch.exp(ww - p)
        wkv = (a * s["p"] + b * v) / (a * s["q"] + b)
        ww = s["o"] - w["decay"]
        p = torch.maximum(ww, k)
        a, b = torch.exp(ww - p), torch.exp(k - p)
        s["p"], s["q"], s["o"] = a * s["p"] + b * v, a * s["q"] + b, p
        x = x + fire(s, "lif1", w["o"] @ (r * wkv))
        y = F.layer_norm(x, (C,), w["ln2"], w["ln2b"])
        xk, xr = (y * w[m] + s["ffn"] * (1 - w[m]) for m in ("fk", "fr"))
        s["ffn"] = y
        k = torch.square(torch.relu(w["fk_w"] @ xk))
        x = x + fire(s, "lif2", torch.sigmoid(w["fr_w"] @ xr) * (w["fv_w"] @ k))
    return x


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in (("layers", 12), ("channels", 512), ("vocab", 205), ("tokens", 200), ("threads", 2)):
        parser.add_argument("--" + name, type=int, default=value)
    flags = parser.parse_args()
    torch.set_num_threads(flags.threads)
    C = flags.channels
    layers = [make_layer(C) for _ in range(flags.layers)]
    states = [{name: torch.zeros(C) for name in ("att", "ffn", "p", "q", "lif1", "lif2")} | {"o": torch.full((C,), -1e30)}
              for _ in layers]
    embedding, head = torch.randn(flags.vocab, C), torch.randn(flags.vocab, C)
    best = float("inf")
    with torch.no_grad():
        for _ in range(5):
            start = time.perf_counter()
            for token in range(flags.tokens):
                x = (embedding[token % flags.vocab] >= 0).float()
                logits = head @ F.layer_norm(step(layers, states, x, C), (C,))
            best = min(best, (time.perf_counter() - start) / flags.tokens)
    print(f"PyTorch {torch.__version__}, {flags.layers} x {C}, V = {flags.vocab}: {1 / best:.0f} tokens/s, {logits.shape[0]} logits")


if __name__ == "__main__":
    main()
