#!/usr/bin/env bash
# make.sh - writes the files of this folder: one checkpoint of each kind, as a build of today writes them. They are kept when
# formats change: tests/e2e/formats.sh reads them with every later build. A new version of a format adds files, replaces none.
#
# usage: tests/formats/make.sh NIBBLE FOLDER
set -eu
nibble=$1 out=$2
mkdir -p "$out"
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for config in "$here"/*.yaml; do
    name=$(basename "$config" .yaml)
    "$nibble" train "$config" --set "out=$work/$name" >/dev/null
    if [ -e "$work/$name/model.int.safetensors" ]; then
        cp "$work/$name/model.int.safetensors" "$out/$name.int.safetensors"
    fi
    cp "$work/$name/last.safetensors" "$out/$name.last.safetensors"
    cp "$work/$name/best.safetensors" "$out/$name.best.safetensors"
done
