#!/usr/bin/env bash
# Runs the fuzzers one after the other and says what each did. Ends with status 1 when one found something.
set -euo pipefail

usage() {
  cat <<TEXT
Usage: tests/fuzz/run.sh [--seconds N] [--build FOLDER] [NAME...]

Runs every fuzzer, or those named (safetensors, pth, ...), for N seconds each (600). Build them first:
  cmake --preset fuzz && cmake --build --preset fuzz
What is found lies in FOLDER/findings (FOLDER is build/fuzz); what was learned, in FOLDER/corpus, is begun
with the next time. To try a finding again: FOLDER/tests/fuzz/fuzz_NAME FILE
TEXT
}

seconds=600
build=build/fuzz
names=()
while (($#)); do
  case $1 in
    --seconds) seconds=$2; shift 2 ;;
    --build) build=$2; shift 2 ;;
    --help) usage; exit 0 ;;
    -*) usage >&2; exit 2 ;;
    *) names+=("$1"); shift ;;
  esac
done

sources=$(cd "$(dirname "$0")" && pwd)
programs=$build/tests/fuzz
if ((${#names[@]} == 0)); then
  for source in "$sources"/fuzz_*.cc; do
    name=${source##*/fuzz_}
    names+=("${name%.cc}")
  done
fi

# Files are made anew for every input: in memory where there is such a place.
[[ -w /dev/shm ]] && export TMPDIR=/dev/shm
export OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive
"$programs/fuzz_seeds" "$build/seeds"
mkdir -p "$build/findings"

failed=()
for name in "${names[@]}"; do
  mkdir -p "$build/corpus/$name" "$build/seeds/$name"
  dictionary=()
  [[ -f $sources/$name.dict ]] && dictionary=("-dict=$sources/$name.dict")
  log=$build/findings/$name.log
  # 1 GB in all and 256 MB at once: no input may make a reader take far more memory than it has bytes.
  if "$programs/fuzz_$name" "$build/corpus/$name" "$build/seeds/$name" "${dictionary[@]}" \
      -max_total_time="$seconds" -max_len=65536 -timeout=60 -rss_limit_mb=1024 -malloc_limit_mb=256 -print_final_stats=1 \
      -artifact_prefix="$build/findings/$name-" >"$log" 2>&1; then
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    printf 'fuzz_%s: %s inputs in %s s, nothing found\n' "$name" "$runs" "$seconds"
  else
    failed+=("$name")
    printf 'fuzz_%s: FOUND, see %s\n' "$name" "$log"
    grep -m 3 -E 'ERROR:|SUMMARY:|runtime error:|what\(\)' "$log" || true
  fi
done
if ((${#failed[@]})); then
  printf 'Found something: %s\n' "${failed[*]}"
  exit 1
fi
