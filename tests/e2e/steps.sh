#!/usr/bin/env bash
# steps.sh - quant.steps: done by quantize and, once, by train before its first quantized phase; the same bytes at any number of
# threads and after kills; shown by keys and in what is printed.
set -eu
. tests/e2e/common.bash
cd "$WORK"
small_config | sed 's/^quant:/quant:\n  steps: [equalize]/' >steps.yaml
small_config | sed 's/^quant:/quant:\n  steps:\n    - equalize: {iterations: 30}/' >keys.yaml
small_config >plain.yaml
small_config | sed 's/^quant:/quant:\n  steps: []/' >none.yaml

run 0 keys steps
says 'equalize - cross-layer equalization'
says 'iterations          int     20          1..1000'
run 0 keys quant.steps.0.equalize.iterations
says '1..1000'

# ---- quantize ----
run 0 train plain.yaml --set out=float --set 'train.phases=[{name: float, epochs: 3, lr: 0.1}]' --quiet
for n in 1 4; do
    mkdir "t$n"
    cd "t$n"
    run 0 quantize ../steps.yaml --from ../float/last.safetensors -o q1 --threads $n
    cd ..
    says 'equalize: 1 pair, 0 depthwise triplets, filters before 4 batch norms, '
    says 'largest ratio of channel ranges '
    says '; 3 layers could not be paired'
    grep -qE '^fc +no +not across b1.add, which joins values' "$WORK/out" || die "what is not crossed must be named"
    for file in last.safetensors model.int.safetensors; do
        cmp "t1/q1/$file" "t$n/q1/$file" || die "$file depends on the number of threads"
    done
done
mv t1/q1 q1
grep -q 'steps: \[equalize\]' q1/config.yaml || die "the resolved config must list the steps"
run 0 verify q1/model.int.safetensors --from q1/last.safetensors
run 0 quantize keys.yaml --from float/last.safetensors -o qk --json
says '"steps":[{"step":"equalize","summary":"1 pair,'
says '{"layer":"c1","done":"no","what":"reads the images","before":null,"after":null}'
grep -q -- '- equalize: {iterations: 30}' qk/config.yaml || die "the resolved config must list the keys of a step"
run 0 quantize keys.yaml --from q1/last.safetensors -o qq # what comes quantized is quantized anew, steps included
says 'equalize: 1 pair,'
run 0 quantize steps.yaml --from float/last.safetensors -o qf --set quant.batchnorm=fold
says 'filters before 0 batch norms'

# An empty list, the word and the option are one: nothing is done, nothing is said of steps.
run 0 quantize none.yaml --from float/last.safetensors -o qnone
says 'ranges from 240 training images'
run 0 quantize steps.yaml --from float/last.safetensors -o qoption --steps none
! grep -qE 'equalize|steps' out || die "--steps none does some"
grep -q '^  steps: none' qoption/config.yaml || die "the resolved config must say what --steps said"
tensors() { # FILE: all behind the header
    tail -c +$((9 + $(od -An -tu8 -N8 "$1"))) "$1"
}
for file in last.safetensors model.int.safetensors; do
    cmp <(tensors qoption/$file) <(tensors qnone/$file)
    ! cmp -s <(tensors qnone/$file) <(tensors q1/$file) || die "$file: equalize changes nothing"
done

# ---- quantize without a list: the recommended steps, those that gain ----
for n in 1 4; do
    cd "t$n"
    run 0 quantize ../plain.yaml --from ../float/last.safetensors -o qr --threads $n
    cd ..
    cmp "t1/qr/last.safetensors" "t$n/qr/last.safetensors" || die "the recommended steps depend on the number of threads"
done
says 'what the steps gain, on 240 training images; SQNR'
says 'a step stays that lowers the loss'
for line in '^float +[0-9.]+ +[0-9.]+$' '^ranges +quantized, without any step +' '^absorb +nothing to do' '^adaround +done +'; do
    grep -qE "$line" out || die "the table of gains has no line $line"
