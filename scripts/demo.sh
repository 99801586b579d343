#!/usr/bin/env bash
# The whole story in a few minutes: a text, a spiking model that learns it, and what the model then writes.
set -euo pipefail

usage() {
  cat <<'EOF'
Usage: [TEXT=file] [MINUTES=3] [ARCH=spikegpt] [OUT=folder] scripts/demo.sh

Trains a small model on a text and lets it write. `make demo` installs and builds first.

  TEXT     the text to learn, UTF-8; default: the King James Bible of Debian's bible-kjv-text package
  MINUTES  how long to train; default 3
  ARCH     spikegpt (as published), event (every neuron spikes) or rwkv (no spikes); default spikegpt
  PROMPT   how the written text begins; default "In the beginning", or the first words of TEXT
  OUT      folder of the model, made anew each time; default build/demo/ARCH
EOF
}

fail() {
  printf 'demo: %s\n' "$*" >&2
  exit 1
}

say() { printf '\n== %s\n' "$*"; }

# The first three words, to begin with something this text may say.
first_words() {
  awk 'NF { n = NF < 3 ? NF : 3; for (i = 1; i <= n; ++i) printf "%s%s", $i, i < n ? " " : ""; exit }' "$1"
}

# Empties OUT for a new run; only a folder that carries our mark is ever removed.
prepare_out() {
  if [[ -e $out && ! -e $out/$mark ]]; then
    [[ -d $out ]] || fail "OUT=$out is a file; name a folder"
    [[ -z $(ls -A -- "$out") ]] || fail "OUT=$out holds files that this demo did not make; choose another OUT"
  fi
  [[ -e $out/$mark ]] && rm -rf -- "$out"
  mkdir -p -- "$out"
  echo 'Made by scripts/demo.sh, which replaces this folder each time it runs.' >"$out/$mark"
}

# Ctrl-C ends the training, which saves what it has; the demo goes on with that.
train() {
  local status=0 interrupted=no
  trap 'interrupted=yes' INT
  "$program" train --data "$text" --out "$out" --arch "$arch" --preset tiny --tokenizer chars \
    --lr 2e-3 --minutes "$minutes" --sample-prompt "$prompt" || status=$?
  trap - INT
  if ((status != 0)); then
    [[ $interrupted == yes && -e $out/model.safetensors ]] || exit "$status"
    say "stopped early; going on with what it learned so far"
  fi
}

say_what_next() {
  local name longer_quoted
  name=$(basename -- "$text")
  printf -v longer_quoted %q "runs/${name%.*}"
  cat <<EOF

== What next
The model is the folder $out. It answers to other beginnings:
  $program generate $out_quoted --prompt "$other_prompt" --tokens 400 --temperature 0.8
Learn longer, and write better:
  $program train --data $text_quoted --out $longer_quoted --arch $arch --preset tiny --lr 2e-3 --minutes 30
Compare the three kinds: only spikes between layers, or none at all:
  ARCH=event make demo
  ARCH=rwkv make demo
Your own text:
  TEXT=my.txt make demo
Everything else it can do:
  $program --help
EOF
}

case ${1-} in
  -h | --help) usage; exit 0 ;;
  '') ;;
  *) usage >&2; exit 2 ;;
esac

# Paths given by the user are relative to where they stand, not to the repository.
here=$PWD
absolute() { [[ $1 == /* ]] && echo "$1" || echo "$here/$1"; }

arch=${ARCH:-spikegpt}
minutes=${MINUTES:-3}
text=${TEXT:+$(absolute "$TEXT")}
out=${OUT:+$(absolute "$OUT")}
mark=.made-by-spikegpt-demo

cd "$(dirname "${BASH_SOURCE[0]}")/.."
program=build/release/spikegpt
[[ -x $program ]] || fail "$program is not built yet; run: make demo"
[[ $arch =~ ^[a-z0-9_-]+$ ]] || fail "ARCH=$arch is not a kind of model; use spikegpt, event or rwkv"
out=${out:-build/demo/$arch}
out=${out%/}

if [[ -n $text ]]; then
  [[ -f $text && -r $text ]] || fail "TEXT=$TEXT cannot be read"
  prompt=${PROMPT:-$(first_words "$text")}
  other_prompt='Your own words'
else
  text=build/demo/kjv.txt
  scripts/bible-text.sh "$text"
  prompt=${PROMPT:-In the beginning}
  other_prompt='And God said'
fi
printf -v text_quoted %q "$text"
printf -v out_quoted %q "$out"

say "training a small '$arch' model for $minutes minutes on $text ($(wc -c <"$text") bytes); Ctrl-C stops early"
prepare_out
train

say "now it writes, beginning with \"$prompt\""
"$program" generate "$out" --prompt="$prompt" --tokens 400
echo
say_what_next
