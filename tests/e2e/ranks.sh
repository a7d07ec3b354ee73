#!/usr/bin/env bash
# ranks.sh - processes that mpirun starts together leave the bytes of one: in float and quantized training, resumed on another number
# of them, after one was killed. One that hangs, lacks its data or is another program ends the job with a sentence.
# NB_RANKS_MORE=1 tries 2, 3 and 4 ranks with 1 and 2 threads each, and more kinds of training.
set -eu
. tests/e2e/common.bash
. tests/e2e/ranks.bash
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
same ema --set train.mixup=0.3
same lsq --set quant.activations.range=mse --set quant.activations.learn=lsq --set quant.weights.learn=lsq --set train.compute=f32
if [ -n "${NB_RANKS_MORE:-}" ]; then
    same mse --set quant.activations.range=mse
    same hard --set train.hard=0.6 --set train.class_weights=balanced
    same folded --set quant.batchnorm=fold_corrected --set quant.activations.range=kl --set quant.steps='[equalize]'
    same simulated --set quant.weights.bits=8 --set quant.weights.format=fp8_e4m3
    same stochastic --set quant.activations.rounding=stochastic --set quant.activations.range=percentile
    same reference --reference
    for n in 2 9; do # as many as share a batch from 512 images on
        run 0 train tiny.yaml --quiet --set data.count=600 --set train.batch=512
        mv run "one-many$n"
        ranks $n 0 "$NIBBLE" train tiny.yaml --quiet --set data.count=600 --set train.batch=512
        cmp "one-many$n/last.safetensors" run/last.safetensors || die "a batch of 512: $n ranks leave something else than one"
        rm -r run
    done
fi

export NB_RANKS_TIMEOUT=4 # a busy machine may stop the other one for a second, too
begin run/last.safetensors train tiny.yaml --set train.phases[0].epochs=2000
kill -STOP "$(<pid.1)"
ended
unset NB_RANKS_TIMEOUT
sentence "rank 1 on $(uname -n) has not answered for 4 s"
echo "  ok a rank that hangs ends the job"

# Interrupted on two ranks, resumed on three.
rm -rf run
begin run/last.safetensors train tiny.yaml --set train.phases[0].epochs=12
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
