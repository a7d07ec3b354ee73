#!/usr/bin/env bash
# ranks.sh - processes that mpirun starts together leave the bytes of one: in float and quantized training, resumed on another number
# of them, after one was killed. One that hangs, lacks its data or is another program ends the job with a sentence.
# NB_RANKS_MORE=1 tries 2, 3 and 4 ranks with 1 and 2 threads each, and more kinds of training.
set -eu
. tests/e2e/common.bash
case $("$NIBBLE" --version) in
*"MPI: Open MPI"*) launcher=$(command -v mpirun.openmpi || command -v mpirun) || exit 77 ;;
*"MPI: MPICH"*) launcher=$(command -v mpirun.mpich || command -v mpiexec) || exit 77 ;;
*) exit 77 ;; # built without
esac
# Open MPI otherwise refuses root, and more ranks than there are processors.
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1 OMPI_MCA_hwloc_base_binding_policy=none
export PRTE_ALLOW_RUN_AS_ROOT=1 PRTE_ALLOW_RUN_AS_ROOT_CONFIRM=1 PRTE_MCA_rmaps_default_mapping_policy=:oversubscribe # from Open MPI 5 on
export OMP_NUM_THREADS=1
cd "$WORK"
timeout 60 "$launcher" -n 3 true >out 2>&1 </dev/null || { # no fault of ours: a machine where it cannot start three processes
    cat out
    exit 77
}
cat >tiny.yaml <<'END'
seed: 3
out: run
data: {name: synth, count: 200, test_count: 100, height: 8, width: 8, channels: 3, classes: 4, augment: [flip, crop1]}
model:
  - input
  - conv2d: {name: c1, out: 8, kernel: 3, pad: 1, bias: no}
  - batchnorm
  - relu
  - conv2d: {name: dw, out: 8, kernel: 3, pad: 1, groups: 8}
  - batchnorm
  - relu
  - dropout: {p: 0.2}
  - resblock: {name: b1, out: 24, stride: 2}   # gradients large enough to be added up in pieces
  - avgpool: {global: yes}
  - linear: {name: fc, out: 4}
quant:
  weights: {bits: 4, granularity: channel}
  activations: {bits: 8, scheme: asymmetric, range: ema}
train:
  batch: 20
  save_steps: 3
  optimizer: {name: sgd, momentum: 0.9, nesterov: yes, weight_decay: 1.0e-4}
  phases:
    - {name: float, epochs: 1, lr: 0.1}
    - {name: qat, epochs: 1, lr: 0.02, quant: on}
END

# ranks N CODE PROGRAM ARGS...: as run, for N of them. mpirun's own remarks are not ours.
ranks() {
    local n=$1 want=$2 code=0
    shift 2
    timeout 100 "$launcher" -n "$n" "$@" >out 2>err </dev/null || code=$?
    [ "$code" = "$want" ] || {
        cat out err >&2
        die "$n ranks of $*: exit $code, must be $want"
    }
    grep '^nibble: ' err >said || true
}
sentence() { # TEXT: ours is one, with this in it
    [[ $(wc -l <said) = 1 && $(<said) == *"$1"* ]] || {
        cat out err >&2
        die "must print one sentence that says: $1"
    }
}
same() { # NAME OPTIONS...: a training is the same on one rank and on several
    local name=$1 n t
    shift
    OMP_NUM_THREADS=2 run 0 train tiny.yaml --set out=run "$@"
    mv run "one-$name"
    for n in 2 ${NB_RANKS_MORE:+3 4}; do
        for t in 1 ${NB_RANKS_MORE:+2}; do
            OMP_NUM_THREADS=$t ranks "$n" 0 "$NIBBLE" train tiny.yaml --set out=run "$@"
            [ "$(grep -c '^test accuracy' out)" = 1 ] || die "one rank speaks"
            for file in last best phase-1-float model.int metrics.csv ranges.csv; do
                case $file in *.csv) ;; *) file=$file.safetensors ;; esac
                [ ! -e "one-$name/$file" ] || cmp "one-$name/$file" "run/$file" || die "$name: $file is not that of one rank"
            done
            [ -z "$(find run -name '*.tmp.*')" ] || die "temporary files are left"
            rm -r run
        done
    done
    echo "  ok $name"
}
same ema
same mse --set quant.activations.range=mse --set train.mixup=0.3
same lsq --set quant.activations.learn=lsq --set quant.weights.learn=lsq --set train.compute=f32
if [ -n "${NB_RANKS_MORE:-}" ]; then
    same hard --set train.hard=0.6 --set train.class_weights=balanced
    same folded --set quant.batchnorm=fold_corrected --set quant.activations.range=kl --set quant.steps='[equalize]'
    same simulated --set quant.weights.bits=8 --set quant.weights.format=fp8_e4m3
    same stochastic --set quant.activations.rounding=stochastic --set quant.activations.range=percentile
    same reference --reference
