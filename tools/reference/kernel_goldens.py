"""Expected results of single kernels, for tests/golden/kernels.safetensors.

Inputs are float32 numbers; everything is computed in float64 from the defining formula (not from the form that a
fast kernel uses) and rounded to float32 once. Exception: spikes, h and membrane_out of the LIF cases are the
float32 operations of SPEC 1 in the order written there, so those can be compared bit for bit.
"""
import types

import numpy as np
import torch
import torch.nn.functional as F

from neuron import SURROGATES, lif
from reference_model import training_loss

LIF_DEFAULT = {"tau": 2.0, "v_threshold": 1.0, "v_reset": 0.0, "decay_input": True, "detach_reset": False,
               "surrogate": "atan", "alpha": 2.0}
LIF_CASES = {
    "hard": {},
    "soft": {"v_reset": None},
    "detached": {"detach_reset": True},
    "soft_detached": {"v_reset": None, "detach_reset": True},
    "no_decay_input": {"decay_input": False, "tau": 1.7},
    "soft_no_decay_input": {"v_reset": None, "decay_input": False, "tau": 1.7},
    "v_reset": {"v_reset": -0.3, "v_threshold": 0.9, "tau": 2.7},
    "v_reset_no_decay_input": {"v_reset": 0.2, "decay_input": False, "tau": 3.0, "surrogate": "sigmoid", "alpha": 4.0},
}
SURROGATE_ALPHA = {"atan": 2.0, "sigmoid": 4.0, "piecewise_quadratic": 1.0, "piecewise_exp": 1.5, "soft_sign": 2.0,
                   "erf": 2.0, "gaussian": 2.5, "straight_through": 1.0}


def normal(rng, *shape, scale=1.0, mean=0.0):
    """float64 tensor whose values are exact in float32."""
    return torch.from_numpy(rng.normal(mean, scale, shape).astype(np.float32)).double()


def gradients(inputs, outputs, d_outputs):
    """d_inputs of sum(outputs * d_outputs)."""
    return torch.autograd.grad(outputs, inputs, d_outputs)


def lif_tensors(rng):
    tensors, described = {}, {}
    for name, changes in LIF_CASES.items():
        described[name] = {**LIF_DEFAULT, **changes}
        neuron = types.SimpleNamespace(**described[name])
        scale = 1.6 if neuron.decay_input else 0.9
        while True:  # until float32 and float64 agree on every spike with room to spare
            x = normal(rng, 2, 11, 13, scale=scale, mean=0.5 * scale).requires_grad_()
            membrane = normal(rng, 2, 13, scale=0.5).requires_grad_()
            spikes, h, out = lif(x, neuron, membrane)
            single = lif(x.detach().float(), neuron, membrane.detach().float())
            if (h - neuron.v_threshold).abs().min() > 1e-4 and torch.equal(single[0].double(), spikes.detach()):
                break
        d_spikes, d_out = normal(rng, *spikes.shape), normal(rng, *out.shape)
        d_x, d_membrane = gradients([x, membrane], [spikes, out], [d_spikes, d_out])
        values = {"x": x, "membrane_in": membrane, "spikes": single[0], "membrane_out": single[2], "h": single[1],
                  "d_spikes": d_spikes, "d_membrane_out": d_out, "d_x": d_x, "d_membrane_in": d_membrane}
        tensors.update({f"lif.{name}.{key}": value for key, value in values.items()})
    return tensors, described


