"""Writes and reads safetensors files: u64 header length, JSON header, tensor bytes (little endian)."""
import json

import numpy as np

DTYPES = {np.dtype("float32"): "F32", np.dtype("int32"): "I32", np.dtype("uint8"): "U8", np.dtype("int8"): "I8"}
NUMPY_DTYPES = {name: dtype for dtype, name in DTYPES.items()}


def write_safetensors(path, tensors, metadata):
    """tensors: name -> array of float32, int32 or uint8. metadata: name -> string."""
    header = {"__metadata__": metadata}
    parts, offset = [], 0
    for name, tensor in tensors.items():
        array = np.asarray(tensor, order="C")
        data = array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
        header[name] = {
            "dtype": DTYPES[array.dtype],
            "shape": list(array.shape),
            "data_offsets": [offset, offset + len(data)],
        }
        parts.append(data)
        offset += len(data)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # keeps the data 8-byte aligned in the file
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text + b"".join(parts))


def read_safetensors(path):
    """Returns (name -> array, metadata). For files of write_safetensors; does not guard against hostile ones."""
    with open(path, "rb") as file:
        content = file.read()
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    metadata = header.pop("__metadata__", {})
    tensors = {}
    for name, entry in header.items():
        begin, end = (8 + size + offset for offset in entry["data_offsets"])
        flat = np.frombuffer(content[begin:end], NUMPY_DTYPES[entry["dtype"]])
        tensors[name] = flat.reshape(entry["shape"])
    return tensors, metadata
