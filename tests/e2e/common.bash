# common.bash - what the end-to-end scripts share; sourced. Needs NIBBLE (the tool) and WORK (an empty folder).
: "${NIBBLE:?the tool to test}" "${WORK:?an empty folder}"
root=$PWD
export OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-passive} # threads that spin would measure each other on a busy machine

die() {
    echo "not ok - $*" >&2
    exit 1
}

# run CODE ARGS...: runs the tool; it must exit with CODE. Output in $WORK/out and $WORK/err.
run() {
    local want=$1 code=0
    shift
    timeout "${RUN_SECONDS:-60}" "$NIBBLE" "$@" >"$WORK/out" 2>"$WORK/err" </dev/null || code=$?
    [ "$code" = "$want" ] || {
        cat "$WORK/out" "$WORK/err" >&2
        die "nibble $*: exit $code, must be $want"
    }
    # an error is one sentence, and no sanitizer has anything to say
    if [ "$code" != 0 ] && [ "$(grep -c '^nibble: ' "$WORK/err")" != 1 ]; then
        cat "$WORK/err" >&2
        die "nibble $*: must print exactly one sentence"
    fi
    ! grep -qE 'Sanitizer|runtime error' "$WORK/err" || { cat "$WORK/err" >&2; die "nibble $*: sanitizer report"; }
}

# refuses CODE TEXT ARGS...: as run, and all there is to see is one line on stderr, with TEXT in it.
refuses() {
    local want=$1 text=$2 said
    shift 2
    run "$want" "$@"
    said=$(<"$WORK/err")
    [[ $said == "nibble: "*"$text"* && $said != *$'\n'* && ! -s $WORK/out ]] || {
        cat "$WORK/out" "$WORK/err" >&2
        die "nibble $*: must print one line that says: $text"
    }
}

sums() { # FOLDER: a checksum of every file in it
    (cd "$1" && find . -type f -exec cksum {} + | sort)
}

tensors() { # FILE: of a safetensors file, what stands behind the header, in which folders have their names
    tail -c +$((9 + $(od -An -tu4 -N4 "$1"))) "$1"
}

says() { # TEXT in what was printed last
    grep -qF -- "$1" "$WORK/out" "$WORK/err" || {
        cat "$WORK/out" "$WORK/err" >&2
        die "does not say: $1"
    }
}

same_run() { # FOLDER FOLDER: equal bytes in everything a run leaves but config.yaml (which names its folder) and times
    for file in last.safetensors best.safetensors metrics.csv ranges.csv model.int.safetensors; do
        cmp "$1/$file" "$2/$file" || die "$file differs between $1 and $2"
    done
}

# A config of a second: a residual network on small synthetic images, 7 float and 7 quantized steps an epoch.
small_config() {
    cat <<'END'
seed: 5
out: run
data: {name: synth, count: 240, test_count: 100, height: 12, width: 12, channels: 3, classes: 4, augment: [crop2, flip]}
model:
  - input
  - conv2d: {name: c1, out: 8, kernel: 3, pad: 1, bias: no}
  - batchnorm
  - relu
  - resblock: {name: b1, out: 12, stride: 2}
  - avgpool: {global: yes}
  - linear: {name: fc, out: 4}
quant:
  weights: {bits: 4}
  activations: {bits: 8, scheme: asymmetric, range: ema}
train:
  batch: 32
  ema: 0.9
  save_steps: 2
  optimizer: {name: sgd, momentum: 0.9, nesterov: yes, weight_decay: 1.0e-4, clip: 5}
  phases:
    - {name: float, epochs: 3, lr: 0.1, warmup: 0.5, schedule: cosine}
    - {name: qat, epochs: 3, lr: 0.02, schedule: cosine, quant: on, freeze_bn_at: 2, freeze_ranges_at: 2}
END
}
