#!/usr/bin/env bash
# run.sh WHAT: one experiment of README.md, from the top of the source tree; goes on where it was interrupted.
set -eu
cd "$(dirname "$0")/../.."
nibble=${NIBBLE:-build/current/nibble}
here=experiments/recipes
config=configs/fmnist-resnet8.yaml
. experiments/train.bash
mkdir -p runs/recipes
case ${1:-} in
oscillation | demo | cifar10-30-epochs) "$nibble" sweep "$here/$1.yaml" --jobs "${JOBS:-1}" ;;
distillation)
    train runs/recipes/teacher --set 'train.phases=[{name: float, epochs: 12, lr: 0.1, warmup: 1, schedule: cosine}]'
    "$nibble" sweep "$here/distillation.yaml" --jobs "${JOBS:-1}"
    ;;
five-minutes)
    for seed in 1 2 3; do
        config=$here/five-minutes.yaml
        train "runs/recipes/five-minutes-seed$seed" --set "seed=$seed"
        "$nibble" eval "runs/recipes/five-minutes-seed$seed" --mirror
    done
    ;;
skewed)
    [ -d runs/recipes/skewed-data ] ||
        python3 "$here/make_subset.py" runs/recipes/skewed-data --counts 6000,4646,3597,2785,2156,1670,1293,1001,775,600
    "$nibble" sweep "$here/skewed.yaml" --jobs "${JOBS:-1}"
    for run in runs/recipes/skewed/skewed/*/model.int.safetensors; do
        "$nibble" eval "$run" --classes
    done
    ;;
four-classes)
    [ -d runs/recipes/four-classes-data ] ||
        python3 "$here/make_subset.py" runs/recipes/four-classes-data --counts 100,0,100,0,100,0,100,0,0,0
    config=configs/fmnist-cnn.yaml
    train runs/recipes/ten-classes --set 'train.phases=[{name: float, epochs: 4, lr: 0.1, warmup: 0.3, schedule: cosine}]'
    config=$here/four-classes.yaml
    for seed in 1 2 3; do
        train "runs/recipes/four-classes-tuned-seed$seed" --set "seed=$seed"
        train "runs/recipes/four-classes-scratch-seed$seed" --set "seed=$seed" --set init= --set train.layers= \
            --set train.phases.0.lr=0.05
        "$nibble" eval "runs/recipes/four-classes-tuned-seed$seed"
        "$nibble" eval "runs/recipes/four-classes-scratch-seed$seed"
    done
    ;;
*)
    echo "usage: $0 oscillation | distillation | demo | five-minutes | skewed | four-classes | cifar10-30-epochs" >&2
    exit 2
    ;;
esac
