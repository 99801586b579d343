#!/usr/bin/env python3
"""What data-parallel training on N machines takes: the model behind docs/scaling.md.

    tools/scaling_model.py             the table of that page
    tools/scaling_model.py --check MEASURED.txt MODEL
                                       what it says of runs of bench/mpi_scaling.sh: its output, the preset it trained

A step is: forward and backward of every micro-batch; in the backward pass of the last one each bucket of gradients is
reduced as soon as its layer is done, one bucket after the other; then the update of a share of the parameters; then
all parameters are gathered, which nothing hides. An exchange of b bytes among N ranks moves (N - 1) / N * b and takes
log2(N) messages, for N a power of two; (N - 1) messages otherwise. Beside the time on the wire, a machine takes time to
send, receive and add what it exchanges.
"""
import argparse
import math
import pathlib

MODELS = {"tiny": (4, 256, 256), "45m": (12, 512, 256), "216m": (18, 768, 50277)}  # layers, width, vocabulary
LARGEST_BUCKET = 4 * 8 * 2**20  # [bytes], make_buckets of train/gradient_exchange.h
FORWARD = 1 / 3  # of the time of a micro-batch; the backward pass has twice the products
WIRE = 1448 / 1538  # payload of a full Ethernet frame


def stages(layers, width, vocabulary):
    """[(share of the backward pass, bytes of gradients)] in the order in which they are done: head, blocks, the rest."""
    block = 4.0 * 13 * width * width
    table = 4.0 * vocabulary * width
    work = layers * block + table  # the embedding has no product
    blocks = [(block / work, block)] * (layers - 1)
    return [(table / work, table), *blocks, (block / work, block + table)]


def payload_rate(bits, options):
    """[bytes/s] through a link of so many bits a second and the machines at its ends."""
    return 1 / (8 / (WIRE * bits) + 1 / options.host_rate)


def exchange_seconds(size, ranks, rate, latency):
    messages = math.log2(ranks) if math.log2(ranks).is_integer() else ranks - 1
    return (ranks - 1) / ranks * size / rate + messages * latency


def buckets(size):
    whole, rest = divmod(size, LARGEST_BUCKET)
    return [LARGEST_BUCKET] * int(whole) + ([rest] if rest else [])


def step_seconds(parts, compute, micro_batches, ranks, rate, latency):
    """`compute` [s]: of all micro-batches of a rank, with nothing to wait for; `rate` [bytes/s] of payload."""
    backward = (1 - FORWARD) * compute / micro_batches
    now = compute - backward
    network_free = 0.0
    for share, size in parts:
        now += share * backward
        for bucket in buckets(size):
            network_free = max(network_free, now) + exchange_seconds(bucket, ranks, rate, latency)
    gathered = sum(exchange_seconds(bucket, ranks, rate, latency) for _, size in parts for bucket in buckets(size))
    return max(now, network_free) + gathered


def sent_bytes(parts, ranks):
    return 2 * (ranks - 1) / ranks * sum(size for _, size in parts)


def table(options):
    print("| model | tokens/s of a machine alone | tokens a machine and step | machines | sent a step [MB] | 10 Gbit/s | 100 Gbit/s |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for name, alone in (("45m", options.speed_45m), ("216m", options.speed_216m)):
        parts = stages(*MODELS[name])
        for faster in (1, options.faster):
            speed = alone * faster
            compute = options.tokens / speed
            for ranks in (8, 64, 1024):
                cells = []
                for gigabits in (10, 100):
                    rate = payload_rate(gigabits * 1e9, options)
                    step = step_seconds(parts, compute, options.micro_batches, ranks, rate, options.latency)
                    cells.append(f"{100 * compute / step:.0f} %, {ranks * options.tokens / step / 1e3:,.0f}k tokens/s")
                print(f"| `{name}` | {speed:,.0f} | {options.tokens:,} | {ranks:,} | {sent_bytes(parts, ranks) / 1e6:,.0f} | "
                      + " | ".join(cells) + " |")


def check(options):
    """The waiting of two ranks, from what they computed meanwhile and the speed of the link."""
    measured, model = options.check
    parts = stages(*MODELS[model])
    print("| case | sent a step [MB] | model | waited [s] | model |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for line in pathlib.Path(measured).read_text().splitlines():
        name, seconds, waited, sent = line.split()
        if not name.endswith("bit"):
            continue
        compute = float(seconds) - float(waited)
        bits = float(name.removeprefix("hosts-").rstrip("gmbit")) * (1e9 if name.endswith("gbit") else 1e6)
        expected = step_seconds(parts, compute, 1, 2, payload_rate(bits, options), options.latency) - compute
        print(f"| {name} | {sent} | {sent_bytes(parts, 2) / 1e6:.2f} | {waited} | {expected:.4f} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--speed-45m", type=float, default=3005, help="tokens/s of one machine (docs/results.md)")
    parser.add_argument("--speed-216m", type=float, default=367, help="the same")
    parser.add_argument("--faster", type=float, default=30, help="the second kind of machine: so many times as fast")
    parser.add_argument("--tokens", type=int, default=12 * 1024, help="of one machine in a step")
    parser.add_argument("--micro-batches", type=int, default=3, help="into which they are cut")
    parser.add_argument("--latency", type=float, default=150e-6, help="seconds a message takes beside its bytes")
    parser.add_argument("--host-rate", type=float, default=1.5e9, help="bytes/s that a machine sends, receives and adds")
    parser.add_argument("--check", nargs=2, metavar=("MEASURED", "MODEL"))
    options = parser.parse_args()
    check(options) if options.check else table(options)


if __name__ == "__main__":
    main()
