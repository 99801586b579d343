"""Training speed of SpikeGPT (arch `spikegpt`) on PyTorch, CPU: the baseline that the engine is compared with.

    /usr/bin/python3 tools/reference/bench_pytorch.py --dtype bf16 --steps 3

Dense products, LayerNorm, token shift and Adam are PyTorch's; WKV and LIF are C++ (built at the start, -O3
-march=native, OpenMP; a plain shared library, as Debian's python3-torch comes without PyTorch's headers). bf16 is
torch.autocast. Prints one line of JSON; `best_tokens_per_second` is that of the fastest step, for machines that
other programs use too. `--check` first compares logits and gradients with the slow reference.

PyTorch frees and maps every large tensor anew, which costs page faults; `--allocator tuned` (the default) restarts the
program with glibc told to keep memory and to use huge pages. jemalloc (Debian: libjemalloc2, LD_PRELOAD) serves
the same purpose; give `--allocator default` with it.
"""
import argparse
import ctypes
import json
import os
import pathlib
import resource
import subprocess
import sys
import tempfile
import time

import torch
import torch.nn as nn
import torch.nn.functional as F

from reference_model import L2Wrap

TUNED = "glibc.malloc.mmap_max=0:glibc.malloc.trim_threshold=68719476736:glibc.malloc.hugetlb=1"
HERE = pathlib.Path(__file__).resolve().parent
library = None  # bench_pytorch_ops.cc, once built


