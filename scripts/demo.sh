#!/usr/bin/env bash
# demo.sh - the demo: trains a W4A8 network on Fashion-MNIST, evaluates its integers on all test images, verifies them and
# writes a report.
#
# usage: scripts/demo.sh path/to/nibble
set -eu
nibble=$1
config=configs/fmnist-cnn.yaml
out=$(sed -n 's/^out: *\([^ #]*\).*/\1/p' "$config")
"$nibble" train "$config" --force # an earlier demo is moved aside
"$nibble" eval "$out/model.int.safetensors"
"$nibble" verify "$out/model.int.safetensors"
"$nibble" info "$out/model.int.safetensors"
"$nibble" report "$out"
echo
echo "The integers are in $out/model.int.safetensors; \`build/current/nibble export $out/model.int.safetensors -o model.txt\` lists them."
echo "Everything about the run on one page: $out/report.html"
