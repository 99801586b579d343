#!/usr/bin/env bash
# Classification as docs/results.md reports it: SST-2, SST-5, MR, Subj for each architecture. Resumable: what is done is not done again.
#   bench/nlu_table.sh DATA OUT [PRETRAINED]
# DATA has stsa.{binary,fine}.{train,dev,test}, rt-polarity.all and subj.all; PRETRAINED/ARCH are model folders to start from.
# Size and effort by environment; the defaults are those of the table, the paper's are EPOCHS=20 LR=1e-4 FOLDS=10.
set -euo pipefail
data=${1:?DATA} out=${2:?OUT} pretrained=${3:-}
SPIKEGPT=${SPIKEGPT:-build/release/spikegpt}
LAYERS=${LAYERS:-2} WIDTH=${WIDTH:-128} EPOCHS=${EPOCHS:-8} LR=${LR:-1e-3} FOLDS=${FOLDS:-1} SEEDS=${SEEDS:-1} THREADS=${THREADS:-1}
SETS=${SETS:-sst2 sst5 mr subj} ARCHS=${ARCHS:-rwkv spikegpt event}

for set in $SETS; do
  case $set in
    sst2) texts=(--data "$data/stsa.binary.train" --dev "$data/stsa.binary.dev" --test "$data/stsa.binary.test") ;;
    sst5) texts=(--data "$data/stsa.fine.train" --dev "$data/stsa.fine.dev" --test "$data/stsa.fine.test") ;;
    mr) texts=(--data "$data/rt-polarity.all" --folds 10 --only-folds "$FOLDS") ;;
    subj) texts=(--data "$data/subj.all" --folds 10 --only-folds "$FOLDS") ;;
    *) echo "nlu_table: no such set: $set" >&2; exit 2 ;;
  esac
  for arch in $ARCHS; do
    if [[ -n $pretrained ]]; then
      model=(--from "$pretrained/$arch")
    else
      model=(--arch "$arch" --n-layer "$LAYERS" --n-embd "$WIDTH" --ctx-len 256 --tokenizer bytes)
    fi
    # shellcheck disable=SC2086  # several seeds
    "$SPIKEGPT" classify train "$out/$set-$arch" "${texts[@]}" "${model[@]}" --epochs "$EPOCHS" --lr "$LR" --threads "$THREADS" \
      --seeds $SEEDS
  done
done