def build_library():
    """Compiles and loads the scans. -ffast-math lets the compiler call the vector exp of the C library."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "bench_pytorch_ops.so"
        flags = ["-std=c++17", "-O3", "-march=native", "-ffast-math", "-fopenmp", "-fPIC", "-shared"]
        source = str(HERE / "bench_pytorch_ops.cc")
        subprocess.run(["g++", *flags, source, "-o", str(path), "-lmvec", "-lm"], check=True)
        return ctypes.CDLL(str(path))


def run(name, like, *tensors):
    """Calls a function of the library for the shape and dtype of `like`; all tensors contiguous."""
    suffix = {torch.float32: "f32", torch.bfloat16: "bf16"}[like.dtype]
    shape = [ctypes.c_long(size) for size in like.shape]
    getattr(library, f"{name}_{suffix}")(*shape, *(ctypes.c_void_p(tensor.data_ptr()) for tensor in tensors))


class Lif(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        x = x.contiguous()
        ctx.save_for_backward(x)
        spikes = torch.empty_like(x)
        run("lif_forward", x, x, spikes)
        return spikes

    @staticmethod
    def backward(ctx, d_spikes):
        (x,) = ctx.saved_tensors
        d_x = torch.empty_like(x)
        run("lif_backward", x, x, d_spikes.to(x.dtype).contiguous(), d_x)
        return d_x


class Wkv(torch.autograd.Function):
    @staticmethod
    def forward(ctx, w, u, k, v):
        ctx.save_for_backward(w, u, k, v)
        y = torch.empty_like(k)
        run("wkv_forward", k, w, u, k, v, y)
        return y

    @staticmethod
    def backward(ctx, d_y):
        w, u, k, v = ctx.saved_tensors
        d_w, d_u = torch.empty(2, k.shape[0], k.shape[2])  # per sequence
        d_k, d_v = torch.empty_like(k), torch.empty_like(v)
        run("wkv_backward", k, w, u, k, v, d_y.to(k.dtype).contiguous(), d_w, d_u, d_k, d_v)
        return d_w.sum(0), d_u.sum(0), d_k, d_v


class BinaryEmbedding(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return (x >= 0).to(x.dtype)

    @staticmethod
    def backward(ctx, d_y):
        (x,) = ctx.saved_tensors
        return d_y / (1 + (torch.pi * x) ** 2)


class ReluSquared(torch.autograd.Function):
    """Keeps one tensor and makes two passes backward; torch.square(torch.relu(x)) needs more of both."""

    @staticmethod
    def forward(ctx, x):
        positive = torch.relu(x)
        ctx.save_for_backward(positive)
        return positive * positive

    @staticmethod
    def backward(ctx, d_y):
        (positive,) = ctx.saved_tensors
        return (d_y * positive).mul_(2)


def mix(x, before, mu):
    mu = mu.to(x.dtype)
    return torch.lerp(before, x, mu.expand_as(x))


def shifted(x):
    return F.pad(x, (0, 0, 1, -1))


class TimeMix(nn.Module):
    def __init__(self, C):
        super().__init__()
        self.time_decay = nn.Parameter(torch.linspace(-5, 3, C))
        self.time_first = nn.Parameter(torch.full((C,), -1.2))
        self.time_mix_k, self.time_mix_v, self.time_mix_r = (nn.Parameter(torch.rand(1, 1, C)) for _ in range(3))
        self.key, self.value, self.receptance, self.output = (nn.Linear(C, C, bias=False) for _ in range(4))

    def forward(self, x):
        before = shifted(x)
        k = self.key(mix(x, before, self.time_mix_k))
        v = self.value(mix(x, before, self.time_mix_v))
        r = torch.sigmoid(self.receptance(mix(x, before, self.time_mix_r)))
        return self.output(r * Wkv.apply(self.time_decay, self.time_first, k, v))


class ChannelMix(nn.Module):
    def __init__(self, C):
        super().__init__()
        self.time_mix_k, self.time_mix_r = (nn.Parameter(torch.rand(1, 1, C)) for _ in range(2))
        self.key, self.receptance = nn.Linear(C, 4 * C, bias=False), nn.Linear(C, C, bias=False)
        self.value = nn.Linear(4 * C, C, bias=False)

    def forward(self, x):
        before = shifted(x)
        k = ReluSquared.apply(self.key(mix(x, before, self.time_mix_k)))
        return torch.sigmoid(self.receptance(mix(x, before, self.time_mix_r))) * self.value(k)


class Block(nn.Module):
    def __init__(self, C, first, dropout):
        super().__init__()
        self.ln1, self.ln2 = nn.LayerNorm(C), nn.LayerNorm(C)
        if first:
            self.ln0 = nn.LayerNorm(C)
        self.first, self.dropout = first, dropout
        self.att, self.ffn = TimeMix(C), ChannelMix(C)

    def forward(self, x, dtype):
        if self.first:
            x = self.ln0(x)
        x = x + Lif.apply(self.att(self.ln1(x).to(dtype)))
        x = x + Lif.apply(self.ffn(self.ln2(x).to(dtype)))
        return F.dropout(x, self.dropout, self.training)


class SpikeGPT(nn.Module):
    def __init__(self, L, C, V, dropout):
        super().__init__()
        self.emb = nn.Embedding(V, C)
        self.blocks = nn.ModuleList(Block(C, i == 0, dropout) for i in range(L))
        self.ln_out, self.head = nn.LayerNorm(C), nn.Linear(C, V, bias=False)

    def forward(self, idx, targets, dtype):
        x = BinaryEmbedding.apply(self.emb(idx))
        for block in self.blocks:
            x = block(x, dtype)
        logits = self.head(self.ln_out(x))
        loss = F.cross_entropy(logits.view(-1, logits.shape[-1]), targets.view(-1))
        return L2Wrap.apply(loss, logits), logits


def check():
    """Against the reference, float32, small: raises if the benchmark does not compute SpikeGPT."""
    import reference_model as reference
    torch.manual_seed(1)
    model = SpikeGPT(2, 64, 50, 0.0)
    with torch.no_grad():
        for block in model.blocks:
            block.att.output.weight *= 20  # so that neurons fire
            block.ffn.value.weight *= 20
    idx, targets = torch.randint(0, 50, (2, 2, 40))
    p = reference.leaves(model.state_dict())
    expected, trace = reference.forward(p, reference.Config(n_layer=2, n_embd=64, vocab_size=50), idx)
    reference.training_loss(expected, targets).backward()
    loss, logits = model(idx, targets, torch.float32)
    loss.backward()
    rate = torch.cat(list(trace.spikes.values())).mean().item()
    worst = max((q.grad - p[name].grad).norm().item() / p[name].grad.norm().item()
                for name, q in model.named_parameters())
    difference = (logits - expected).abs().max().item()
    print(f"check: logits {difference:.1e}, gradients {worst:.1e}, firing rate {rate:.2f}", file=sys.stderr)
    if not (rate > 0.05 and difference < 1e-4 and worst < 1e-3):
        raise SystemExit("the benchmark does not agree with the reference")


def blas_library():
    """What float32 products come from: Debian's default, libblas3, is the slow reference implementation."""
    mapped = pathlib.Path("/proc/self/maps").read_text()
    return next((name for name in ("openblas", "mkl_rt", "libblis") if name in mapped), "reference")


