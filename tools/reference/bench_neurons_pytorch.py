"""Speed of every kind of neuron as a plain loop over tokens in PyTorch, CPU: what `bench kernels --neurons` compares with.

    /usr/bin/python3 tools/reference/bench_neurons_pytorch.py --shape 16,1024,512 --threads 1

A plain loop stands in for SpikingJelly, whose CPU path is one too: a step of charge, fire and reset for each token,
the gradient by autograd, the spike's by ATan. Neurons and settings are the defaults of docs/neurons.md. Prints one
line of JSON: {"torch": version, "kinds": {"lif": {"forward": seconds, "backward": seconds}, ...}}, the quickest of
--repeats.
"""
import argparse
import json
import math
import time

import torch


class Spike(torch.autograd.Function):
    """heaviside, with the derivative of an arctangent of steepness 2."""

    @staticmethod
    def forward(ctx, z):
        ctx.save_for_backward(z)
        return (z >= 0).to(z.dtype)

    @staticmethod
    def backward(ctx, d_spike):
        (z,) = ctx.saved_tensors
        return d_spike / (1 + (math.pi * z) ** 2)


def fire(h, threshold=1.0):
    return Spike.apply(h - threshold)


def hard(h, s):
    return (1 - s) * h


def run(x, charge):
    """Spikes of neurons whose potential is all their state: charge(v, current) -> h."""
    v = torch.zeros_like(x[0])
    spikes = []
    for current in x:
        v = charge(v, current)
        s = fire(v)
        v = hard(v, s)
        spikes.append(s)
    return torch.stack(spikes)


def run_if(x, _):
    return run(x, lambda v, current: v + current)


def run_lif(x, _):
    return run(x, lambda v, current: v + (current - v) / 2.0)


def run_plif(x, learned):
    leak = learned.sigmoid()
    return run(x, lambda v, current: v + (current - v) * leak)


def run_qif(x, _):
    return run(x, lambda v, current: v + (current + v * (v - 0.8)) / 2.0)


def run_eif(x, _):
    return run(x, lambda v, current: v + (current - v + torch.exp(v - 0.8)) / 2.0)


def run_klif(x, k):
    return run(x, lambda v, current: torch.relu(k * (v + (current - v) / 2.0)))


def run_izhikevich(x, _):
    v = torch.zeros_like(x[0])
    w = torch.zeros_like(x[0])
    spikes = []
    for current in x:
        v = v + (current + (v + 0.1) * (v - 0.8) - w) / 2.0
        w = w + (0.0 * (v + 0.1) - w) / 2.0
        s = fire(v)
        v = hard(v, s)
        w = w + 0.0 * s
        spikes.append(s)
    return torch.stack(spikes)


def run_alif(x, _):
    v = torch.zeros_like(x[0])
    a = torch.zeros_like(x[0])
    rho = math.exp(-1.0 / 20.0)
    spikes = []
    for current in x:
        v = v + (current - v) / 2.0
        s = fire(v, 1.0 + 0.2 * a)
        v = hard(v, s)
        a = rho * a + s
        spikes.append(s)
    return torch.stack(spikes)


def run_clif(x, _):
    v = torch.zeros_like(x[0])
    i = torch.zeros_like(x[0])
    decay = math.exp(-1.0 / 2.0)
    spikes = []
    for current in x:
        i = decay * i + current
        v = v + (i - v) / 2.0
        s = fire(v)
        v = hard(v, s)
        spikes.append(s)
    return torch.stack(spikes)


def run_sliding_psn(x, learned):
    taps = learned.numel() - 1
    padded = torch.cat([torch.zeros(taps - 1, *x.shape[1:]), x])
    spikes = []
    for t in range(x.shape[0]):
        h = learned[taps]
        for j in range(taps):
            h = h + learned[j] * padded[t + j]
        spikes.append(fire(h, 0.0))
    return torch.stack(spikes)


LEARNED = {"plif": [0.0], "klif": [1.0], "sliding_psn": [0.125, 0.25, 0.5, 1.0, -1.0]}
KINDS = ["lif", "plif", "if", "qif", "eif", "izhikevich", "klif", "alif", "clif", "sliding_psn"]


def measure(kind, shape, repeats):
    """Seconds of the quickest forward and the quickest backward pass; time is the first axis, as in SpikingJelly."""
    batch, tokens, channels = shape
    run_kind = globals()[f"run_{kind}"]
    x = torch.randn(tokens, batch, channels).mul_(2).requires_grad_()
    learned = torch.tensor(LEARNED[kind], requires_grad=True) if kind in LEARNED else None
    d_spikes = torch.randn(tokens, batch, channels)
    forward, backward = [], []
    for _ in range(repeats):
        x.grad = None
        start = time.perf_counter()
        spikes = run_kind(x, learned)
        middle = time.perf_counter()
        spikes.backward(d_spikes)
        forward.append(middle - start)
        backward.append(time.perf_counter() - middle)
    return {"forward": min(forward), "backward": min(backward)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", default="16,1024,512", help="B,T,C")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--kinds", default=",".join(KINDS))
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(1)
    shape = [int(extent) for extent in options.shape.split(",")]
    kinds = {kind: measure(kind, shape, options.repeats) for kind in options.kinds.split(",")
             if f"run_{kind}" in globals()}
    print(json.dumps({"torch": torch.__version__, "kinds": kinds}))


if __name__ == "__main__":
    main()
