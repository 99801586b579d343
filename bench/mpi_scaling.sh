#!/usr/bin/env bash
# Time and bytes of a training step on one process and on two: sharing memory, and as two hosts behind links of limited
# speed (mpi_hosts.sh: needs root). The cases take turns, ROUNDS times, so that what else the machine does meets all of them.
# Usage: bench/mpi_scaling.sh DATA [PRESET [BATCH [STEPS [ROUNDS]]]]     default: tiny 8 20 3
# One line a case: name, seconds a step, seconds of it waited for the other rank, MB that a rank sent a step ("-" where
# nothing is counted). Seconds are lower quartiles, nearer than medians to what a machine with nothing else to do takes.
set -euo pipefail
(($# >= 1)) || { sed -n 4,5p "$0" >&2; exit 2; }
data=$(realpath "$1") preset=${2:-tiny} batch=${3:-8} steps=${4:-20} rounds=${5:-3}
root=$(cd "$(dirname "$0")/.." && pwd)
spikegpt=$(realpath "${SPIKEGPT:-$root/build/release/spikegpt}")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
export OMP_WAIT_POLICY=passive OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
local_ranks=(mpirun -n 2 --oversubscribe --bind-to none --mca btl "self,vader")

# train OUT STEPS FLAGS...
train=("$spikegpt" train --data "$data" --tokenizer bytes --preset "$preset" --batch-size "$batch" --eval-every 0
  --eval-tokens 64 --sample-tokens 0 --save-every 0)

# In the namespaces: two runs of unequal length, whose bytes differ by those of the steps between.
cat > counted.sh <<'EOF'
sent() { ip -n "${MPI_HOSTS}1" -s -j link show eth0 | python3 -c 'import json, sys; print(json.load(sys.stdin)[0]["stats64"]["tx"]["bytes"])'; }
name=$1 steps=$2
shift 2
start=$(sent)
mpirun $TUNE -n 2 "$@" --out "$name-short" --steps 1 > /dev/null 2>&1
middle=$(sent)
mpirun $TUNE -n 2 "$@" --out "$name" --steps $((steps + 1)) > /dev/null 2>&1
echo $(((($(sent) - middle) - (middle - start)) / steps)) > "$name.bytes"
EOF

run_case() {
  local name=$1
  case $name in
    one-thread) "${train[@]}" --threads 1 --out "$name" --steps "$steps" ;;
    two-threads) "${train[@]}" --threads 2 --accumulate 2 --out "$name" --steps "$steps" ;;
    two-ranks) "${local_ranks[@]}" "${train[@]}" --threads 1 --out "$name" --steps "$steps" ;;
    hosts-*)
      local rate=${name#hosts-} tune="--tune $root/scripts/openmpi.conf"
      [[ $rate == *-untuned ]] && rate=${rate%-untuned} tune=''
      [[ $rate == unlimited ]] && rate=''
      TUNE=$tune "$root/bench/mpi_hosts.sh" ${rate:+-r "$rate"} 2 bash counted.sh "$name" "$steps" "${train[@]}" --threads 1
      ;;
  esac > log 2>&1 || { cat log >&2; exit 1; }
}

for ((round = 1; round <= rounds; ++round)); do
  for name in one-thread two-threads two-ranks hosts-unlimited hosts-1gbit hosts-200mbit hosts-200mbit-untuned; do
    rm -rf "$name" "$name-short"
    run_case "$name"
    cat "$name/metrics.jsonl" >> "$name.times"
  done
done

python3 - <<'EOF'
import json
import pathlib
import statistics

def quartile(values):
    return statistics.quantiles(values, n=4)[0]

for path in sorted(pathlib.Path(".").glob("*.times")):
    before, times, waits = None, [], []
    for line in map(json.loads, path.read_text().splitlines()):
        if "loss" in line and before is not None and line["step"] == before["step"] + 1:
            times.append(line["seconds"] - before["seconds"])
            waits.append(line.get("waited", 0.0))
        if "loss" in line:
            before = line
    counted = path.with_suffix(".bytes")
    sent = f"{int(counted.read_text()) / 1e6:.2f}" if counted.exists() else "-"
    print(f"{path.stem:16} {quartile(times):8.4f} {quartile(waits):8.4f} {sent:>9}")
EOF
