#!/usr/bin/env bash
# bad_config.sh - every kind of mistake in a config: exit code 2, one line that says where it stands and what would be right, and no
# trace of a run folder.
# shellcheck disable=SC2015,SC2016 # die does not return; backquotes in messages are meant
set -eu
. tests/e2e/common.bash
cd "$WORK"
small_config >tiny.yaml

untouched() {
    [ ! -e never ] && [ ! -e runs ] || die "a wrong config must not leave a folder: $*"
}
wrong() { # TEXT KEY=VALUE: the override is wrong, and the line begins with it or with the layer it made impossible
    refuses 2 "$1" train tiny.yaml --set out=never --set "$2"
    [[ $(<err) == "nibble: --set "* || $(<err) == "nibble: tiny.yaml:11: softmax_xent"* ]] || die "$2: no place: $(<err)"
    untouched "$2"
}
edited() { # TEXT SED-SCRIPT: tiny.yaml edited like this is wrong
    sed "$2" tiny.yaml >edited.yaml
    ! cmp -s tiny.yaml edited.yaml || die "$2: changes nothing"
    refuses 2 "edited.yaml:$1" train edited.yaml
    untouched "$2"
}
text() { # TEXT PRINTF-FORMAT: a file of these bytes is wrong
    # shellcheck disable=SC2059 # the format is ours
    printf -- "$2" >text.yaml
    refuses 2 "text.yaml:$1" train text.yaml
    untouched "$2"
}
model() { # TEXT LAYERS: behind the input, before a linear layer of four classes
    wrong "$1" "model=[input, $2, {linear: {out: 4}}]"
}

# ---- what is no config at all ----
text '1: data: required key is missing' ''
text '1: data: required key is missing' '# nothing but a comment\n'
text '1: hello: must be a section of keys' 'hello\n'
text '1: a list: must be a section of keys' '- hello\n'
text '2: not valid YAML' 'model: [\n'
text '2: a tab cannot indent' 'model:\n\t- input\n'
text '2: not valid YAML: found unexpected end of stream' 'out: "run\n'
text '1: not valid YAML' 'seed: \0\n'
text '1: not valid YAML' 'out: \377\n'
text '1: a key must be plain text' '? [seed]\n: 1\n'
text '1: anchors' 'seed: &s 1\n'
text '1: aliases' 'seed: *s\n'
text '1: tags' 'seed: !!int 1\n'
text '2: a second document starts here' 'seed: 1\n---\nseed: 2\n'
text '2: seed: ' 'seed: 1\nseed: 2\n'
{ printf 'seed: '; head -c 2000 /dev/zero | tr '\0' '['; } >deep.yaml
refuses 2 'deep.yaml:1: nested deeper than' train deep.yaml
seq -f 'key%g: 1' 2000 >many.yaml
refuses 2 'many.yaml:1025: more than 1024 keys' train many.yaml
{ echo 'seed:'; yes -- '- 1' | head -n 70000; } >long.yaml
refuses 2 'more than 65536 values' train long.yaml
head -c 5000000 /dev/zero | tr '\0' '#' >huge.yaml
refuses 1 'huge.yaml: 5000000 bytes, more than' train huge.yaml
refuses 1 'nowhere.yaml: ' train nowhere.yaml
refuses 1 'is a folder' train .
refuses 1 '/dev/null: is not a regular file' train /dev/null
head -c 1000 "$NIBBLE" >program
refuses 2 'program:1: not valid YAML' train program

# ---- sections that are missing ----
edited '1: data: required key is missing' '/^data:/d'
edited '1: model: required key is missing' '/^model:/,/linear/d'
edited '1: train: required key is missing' '/^train:/,$d'
edited '15: train.phases: required key is missing' '/^  phases:/,$d'
edited '3: data: must be a map with a name' 's/name: synth, //'

