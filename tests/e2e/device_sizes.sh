#!/usr/bin/env bash
# device_sizes.sh - flash, RAM and multiply-accumulates that info shows of a config are those of the header after training; what export says.
set -eu
. tests/e2e/common.bash
cd "$WORK"
small_config >tiny.yaml

stated() { # NAME of the header written last
    sed -n "s/^#define NET_$1  *\([0-9]*\) .*/\1/p" net.h
}
member() { # NAME of the JSON printed last
    grep -oE "\"$1\":[a-z0-9]+" out | head -n 1 | cut -d: -f2
}
short=(--set train.phases.0.epochs=1 --set train.phases.1.epochs=1 --set train.phases.1.freeze_bn_at=-1 --set train.phases.1.freeze_ranges_at=-1)
agrees() { # ARGUMENTS of info and train
    local flash ram macs
    rm -rf run
    run 0 info tiny.yaml "${short[@]}" "$@" --json
    flash=$(member flash_bytes) ram=$(member ram_bytes) macs=$(member exported_macs)
    [ "$(member flash_settled)" = true ] || die "$*: is settled"
    run 0 train tiny.yaml "${short[@]}" "$@" --quiet
    run 0 export run -o net.c
    says "net.c, net.h: $flash bytes of flash (constants, without code), $ram bytes of RAM, $macs multiply-accumulates per image"
    [ "$flash $ram" = "$(stated FLASH_BYTES) $(stated RAM_BYTES)" ] ||
        die "$*: info says $flash and $ram bytes, the header $(stated FLASH_BYTES) and $(stated RAM_BYTES)"
    grep -qF "$macs multiply-accumulates per image" net.c || die "$*: net.c counts other multiply-accumulates than $macs"
    run 0 info run --json
    [ "$flash $ram $macs" = "$(member flash_bytes) $(member ram_bytes) $(member exported_macs)" ] || die "$*: info of the run says else"
}
agrees
agrees --set quant.weights.bits=3 --set quant.first_last_bits=0
agrees --set quant.weights.bits=2 --set quant.activations.bits=4 --set quant.batchnorm=fold
agrees --set quant.weights.format=log --set quant.output_bits=8

# For people, beside the engine's; a float checkpoint is quantized as its config says.
run 0 info run
says "integer engine, one image"
grep -qE '^  flash +[0-9]+ bytes of constants' out || die "info must show the flash"
flash=$(stated FLASH_BYTES)
run 0 info run/phase-1-float.safetensors --json
[ "$(member flash_bytes)" = "$flash" ] || die "a float checkpoint has the flash of its config"

# Where figures depend on the weights, or there are none, that is said.
run 0 info tiny.yaml --set quant.weights.scheme=asymmetric
grep -qE '^  flash +about [0-9]+ bytes' out || die "an asymmetric grid is not settled"
run 0 info tiny.yaml --set 'quant.weights={format: fp8_e4m3}' --json
says '"not_exported":"the network is simulated in floats'
! grep -q flash_bytes out || die "what is simulated has no flash"
refuses 2 "quant: output_bits: 0: must be 1..8 (e.g. 8), as the network's output, add1, is neither a conv nor a linear layer" \
    info tiny.yaml --set 'model=[input, conv2d: {name: c, out: 4, kernel: 12}, conv2d: {name: d, out: 4, kernel: 1}, add: {in: [c, d]}]'
run 0 export run -o list.txt
[ "$(cat out)" = list.txt ] || die "a listing has no flash"
