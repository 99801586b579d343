#!/usr/bin/env python3
"""Trains every kind of neuron in `spikegpt` and in `event` and prints the table of docs/neurons.md.

Usage: bench/neuron_table.py DATA OUT [--steps N] [--seeds 1,2,3] [--kinds lif,qif] [--program FILE] [--only-print]

DATA is a text of some ten megabytes. What is finished is skipped, so a run may be interrupted; about a minute a
model on one core. Bits per byte are those of the held-out end of DATA after the last step, events are per neuron
and token; the time is the quickest of all steps that the run logged.
"""
import argparse
import json
import pathlib
import statistics
import subprocess
import sys

KINDS = ["lif", "plif", "if", "qif", "eif", "izhikevich", "klif", "alif", "clif", "sliding_psn"]
ARCHS = {
    "spikegpt": [],  # event in its first form, whose neurons all send unit events
    "event": "--token-shift before --payload-steps 0 --rate-weight 0.9 --rate-target 0.14".split(),
}
RECIPE = (
    "--tokenizer bytes --n-layer 4 --n-embd 128 --ctx-len 256 --batch-size 8 --lr 2e-3 --lr-final 1e-4 "
    "--warmup-steps 20 --dropout 0 --eval-every 350 --eval-tokens 131072 --sample-tokens 0 --save-every 0 "
    "--log-every 10 --threads 1"
).split()


def train(options, folder, arch, kind, seed):
    if (folder / "done").exists():
        return
    command = [options.program, "train", "--data", options.data, "--out", str(folder), "--arch", arch]
    command += ["--neuron", kind, "--seed", str(seed), "--steps", str(options.steps)] + RECIPE + ARCHS[arch]
    folder.parent.mkdir(parents=True, exist_ok=True)
    if (folder / "train.json").exists():
        command = [options.program, "train", "--out", str(folder), "--resume"]
    with open(f"{folder}.log", "a", encoding="utf-8") as log:
        status = subprocess.run(command, stdout=log, stderr=log, check=False).returncode
    if status != 0:
        sys.exit(f"neuron_table.py: {' '.join(command)} ended with status {status}: see {folder}.log")
    (folder / "done").touch()


def result(folder):
    """(bits per byte, events per neuron and token, ms per step), or None for a run that is not finished."""
    if not (folder / "done").exists():
        return None
    bits = events = None
    times = []
    for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines():
        entry = json.loads(line)
        bits = entry.get("valid_bits", bits)
        events = entry.get("valid_firing_rate", entry.get("firing_rate", events))
        if "tokens_per_second" in entry:
            times.append(8 * 256 * 1000 / entry["tokens_per_second"])
    return bits, events, min(times) if times else float("nan")


def cell(results):
    if len(results) == 0:
        return "- | - | -"
    bits, events, times = zip(*results)
    spread = f" ± {statistics.stdev(bits):.3f}" if len(bits) > 1 else ""
    return f"{statistics.mean(bits):.3f}{spread} | {100 * statistics.mean(events):.1f} % | {min(times):.0f}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--steps", type=int, default=700)
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--program", default="build/release/spikegpt")
    parser.add_argument("--only-print", action="store_true")
    options = parser.parse_args()
    kinds = options.kinds.split(",")
    seeds = [int(seed) for seed in options.seeds.split(",")]

    def folder(arch, kind, seed):
        return options.out / f"{arch}-{kind}-{seed}"

    if not options.only_print:
        for seed in seeds:
            for kind in kinds:
                for arch in ARCHS:
                    train(options, folder(arch, kind, seed), arch, kind, seed)
    print("| kind | `spikegpt`: bits per byte | events | ms a step | `event`: bits per byte | events | ms a step |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for kind in kinds:
        cells = []
        for arch in ARCHS:
            results = [result(folder(arch, kind, seed)) for seed in seeds]
            cells.append(cell([r for r in results if r is not None]))
        print(f"| `{kind}` | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
