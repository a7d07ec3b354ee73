#!/usr/bin/env bash
# threads.sh - the same config gives the same bytes on 1, 2 and 4 threads, run after run and without fused steps, and the engine the same answers.
set -eu
. tests/e2e/common.bash
cp configs/synth-tiny.yaml "$WORK"
cd "$WORK"
small_config >tiny.yaml
synth=(synth-tiny.yaml --set out=synth --set data.count=512 --set train.phases.0.epochs=2 --set train.phases.1.epochs=2)
for n in 1 2 4 1; do
    here=t$n
    [ ! -e $here ] || here=again
    mkdir $here
    (
        cd $here
        cp ../*.yaml .
        run 0 train tiny.yaml --threads "$n"
        OMP_NUM_THREADS=$n run 0 train "${synth[@]}"
        OMP_NUM_THREADS=$n run 0 eval run/model.int.safetensors --json
        sed 's/"seconds".*//' "$WORK/out" >answers
    )
done
mkdir reference # node by node
(
    cd reference
    cp ../*.yaml .
    run 0 train tiny.yaml --reference
    run 0 train "${synth[@]}" --reference
)
same_run t1/run reference/run
same_run t1/synth reference/synth
run 0 eval t1/run/last.safetensors --reference
run 2 eval t1/run/model.int.safetensors --reference
for other in t2 t4 again; do
    same_run t1/run $other/run
    same_run t1/synth $other/synth
    cmp t1/answers $other/answers || die "the engine differs: t1 and $other"
done
