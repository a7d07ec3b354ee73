#!/usr/bin/env bash
# teacher.sh - training learns from a float, a quantized and an integer teacher, the last two with the same bytes, and says what does not
# fit.
set -eu
. tests/e2e/common.bash
cd "$WORK"
small_config >small.yaml
run 0 train small.yaml --set out=teacher
taught() { # OUT TEACHER
    run 0 train small.yaml --set "out=$1" --set quant.weights.bits=2 --set "train.teacher={from: $2, share: 0.7}"
}
taught float teacher/phase-1-float.safetensors
taught quantized teacher/last.safetensors
taught integers teacher/model.int.safetensors
taught folder teacher
says 'teacher: is a run folder, taking teacher/model.int.safetensors'
cmp folder/metrics.csv integers/metrics.csv || die "a run folder does not stand for its own"
cmp quantized/metrics.csv integers/metrics.csv || die "a quantized teacher does not run on the integers it becomes"
! cmp -s float/metrics.csv integers/metrics.csv || die "the teacher makes no difference"

cp float/last.safetensors other.safetensors
refuses 2 'teacher: other.safetensors takes images of 12x12x3, these are of 8x8x3' train small.yaml --set data.height=8 --set data.width=8 \
    --set out=x --set train.teacher=other.safetensors
refuses 2 'train.teacher: other.safetensors tells 4 classes apart, the data have 5' train small.yaml --set data.classes=5 \
    --set out=x --set model.6.linear.out=5 --set train.teacher=other.safetensors
refuses 1 'nowhere.safetensors' train small.yaml --set out=x --set train.teacher=nowhere.safetensors
[ ! -e x ] || die "a folder was made for a run that was refused"
# resuming with another teacher in its place
run 0 train small.yaml --set out=y --set train.teacher=other.safetensors
cp teacher/last.safetensors other.safetensors
refuses 2 'train.teacher: other.safetensors is not the file it was trained with' train y/config.yaml --resume