done
! grep -q '^layer ' out || die "what became of every layer is for who asks for a step"
awk '/^ranges /{ r = $(NF - 1) } /^adaround +done/{ b = $(NF - 1) } END { exit !(b < r) }' out || die "the steps gain nothing"
! grep -q '^  steps:' t1/qr/config.yaml || die "a config without a list is kept so"
run 0 verify t1/qr/model.int.safetensors --from t1/qr/last.safetensors
run 0 quantize none.yaml --from float/last.safetensors -o qword --steps recommended
cmp <(tensors qword/last.safetensors) <(tensors t1/qr/last.safetensors)
run 0 quantize plain.yaml --from float/last.safetensors -o qjson --json
says '"start":{"images":240,"float_loss":'
says '"judged_by":"loss"'
grep -qE '"step":"bias_correct","summary":"empirical, 5 of 5 layers[^"]*","kept":true,"sqnr_before":[0-9.]+,"sqnr_after":[0-9.]+,"loss_before":[0-9.]+,"loss_after":[0-9.]+' out ||
    die "--json must say what a step gained"
run 0 quantize plain.yaml --from float/last.safetensors -o qcorrect --steps '[bias_correct]' --images 50
grep -qE '^bias_correct: .*; SQNR of the outputs [0-9.]+ -> [0-9.]+ dB, loss [0-9.]+ -> [0-9.]+$' out || die "a step must say what it gained"
says 'what the steps gain, on 50 training images; SQNR'
run 0 quantize plain.yaml --from float/last.safetensors -o qname --steps bias_correct --images 50 # a list of one
cmp <(tensors qname/last.safetensors) <(tensors qcorrect/last.safetensors)
run 0 quantize plain.yaml --from float/last.safetensors -o qfew --images 50 # too few for a loss to judge by
says 'a step stays that raises the SQNR: '
grep -qE "^reestimate_bn  left out: the outputs come no nearer to the float network's +[0-9.]+ " out || die "does not say which judge left the step out"
! grep -q 'the loss is no lower' out || die "50 images judge by no loss"
run 0 quantize plain.yaml --from t1/qr/last.safetensors -o qagain # its statistics are those of the quantized network already
grep -qE '^reestimate_bn  left out: the loss is no lower +[0-9.]+ ' out || die "does not say which judge left the step out"
! grep -q 'come no nearer' out || die "240 images judge by the loss"
run 0 quantize plain.yaml --from float/last.safetensors -o qfold --set quant.batchnorm=fold
says 'reestimate_bn: the quantized network has no batch norm'

# Learned rounding is tried where it pays and can be done; each time that it is not, the line says why.
run 0 quantize plain.yaml --from float/last.safetensors -o q8 --set quant.weights.bits=8
says 'adaround: no weights of 4 bits or fewer, where rounding costs much'
run 0 quantize plain.yaml --from float/last.safetensors -o q8but --set quant.weights.bits=8 --set quant.layers.fc.weights.bits=4
says 'adaround: 5 layers over 240 images'
run 0 quantize plain.yaml --from float/last.safetensors -o qodd --set quant.weights.format=odd
says 'adaround: weights of b1.c1: format odd has not every integer as a code'
run 0 train plain.yaml --set out=trained --set init=float/last.safetensors --set quant.steps=recommended \
    --set 'train.phases=[{name: qat, epochs: 1, lr: 0.01, quant: on}]'
grep -q '^reestimate_bn: ' out || die "training must do the recommended steps that it was asked for"
! grep -q '^adaround' out || die "training finds the codes of weights itself"

# ---- learned rounding: the same bytes at any number of threads, codes that outlast what comes after ----
for n in 1 4; do
    cd "t$n"
    run 0 quantize ../plain.yaml --from ../float/last.safetensors -o qround --threads $n --steps '[adaround: {iterations: 100, images: 100}]'
    cd ..
    cmp t1/qround/model.int.safetensors "t$n/qround/model.int.safetensors" || die "learned rounding depends on the number of threads"
done
says 'adaround: 5 layers over 100 images; error of what they give, mean of layers, '
grep -qE '^b1.c1 +yes +[0-9.]+ % of weights to the other neighbour +[0-9.]+ +[0-9.]+$' out || die "what became of a layer must be shown"
awk '/^adaround: /{ sub(/.*, loss /, ""); exit !($3 < $1) }' out || die "learned rounding gains nothing"
run 0 verify t1/qround/model.int.safetensors --from t1/qround/last.safetensors
run 0 quantize plain.yaml --from float/last.safetensors -o qround2 \
    --steps '[adaround: {iterations: 100, images: 100}, reestimate_bn]'
weights() { # FILE: all of them, a window's place a line
    "$NIBBLE" export "$1" --format text -o - | grep -E '^ +[0-9]+ +[0-9]+ +[0-9]+:'
}
[ "$(weights qround2/model.int.safetensors | wc -l)" -gt 200 ] || die "weights must be listed"
cmp <(weights t1/qround/model.int.safetensors) <(weights qround2/model.int.safetensors) || die "a step behind it changed the codes"
run 0 train plain.yaml --set out=rounded --quiet --set init=t1/qround/last.safetensors \
    --set 'train.phases=[{name: qat, epochs: 1, lr: 0.01, quant: on}]'
