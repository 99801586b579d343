#!/usr/bin/env bash
# Installs the Debian/Ubuntu packages this project is built from. Says what it does; does nothing twice.
set -euo pipefail

base=(
  make g++ cmake ninja-build pkg-config ccache python3
  libdnnl-dev            # oneDNN: dense matrix products
  libhwy-dev             # Highway: vector code chosen at run time
  libcli11-dev nlohmann-json3-dev libtomlplusplus-dev libfmt-dev
  libutf8proc-dev libpcre2-dev libzip-dev libxxhash-dev
  libcairo2-dev          # cairo: pictures as SVG and PNG
  libopenmpi-dev openmpi-bin  # training on several machines
  libgtest-dev libbenchmark-dev
)
demo=(bible-kjv bible-kjv-text)
fuzz=(clang libomp-dev)
dev=("${fuzz[@]}" clang-format clang-tidy python3-torch python3-numpy)

usage() {
  cat <<EOF
Usage: scripts/install-deps.sh [--demo] [--fuzz] [--dev] [--help]

Installs, with apt-get, the Debian/Ubuntu packages needed to build and test spikegpt.
Needs root or sudo, but only when something is missing.

  --demo   also the text that 'make demo' learns from: ${demo[*]}
  --fuzz   also what the fuzzers need: ${fuzz[*]}
           and clang's sanitizer runtime
  --dev    also the tools of a developer: ${dev[*]}
           and clang's sanitizer runtime
  --help   this text

Base packages:
$(printf '  %s\n' "${base[@]}")
EOF
}

fail() {
  printf 'install-deps: %s\n' "$*" >&2
  exit 1
}

is_installed() {
  [[ $(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null) == installed ]]
}

# Sets `missing` to those of its arguments that are not installed.
find_missing() {
  local package
  missing=()
  for package in "$@"; do
    is_installed "$package" || missing+=("$package")
  done
}

# Newer releases have an unversioned package; older ones only libclang-rt-14-dev and the like, and some
# ship the runtime inside clang itself, where no package needs to be added.
sanitizer_runtime() {
  local name major
  major=$(apt-cache depends clang 2>/dev/null | sed -n 's/.*Depends: clang-\([0-9]\+\)$/\1/p' | head -n 1)
  for name in libclang-rt-dev "libclang-rt-${major:-14}-dev"; do
    if is_installed "$name" || apt-cache show "$name" >/dev/null 2>&1; then
      echo "$name"
      return
    fi
  done
}

# apt-get, as root, waiting for another apt that may be running.
apt() {
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=120 \
    -o Acquire::Retries=3 "$@" </dev/null
}

update_lists() {
  local try
  for try in 1 2 3; do
    apt update && return
    echo "install-deps: apt-get update failed (try $try of 3)" >&2
    sleep $((try * 5))
  done
  fail "could not read the package lists. Is there a network, and are /etc/apt/sources.list and its mirrors right?"
}

wanted=("${base[@]}")
with_runtime=no
for argument in "$@"; do
  case $argument in
    --demo) wanted+=("${demo[@]}") ;;
    --fuzz) wanted+=("${fuzz[@]}"); with_runtime=yes ;;
    --dev) wanted+=("${dev[@]}"); with_runtime=yes ;;
    -h | --help) usage; exit 0 ;;
    *) fail "unknown option '$argument' (try --help)" ;;
  esac
done

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
  fail "this is not Debian or Ubuntu. Install the libraries named by 'scripts/install-deps.sh --help' your
own way, then run make with SKIP_DEPS=1."
fi

if [[ $with_runtime == yes ]]; then
  runtime=$(sanitizer_runtime)
  [[ -n $runtime ]] && wanted+=("$runtime")
fi
find_missing "${wanted[@]}"
if ((${#missing[@]} == 0)); then
  echo "install-deps: all ${#wanted[@]} packages are installed already"
  exit 0
fi

as_root=()
if ((EUID != 0)); then
  command -v sudo >/dev/null ||
    fail "these packages are missing: ${missing[*]}
Installing them needs root, and sudo is not here. Ask an administrator to run: apt-get install ${missing[*]}"
  as_root=(sudo)
fi

echo "install-deps: installing ${#missing[@]} of ${#wanted[@]} packages: ${missing[*]}"
update_lists
if [[ $with_runtime == yes && -z $runtime ]]; then
  # Only after the update does a bare machine know the name.
  runtime=$(sanitizer_runtime)
  [[ -n $runtime ]] && missing+=("$runtime")
fi
apt install --yes --no-install-recommends "${missing[@]}" ||
  fail "apt-get could not install: ${missing[*]}"
find_missing "${wanted[@]}"
((${#missing[@]} == 0)) || fail "still missing after apt-get: ${missing[*]}"
echo "install-deps: done"