def wkv_sums(w, u, k, v, state=None):
    """The sums of SPEC 4 taken literally, each scaled by its largest term.

    state: numerator, denominator, max_exponent [B, C] left by earlier tokens, or None.
    Returns wkv [B, T, C] and the state after the last token.
    """
    B, T, C = k.shape
    decay = torch.exp(w)
    if state is None:
        state = (torch.zeros(B, C).double(), torch.zeros(B, C).double(), torch.full((B, C), -1e38).double())

    def weighted(exponents, upper, lower):
        largest = exponents.max(0).values.detach()
        weights = torch.exp(exponents - largest)
        return (weights * upper).sum(0), (weights * lower).sum(0), largest

    def past(t):
        """Exponents and factors of the carried state and of tokens 0 .. t-1, as token t sees them."""
        exponents = [state[2] - t * decay] + [k[:, i] - (t - 1 - i) * decay for i in range(t)]
        return exponents, [state[0]] + [v[:, i] for i in range(t)], [state[1]] + [torch.ones_like(v[:, 0])] * t

    out = []
    for t in range(T):
        exponents, upper, lower = past(t)
        numerator, denominator, _ = weighted(
            torch.stack(exponents + [u + k[:, t]]), torch.stack(upper + [v[:, t]]),
            torch.stack(lower + [torch.ones_like(v[:, t])]))
        out.append(numerator / denominator)
    exponents, upper, lower = past(T)
    return torch.stack(out, 1), weighted(torch.stack(exponents), torch.stack(upper), torch.stack(lower))


def wkv_inputs(rng, extreme=False):
    B, T, C = 2, 17, 13
    w = torch.from_numpy(rng.uniform(-6, 3 if extreme else 1.5, C).astype(np.float32)).double()
    u = normal(rng, C, mean=-0.5)
    k, v = normal(rng, B, T, C, scale=1.5), normal(rng, B, T, C)
    if extreme:
        w[:3] = torch.tensor([3.0, -8.0, 2.5])
        k = torch.from_numpy(rng.uniform(-200, 200, (B, T, C)).astype(np.float32)).double()
        k[:, :, 1], k[:, :, 2], k[:, :, 3] = 200.0, -200.0, torch.tensor([200.0, -200.0] * 9)[:T]
    return [tensor.requires_grad_() for tensor in (w, u, k, v)]


WKV_INPUTS = ("time_decay", "time_first", "k", "v")
STATE = ("numerator", "denominator", "max_exponent")


def wkv_tensors(rng, prefix, extreme):
    inputs = wkv_inputs(rng, extreme)
    y, _ = wkv_sums(*inputs)
    d_y = normal(rng, *y.shape)
    tensors = dict(zip(WKV_INPUTS, inputs), y=y, d_y=d_y)
    tensors.update(zip(["d_" + name for name in WKV_INPUTS], gradients(inputs, [y], [d_y])))
    return {f"{prefix}.{name}": value for name, value in tensors.items()}


def wkv_gated_tensors(rng):
    """output = sigmoid(receptance) * wkv, from an empty state."""
    inputs = wkv_inputs(rng)
    receptance = normal(rng, *inputs[2].shape, scale=2.0).requires_grad_()
    output = torch.sigmoid(receptance) * wkv_sums(*inputs)[0]
    d_output = normal(rng, *output.shape)
    names, inputs = ("receptance",) + WKV_INPUTS, [receptance] + inputs
    tensors = dict(zip(names, inputs), output=output, d_output=d_output)
    tensors.update(zip(["d_" + name for name in names], gradients(inputs, [output], [d_output])))
    return {f"wkv_gated.{name}": value for name, value in tensors.items()}


def wkv_carried_tensors(rng):
    """State in and state out. Gradients hold max_exponent fixed, going in and coming out."""
    inputs = wkv_inputs(rng)
    before = [tensor.detach() for tensor in wkv_inputs(rng)]
    with torch.no_grad():
        state = wkv_sums(inputs[0], inputs[1], before[2], before[3])[1]
    state = [tensor.float().double() for tensor in state]
    state[0].requires_grad_(), state[1].requires_grad_()
    y, out = wkv_sums(*inputs, state)
    d_y, d_numerator, d_denominator = normal(rng, *y.shape), normal(rng, *out[0].shape), normal(rng, *out[1].shape)
    leaves = inputs + state[:2]
    found = gradients(leaves, [y, out[0], out[1]], [d_y, d_numerator, d_denominator])
    tensors = dict(zip(WKV_INPUTS, inputs), y=y, d_y=d_y)
    tensors.update(zip([name + "_in" for name in STATE], state))
    tensors.update(zip([name + "_out" for name in STATE], out))
    tensors.update(d_numerator_out=d_numerator, d_denominator_out=d_denominator)
    tensors.update(zip(["d_" + name for name in WKV_INPUTS] + ["d_numerator_in", "d_denominator_in"], found))
    return {f"wkv_carried.{name}": value for name, value in tensors.items()}