# ---- keys: unknown, repeated, missing, mistyped, out of range, on every level ----
edited '1: sede: unknown key (did you mean "seed"?)' 's/^seed/sede/'
edited '3: data.hight: unknown key (did you mean "height"?)' 's/height/hight/'
edited '6: model[1] conv2d.kernle: unknown key (did you mean "kernel"?)' 's/kernel/kernle/'
edited '13: quant.weights.bts: unknown key (did you mean "bits"?)' '13s/bits/bts/'
edited '16: train.batsh: unknown key (did you mean "batch"?)' 's/batch:/batsh:/'
edited '19: train.optimizer.momentun: unknown key (did you mean "momentum"?)' 's/momentum/momentun/'
edited '21: train.phases[0].lrr: unknown key (did you mean "lr"?)' '21s/lr:/lrr:/'
edited '17: ' '17s/ema: 0.9/batch: 16/' # twice the same key
edited '3: ' 's/name: synth/name: synth, name: synth/'
edited '6: ' 's/out: 8/out: 8, out: 8/'
edited '6: model[1] conv2d.out: required key is missing' 's/out: 8, //'
edited '11: model[6] linear.out: required key is missing' 's/, out: 4//'
edited '21: train.phases[0].epochs: required key is missing' '21s/epochs: 3, //'
edited '21: train.phases[0].lr: required key is missing' '21s/ lr: 0.1,//'
edited '16: train.batch: many: must be an integer in 1..65536' 's/batch: 32/batch: many/'
edited '16: train.batch: a list: must be a single value' 's/batch: 32/batch: [32]/'
wrong 'quant.steps[0]: equalise: unknown step (did you mean "equalize"?)' 'quant.steps=[equalise]'
wrong 'quant.steps[1] equalize.iteration: unknown key (did you mean "iterations"?)' 'quant.steps=[equalize, equalize: {iteration: 3}]'
wrong 'quant.steps[0] equalize.iterations: 0: must be in 1..1000' 'quant.steps=[equalize: {iterations: 0}]'
wrong 'quant.steps: must be a list of steps' quant.steps=equalize
wrong 'quant.steps: must be a list of steps' quant.steps.equalize.iterations=3
wrong 'quant.steps[0]: equalise: unknown step' 'quant={steps: [equalise]}'
edited '13: quant.weights: 4: must be a map of keys, e.g. {bits: 8}, or off' 's/{bits: 4}/4/'
wrong 'train.batch: 0: must be in 1..65536' train.batch=0
wrong 'train.batch: 241: must be at most 240, the number of training images' train.batch=241
wrong 'train.batch: 1e3: must be an integer' train.batch=1e3
wrong 'train.ema: 1: must be in' train.ema=1
wrong 'train.optimizer.momentum: nan: must be a number' train.optimizer.momentum=nan
wrong 'train.optimizer.momentum: 0x1p-1: must be a number' train.optimizer.momentum=0x1p-1
wrong 'train.optimizer.weight_decay: -1: must be in 0..1' train.optimizer.weight_decay=-1
wrong 'train.optimizer.nesterov: maybe: must be yes or no' train.optimizer.nesterov=maybe
wrong 'train.optimizer.beta1: unknown key' train.optimizer.beta1=0.9
wrong 'train.optimizer: sgdd: unknown optimizer (did you mean "sgd"?)' train.optimizer=sgdd
wrong 'train: 3: must be a section of keys' train=3
wrong 'seed: -1: must be an integer in 0..18446744073709551615' seed=-1
wrong 'seed: 99999999999999999999: must be an integer' seed=99999999999999999999
wrong 'data.name: fashion-mnits: unknown data set (did you mean "fashion-mnist"?)' data.name=fashion-mnits
wrong 'data: must be a map with a name' data=synth
wrong 'data.count: 0: must be in' data.count=0
wrong 'data.validation: 240: must be less than 240' data.validation=240
wrong 'data.validation: -1: must be' data.validation=-1
wrong 'data.augment[1]: flop: unknown augmentation (did you mean "flip"?)' 'data.augment=[crop2, flop]'
wrong 'data.augment[0]: crop.pad: 99: must be in 1..11' data.augment=crop99
wrong 'data.augment[0] flip.probb: unknown key (did you mean "prob"?)' 'data.augment=[{flip: {probb: 1}}]'
wrong 'data.channels: 0: must be in 1..1024' data.channels=0

