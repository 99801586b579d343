#!/usr/bin/env bash
# Writes the King James Bible of Debian's bible-kjv-text package as plain text, a verse a line, an empty line before each chapter.
set -euo pipefail

if [[ $# -ne 1 || $1 == -* ]]; then
  echo 'Usage: scripts/bible-text.sh FILE     does nothing when FILE is there' >&2
  exit 2
fi
target=$1

fail() {
  printf 'bible-text: %s\n' "$*" >&2
  exit 1
}

[[ -s $target ]] && exit
command -v bible >/dev/null ||
  fail "the program 'bible' is missing. Run scripts/install-deps.sh --demo, or give a text: TEXT=file make ..."
mkdir -p "$(dirname "$target")"
# Each line is "Ge1:1 In the beginning ...": the reference goes, and where the chapter changes a gap stays.
bible -f 'gen1:1-rev22:21' </dev/null | LC_ALL=C awk '
  match($0, /^[0-9]?[A-Za-z]+[0-9]+:[0-9]+ /) {
    chapter = substr($0, 1, index($0, ":") - 1)
    if (NR > 1 && chapter != last) print ""
    last = chapter
    print substr($0, RLENGTH + 1)
  }' >"$target.part"
(($(wc -c <"$target.part") > 4000000)) ||
  fail "'bible' gave only $(wc -c <"$target.part") bytes (see $target.part); give a text: TEXT=file make ..."
mv "$target.part" "$target"
