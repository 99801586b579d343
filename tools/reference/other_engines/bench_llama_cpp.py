#!/usr/bin/env python3
"""Decoding speed of llama.cpp: one sequence, one token at a time, straight through its C interface.

    npm install --prefix FOLDER node-llama-cpp@3.22.1      # brings llama.cpp built for every instruction set
    bench_llama_cpp.py FOLDER MODEL.gguf [--threads 2] [--tokens 300]

Prints one JSON line. Models: make_gguf.py.
"""
import argparse
import ctypes
import glob
import json
import os
import time


class Parameters(ctypes.Structure):
    """A parameter struct that is passed through as the library filled it. Larger than any of them."""
    _fields_ = [("bytes", ctypes.c_char * 1024)]


class Batch(ctypes.Structure):
    _fields_ = [("n_tokens", ctypes.c_int32)] + [
        (name, ctypes.c_void_p) for name in ("token", "embd", "pos", "n_seq_id", "seq_id", "logits")]


def load(folder):
    folder = os.path.join(folder, "node_modules/@node-llama-cpp/linux-x64/bins/linux-x64")
    for name in ("libggml-base.so*", "libggml.*so*", "libllama.*so*"):
        for path in sorted(glob.glob(os.path.join(folder, name))):
            library = ctypes.CDLL(path, ctypes.RTLD_GLOBAL)
            if "libggml." in path:
                library.ggml_backend_load_all_from_path(folder.encode())
    library.llama_model_default_params.restype = Parameters
    library.llama_context_default_params.restype = Parameters
    library.llama_model_load_from_file.restype = ctypes.c_void_p
    library.llama_model_load_from_file.argtypes = [ctypes.c_char_p, Parameters]
    library.llama_init_from_model.restype = ctypes.c_void_p
    library.llama_init_from_model.argtypes = [ctypes.c_void_p, Parameters]
    library.llama_set_n_threads.argtypes = [ctypes.c_void_p, ctypes.c_int32, ctypes.c_int32]
    library.llama_batch_get_one.restype = Batch
    library.llama_batch_get_one.argtypes = [ctypes.c_void_p, ctypes.c_int32]
    library.llama_decode.argtypes = [ctypes.c_void_p, Batch]
    library.llama_get_logits.restype = ctypes.POINTER(ctypes.c_float)
    library.llama_get_logits.argtypes = [ctypes.c_void_p]
    return library


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("model")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--tokens", type=int, default=300)
    args = parser.parse_args()
    llama = load(args.folder)
    model = llama.llama_model_load_from_file(args.model.encode(), llama.llama_model_default_params())
    context = llama.llama_init_from_model(model, llama.llama_context_default_params())
    llama.llama_set_n_threads(context, args.threads, args.threads)
    token = (ctypes.c_int32 * 1)(1)

    def step():
        if llama.llama_decode(context, llama.llama_batch_get_one(token, 1)) != 0:
            raise RuntimeError("llama_decode failed")
        token[0] = int(abs(llama.llama_get_logits(context)[0]) * 1000) % 256

    for _ in range(20):
        step()
    begin = time.perf_counter()
    for _ in range(args.tokens):
        step()
    seconds = time.perf_counter() - begin
    print(json.dumps({"engine": "llama.cpp", "model": os.path.basename(args.model), "threads": args.threads,
                      "tokens": args.tokens, "tokens_per_second": round(args.tokens / seconds, 1)}))


if __name__ == "__main__":
    main()
