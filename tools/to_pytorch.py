#!/usr/bin/env python3
"""Takes a model folder of spikegpt back to PyTorch: writes the state_dict, with its official names, by torch.save.

    /usr/bin/python3 tools/to_pytorch.py my-model model.pth

Needs nothing but PyTorch.
"""
import json
import pathlib
import sys

import torch

DTYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "F64": torch.float64}


def load_state_dict(path):
    """model.safetensors as a dict of tensors: u64 header length, JSON header, bytes."""
    content = bytearray(pathlib.Path(path).read_bytes())
    start = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:start])
    header.pop("__metadata__", None)
    state = {}
    for name, entry in header.items():
        dtype = DTYPES[entry["dtype"]]
        begin, end = entry["data_offsets"]
        count = (end - begin) // torch.empty((), dtype=dtype).element_size()
        flat = torch.frombuffer(content, dtype=dtype, count=count, offset=start + begin)
        state[name] = flat.reshape(entry["shape"]).clone()
    return state


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    state_dict = load_state_dict(pathlib.Path(sys.argv[1]) / "model.safetensors")
    torch.save(state_dict, sys.argv[2])
    print(f"{len(state_dict)} tensors in {sys.argv[2]}")
