"""Independent PyTorch implementation of the three architectures (SPEC 2-7): autograd, explicit loops over time.

It is slow on purpose: every line can be held against the specification. The engine's golden files come from it
(make_goldens.py). Run as a program it compares itself with numbers of the public training code:

    /usr/bin/python3 tools/reference/reference_model.py [FOLDER with model.pth and expected.npz]
"""
import dataclasses
import json
import os
import pathlib
import sys
from typing import Optional

import numpy as np
import torch
import torch.nn.functional as F

from neuron import heaviside, lif


@dataclasses.dataclass
class Config:
    arch: str = "spikegpt"  # spikegpt | rwkv | event
    model_type: str = "RWKV"  # RWKV | RWKV-ffnPre
    n_layer: int = 2
    n_embd: int = 16
    vocab_size: int = 32
    ctx_len: int = 32
    binary_embedding: bool = True
    event_head: bool = False
    dropout: float = 0.0
    tau: float = 2.0
    v_threshold: float = 1.0
    v_reset: Optional[float] = 0.0  # None: soft reset
    decay_input: bool = True
    detach_reset: bool = False
    spike_levels: int = 1
    signed_spikes: bool = False  # not in hidden layers
    squared_current: bool = False
    attention_norm: bool = False
    learnable_tau: bool = False
    surrogate: str = "atan"
    alpha: float = 2.0

    def to_json(self):
        later = ("attention_norm", "learnable_tau")  # said only where used: older files keep their bytes
        return json.dumps({key: value for key, value in dataclasses.asdict(self).items() if value or key not in later})


class Trace:
    """What a forward pass did, by spike site in forward order: spikes and charged potentials, both [B, T, C]."""

    def __init__(self, parameters):
        self.parameters = parameters
        self.spikes = {}
        self.potentials = {}

    def fire(self, name, current, config):
        leak = self.parameters[name + ".leak"] if config.learnable_tau else None
        spikes, potentials, _ = lif(current, config, leak=leak)
        self.spikes[name] = spikes.detach()
        self.potentials[name] = potentials.detach()
        return spikes


def layer_norm(p, name, x):
    return F.layer_norm(x, (x.shape[-1],), p[name + ".weight"], p[name + ".bias"], 1e-5)


def mix(x, mu):
    """Token shift (SPEC 3): x[t] mu + x[t-1] (1 - mu), with x[-1] = 0."""
    before = torch.cat([torch.zeros_like(x[:, :1]), x[:, :-1]], dim=1)
    return x * mu + before * (1 - mu)


def wkv(w, u, k, v):
    """SPEC 4 in the running-maximum form. w, u [C]; k, v [B, T, C] -> [B, T, C].

    The maximum n only scales numerator and denominator alike, so it carries no gradient.
    """
    p = torch.zeros_like(k[:, 0])
    q = torch.zeros_like(k[:, 0])
    o = torch.full_like(k[:, 0], -1e38)
    decay = torch.exp(w)
    out = []
    for t in range(k.shape[1]):
        kt, vt = k[:, t], v[:, t]
        n = torch.maximum(o, u + kt).detach()
        a, d = torch.exp(o - n), torch.exp(u + kt - n)
        out.append((a * p + d * vt) / (a * q + d))
        n = torch.maximum(o - decay, kt).detach()
        a, d = torch.exp(o - decay - n), torch.exp(kt - n)
        p, q, o = a * p + d * vt, a * q + d, n
    return torch.stack(out, 1)


def receptance_times_wkv(p, name, x):
    r = mix(x, p[name + ".time_mix_r"]) @ p[name + ".receptance.weight"].T
    k = mix(x, p[name + ".time_mix_k"]) @ p[name + ".key.weight"].T
    v = mix(x, p[name + ".time_mix_v"]) @ p[name + ".value.weight"].T
    return torch.sigmoid(r) * wkv(p[name + ".time_decay"], p[name + ".time_first"], k, v)


def time_mix(p, name, x):
    return receptance_times_wkv(p, name, x) @ p[name + ".output.weight"].T


def channel_mix(p, name, x):
    k = torch.relu(mix(x, p[name + ".time_mix_k"]) @ p[name + ".key.weight"].T) ** 2
    r = torch.sigmoid(mix(x, p[name + ".time_mix_r"]) @ p[name + ".receptance.weight"].T)
    return r * (k @ p[name + ".value.weight"].T)


def event_time_mix(p, name, s, fire):
    activation = receptance_times_wkv(p, name, s)
    if name + ".ln_out.weight" in p:  # attention_norm
        activation = layer_norm(p, name + ".ln_out", activation)
    else:
        activation = p[name + ".gain"] * activation
    return fire(activation) @ p[name + ".output.weight"].T


def event_channel_mix(p, name, s, fire, squared):
    k = mix(s, p[name + ".time_mix_k"]) @ p[name + ".key.weight"].T
    if squared:
        k = torch.relu(k) ** 2
    r = torch.sigmoid(mix(s, p[name + ".time_mix_r"]) @ p[name + ".receptance.weight"].T)
    return r * (fire(p[name + ".gain"] * k) @ p[name + ".value.weight"].T)


def block(p, i, x, config, trace):
    """Block of `spikegpt` and, without the neurons, of `rwkv` (SPEC 6)."""
    name = f"blocks.{i}"
    neurons = config.arch == "spikegpt"
    if i == 0 and config.model_type == "RWKV-ffnPre":
        y = channel_mix(p, name + ".ffnPre", layer_norm(p, name + ".ln1", x))
    else:
        y = time_mix(p, name + ".att", layer_norm(p, name + ".ln1", x))
    x = x + (trace.fire(f"spikes.{i}.lif1", y, config) if neurons else y)
    y = channel_mix(p, name + ".ffn", layer_norm(p, name + ".ln2", x))
    return x + (trace.fire(f"spikes.{i}.lif2", y, config) if neurons else y)


