#!/usr/bin/env python3
"""Writes an RWKV-6 model of random weights as GGUF, for timing other engines (numpy only).

    make_gguf.py OUT.gguf [--layers 12] [--width 512] [--vocab 256] [--type f32|f16|q8_0|q4_0]

The nearest relative of SpikeGPT that llama.cpp runs: 14 C^2 weights a layer in its matrices, SpikeGPT has 13 C^2.
"""
import argparse
import struct

import numpy as np

U32, F32, BOOL, STRING, ARRAY, I32 = 4, 6, 7, 8, 9, 5
GGML_TYPES = {"f32": 0, "f16": 1, "q4_0": 2, "q8_0": 8}
ALIGNMENT = 32


def text(value):
    data = value.encode() if isinstance(value, str) else value
    return struct.pack("<Q", len(data)) + data


def field(key, kind, value, item=None):
    out = text(key) + struct.pack("<I", kind)
    if kind == STRING:
        return out + text(value)
    if kind == ARRAY:
        out += struct.pack("<IQ", item, len(value))
        if item == STRING:
            return out + b"".join(text(v) for v in value)
        return out + np.asarray(value, {I32: "<i4", F32: "<f4"}[item]).tobytes()
    return out + struct.pack({U32: "<I", F32: "<f", BOOL: "<?"}[kind], value)


def quantize_q8_0(x):
    blocks = x.reshape(-1, 32)
    scale = np.abs(blocks).max(1) / 127
    q = np.round(blocks / np.where(scale == 0, 1, scale)[:, None]).astype(np.int8)
    out = np.empty(len(blocks), dtype=[("d", "<f2"), ("q", "i1", 32)])
    out["d"], out["q"] = scale, q
    return out.tobytes()


def quantize_q4_0(x):
    blocks = x.reshape(-1, 32)
    extreme = blocks[np.arange(len(blocks)), np.abs(blocks).argmax(1)]
    scale = extreme / -8
    q = np.clip(np.floor(blocks / np.where(scale == 0, 1, scale)[:, None] + 8.5), 0, 15).astype(np.uint8)
    out = np.empty(len(blocks), dtype=[("d", "<f2"), ("q", "u1", 16)])
    out["d"], out["q"] = scale, q[:, :16] | q[:, 16:] << 4
    return out.tobytes()


ENCODE = {
    "f32": lambda x: x.astype("<f4").tobytes(),
    "f16": lambda x: x.astype("<f2").tobytes(),
    "q8_0": quantize_q8_0,
    "q4_0": quantize_q4_0,
}


def shapes(layers, width, vocab, extra, decay_extra):
    """Yields (name, shape as rows x columns)."""
    c, hidden = width, 4 * width
    yield "token_embd.weight", (vocab, c)
    for part in ("token_embd_norm", "output_norm"):
        yield f"{part}.weight", (c,)
        yield f"{part}.bias", (c,)
    yield "output.weight", (vocab, c)
    for i in range(layers):
        b = f"blk.{i}."
        for norm in ("attn_norm", "attn_norm_2", "time_mix_ln"):
            yield b + norm + ".weight", (c,)
            yield b + norm + ".bias", (c,)
        yield b + "time_mix_w1.weight", (5 * extra, c)
        yield b + "time_mix_w2.weight", (5, c, extra)
        yield b + "time_mix_lerp_x.weight", (1, 1, c)
        for part in "wkvrg":
            yield b + f"time_mix_lerp_{part}.weight", (1, 1, c)
        yield b + "time_mix_first.weight", (c // 64, 64)
        yield b + "time_mix_decay.weight", (c,)
        yield b + "time_mix_decay_w1.weight", (decay_extra, c)
        yield b + "time_mix_decay_w2.weight", (c, decay_extra)
        for part in ("key", "value", "receptance", "gate", "output"):
            yield b + f"time_mix_{part}.weight", (c, c)
        yield b + "channel_mix_lerp_k.weight", (1, 1, c)
        yield b + "channel_mix_lerp_r.weight", (1, 1, c)
        yield b + "channel_mix_key.weight", (hidden, c)
        yield b + "channel_mix_value.weight", (c, hidden)
        yield b + "channel_mix_receptance.weight", (c, c)


def is_matrix(name, shape):
    return len(shape) == 2 and "time_mix_first" not in name and "_w1" not in name and "_w2" not in name


def header(args, extra, decay_extra):
    a = "rwkv6"
    tokens = [f"\\x{i:02x}" if i < 256 else f"<{i}>" for i in range(args.vocab)]
    return [
        field("general.architecture", STRING, a),
        field("general.name", STRING, "random"),
        field(f"{a}.context_length", U32, 1 << 20),
        field(f"{a}.embedding_length", U32, args.width),
        field(f"{a}.block_count", U32, args.layers),
        field(f"{a}.feed_forward_length", U32, 4 * args.width),
        field(f"{a}.attention.head_count", U32, 0),
        field(f"{a}.attention.layer_norm_epsilon", F32, 1e-5),
        field(f"{a}.rescale_every_n_layers", U32, 0),
        field(f"{a}.wkv.head_size", U32, 64),
        field(f"{a}.time_mix_extra_dim", U32, extra),
        field(f"{a}.time_decay_extra_dim", U32, decay_extra),
        field("tokenizer.ggml.model", STRING, "rwkv"),
        field("tokenizer.ggml.tokens", ARRAY, tokens, STRING),
        field("tokenizer.ggml.token_type", ARRAY, [1] * args.vocab, I32),
    ]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out")
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--vocab", type=int, default=256)
    parser.add_argument("--type", choices=GGML_TYPES, default="f16")
    args = parser.parse_args()
    extra, decay_extra = 32, 64
    random = np.random.default_rng(1)
    infos, blobs, offset = [], [], 0
    for name, shape in shapes(args.layers, args.width, args.vocab, extra, decay_extra):
        kind = args.type if is_matrix(name, shape) else "f32"
        values = random.normal(0, 0.5 / np.sqrt(shape[-1]), shape).astype(np.float32)
        if name.endswith(("norm.weight", "norm_2.weight", "ln.weight")):
            values[:] = 1
        blob = ENCODE[kind](values)
        extents = shape[::-1]
        infos.append(text(name) + struct.pack("<I", len(extents)) + struct.pack(f"<{len(extents)}Q", *extents)
                     + struct.pack("<IQ", GGML_TYPES[kind], offset))
        blob += bytes(-len(blob) % ALIGNMENT)
        offset += len(blob)
        blobs.append(blob)
    fields = header(args, extra, decay_extra)
    head = b"GGUF" + struct.pack("<IQQ", 3, len(infos), len(fields)) + b"".join(fields) + b"".join(infos)
    with open(args.out, "wb") as file:
        file.write(head + bytes(-len(head) % ALIGNMENT))
        file.writelines(blobs)


if __name__ == "__main__":
    main()