fi

# A rank tells its number and process, for who wants to end it; rank 1 is what $second says.
cat >rank.sh <<'END'
number=${OMPI_COMM_WORLD_RANK:-${PMI_RANK:-0}}
echo $$ >pid.$number
[ "$number" = 0 ] || cd "${folder:-.}"
[ "$number" = 0 ] || [ -z "${second:-}" ] || exec "$second" "$@"
exec "$NIBBLE" "$@"
END
export NIBBLE
# begin EPOCHS: two ranks of a training, until they have saved something
begin() {
    rm -rf run pid.*
    "$launcher" -n 2 bash rank.sh train tiny.yaml --set train.phases[0].epochs=$1 >out 2>err </dev/null &
    job=$!
    until [ -e run/last.safetensors ]; do
        kill -0 $job 2>/dev/null || { cat out err >&2; die "two ranks did not begin"; }
        sleep 0.02
    done
}
ended() {
    local code=0
    wait $job 2>/dev/null || code=$?
    [ $code != 0 ] || die "a job without one of its ranks must fail"
    grep '^nibble: ' err >said || true
}
export NB_RANKS_TIMEOUT=4 # a busy machine may stop the other one for a second, too
begin 2000
kill -STOP "$(<pid.1)"
ended
unset NB_RANKS_TIMEOUT
sentence "rank 1 on $(uname -n) has not answered for 4 s"
echo "  ok a rank that hangs ends the job"

# Interrupted on two ranks, resumed on three.
begin 12
kill -KILL "$(<pid.1)"
ended
ranks 3 0 "$NIBBLE" train tiny.yaml --set train.phases[0].epochs=12 --resume
mv run resumed
run 0 train tiny.yaml --set train.phases[0].epochs=12
same_run run resumed
echo "  ok a killed rank ends the job, which goes on with three"

# 40 pictures of 4x4 and their labels, which only rank 0's folder has.
mkdir elsewhere pictures
cp tiny.yaml elsewhere
for split in train t10k; do
    { printf '\0\0\10\3\0\0\0\50\0\0\0\4\0\0\0\4' && head -c 640 tiny.yaml; } >pictures/$split-images-idx3-ubyte
    { printf '\0\0\10\1\0\0\0\50' && head -c 40 /dev/zero; } >pictures/$split-labels-idx1-ubyte
done
folder=elsewhere ranks 2 1 bash rank.sh train tiny.yaml --set out=lacking --set data='{name: idx, path: pictures, classes: 4}'
sentence "$(uname -n): "
rm -rf run
cp "$NIBBLE" other
echo >>other
second=$WORK/other ranks 2 2 bash rank.sh train tiny.yaml
sentence "rank 1 on $(uname -n) has another nibble"
sed 's/^seed: 3/seed: 4/' tiny.yaml >elsewhere/tiny.yaml
rm -rf run
folder=elsewhere ranks 2 2 bash rank.sh train tiny.yaml
sentence "rank 1 on $(uname -n) has another config"
echo "  ok ranks that are not alike do not begin"

ranks 2 0 "$NIBBLE" bench tiny.yaml --ranks --steps 2
[ "$(grep -cE '^ *(float|quantized|1|2|1024) ' out)" = 5 ] || die "bench --ranks: two steps and the model's rows"
refuses 2 'is for two or more' bench tiny.yaml --ranks
echo "  ok what a step costs on two ranks, and a model of more"

ranks 3 2 "$NIBBLE" train tiny.yaml --set out=small --set train.batch=2
sentence "train.batch: 2: must be at least 3, the number of ranks"
ranks 2 2 "$NIBBLE" info run
sentence "info is one process's work: start it without mpirun"
echo "  ok what cannot be shared is refused"
