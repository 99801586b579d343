#!/usr/bin/env bash
# Trains on three hosts that are network namespaces: the losses are those of one process, and when a host is cut off the
# job ends within a minute with a message that names it, and goes on elsewhere.
# Usage: mpi_hosts_test.sh SPIKEGPT     exit status 0: all well; 77: skipped; otherwise what failed is said
set -euo pipefail
(($# == 1)) || { sed -n 4p "$0" >&2; exit 2; }
spikegpt=$(realpath "$1")
root=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
export OMP_WAIT_POLICY=passive

fail() {
  echo "mpi_hosts_test: $*" >&2
  exit 1
}
# What differs between two runs, step by step; the later line counts where a step was done twice.
compare() {
  python3 - "$1/metrics.jsonl" "$2/metrics.jsonl" <<'EOF'
import json
import sys

def losses(path):
    lines = map(json.loads, open(path))
    return {line["step"]: line["loss"] for line in lines if "loss" in line}

one, many = map(losses, sys.argv[1:])
wrong = [step for step in one if abs(one[step] - many.get(step, 1e9)) > 1e-5]
if not one or one.keys() != many.keys() or wrong:
    sys.exit(f"{len(one)} and {len(many)} steps, losses differ at {wrong[:9]}")
EOF
}

for ((i = 0; i < 4000; ++i)); do
  words=(the cat sat on a mat and 'dog ran' to see)
  printf '%s ' "${words[(i * i * 7 + i / 3) % 10]}"
done > text.txt
train=("$spikegpt" train --data text.txt --n-layer 1 --n-embd 16 --ctx-len 16 --batch-size 2 --sample-tokens 0
  --precision f32 --schedule constant --eval-tokens 64 --save-every 20 --threads 1)

"$root/bench/mpi_hosts.sh" 3 mpirun -n 3 "${train[@]}" --out hosts --steps 30
"${train[@]}" --out one --steps 30 --accumulate 3 > /dev/null
compare one hosts || fail "three hosts do not learn as one process"

cat > cut.sh <<'EOF'
mpirun --tune "$1" -n 3 "${@:2}" > out.txt 2> err.txt &
until [[ -e cut/checkpoints ]]; do sleep 0.05; done
ip netns exec "${MPI_HOSTS}1" ip link set eth0 down
before=$SECONDS
status=0
wait $! || status=$?
echo "$status $((SECONDS - before))" > ended
EOF
timeout 120 "$root/bench/mpi_hosts.sh" 3 bash cut.sh "$root/scripts/openmpi.conf" "${train[@]}" --out cut --steps 1000000 ||
  fail "the job does not end: $(cat err.txt)"
read -r status seconds < ended
echo "cut off: status $status after $seconds s: $(tr -s '\n' ' ' < err.txt)"
((status != 0 && seconds < 60)) || fail "status $status after $seconds s"
grep -qE 'on node (10\.99\.0\.2|node1)|rank 1 on node1' err.txt || fail "the host is not named: $(cat err.txt)"

steps=$(grep -c '"loss"' cut/metrics.jsonl)
steps=$((steps + 5))
"$spikegpt" train --resume --out cut --steps "$steps" --threads 1 > /dev/null
"${train[@]}" --out whole --steps "$steps" --accumulate 3 > /dev/null
compare whole cut || fail "a run that was cut off does not go on as if it had not been"
