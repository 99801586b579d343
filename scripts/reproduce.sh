#!/usr/bin/env bash
# The three architectures on the same text: quality, energy and speed in one table and one page.
set -euo pipefail

usage() {
  cat <<'EOF'
Usage: [TEXT=file] [STEPS=700] [SEEDS=1] [OUT=folder] scripts/reproduce.sh

Trains rwkv, spikegpt and event alike with the screening recipe of docs/event.md, then measures each. Run again, it goes on where it
stopped. `make reproduce` installs and builds first.

  TEXT   the text to learn; default: the King James Bible of Debian's bible-kjv-text package
  STEPS  of training; default 700
  SEEDS  a model of each for every seed, as 1,2,3; default 1
  OUT    folder; default build/reproduce
EOF
}

case ${1-} in
  -h | --help) usage; exit 0 ;;
  '') ;;
  *) usage >&2; exit 2 ;;
esac

here=$PWD
absolute() { [[ $1 == /* ]] && echo "$1" || echo "$here/$1"; }
text=${TEXT:+$(absolute "$TEXT")}
out=${OUT:+$(absolute "$OUT")}
cd "$(dirname "${BASH_SOURCE[0]}")/.."
out=${out:-build/reproduce}
if [[ -z $text ]]; then
  text=build/demo/kjv.txt
  scripts/bible-text.sh "$text"
fi

exec build/release/spikegpt compare --data "$text" --out "$out" --tokenizer bytes --steps "${STEPS:-700}" --seeds "${SEEDS:-1}" \
  --n-layer 4 --n-embd 256 --ctx-len 256 --batch-size 8 --lr 2e-3 --lr-final 1e-4 --warmup-steps 20 --dropout 0 \
  --eval-every 50 --eval-tokens 20000 --save-every 100 --row-weight 1
