#!/usr/bin/env bash
# demo.sh - the demo: trains a W4A8 network on Fashion-MNIST, evaluates its integers and verifies them.
#
# usage: scripts/demo.sh path/to/nibble
set -eu
nibble=$1
config=configs/fmnist-cnn.yaml
out=$(sed -n 's/^out: *//p' "$config")
"$nibble" train "$config"
"$nibble" eval "$out/model.int.safetensors"
"$nibble" verify "$out/last.safetensors"
