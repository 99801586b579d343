#!/usr/bin/env bash
# The runs behind the table of docs/event.md, one after the other; what is finished is skipped, so it may be interrupted.
# Usage: bench/event_forms.sh DATA OUT     DATA: a text of some ten megabytes; about two minutes a run and core
set -euo pipefail
(($# == 2)) || { sed -n 3p "$0" >&2; exit 2; }
data=$1 out=$2
spikegpt=${SPIKEGPT:-build/release/spikegpt}
first="--arch event --token-shift before --payload-steps 0"  # unit events, token shift before the projections
second="--arch event"                                        # the default form
binary="$first --v-reset 0 --spike-levels 1 --signed-spikes false --squared-current false --binary-embedding true --alpha 2"
soft="$first --signed-spikes false --squared-current false --binary-embedding true --alpha 2"
graded="$first --binary-embedding true --alpha 2"
priced="$first --rate-weight 0.9 --rate-target 0.14"

run() {
  local name=$1
  shift
  [[ -e $out/$name/done ]] && return
  mkdir -p "$out/$name"
  local -A chosen=()  # a later value of a flag takes the place of an earlier one
  while (($#)); do
    chosen[$1]=$2
    shift 2
  done
  set --
  local flag
  for flag in "${!chosen[@]}"; do set -- "$@" "$flag" "${chosen[$flag]}"; done
  OMP_WAIT_POLICY=passive "$spikegpt" train --data "$data" --tokenizer bytes --n-layer 4 --n-embd 256 --ctx-len 256 \
    --batch-size 8 --steps 700 --lr 2e-3 --lr-final 1e-4 --warmup-steps 20 --dropout 0 --eval-every 350 \
    --eval-tokens 131072 --sample-tokens 0 --save-every 0 --log-every 10 --threads 1 --out "$out/$name" "$@" |& tee "$out/$name.log"
  touch "$out/$name/done"
}

cases() {
  for seed in 1 2 3; do
    run "rwkv-s$seed" --arch rwkv --seed $seed
    run "spikegpt-s$seed" --arch spikegpt --seed $seed
    # shellcheck disable=SC2086
    run "event-s$seed" $priced --seed $seed
    run "second-s$seed" $second --row-weight 1 --seed $seed
  done
  # shellcheck disable=SC2086
  {
    run rwkv-after --arch rwkv --token-shift after
    for weight in 0.5 2 3; do run "second-row$weight" $second --row-weight $weight; done
    for weight in 1 3; do run "unit-synop$weight" $second --payload-steps 0 --synop-weight $weight; done
    run second-before $second --token-shift before --row-weight 1
    run binary $binary
    run binary-soft $binary --v-reset none
    run binary-tau1.2 $binary --tau 1.2
    run binary-alpha1 $binary --alpha 1
    run binary-signed $soft --spike-levels 1 --signed-spikes true
    run levels4 $soft --spike-levels 4
    run levels4-tau1 $soft --spike-levels 4 --tau 1 --v-threshold 2
    run levels8-tau1.3 $soft --tau 1.3 --v-threshold 1.5
    run levels16 $soft --spike-levels 16
    run levels16-half $soft --spike-levels 16 --v-threshold 0.5
    run levels8-squared $soft --squared-current true
    run levels8-signed $graded --squared-current false
    run levels8-signed-squared $graded
    run cost0.5 $graded --rate-weight 0.5 --rate-target 0.14
    run cost2 $graded --rate-weight 2 --rate-target 0.14
    run cost0.7-embedding $graded --rate-weight 0.7 --rate-target 0.14 --binary-embedding false
    run cost0.7-alpha1 $graded --rate-weight 0.7 --rate-target 0.14 --alpha 1
    run attention-norm $priced --attention-norm true
    run learnable-tau $priced --learnable-tau true
    run norm-and-tau $priced --attention-norm true --learnable-tau true
    run alpha0.5 $priced --alpha 0.5
    run gain1 $priced --initial-gain 1
    run gain4 $priced --initial-gain 4
    run gain2.2 $priced --initial-gain 2.2 --rate-weight 1.5
    run gain2.5-priced $priced --initial-gain 2.5 --rate-weight 2.2
    run gain2.5 $priced --initial-gain 2.5 --rate-weight 1.5
    run gain3 $priced --initial-gain 3 --rate-weight 2
    run gain4-priced $priced --initial-gain 4 --rate-weight 3
    run event-head $priced --event-head true
    run cost0.7-alpha4 $graded --rate-weight 0.7 --rate-target 0.14 --alpha 4
  }
}

cases