# ---- layers ----
wrong 'model: must be a list of layers' model=
wrong 'model: must be a list of layers' 'model=[]'
wrong 'model: must be a list of layers' 'model={}'
wrong 'model[0] relu: the first layer must be `input`' 'model=[relu, input]'
wrong 'model[1] input: only the first layer is the input' 'model=[input, {input: {name: b}}]'
wrong 'input1 gives 432 values per image, the data have 4 classes' 'model=[input]'
wrong 'fc gives 3 values per image, the data have 4 classes' model.6.linear.out=3
edited '11: softmax_xent loss: fc gives 5 values per image, the data have 4 classes' '11s/4/5/'
model 'model[1]: conv2: unknown layer (did you mean "conv2d"?)' conv2
model 'model[1]: fakequant: unknown layer' fakequant
model 'model[1]: must be one name, or one name with its keys' '[relu]'
model 'model[1]: must be one name, or one name with its keys' '{relu: {}, flatten: {}}'
model 'model[1] relu: 3: must be a section of keys' '{relu: 3}'
model 'conv2d a: this name is already taken' '{conv2d: {name: a, out: 4, kernel: 1}}, {conv2d: {name: a, out: 4, kernel: 1}}'
model 'relu b.c1: this name is already taken' '{resblock: {name: b, out: 4}}, {relu: {name: b.c1}}'
model "model[1] relu: name: must be shorter" "{relu: {name: a/b}}"
model "model[1] relu: name: must be shorter" "{relu: {name: $(printf 'a%.0s' {1..200})}}"
for code in '\\t' '\\x01' '\\x7f' '\\x85'; do # of the YAML; a file is said to be wrong where it is, not when the network is quantized
    edited "9: model[4] resblock: name: must be shorter than 120 bytes and without '/' and control characters" "s/name: b1/name: \"b${code}1\"/"
done
model 'model[1] relu.in: inptu1: unknown layer above (did you mean "input1"?)' '{relu: {in: inptu1}}'
model 'model[1] relu.in: r: unknown layer above' '{relu: {name: r, in: r}}'
model 'model[1] relu.in: linear1: unknown layer above' '{relu: {in: linear1}}'
model 'relu relu1: has 0 inputs, takes 1' '{relu: {in: []}}'
model 'relu relu1: has 2 inputs, takes 1' '{relu: {in: [input1, input1]}}'
model 'add add1: has 1 inputs, takes 2' 'add'
model 'add add1: input1 is 1x12x12x3, but c is 1x10x10x4: rows, columns and channels must be equal, or 1' '{conv2d: {name: c, out: 4, kernel: 3}}, {add: {in: [input1, c]}}'
model 'concat concat1: c is 1x5x5x4, but input1 is 1x12x12x3' '{conv2d: {name: c, out: 4, kernel: 3, stride: 2}}, {concat: {in: [c, input1]}}'
model 'conv2d conv2d1: its output is never used' '{conv2d: {out: 4, kernel: 3}}, {relu: {in: input1}}'
model 'conv2d conv2d1: a 13 x 13 window does not fit into the 12 x 12 image of input1' '{conv2d: {out: 4, kernel: 13}}'
model 'model[1] conv2d.kernel: 0: must be in' '{conv2d: {out: 4, kernel: 0}}'
model 'model[1] conv2d.stride: 0: must be in' '{conv2d: {out: 4, kernel: 3, stride: 0}}'
model 'model[1] conv2d.pad: -1: must be in' '{conv2d: {out: 4, kernel: 3, pad: -1}}'
model 'conv2d conv2d1: groups: 2: must divide the 3 input' '{conv2d: {out: 4, kernel: 3, groups: 2}}'
model 'conv2d conv2d2: tensor conv2d2.weight would have 38654705664 elements' '{conv2d: {out: 65536, kernel: 3}}, {conv2d: {out: 65536, kernel: 3}}'
model 'conv2d conv2d1: needs an image' 'flatten, {conv2d: {out: 2, kernel: 1}}'
model 'maxpool maxpool1: pad: must be less than the kernel' '{maxpool: {kernel: 2, pad: 2}}'
model 'maxpool maxpool1: global: one window is the whole image' '{maxpool: {global: yes, kernel: 3}}'
model 'avgpool avgpool1: global: one window is the whole image' '{avgpool: {global: yes, pad: 1}}'
model 'avgpool avgpool1: kernel: leave it out' '{avgpool: {global: yes, kernel: 3}}'
model 'model[1] dropout.p: 1: must be in' '{dropout: {p: 1}}'
model 'model[1] batchnorm.eps: 0: must be in' '{batchnorm: {eps: 0}}'
model 'model[1] resblock.repeat: 0: must be in' '{resblock: {out: 4, repeat: 0}}'
model 'model[1] resblock: takes one input' '{resblock: {out: 4, in: [input1, input1]}}'
model 'softmax_xent softmax_xent1: ' softmax_xent
wrong 'input input1.mean: 2 numbers for 3 channels' 'model.0={input: {mean: [1, 2]}}'
wrong 'input input1.mean: dark: must be a number' 'model.0={input: {mean: dark}}'
wrong 'input input1.std: 0: must be in' 'model.0={input: {std: [1, 0, 1]}}'