def event_block(p, i, x, config, trace):
    """Block of `event` (SPEC 7): a neuron in front of every projection."""
    name, site, squared = f"blocks.{i}", f"spikes.{i}", config.squared_current
    hidden = dataclasses.replace(config, signed_spikes=False)
    if i == 0 and config.model_type == "RWKV-ffnPre":
        s = trace.fire(site + ".pre_in", layer_norm(p, name + ".ln1", x), config)
        x = x + event_channel_mix(p, name + ".ffnPre", s, lambda y: trace.fire(site + ".pre_hidden", y, hidden),
                                  squared)
    else:
        s = trace.fire(site + ".att_in", layer_norm(p, name + ".ln1", x), config)
        x = x + event_time_mix(p, name + ".att", s, lambda y: trace.fire(site + ".att_out", y, config))
    s = trace.fire(site + ".ffn_in", layer_norm(p, name + ".ln2", x), config)
    return x + event_channel_mix(p, name + ".ffn", s, lambda y: trace.fire(site + ".ffn_hidden", y, hidden), squared)


def forward(p, config, idx):
    """p: name -> parameter, idx [B, T] -> logits [B, T, V], Trace. The dtype is that of the parameters."""
    trace = Trace(p)
    x = p["emb.weight"][idx]
    if config.binary_embedding:
        x = heaviside(x, config)
    x = layer_norm(p, "blocks.0.ln0", x)
    for i in range(config.n_layer):
        x = (event_block if config.arch == "event" else block)(p, i, x, config, trace)
    x = layer_norm(p, "ln_out", x)
    if config.event_head:
        x = trace.fire("spikes.head_in", x, config)
    return x @ p["head.weight"].T, trace


class L2Wrap(torch.autograd.Function):
    """Passes the loss through; backward adds 1e-4/(B*T) * max-logit to the gradient of the arg-max logit."""

    @staticmethod
    def forward(ctx, loss, logits):
        ctx.save_for_backward(logits)
        return loss.clone()

    @staticmethod
    def backward(ctx, d_loss):
        (logits,) = ctx.saved_tensors
        tokens = logits.numel() // logits.shape[-1]
        maximum, where = logits.max(-1, keepdim=True)
        return d_loss, torch.zeros_like(logits).scatter_(-1, where, maximum * (1e-4 / tokens))


def training_loss(logits, targets):
    """Mean cross-entropy; its backward includes the L2Wrap gradient."""
    loss = F.cross_entropy(logits.reshape(-1, logits.shape[-1]), targets.reshape(-1))
    return L2Wrap.apply(loss, logits)


def leaves(parameters, dtype=torch.float32):
    return {name: tensor.detach().to(dtype).clone().requires_grad_(True) for name, tensor in parameters.items()}


def train(parameters, config, batches, dtype=torch.float32):
    """One Adam step a batch (idx, targets); yields (loss before the step, Trace, name -> parameter before)."""
    p = leaves(parameters, dtype)
    adam = torch.optim.Adam(p.values(), lr=6e-4, betas=(0.9, 0.99), eps=4e-9)
    for idx, targets in batches:
        logits, trace = forward(p, config, idx)
        loss = training_loss(logits, targets)
        yield loss.item(), trace, {name: tensor.detach().clone() for name, tensor in p.items()}
        adam.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(p.values(), 1.0)
        adam.step()


def config_of_checkpoint(parameters):
    vocab_size, n_embd = parameters["emb.weight"].shape
    n_layer = 1 + max(int(name.split(".")[1]) for name in parameters if name.startswith("blocks."))
    ffn_pre = any(".ffnPre." in name for name in parameters)
    return Config(n_layer=n_layer, n_embd=n_embd, vocab_size=vocab_size,
                  model_type="RWKV-ffnPre" if ffn_pre else "RWKV")


def compare_with_official(folder):
    parameters = torch.load(folder / "model.pth", map_location="cpu")
    expected = np.load(folder / "expected.npz")
    config = config_of_checkpoint(parameters)
    p = leaves(parameters)
    logits, trace = forward(p, config, torch.from_numpy(expected["idx"]))
    loss = training_loss(logits, torch.from_numpy(expected["targets"]))
    loss.backward()
    print(f"logits: largest difference {np.abs(logits.detach().numpy() - expected['logits']).max():.2e}")
    print(f"loss:   difference {abs(loss.item() - float(expected['loss'])):.2e}")
    for name, spikes in trace.spikes.items():
        flipped = int((spikes.numpy() != expected[name]).sum())
        print(f"{name}: {flipped} of {spikes.numel()} differ, firing rate {spikes.mean():.3f}")
    worst = max((float((p[name].grad - torch.from_numpy(expected["grad." + name])).norm()
                       / np.linalg.norm(expected["grad." + name]).clip(1e-30)), name) for name in p)
    print(f"gradients: largest relative difference (norms) {worst[0]:.2e} at {worst[1]}")
    windows = torch.from_numpy(expected["train.batches"])
    batches = [(window[:, :-1], window[:, 1:]) for window in windows]
    losses = np.array([loss for loss, _, _ in train(parameters, config, batches)])
    print("training losses, differences:", np.abs(losses - expected["train.losses"]))


if __name__ == "__main__":
    shared = os.environ.get("SPIKEGPT_SHARED", pathlib.Path(__file__).resolve().parents[2].parent / "shared")
    compare_with_official(pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(shared) / "official" / "a"))
