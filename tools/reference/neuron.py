"""The LIF neuron and its surrogate gradients (SPEC 1), written for autograd: one loop over time, nothing fused.

Every surrogate has a primitive (a smooth stand-in for the step function) and a gradient (the derivative of
the primitive). Definitions are those of SpikingJelly 0.0.0.0.12/14, except the two it does not have:
`gaussian` is the normal density of standard deviation 1/alpha with its distribution function as primitive,
`straight_through` has gradient 1 and primitive z.
"""
import math

import torch


def piecewise_quadratic_primitive(z, alpha):
    inside = -0.5 * alpha**2 * z.abs() * z + alpha * z + 0.5
    return torch.where(z > 1 / alpha, torch.ones_like(z), torch.where(z < -1 / alpha, torch.zeros_like(z), inside))


def piecewise_exp_primitive(z, alpha):
    tail = 0.5 * torch.exp(-alpha * z.abs())
    return torch.where(z < 0, tail, 1 - tail)


def sigmoid_gradient(z, alpha):
    s = torch.sigmoid(alpha * z)
    return alpha * s * (1 - s)


# name -> (primitive(z, alpha), gradient(z, alpha))
SURROGATES = {
    "atan": (
        lambda z, a: torch.atan(math.pi / 2 * a * z) / math.pi + 0.5,
        lambda z, a: a / 2 / (1 + (math.pi / 2 * a * z) ** 2),
    ),
    "sigmoid": (lambda z, a: torch.sigmoid(a * z), sigmoid_gradient),
    "piecewise_quadratic": (
        piecewise_quadratic_primitive,
        lambda z, a: torch.where(z.abs() > 1 / a, torch.zeros_like(z), a - a**2 * z.abs()),
    ),
    "piecewise_exp": (piecewise_exp_primitive, lambda z, a: a / 2 * torch.exp(-a * z.abs())),
    "soft_sign": (
        lambda z, a: 0.5 * (a * z / (1 + (a * z).abs()) + 1),
        lambda z, a: a / (2 * (1 + (a * z).abs()) ** 2),
    ),
    "erf": (
        lambda z, a: 0.5 * torch.erfc(-a * z),
        lambda z, a: a / math.sqrt(math.pi) * torch.exp(-((a * z) ** 2)),
    ),
    "gaussian": (
        lambda z, a: 0.5 * torch.erfc(-a * z / math.sqrt(2)),
        lambda z, a: a / math.sqrt(2 * math.pi) * torch.exp(-((a * z) ** 2) / 2),
    ),
    "straight_through": (lambda z, a: z.clone(), lambda z, a: torch.ones_like(z)),
}


class Heaviside(torch.autograd.Function):
    """1 where z >= 0, else 0; backward multiplies by the surrogate gradient."""

    @staticmethod
    def forward(ctx, z, kind, alpha):
        ctx.save_for_backward(z)
        ctx.kind, ctx.alpha = kind, alpha
        return (z >= 0).to(z.dtype)

    @staticmethod
    def backward(ctx, d_spike):
        (z,) = ctx.saved_tensors
        gradient = SURROGATES[ctx.kind][1]
        return d_spike * gradient(z, ctx.alpha), None, None


def heaviside(z, neuron):
    return Heaviside.apply(z, neuron.surrogate, neuron.alpha)


def charge(v, x, neuron, leak=None):
    v_reset = 0.0 if neuron.v_reset is None else neuron.v_reset
    if leak is not None:  # a time constant for every neuron: 1 / tau = sigmoid(leak)
        rate = torch.sigmoid(leak)
        return v * (1 - rate) + v_reset * rate + (x * rate if neuron.decay_input else x)
    if neuron.decay_input:
        return v + (x - (v - v_reset)) / neuron.tau
    return v - (v - v_reset) / neuron.tau + x


class Payload(torch.autograd.Function):
    """Dead zone: silent within the threshold, beyond it the potential in steps; straight-through gradient."""

    @staticmethod
    def forward(ctx, h, neuron):
        ctx.steps_per_potential = neuron.payload_steps / neuron.v_threshold
        ctx.passes = torch.ones_like(h) if neuron.signed_spikes else (h > 0).to(h.dtype)
        fires = (h >= neuron.v_threshold) | ((h <= -neuron.v_threshold) & neuron.signed_spikes)
        return torch.where(fires, torch.round(h * ctx.steps_per_potential).clamp(-127, 127), torch.zeros_like(h))

    @staticmethod
    def backward(ctx, d_sent):
        return d_sent * ctx.passes * ctx.steps_per_potential, None


def has_payload(neuron):
    return getattr(neuron, "payload_steps", 0) > 0


def reset(h, s, neuron):
    if neuron.detach_reset:
        s = s.detach()
    if neuron.v_reset is None:
        return h - s * neuron.v_threshold / (neuron.payload_steps if has_payload(neuron) else 1)
    return s * neuron.v_reset + (1 - s) * h


def thresholds(neuron):
    """(sign of the spikes, potential times that sign where one more is sent), of a neuron that may send several."""
    levels, signed = getattr(neuron, "spike_levels", 1), getattr(neuron, "signed_spikes", False)
    return [(sign, k * neuron.v_threshold) for sign in ((1, -1) if signed else (1,)) for k in range(1, levels + 1)]


def fire(h, neuron):
    if has_payload(neuron):
        return Payload.apply(h, neuron)
    return sum(sign * heaviside(sign * h - threshold, neuron) for sign, threshold in thresholds(neuron))


def lif(x, neuron, membrane=None, leak=None):
    """x [B, T, C] -> spikes [B, T, C], charged potentials h [B, T, C], final membrane [B, C].

    neuron: anything with tau, v_threshold, v_reset (None = soft), decay_input, detach_reset, surrogate, alpha.
    membrane [B, C]: potential before the first token; v_reset (0 for soft reset) if not given.
    leak [C]: learnable time constants, sigmoid(leak) = 1 / tau; those of the neuron if not given.
    """
    v = membrane
    if v is None:
        v = torch.full_like(x[:, 0], 0.0 if neuron.v_reset is None else neuron.v_reset)
    spikes, potentials = [], []
    for t in range(x.shape[1]):
        h = charge(v, x[:, t], neuron, leak)
        s = fire(h, neuron)
        v = reset(h, s, neuron)
        spikes.append(s)
        potentials.append(h)
    return torch.stack(spikes, 1), torch.stack(potentials, 1), v
