#!/usr/bin/env python3
"""Held-out learning curves of several runs as one Markdown table.

    tools/curve_table.py NAME=RUN_FOLDER ...

Reads metrics.jsonl of each folder: one row a step at which held-out text was measured, and for each run the bits per
token and the firing rate there.
"""
import json
import pathlib
import sys


def held_out(folder):
    """step -> (bits per token, firing rate) of a run."""
    points = {}
    for line in (pathlib.Path(folder) / "metrics.jsonl").read_text().splitlines():
        entry = json.loads(line)
        if "valid_bits" in entry:
            points[entry["step"]] = (entry["valid_bits"], entry["valid_firing_rate"])
    return points


def cell(point):
    if point is None:
        return "-"
    bits, rate = point
    return f"{bits:.4f}" + (f" ({100 * rate:.1f} %)" if rate > 0 else "")


def main(arguments):
    if not arguments or not all("=" in argument for argument in arguments):
        sys.exit(__doc__)
    runs = {name: held_out(folder) for name, folder in (argument.split("=", 1) for argument in arguments)}
    print("| step | " + " | ".join(f"`{name}`" for name in runs) + " |")
    print("| ---: |" + " ---: |" * len(runs))
    for step in sorted(set().union(*runs.values())):
        print(f"| {step} | " + " | ".join(cell(points.get(step)) for points in runs.values()) + " |")


if __name__ == "__main__":
    main(sys.argv[1:])