def measure(args):
    torch.set_num_threads(args.threads)
    blas = blas_library()
    if args.dtype == "f32" and blas == "reference":
        print("warning: the BLAS here is the slow reference; install libopenblas0-openmp", file=sys.stderr)
    torch.manual_seed(1)
    dtype = torch.bfloat16 if args.dtype == "bf16" else torch.float32
    model = SpikeGPT(args.layers, args.channels, args.vocab, args.dropout)
    adam = torch.optim.Adam(model.parameters(), lr=6e-4, betas=(0.9, 0.99), eps=4e-9, foreach=True)
    seconds, cpu_seconds = [], []
    for _ in range(args.warmup + args.steps):
        idx, targets = torch.randint(0, args.vocab, (2, args.batch, args.tokens))
        begin, cpu_begin = time.perf_counter(), time.process_time()
        adam.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=args.dtype == "bf16"):
            loss, _ = model(idx, targets, dtype)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        adam.step()
        seconds.append(time.perf_counter() - begin)
        cpu_seconds.append(time.process_time() - cpu_begin)
    seconds, cpu_seconds = seconds[args.warmup :], cpu_seconds[args.warmup :]
    return {
        "tokens_per_second": round(args.batch * args.tokens * len(seconds) / sum(seconds), 1),
        "best_tokens_per_second": round(args.batch * args.tokens / min(seconds), 1),
        "peak_memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6),
        "step_seconds": [round(s, 3) for s in seconds],
        "step_cpu_seconds": [round(s, 3) for s in cpu_seconds],
        "loss": round(loss.item(), 4),
        "parameters": sum(p.numel() for p in model.parameters()),
        "torch": torch.__version__,
        "blas": blas,
        **vars(args),
    }


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dtype", choices=["f32", "bf16"], default="bf16")
    parser.add_argument("--steps", type=int, default=3, help="measured steps")
    parser.add_argument("--warmup", type=int, default=1, help="steps before them")
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--channels", type=int, default=512, help="a multiple of 32")
    parser.add_argument("--vocab", type=int, default=205)
    parser.add_argument("--tokens", type=int, default=1024, help="T, per sequence")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--dropout", type=float, default=0.03)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--allocator", choices=["tuned", "default"], default="tuned")
    parser.add_argument("--check", action="store_true", help="compare with the reference first")
    return parser.parse_args()


def main():
    global library
    args = arguments()
    if args.channels % 32:
        raise SystemExit("--channels must be a multiple of 32")
    if args.allocator == "tuned" and os.environ.get("GLIBC_TUNABLES") != TUNED:
        os.execve(sys.executable, [sys.executable] + sys.argv, {**os.environ, "GLIBC_TUNABLES": TUNED})
    library = build_library()
    if args.check:
        check()
    print(json.dumps(measure(args)))


if __name__ == "__main__":
    main()