# ---- phases ----
wrong 'train.phases: must be a list of 1..' train.phases=
wrong 'train.phases: must be a list of 1..' 'train.phases=[]'
wrong 'train.phases: must be a list of 1..' 'train.phases={epochs: 1, lr: 1}'
wrong 'train.phases: must be a list of 1..' "train.phases=[$(printf '{epochs: 1, lr: 1}, %.0s' {1..65})]"
wrong 'train.phases[0]: must be a map like' 'train.phases=[float]'
wrong 'train.phases[1].epochs: 0: must be in' train.phases.1.epochs=0
wrong 'train.phases[0].epochs: some: must be a number' train.phases.0.epochs=some
wrong 'train.phases[0].lr: inf: must be in' train.phases.0.lr=inf
wrong "warmup: 3: must be below the phase's 3 epochs" train.phases.0.warmup=3
wrong "freeze_bn_at: 9: must be below the phase's" train.phases.1.freeze_bn_at=9
wrong 'freeze_ranges_at: 0: this phase has no ranges to freeze' train.phases.0.freeze_ranges_at=0
wrong 'reestimate_bn: -1: must be' train.phases.0.reestimate_bn=-1
wrong 'train.phases[0]: reestimate_bn: 100000: must be at most' train.phases.0.reestimate_bn=100000
refuses 2 'reestimate_bn: 9: changes nothing: the network of this phase has no batch norm' train tiny.yaml --set out=never \
    --set 'train.phases=[{epochs: 1, lr: 1, quant: on, reestimate_bn: 9}]' --set quant.batchnorm=fold
refuses 2 'quant.steps[0]: reestimate_bn changes nothing: the quantized network has no batch norm' train tiny.yaml --set out=never \
    --set quant.steps=[reestimate_bn] --set quant.batchnorm=fold
refuses 2 'batchnorm: fold_corrected: changes nothing: no batch norm of the model reads a conv or linear layer' train tiny.yaml --set out=never \
    --set 'model=[input, flatten, {linear: {out: 4}}]' --set quant.batchnorm=fold_corrected
# found before training starts, not after it
refuses 2 'quant: output_bits: 0: must be 1..8 (e.g. 8), as the network' train tiny.yaml --set out=never --set \
    'model=[input, flatten, {linear: {out: 4, name: a}}, {linear: {out: 4, name: b, in: flatten1}}, {add: {in: [a, b]}}]'
untouched 'a network that cannot become integers'
wrong 'train.phases[0]: name: a,b: must be' train.phases.0.name=a,b
wrong 'train.phases[0].quant: maybe: must be yes or no' train.phases.0.quant=maybe
wrong 'train.phases[0].schedule: cosin: unknown schedule (did you mean "cosine"?)' train.phases.0.schedule=cosin
wrong 'train.phases[0].schedule.gama: unknown key (did you mean "gamma"?)' 'train.phases.0.schedule={name: step, gama: 0.5}'
wrong 'train.phases[0].schedule.milestones: half: must be a number' 'train.phases.0.schedule={name: step, milestones: [half]}'