def surrogate_tensors():
    tensors = {}
    for kind, alpha in SURROGATE_ALPHA.items():
        primitive, gradient = SURROGATES[kind]
        z = torch.linspace(-3, 3, 119).float().double().requires_grad_()  # neither 0 nor a kink among them
        z.data[59] = 0.01  # the middle one
        values = primitive(z, alpha)
        (derivative,) = torch.autograd.grad(values.sum(), z)
        assert (derivative - gradient(z, alpha)).abs().max() < 1e-12, kind
        tensors.update({f"surrogate.{kind}.z": z, f"surrogate.{kind}.primitive": values,
                        f"surrogate.{kind}.gradient": derivative})
    return tensors


def cross_entropy_tensors(rng, prefix, scale):
    logits = normal(rng, 7, 37, scale=scale).requires_grad_()
    targets = torch.from_numpy(rng.randint(0, 37, 7))
    loss = training_loss(logits, targets)
    loss.backward()
    losses = F.cross_entropy(logits, targets, reduction="none")
    return {f"{prefix}.logits": logits, f"{prefix}.targets": targets, f"{prefix}.loss": loss.reshape(1),
            f"{prefix}.losses": losses, f"{prefix}.d_logits": logits.grad}


def layer_norm_tensors(rng):
    x = normal(rng, 11, 19, scale=2.0)
    x[1] = x[1] * 1e-3  # the epsilon matters
    x[2] = x[2] + 30.0
    x = x.float().double().requires_grad_()
    weight, bias = normal(rng, 19, mean=1.0).requires_grad_(), normal(rng, 19).requires_grad_()
    y = F.layer_norm(x, (19,), weight, bias, 1e-5)
    d_y = normal(rng, *y.shape)
    d_x, d_weight, d_bias = gradients([x, weight, bias], [y], [d_y])
    return {"ln.x": x, "ln.weight": weight, "ln.bias": bias, "ln.y": y, "ln.d_y": d_y, "ln.d_x": d_x,
            "ln.d_weight": d_weight, "ln.d_bias": d_bias}


def kernel_tensors():
    """Returns (name -> array of float32, int32 or uint8, what the metadata says: key -> JSON value)."""
    rng = np.random.RandomState(7)
    tensors, lif_parameters = lif_tensors(rng)
    tensors.update(wkv_tensors(rng, "wkv", extreme=False))
    tensors.update(wkv_gated_tensors(rng))
    tensors.update(wkv_carried_tensors(rng))
    tensors.update(wkv_tensors(rng, "wkv_extreme", extreme=True))
    tensors.update(surrogate_tensors())
    tensors.update(cross_entropy_tensors(rng, "ce", 3.0))
    tensors.update(cross_entropy_tensors(rng, "ce_extreme", 3000.0))
    tensors.update(layer_norm_tensors(rng))
    arrays = {}
    for name, tensor in tensors.items():
        dtype = np.uint8 if name.endswith(".spikes") else np.int32 if name.endswith(".targets") else np.float32
        arrays[name] = tensor.detach().numpy().astype(dtype)
        assert np.isfinite(arrays[name]).all(), name
    parameters = {"lif": lif_parameters, "surrogate": {kind: {"alpha": a} for kind, a in SURROGATE_ALPHA.items()},
                  "ce": {"l2wrap": 1e-4}, "ln": {"epsilon": 1e-5}}
    return arrays, parameters
