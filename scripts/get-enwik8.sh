#!/usr/bin/env bash
# Fetches enwik8, the first 100 MB of an English Wikipedia dump, and cuts it as papers do: 90 MB to learn from, 5 MB to
# validate, 5 MB to test. Checks the whole file first; leaves nothing half-written.
set -euo pipefail

address=http://mattmahoney.net/dc/enwik8.zip
md5=a1fa5ffddb56f4953e226637dabbb36a
size=100000000
out=data/enwik8
from=

usage() {
  cat <<USAGE
Usage: scripts/get-enwik8.sh [--out DIR] [--from FILE] [--md5 SUM] [--size BYTES] [--help]

Writes train.txt, valid.txt and test.txt (90, 5 and 5 hundredths of the bytes) to DIR (default: $out).

  --from FILE   enwik8 or enwik8.zip that lies on this machine, instead of $address
  --md5 SUM     checksum the unpacked file must have (default: enwik8's, $md5)
  --size BYTES  size it must have (default: $size)
USAGE
}

fail() {
  printf 'get-enwik8: %s\n' "$*" >&2
  exit 1
}

while (($#)); do
  case $1 in
    --out | --from | --md5 | --size)
      (($# > 1)) || fail "$1 needs a value (see --help)"
      declare "${1#--}=$2"
      shift 2
      ;;
    --help) usage; exit 0 ;;
    *) fail "unknown argument $1 (see --help)" ;;
  esac
done
[[ $size =~ ^[1-9][0-9]*$ ]] || fail "--size $size: expected a number of bytes"

mkdir -p "$out" || fail "cannot make the folder $out"
work=$(mktemp -d "$out/.get-enwik8.XXXXXX") || fail "cannot write to $out"
trap 'rm -rf "$work"' EXIT

if [[ -z $from ]]; then
  from=$work/enwik8.zip
  if command -v curl >/dev/null; then
    curl --fail --location --output "$from" "$address" || fail "could not fetch $address; with a local copy: --from FILE"
  elif command -v wget >/dev/null; then
    wget --output-document="$from" "$address" || fail "could not fetch $address; with a local copy: --from FILE"
  else
    fail "neither curl nor wget is installed; fetch $address yourself and give --from FILE"
  fi
fi
[[ -f $from && -r $from ]] || fail "$from: no such file, or not readable"

# A zip begins with PK; anything else is taken as the text itself.
if [[ $(head -c 2 "$from") == PK ]]; then
  python3 - "$from" "$work/enwik8" "$size" <<'UNZIP' || fail "$from: not a zip with one file of $size bytes"
import shutil, sys, zipfile
source, target, size = sys.argv[1], sys.argv[2], int(sys.argv[3])
with zipfile.ZipFile(source) as archive:
    entries = [entry for entry in archive.infolist() if not entry.is_dir()]
    if len(entries) != 1 or entries[0].file_size != size:
        sys.exit(f"it holds {[(entry.filename, entry.file_size) for entry in entries]}")
    with archive.open(entries[0]) as packed, open(target, "wb") as unpacked:
        shutil.copyfileobj(packed, unpacked, 1 << 20)
UNZIP
  text=$work/enwik8
else
  text=$from
fi

found=$(stat -c %s "$text")
[[ $found == "$size" ]] || fail "$from has $found bytes of text; expected $size"
sum=$(md5sum "$text" | cut -d ' ' -f 1)
[[ $sum == "$md5" ]] || fail "$from has the MD5 sum $sum; expected $md5: it is damaged, or another file"

part=$((size / 20))
head -c $((size - 2 * part)) "$text" >"$work/train.txt"
tail -c $((2 * part)) "$text" | head -c "$part" >"$work/valid.txt"
tail -c "$part" "$text" >"$work/test.txt"
mv "$work"/{train,valid,test}.txt "$out"/
printf 'get-enwik8: %s/{train,valid,test}.txt: %d, %d and %d bytes\n' "$out" $((size - 2 * part)) "$part" "$part"