run 0 verify rounded/model.int.safetensors --from rounded/last.safetensors
run 0 quantize plain.yaml --from rounded/last.safetensors -o again --steps none # ranges begin anew
refuses 2 'quant.steps[0] adaround.iterations: 0: must be in 1..1000000' quantize plain.yaml --from float/last.safetensors -o no \
    --steps '[adaround: {iterations: 0}]'
refuses 2 'quant.steps: adaround: images: 500: there are 240 to look at' quantize plain.yaml --from float/last.safetensors -o no \
    --steps '[adaround: {images: 500}]'
refuses 2 'adaround: weights of b1.c1: format codebook has not every integer as a code; uniform, pow2 or fixed would do' \
    train plain.yaml --set out=no --set quant.weights.format=codebook --set 'quant.steps=[adaround]'
# ---- whole blocks: the same bytes at any number of threads, and integers that have them ----
block='[reconstruct: {iterations: 60, images: 100, batch: 16}]'
for n in 1 4; do
    cd "t$n"
    run 0 quantize ../plain.yaml --from ../float/last.safetensors -o qblock --threads $n --steps "$block"
    cd ..
    for file in last.safetensors model.int.safetensors; do
        cmp "t1/qblock/$file" "t$n/qblock/$file" || die "rounding of blocks depends on the number of threads"
    done
done
says 'reconstruct: 3 blocks over 100 images; error of what they give, mean of blocks, '
grep -qE '^b1 +yes +3 layers, [0-9.]+ % of weights to the other neighbour +[0-9.]+ +[0-9.]+$' out || die "what became of a block must be shown"
awk '/^reconstruct: /{ sub(/.*, loss /, ""); exit !($3 < $1) }' out || die "rounding of blocks gains nothing"
run 0 verify t1/qblock/model.int.safetensors --from t1/qblock/last.safetensors
run 0 quantize plain.yaml --from float/last.safetensors -o qblock2 --steps "${block%]}, reestimate_bn]"
cmp <(weights t1/qblock/model.int.safetensors) <(weights qblock2/model.int.safetensors) || die "a step behind it changed the codes"
run 0 train plain.yaml --set out=blocks --quiet --set init=t1/qblock/last.safetensors \
    --set 'train.phases=[{name: qat, epochs: 1, lr: 0.01, quant: on}]'
run 0 verify blocks/model.int.safetensors --from blocks/last.safetensors
refuses 2 'quant.steps[0] reconstruct.drop: 2: must be in 0..1' quantize plain.yaml --from float/last.safetensors -o no \
    --steps '[reconstruct: {drop: 2}]'
refuses 2 'reconstruct: weights of b1.c1: format codebook has not every integer as a code; uniform, pow2 or fixed would do' \
    train plain.yaml --set out=no --set quant.weights.format=codebook --set 'quant.steps=[reconstruct]'
# ---- killed among its steps, it goes on from there to the same bytes ----
mkdir resumed
cd resumed
killed() { # OUT [OPTION...]: until it could be killed with something kept
    local out=$1 try pid
    shift
    for ((try = 0; try < 60; try++)); do
        "$NIBBLE" quantize ../plain.yaml --from ../float/last.safetensors -o "$out" "$@" >/dev/null 2>&1 &
        pid=$!
        until [ -e "$out.steps.safetensors" ] || ! kill -0 $pid 2>/dev/null; do :; done
        kill -KILL $pid 2>/dev/null || true
        wait $pid 2>/dev/null || true
        [ ! -e "$out.steps.safetensors" ] || break
        rm -rf "$out"
    done
    [ -e "$out.steps.safetensors" ] || die "none of $try runs could be killed among the steps"
    [ ! -e "$out" ] || die "a killed run leaves a folder"
}
goes_on() { # OUT [OPTION...]
    local out=$1
    shift
    run 0 quantize ../plain.yaml --from ../float/last.safetensors -o "$out" "$@"
    says "$out.steps.safetensors: goes on from what an interrupted run has left"
    cmp "$out/last.safetensors" "../t1/$out/last.safetensors" || die "it did not go on to the same bytes"
    [ ! -e "$out.steps.safetensors" ] || die "what was kept must go when the run ends"
    rm -r "$out"
}
killed qr
goes_on qr
killed qr
refuses 2 'unknown step' quantize ../plain.yaml --from ../float/last.safetensors -o qr --steps '[no]'
goes_on qr
killed qblock --steps "$block"
goes_on qblock --steps "$block"
killed qr
at=$(LC_ALL=C grep -abo '"of":"' qr.steps.safetensors | cut -d: -f1)
byte=$(od -An -tu1 -j$((at + 8)) -N1 qr.steps.safetensors)
# shellcheck disable=SC2059
printf "\\$(printf '%03o' $((byte ^ 1)))" | dd of=qr.steps.safetensors bs=1 seek=$((at + 8)) conv=notrunc 2>/dev/null
refuses 1 '"crc32" out); or remove it, and the steps begin anew' quantize ../plain.yaml --from ../float/last.safetensors -o qr
cp ../float/last.safetensors qr.steps.safetensors # somebody's
refuses 1 'qr.steps.safetensors: ' quantize ../plain.yaml --from ../float/last.safetensors -o qr
cmp qr.steps.safetensors ../float/last.safetensors
cd ..

