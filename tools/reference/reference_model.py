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
    token_shift: str = "before"  # before | after the projections
    payload_steps: int = 0
    payload_places: tuple = ()

    def to_json(self):
        # Said only where used: older files keep their bytes.
        later = {"attention_norm": False, "learnable_tau": False, "token_shift": "before", "payload_steps": 0,
                 "payload_places": ()}
        return json.dumps({key: value for key, value in dataclasses.asdict(self).items()
                           if key not in later or value != later[key]})

    def at(self, site):
        """The neurons of a site: with a payload, or without where places are named and this is none of them."""
        if not self.payload_places:
            return self
        if site.split(".")[-1] in self.payload_places:
            return dataclasses.replace(self, spike_levels=1)
        return dataclasses.replace(self, payload_steps=0)


class Trace:
    """What a forward pass did, by spike site in forward order: spikes and charged potentials, both [B, T, C]."""

    def __init__(self, parameters):
        self.parameters = parameters
        self.spikes = {}
        self.potentials = {}

    def fire(self, name, current, config):
        leak = self.parameters[name + ".leak"] if config.learnable_tau else None
        spikes, potentials, _ = lif(current, config.at(name), leak=leak)
        self.spikes[name] = spikes.detach()
        self.potentials[name] = potentials.detach()
        return spikes


def layer_norm(p, name, x):
    return F.layer_norm(x, (x.shape[-1],), p[name + ".weight"], p[name + ".bias"], 1e-5)


def mix(x, mu):
    """Token shift (SPEC 3): x[t] mu + x[t-1] (1 - mu), with x[-1] = 0."""
    before = torch.cat([torch.zeros_like(x[:, :1]), x[:, :-1]], dim=1)
    return x * mu + before * (1 - mu)


def project(p, name, part, x, config, unit):
    """W mix(x), or with the shift after the projection unit mix(W x): `unit` is an event's size in thresholds."""
    letter = {"receptance": "r", "key": "k", "value": "v"}[part]
    weight, mu = p[f"{name}.{part}.weight"], p[f"{name}.time_mix_{letter}"]
    if config.token_shift == "after":
        return unit * mix(x @ weight.T, mu)
    return mix(x, mu) @ weight.T


def event_unit(config, site):
    steps = config.at(site).payload_steps
    return 1.0 / steps if steps else 1.0


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


def receptance_times_wkv(p, name, x, config, unit=1.0):
    r, k, v = (project(p, name, part, x, config, unit) for part in ("receptance", "key", "value"))
    return torch.sigmoid(r) * wkv(p[name + ".time_decay"], p[name + ".time_first"], k, v)


def time_mix(p, name, x, config):
    return receptance_times_wkv(p, name, x, config) @ p[name + ".output.weight"].T


def channel_mix(p, name, x, config):
    k = torch.relu(project(p, name, "key", x, config, 1.0)) ** 2
    r = torch.sigmoid(project(p, name, "receptance", x, config, 1.0))
    return r * (k @ p[name + ".value.weight"].T)


def event_time_mix(p, name, s, fire, config, unit):
    activation = receptance_times_wkv(p, name, s, config, unit)
    if name + ".ln_out.weight" in p:  # attention_norm
        activation = layer_norm(p, name + ".ln_out", activation)
    else:
        activation = p[name + ".gain"] * activation
    return fire(activation) @ p[name + ".output.weight"].T


def event_channel_mix(p, name, s, fire, config, unit):
    k = project(p, name, "key", s, config, unit)
    if config.squared_current:
        k = torch.relu(k) ** 2
    r = torch.sigmoid(project(p, name, "receptance", s, config, unit))
    return r * (fire(p[name + ".gain"] * k) @ p[name + ".value.weight"].T)


def block(p, i, x, config, trace):
    """Block of `spikegpt` and, without the neurons, of `rwkv` (SPEC 6)."""
    name = f"blocks.{i}"
    neurons = config.arch == "spikegpt"
    if i == 0 and config.model_type == "RWKV-ffnPre":
        y = channel_mix(p, name + ".ffnPre", layer_norm(p, name + ".ln1", x), config)
    else:
        y = time_mix(p, name + ".att", layer_norm(p, name + ".ln1", x), config)
    x = x + (trace.fire(f"spikes.{i}.lif1", y, config) if neurons else y)
    y = channel_mix(p, name + ".ffn", layer_norm(p, name + ".ln2", x), config)
    return x + (trace.fire(f"spikes.{i}.lif2", y, config) if neurons else y)


def event_block(p, i, x, config, trace):
    """Block of `event` (SPEC 7): a neuron in front of every projection."""
    name, site = f"blocks.{i}", f"spikes.{i}"
    hidden = dataclasses.replace(config, signed_spikes=False)
    if i == 0 and config.model_type == "RWKV-ffnPre":
        s = trace.fire(site + ".pre_in", layer_norm(p, name + ".ln1", x), config)
        x = x + event_channel_mix(p, name + ".ffnPre", s, lambda y: trace.fire(site + ".pre_hidden", y, hidden),
                                  config, event_unit(config, site + ".pre_in"))
    else:
        s = trace.fire(site + ".att_in", layer_norm(p, name + ".ln1", x), config)
        x = x + event_time_mix(p, name + ".att", s, lambda y: trace.fire(site + ".att_out", y, config), config,
                               event_unit(config, site + ".att_in"))
    s = trace.fire(site + ".ffn_in", layer_norm(p, name + ".ln2", x), config)
    return x + event_channel_mix(p, name + ".ffn", s, lambda y: trace.fire(site + ".ffn_hidden", y, hidden),
                                 config, event_unit(config, site + ".ffn_in"))


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
