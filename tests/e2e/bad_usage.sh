#!/usr/bin/env bash
# bad_usage.sh - wrong usage and wrong configs: exit code 2 and one sentence that says what would be right.
set -eu
. tests/e2e/common.bash
cd "$WORK"
small_config >tiny.yaml

run_usage() { # SENTENCE ARGS...
    local sentence=$1
    shift
    run 2 "$@"
    says "$sentence"
}
run_usage 'trian: unknown command (did you mean "train"?)' trian
run_usage '--resum: unknown option (did you mean "--resume"?)' train tiny.yaml --resum
run_usage 'missing argument: nibble train CONFIG' train
run_usage 'one argument too many' train tiny.yaml tiny.yaml
run_usage '--set: needs a value' train tiny.yaml --set
run_usage '--quiet: takes no value' train tiny.yaml --quiet=1
run_usage '--threads: 0: must be in 1..1024' train tiny.yaml --threads 0
run_usage '--resume and --force exclude each other' train tiny.yaml --resume --force
run_usage 'conv: no section, layer, data set or method has this name' keys conv
run_usage '-o OUT is missing' export x.safetensors
run_usage '--format: onyx: must be one of' export x.safetensors --format onyx -o y
NB_CPU=avx3 run_usage 'NB_CPU=avx3: must be scalar, avx2' keys

bad_config() { # SENTENCE KEY=VALUE
    run_usage "$1" train tiny.yaml --set "$2" --set out=never
    [ ! -e never ] || die "a wrong config must not leave a folder ($2)"
}
bad_config 'train.batsh: unknown key (did you mean "batch"?)' train.batsh=3
bad_config 'train.batch: 0: must be in 1..65536' train.batch=0
bad_config 'train.batch: many: must be' train.batch=many
bad_config 'unknown optimizer (did you mean "sgd"?)' train.optimizer=sgdd
bad_config 'unknown schedule (did you mean "cosine"?)' train.phases.0.schedule=cosin
bad_config 'train.phases[1].epochs: 0: must be in' train.phases.1.epochs=0
bad_config 'train.phases: must be a list' 'train.phases=[]'
bad_config 'model[1] conv2d' model.1.conv2d.strid=2
bad_config 'quant.weights.bits: 9: must be in 2..8' quant.weights.bits=9
bad_config 'flop' data.augment=flop
bad_config 'fc gives 3 values per image, the data have 4 classes' model.6.linear.out=3
bad_config 'data.validation: 240: must be' data.validation=240
bad_config 'train.batch' train.batch=241

printf 'seed: 1\nseed: 2\n' >twice.yaml
run_usage 'twice.yaml:2: seed' train twice.yaml
printf 'model: [\n' >broken.yaml
run_usage 'broken.yaml:' train broken.yaml
printf '' >empty.yaml
run_usage 'empty.yaml' train empty.yaml