# ---- no image at all ----
activations='quant.activations={bits: 8}'
run 0 quantize plain.yaml --from float/last.safetensors -o free --data-free --set "$activations"
says 'ranges from no images'
says 'bias_correct: analytic, 4 of 5 layers'
says 'activations bn (8 bits)'
! grep -q 'what the steps gain' out || die "nothing can be measured without images"
grep -q '^  data_free: yes' free/config.yaml || die "the resolved config must say what --data-free said"
run 0 verify free/model.int.safetensors --from free/last.safetensors
run 0 quantize plain.yaml --from float/last.safetensors -o free2 --data-free # the config's range is ema: for those who have images
says 'activations bn (8 bits)'
refuses 2 'range: ema: needs images, and quant.data_free: yes says that there are none' quantize plain.yaml --from float/last.safetensors -o no --data-free \
    --set quant.activations.range=ema
refuses 2 '--images and --data-free exclude each other' quantize plain.yaml --from float/last.safetensors -o no --data-free --images 5
refuses 2 '--set quant.data_free=yes: quant.data_free: no image is looked at, so --images says nothing: leave it out, or take the images with --set quant.data_free=no' \
    quantize plain.yaml --from float/last.safetensors -o no --images 5 --set quant.data_free=yes
for step in adaround reestimate_bn reconstruct 'bias_correct: {mode: empirical}'; do # and both ways out are ways out
    refuses 2 "--steps $step: quant.steps[0]: ${step%%:*} looks at images, and --data-free (quant.data_free: yes) allows none: leave that out, or take steps that need none (--steps recommended, quant.steps: recommended)" \
        quantize plain.yaml --from float/last.safetensors -o no --data-free --steps "$step"
done
run 0 quantize plain.yaml --from float/last.safetensors -o free3 --data-free --steps recommended
cmp <(tensors free2/last.safetensors) <(tensors free3/last.safetensors) || die "the recommended steps are others by their name"
refuses 2 'adaround looks at images' analyze plain.yaml --from float/last.safetensors --set quant.data_free=yes --set quant.activations.range=bn \
    --set 'quant.steps=[adaround]'
# The data set need not be there: the same integers, and it is said what was not measured, and why.
away=(quantize plain.yaml --from float/last.safetensors --set 'data={name: fashion-mnist, path: away}')
why='away: holds neither train-images-idx3-ubyte nor train-images-idx3-ubyte.gz'
run 0 "${away[@]}" -o free4 --data-free
says "accuracy was not measured, there are no test images: $why"
says 'integers W4A8; ranges from no images'
for file in last model.int; do
    cmp <(tensors free2/$file.safetensors) <(tensors free4/$file.safetensors) || die "$file: other values without the data set"
done
run 0 info free4/model.int.safetensors --json
! grep -q accuracy out || die "nothing was measured"
run 0 "${away[@]}" -o free5 --data-free --json
says "\"images\":0,\"unmeasured\":\"$why"
! grep -q '"accuracy"' out || die "nothing was measured"
run 0 "${away[@]}" -o free6 --set quant.data_free=yes --set quant.activations.range=bn --set quant.simulate=yes --steps none
says 'quantized W4A8, simulated; ranges from no images'
refuses 1 "$why" "${away[@]}" -o no
refuses 2 'unknown data set' quantize plain.yaml --from float/last.safetensors -o no --data-free --set data.name=fashion # a mistake stays one
# Ranges may need no images where a step does: analyze does what quantize did.
needs=(plain.yaml --from float/last.safetensors --set quant.activations.range=bn --set 'quant.steps=[adaround: {iterations: 5}]')
run 0 quantize "${needs[@]}" -o needs
says 'ranges from no images'
run 0 analyze "${needs[@]}" --images 20
refuses 2 'quant.steps: must be a list of steps, [a, b: {key: value}], or recommended, or none' quantize plain.yaml \
    --from float/last.safetensors -o no --set quant.steps=some
