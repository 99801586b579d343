#!/usr/bin/env bash
# Classification as docs/results.md reports it: SST-2, SST-5, MR and Subj for each architecture, from scratch and pre-trained on
# TEXT. Resumable: what is done is not done again. An hour on one core.
#   bench/nlu_table.sh DATA TEXT OUT
# DATA has stsa.{binary,fine}.{train,dev,test}, rt-polarity.all and subj.all. Size and effort by environment; the defaults are
# those of the table, the paper's are EPOCHS=20 LR=1e-4 FOLDS=10.
set -euo pipefail
(($# == 3)) || { sed -n 4p "$0" >&2; exit 2; }
data=$1 text=$2 out=$3
SPIKEGPT=${SPIKEGPT:-build/release/spikegpt}
LAYERS=${LAYERS:-2} WIDTH=${WIDTH:-128} EPOCHS=${EPOCHS:-4} LR=${LR:-1e-3} SEEDS=${SEEDS:-1 2 3} FOLDS=${FOLDS:-3} STEPS=${STEPS:-2000} THREADS=${THREADS:-1}
SETS=${SETS:-sst2 sst5 mr subj} ARCHS=${ARCHS:-rwkv spikegpt event}

size=(--n-layer "$LAYERS" --n-embd "$WIDTH" --ctx-len 128 --tokenizer "$out/tokenizer.json")
# What firing costs `event`: once while it learns the language, once while it learns the classes.
price=(--rate-target 0.14 --rate-weight)

pretrain() {
  local arch=$1 more=()
  [[ -e $out/pre-$arch/done ]] && return
  [[ $arch == event ]] && more=("${price[@]}" 0.9)
  [[ -e $out/pre-$arch/train.json ]] && more=(--resume)
  "$SPIKEGPT" train --data "$text" --arch "$arch" "${size[@]}" --batch-size 16 --steps "$STEPS" --lr 2e-3 --lr-final 1e-4 \
    --warmup-steps 20 --eval-every 500 --eval-tokens 65536 --sample-tokens 0 --threads "$THREADS" --out "$out/pre-$arch" "${more[@]}"
  touch "$out/pre-$arch/done"
}

classify() {
  local set=$1 arch=$2 start=$3 texts model
  case $set in
    sst2) texts=(--data "$data/stsa.binary.train" --dev "$data/stsa.binary.dev" --test "$data/stsa.binary.test") ;;
    sst5) texts=(--data "$data/stsa.fine.train" --dev "$data/stsa.fine.dev" --test "$data/stsa.fine.test") ;;
    mr) texts=(--data "$data/rt-polarity.all" --folds 10 --only-folds "$FOLDS") ;;
    subj) texts=(--data "$data/subj.all" --folds 10 --only-folds "$FOLDS") ;;
    *) echo "nlu_table: no such set: $set" >&2; exit 2 ;;
  esac
  # shellcheck disable=SC2206  # several seeds
  [[ $set == sst* ]] && texts+=(--seeds $SEEDS)
  if [[ $start == scratch ]]; then model=(--arch "$arch" "${size[@]}"); else model=(--from "$out/pre-$arch"); fi
  [[ $arch == event ]] && model+=("${price[@]}" 0.3)
  "$SPIKEGPT" classify train "$out/$start-$set-$arch" "${texts[@]}" "${model[@]}" --epochs "$EPOCHS" --lr "$LR" --threads "$THREADS"
}

mkdir -p "$out"
[[ -e $out/tokenizer.json ]] || "$SPIKEGPT" tokenizer train --data "$text" --vocab-size 4096 --out "$out/tokenizer.json"
for arch in $ARCHS; do pretrain "$arch"; done
for set in $SETS; do
  for start in scratch pretrained; do
    for arch in $ARCHS; do classify "$set" "$arch" "$start"; done
  done
done
tools/nlu_table.py "$out"
