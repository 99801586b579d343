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

# Characters that a model must have read before it spells real words, and steps below which it does not.
enough_tokens=1000000
enough_steps=700
batch=4
window=128

# Sets `size` to the largest model that reads enough in the time there is, by the speed of a few steps here.
choose_size() {
  local speed
  speed=$("$program" bench train --arch "$arch" --preset tiny --vocab-size 100 --batch-size $batch \
    --ctx-len $window --steps 3 --json | sed -n 's/^ *"tokens_per_second": *\([0-9]*\).*/\1/p' | head -n 1)
  tokens=$(awk -v s="${speed:-1000}" -v m="$minutes" 'BEGIN { printf "%d", 55 * s * m }')
  # A model of 3 x 160 learns about 3 times as fast as one of 4 x 256, one of 2 x 96 about 10 times.
  if ((tokens >= enough_tokens)); then
    size=(--n-layer 4 --n-embd 256)
  elif ((tokens * 3 >= enough_tokens)); then
    size=(--n-layer 3 --n-embd 160)
    tokens=$((tokens * 3))
  else
    size=(--n-layer 2 --n-embd 96)
    tokens=$((tokens * 10))
  fi
  steps=$((tokens / (batch * window) + 1))
}

# Ctrl-C ends the training, which saves what it has; the demo goes on with that.
train() {
  local status=0 interrupted=no
  trap 'interrupted=yes' INT
  "$program" train --data "$text" --out "$out" --arch "$arch" --tokenizer chars "${size[@]}" --ctx-len $window \
    --batch-size $batch --lr 2e-3 --minutes "$minutes" --eval-every $((steps / 4 + 1)) --eval-tokens 8192 \
    --sample-prompt "$prompt" || status=$?
  trap - INT
  if ((status != 0)); then
    [[ $interrupted == yes && -e $out/model.safetensors ]] || exit "$status"
    say "stopped early; going on with what it learned so far"
  fi
}

# A model that made too few steps writes noise: say why.
say_if_too_few() {
  local done
  done=$(sed -n 's/.*"step":\([0-9]*\).*/\1/p' "$out/metrics.jsonl" | tail -n 1)
  if ((${done:-0} < enough_steps)); then
    say "only ${done:-0} steps were made, too few for real words: this machine is slow or busy. Try MINUTES=10 make demo"
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

say "measuring how fast this machine learns, for a model that suits it (seconds)"
prepare_out
choose_size
say "training a model of kind '$arch' (${size[*]}) for $minutes minutes on $text ($(wc -c <"$text") bytes),
   about $steps steps; Ctrl-C stops early"
train

say "now it writes, beginning with \"$prompt\""
"$program" generate "$out" --prompt="$prompt" --tokens 400
echo
say_if_too_few
say_what_next