refuses 2 "--steps '': quant.steps: must be a list" quantize plain.yaml --from float/last.safetensors -o no --steps ''
for steps in '[equalize, bias_corect]' 'equalize, bias_corect'; do # what is wrong there is no fault of the config's
    refuses 2 "--steps $steps: quant.steps[1]: bias_corect: unknown step (did you mean \"bias_correct\"?)" quantize plain.yaml \
        --from float/last.safetensors -o no --steps "$steps"
done
[ ! -e no ] || die "what is refused leaves a folder"

# ---- quantize, a step on either network, batch norms folded in every step ----
for n in 1 4; do
    cd "t$n"
    run 0 quantize ../steps.yaml --from ../float/last.safetensors -o q2 --threads $n --set 'quant.steps=[equalize, reestimate_bn: {images: 200}]' \
        --set quant.batchnorm=fold_corrected --set quant.weights.granularity=tensor
    cd ..
    says 'reestimate_bn: 4 batch norms over 200 images, then ranges again; statistics were off by up to '
    cmp t1/q2/last.safetensors "t$n/q2/last.safetensors" || die "statistics depend on the number of threads"
done
run 0 verify t1/q2/model.int.safetensors --from t1/q2/last.safetensors
run 0 train steps.yaml --set out=folded --quiet --set quant.batchnorm=fold_corrected --set quant.steps=[] --set train.phases.1.reestimate_bn=100
run 0 verify folded/model.int.safetensors --from folded/last.safetensors
run 0 eval folded/last.safetensors # by the same integers

# ---- train: once, before the first quantized phase ----
mkdir whole pieces
(cd whole && run 0 train ../steps.yaml && cp "$WORK/out" "$WORK/whole.out")
[ "$(grep -c '^equalize: ' whole.out)" = 1 ] || die "train must do the steps once"
awk '/^equalize: /{ at = NR } /^float +3/{ f = NR } /^qat +1/{ q = NR } END { exit !(f < at && at < q) }' whole.out ||
    die "train must do the steps between its phases"
run 0 train steps.yaml --set out=quiet --quiet
! grep -q '^equalize: ' out || die "--quiet shows the table at the end, no steps"
cmp <(tensors quiet/last.safetensors) <(tensors whole/run/last.safetensors)

cd pieces
seconds=$( (time -p "$NIBBLE" train ../steps.yaml --set out=timed >/dev/null) 2>&1 | awk '/^real/ { print $2 }')
killed=0
for ((try = 0; killed < 5; try++)); do
    [ "$try" -lt 100 ] || die "only $killed of $try runs could be killed in time"
    "$NIBBLE" train ../steps.yaml --resume >/dev/null 2>&1 &
    pid=$!
    sleep "$(awk -v s="$seconds" -v r="$RANDOM" 'BEGIN { print 0.1 * s + 0.4 * s * r / 32768 }')"
    kill -KILL "$pid" 2>/dev/null || true
    code=0
    wait "$pid" 2>/dev/null || code=$?
    case $code in
    137) killed=$((killed + 1)) ;;
    0)
        same_run run ../whole/run
        rm -r run
        ;;
    *) die "a killed run could not be resumed (exit code $code)" ;;
    esac
done
run 0 train ../steps.yaml --resume
same_run run ../whole/run
cd ..

# Resumed in the quantized phase, it is not done again; a network that comes quantized has been through it.
run 0 train steps.yaml --resume --set out=whole/run
! grep -q '^equalize: ' out || die "a finished run has done its steps"
run 0 train steps.yaml --set out=on --set init=q1/last.safetensors --set 'train.phases=[{name: qat, epochs: 1, lr: 0.01, quant: on}]'
! grep -q '^equalize: ' out || die "steps are not for a network that comes quantized"
run 0 train steps.yaml --set out=from --set init=float/last.safetensors --set 'train.phases=[{name: qat, epochs: 1, lr: 0.01, quant: on}]'
[ "$(grep -c '^equalize: ' out)" = 1 ] || die "a float network goes through the steps on its way into its first phase"
