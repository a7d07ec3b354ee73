#!/usr/bin/env bash
# resume_first_epoch.sh - a run of one epoch a phase, with no checkpoint in between, is killed at every call that changes a file, and meets a
# full disk at every one that needs room. Whatever is left, it goes on and ends in the bytes of a run that nothing happened to: with
# --resume, and without it while there is no checkpoint yet.
# shellcheck disable=SC2015 # die does not return
set -eu
. tests/e2e/common.bash
[ "$(uname)" = Linux ] || exit 77
${CC:-cc} -shared -fPIC -O1 -o "$WORK/stop.so" tests/e2e/stop_at_call.c -ldl
if fast=$(mktemp -d /dev/shm/nibble.XXXXXX 2>/dev/null); then # every file is synced to disk: a thousand times here
    trap 'rm -rf "$fast"' EXIT
    cd "$fast"
else
    cd "$WORK"
fi
cat >tiny.yaml <<'END'
seed: 5
out: run
data: {name: synth, count: 32, test_count: 16, height: 8, width: 8, channels: 1, classes: 2}
model: [input, conv2d: {out: 4, kernel: 3, bias: no}, batchnorm, relu, avgpool: {global: yes}, linear: {out: 2}]
quant: {weights: {bits: 4}, activations: {bits: 8}}
train:
  batch: 16
  ema: 0.5
  save_steps: 0
  phases: [{name: float, epochs: 1, lr: 0.1}, {name: qat, epochs: 1, lr: 0.01, quant: on}]
END
export OMP_NUM_THREADS=1
mkdir whole
(cd whole && run 0 train ../tiny.yaml)
files="config.yaml last.safetensors best.safetensors phase-1-float.safetensors metrics.csv model.int.safetensors"

goes_on() { # HOW N: what stopped there is finished
    local file more=--resume
    # every other time as a user would who has seen that there is nothing yet
    [ -e run/last.safetensors ] || [ $(($2 % 2)) = 0 ] || more=--quiet
    if [ -e run ] && [ ! -e run/last.safetensors ]; then
        for file in best.safetensors phase-1-float.safetensors metrics.csv model.int.safetensors; do
            [ ! -e run/$file ] || die "$1 at call $2: $file is there before last.safetensors"
        done
        early=$((early + 1))
    fi
    run 0 train tiny.yaml $more
    for file in $files; do
        cmp "run/$file" "whole/run/$file" || die "$1 at call $2: $file differs"
    done
    file=$(find run -name '*.tmp.*' -o -name .nibble.lock)
    [ -z "$file" ] || die "$1 at call $2: $file is left"
    rm -r run
}

stopped() { # HOW N: its exit code
    local code=0
    # the shell's own line about a killed process is no news
    { LD_PRELOAD=$WORK/stop.so NB_STOP_AT=$2 NB_STOP_HOW=$1 NB_STOP_COUNT=count "$NIBBLE" train tiny.yaml --quiet >out 2>err || code=$?; } 2>/dev/null
    return $code
}

for how in kill full; do
    stops=0 early=0 n=1
    for (( ; ; n++)); do
        rm -f count
        code=0
        stopped $how $n || code=$?
        [ $code != 0 ] || { [ $how = full ] && [ "$n" -le "$(cat count)" ]; } || break # beyond the last call
        case $how$code in
        kill137) ;;
        full1)
            [ "$(grep -c '^nibble: ' err)" = 1 ] || die "a full disk at call $n: not one sentence: $(cat err)"
            [ -z "$(find . -name '*.tmp.*')" ] || die "a full disk at call $n left a temporary file"
            ;;
        full0) rm -r run; continue ;; # what failed did not matter
        *) die "$how at call $n: exit code $code: $(cat err)" ;;
        esac
        stops=$((stops + 1))
        goes_on $how $n
    done
    [ $stops -gt 20 ] && [ $early -gt 4 ] || die "$how: only $stops stops, $early of them early: $(cat count)"
    echo "$how: $stops stops in $n calls, $early before the first checkpoint"
    rm -rf run
done
