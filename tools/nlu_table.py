#!/usr/bin/env python3
"""Prints what bench/nlu_table.sh left in a folder as a Markdown table: test accuracy and macro-F1 in per cent, mean and
deviation (n - 1) over runs (seeds or folds), and the firing rate."""
import json
import pathlib
import statistics
import sys


def figure(values):
    values = [100 * value for value in values]
    deviation = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"{statistics.mean(values):.1f} ± {deviation:.1f}"


def main():
    if len(sys.argv) != 2:
        sys.exit(f"usage: {sys.argv[0]} FOLDER")
    print("| set | start | model | accuracy | macro-F1 | firing | runs |")
    print("| --- | --- | --- | ---: | ---: | ---: | ---: |")
    for name in ("sst2", "sst5", "mr", "subj"):
        for start in ("scratch", "pretrained"):
            for arch in ("rwkv", "spikegpt", "event"):
                path = pathlib.Path(sys.argv[1]) / f"{start}-{name}-{arch}" / "results.json"
                runs = json.loads(path.read_text())["runs"] if path.exists() else []
                if not runs:
                    continue
                tests = [run["test"] for run in runs]
                rate = statistics.mean(run["firing_rate"] for run in runs)
                print(f"| {name} | {start} | `{arch}` | {figure(t['accuracy'] for t in tests)} | "
                      f"{figure(t['macro_f1'] for t in tests)} | {100 * rate:.1f} % | {len(runs)} |")


main()
