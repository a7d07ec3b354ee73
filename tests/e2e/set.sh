#!/usr/bin/env bash
# set.sh - what --set reaches and what it takes along: names with dots, the keys of a choice that is replaced, checkpoints.
set -eu
. tests/e2e/common.bash
cd "$WORK"
small_config | sed 's/count: 240, test_count: 100/count: 64, test_count: 8/; s/epochs: 3/epochs: 1/; s/, freeze.*}/}/; s/, warmup: 0.5//
    s/range: ema/range: ema, momentum: 0.1/' >tiny.yaml
printf '  layers: {c1: {activations: {momentum: 0.2}}}\n' >layers
sed -i '/^  activations:/r layers' tiny.yaml

# A layer whose name has dots, as `info` prints it.
run 0 info tiny.yaml --set quant.layers.b1.c1.weights.bits=2
grep -qE '^b1\.c1 +conv2d +6x6x12 +2 ' out || die "b1.c1 must have 2 bits: $(<out)"
refuses 2 '--set quant.layers.b1.c3.weights.bits=2: quant.layers.b1.c3: the model has no such layer (did you mean "b1.c1"?)' \
    info tiny.yaml --set quant.layers.b1.c3.weights.bits=2

# A value that YAML would cut short at a comment.
refuses 2 "--set out=runs/a #2: in YAML a comment begins at the #: quote the value, --set 'KEY=" info tiny.yaml --set 'out=runs/a #2'
refuses 2 'in YAML a comment begins at the #' info tiny.yaml --set 'out=#2'
for value in '"runs/a #2"' 'runs/a#2' "'#2'"; do
    run 0 info tiny.yaml --set "out=$value"
done

# Keys of the choice that is replaced go with it, and a line says so; the general rule's choice is a layer's, too.
run 0 info tiny.yaml
[ ! -s err ] || die "nothing was set, nothing is left out"
run 0 train tiny.yaml --quiet --set out=minmax --set quant.activations.range=minmax
says '--set quant.activations.range=minmax: quant.activations: left out, as minmax has no such keys: momentum'
says 'quant.layers.c1.activations: left out, as minmax has no such keys: momentum'
[ "$(wc -l <err)" = 2 ] || die "says it once for each place: $(<err)"
! grep -q 'momentum: 0.[12]' minmax/config.yaml || die "the run's config must be one that can be read again"
run 0 info minmax/config.yaml
run 0 train minmax/config.yaml --resume --quiet
run 0 info tiny.yaml --set quant.activations.range=mse
[ ! -s err ] || die "mse has a momentum as well: $(<err)"
run 0 info tiny.yaml --set train.optimizer.name=adam
says 'train.optimizer: left out, as adam has no such keys: momentum, nesterov'
run 0 info tiny.yaml --set 'train.phases.0.schedule={name: step, gamma: 0.2}' --set train.phases.0.schedule.name=step
sed 's/schedule: cosine}/schedule: {name: step, gamma: 0.2}}/' tiny.yaml >step.yaml
run 0 info step.yaml --set train.phases.0.schedule.name=constant
says 'train.phases[0].schedule: left out, as constant has no such keys: gamma'

# What nobody knows, what the file itself contradicts, and what an override asks for stay errors.
sed 's/range: ema, /range: minmax, /' tiny.yaml >file.yaml
refuses 2 'file.yaml:14: quant.activations.momentum: unknown key' info file.yaml
sed '/^  layers/d; s/momentum: 0.1/momentun: 0.1/' tiny.yaml >typo.yaml
refuses 2 'typo.yaml:14: quant.activations.momentun: unknown key' info typo.yaml --set quant.activations.range=minmax
refuses 2 'tiny.yaml:14: quant.activations.momentum: unknown key' info tiny.yaml \
    --set quant.layers.c1= --set quant.activations.range=minmax --set quant.activations.momentum=0.3

# A training checkpoint's config is checked as a file's is; integers are made, only where their images are can be said.
refuses 2 '--set train.batsh=1: train.batsh: unknown key (did you mean "batch"?)' eval minmax/last.safetensors --set train.batsh=1
run 0 eval minmax/model.int.safetensors --set data.test_count=4
says 'on 4 test images'
refuses 2 '--set quant.weights.bits=2: changes nothing: minmax/model.int.safetensors holds integers' \
    eval minmax/model.int.safetensors --set quant.weights.bits=2

# The label of a network says what differs from its general bits, wherever it is shown.
label() { # LABEL --set...
    local want=$1
    shift
    run 0 quantize tiny.yaml --from minmax/last.safetensors -o mixed --force --json "$@"
    says "\"bits\":\"$want\""
    run 0 eval mixed/model.int.safetensors
    says ": integers $want on "
    run 0 info mixed/last.safetensors
    says ": integers $want, "
}
label W4A8
label 'W4A8, 1 layer at W2' --set quant.layers.b1.c1.weights.bits=2
label 'W4A8, 2 layers at W2..8, 1 layer at A4' --set quant.layers.b1.c1.weights.bits=2 --set quant.layers.b1.c2.weights.bits=8 \
    --set quant.layers.fc.weights.bits=4 --set quant.layers.c1.activations.bits=4
label 'W4A8 throughout' --set quant.first_last_bits=0
label 'W4A8 block' --set quant.weights.format=block
label 'W4A8 codebook' --set quant.weights.format=codebook
label 'W4A8 codebook' --set quant.weights.learn=codebook --set quant.weights.granularity=tensor
label 'W4A8 pow2, activations pow2' --set quant.weights.format=pow2 --set quant.activations.format=pow2
label 'W4A8, 1 layer of another format' --set quant.layers.b1.c1.weights.format=codebook
label 'W4A8' --set quant.weights.format=uniform --set quant.weights.learn=lsq
label 'W4A8, first and last 6' --set quant.first_last_bits=6
label 'W4A8, joins 6' --set quant.join_bits=6
label W8A8 --set quant.first_last_bits=0 --set quant.weights.bits=8
run 0 train tiny.yaml --quiet --set out=mixed --force --set quant.layers.b1.c1.weights.bits=2
grep -qE '^qat +W4A8, 1 layer at W2 +1 ' out || die "the table of phases must say that bits are mixed: $(<out)"
run 0 bench tiny.yaml --steps 1 --set quant.layers.b1.c1.weights.bits=2
says 'training step, W4A8, 1 layer at W2'