# ---- quantization ----
wrong 'quant.weights.bits: 9: must be in 1..8' quant.weights.bits=9
wrong 'quant.activations: bits: 1: activations of 1 bit are 0 and 1' quant.activations.bits=1
wrong 'quant.weights.granularity: chanel: must be channel, tensor, group or full (did you mean "channel"?)' quant.weights.granularity=chanel
wrong 'quant.activations.scheme: asymetric: must be' quant.activations.scheme=asymetric
wrong 'quant.weights.range: minmx: unknown range method (did you mean "minmax"?)' quant.weights.range=minmx
wrong 'quant.weights.format: unifrom: unknown format (did you mean "uniform"?)' quant.weights.format=unifrom
wrong 'quant.weights: bits: 8: format fp6_e3m2 has codes of 6 bits: leave bits out' 'quant.weights={bits: 8, format: fp6_e3m2}'
wrong 'quant.weights: format: minifloat: sign, exponent and mantissa are more than 8 bits' 'quant.weights={format: minifloat, exponent: 5}'
wrong 'quant: weights and activations are off: nothing is quantized' 'quant={weights: off, activations: off}'
wrong 'quant.activations: on: must be a map of keys, e.g. {bits: 8}, or off' 'quant={activations: on}'
wrong 'quant.activations: format: log: is for weights only: activations can be uniform, pow2, fixed or a floating-point format' quant.activations.format=log
wrong 'quant.activations.learn: nono: unknown learning (did you mean "none"?)' quant.activations.learn=nono
wrong 'quant.weights.momentum: unknown key' quant.weights.momentum=0.1
wrong 'quant.activations.momentum: 2: must be in' quant.activations.momentum=2
wrong 'quant.batchnorm: drop: must be keep' quant.batchnorm=drop
wrong 'quant: first_last_bits: 1: must be 0 or in 2..8' quant.first_last_bits=1
wrong 'quant: output_bits: 1: must be 0 or in 2..8' quant.output_bits=1
wrong 'quant.bits: unknown key' quant.bits=4
wrong 'quant.layers: must be a map' 'quant.layers=[c1]'
wrong 'quant.layers.c2: the model has no such layer (did you mean "c1"?)' quant.layers.c2.weights.bits=4
wrong 'quant.layers.c1.wieghts: unknown key (did you mean "weights"?)' quant.layers.c1.wieghts.bits=4
wrong 'quant.layers.c1.weights: format: uniform: has codes of 2..8 bits' quant.layers.c1.weights.bits=1
wrong 'quant.layers.relu1.weights: changes nothing' quant.layers.relu1.weights.bits=4
wrong 'quant.layers.avgpool1.activations: changes nothing' quant.layers.avgpool1.activations.bits=4

# ---- sections that this run would not use ----
grep -v '^    - {name: qat' tiny.yaml >float.yaml
unused() { # TEXT KEY=VALUE: is refused although no phase is quantized, and by every command that reads a config
    for command in "train float.yaml --set out=never" "info float.yaml" "bench float.yaml --steps 1" \
        "import net.safetensors --config float.yaml --list"; do
        # shellcheck disable=SC2086 # words are meant
        refuses 2 "$1" $command --set "$2"
    done
    untouched "$2"
}
unused 'quant.wieghts: unknown key (did you mean "weights"?)' 'quant={wieghts: {bits: 4}}'
unused 'quant.weights: format: uniform: has codes of 2..8 bits' quant.weights.bits=1
unused 'quant.activations.range: emma: unknown range method (did you mean "ema"?)' quant.activations.range=emma
unused 'quant.layers.c2: the model has no such layer (did you mean "c1"?)' quant.layers.c2.weights.bits=4
unused 'quant.layers.relu1.weights: changes nothing' quant.layers.relu1.weights.bits=4
unused 'quant: first_last_bits: 1: must be 0 or in 2..8' quant.first_last_bits=1
unused 'data.augment[0]: flop: unknown augmentation (did you mean "flip"?)' data.augment=flop
unused 'train.batsh: unknown key (did you mean "batch"?)' train.batsh=3
run 0 train float.yaml --quiet --set out=float --set 'train.phases=[{epochs: 1, lr: 0.1}]'
refuses 2 'train.batsh: unknown key (did you mean "batch"?)' quantize tiny.yaml --from float/last.safetensors -o never --set train.batsh=3
refuses 2 'data.augment[0]: flop: unknown' quantize tiny.yaml --from float/last.safetensors -o never --set data.augment=flop
untouched quantize

# ---- --set itself ----
wrong '--set "": must be section.key=value' ''
wrong '--set seed: must be section.key=value' seed
wrong '--set =1: a key is empty' '=1'
wrong '--set seed.x=1: 5: the value at tiny.yaml:1 is a plain text' seed.x=1
wrong '--set model.99.relu.cap=6: 99: must be an index, 0..6, of the list at tiny.yaml:4' model.99.relu.cap=6
wrong '--set model.x=relu: x: must be an index' model.x=relu
wrong '--set model[1=relu: an index is written [3]' 'model[1=relu'
wrong '--set seed=[: not valid YAML' 'seed=['
wrong '--set seed=&a 1: anchors' 'seed=&a 1'
wrong '--set seed=?: not valid YAML' $'seed=\001'
wrong 'nested deeper than 64 levels' "$(printf 'a.%.0s' {1..100})b=1"

# A file that several mistakes are in is refused for one of them; the same goes for the other commands that read configs.
refuses 2 'edited.yaml:' info edited.yaml
