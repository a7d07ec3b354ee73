#!/usr/bin/env bash
# threads.sh - the same config gives the same bytes on 1, 2 and 4 threads, and the engine the same answers.
set -eu
. tests/e2e/common.bash
cd "$WORK"
small_config >tiny.yaml
for n in 1 2 4; do
    mkdir "t$n"
    (cd "t$n" && run 0 train ../tiny.yaml --threads "$n")
    (cd "t$n" && OMP_NUM_THREADS=$n run 0 eval run/model.int.safetensors --json && sed 's/"seconds".*//' "$WORK/out" >eval)
done
for n in 2 4; do
    same_run t1/run "t$n/run"
    cmp t1/eval "t$n/eval" || die "the engine differs on $n threads"
done
