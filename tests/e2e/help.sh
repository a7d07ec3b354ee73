#!/usr/bin/env bash
# help.sh - what help, messages and the pages of documentation name is there: commands, options, sections, keys.
# shellcheck disable=SC2016 # backquotes in messages are meant
set -eu
. tests/e2e/common.bash

run 0 help
commands=$(sed -n '/^usage/,/^A first/s/^  \([a-z]\{1,\}\) .*/\1/p' "$WORK/out" | grep -v '^help$')
[ "$(wc -w <<<"$commands")" -ge 10 ] || die "the overview lists the commands"
run 0
cp "$WORK/out" "$WORK/overview"
run 0 --help
cmp "$WORK/out" "$WORK/overview"
run 0 help help
cmp "$WORK/out" "$WORK/overview"
for word in --version -V version; do
    run 0 "$word"
    says 'nibble '
    [ "$(head -n 1 "$WORK/out" | wc -w)" = 2 ] || die "$word prints name and version first"
done
for c in $commands; do
    run 0 "$c" --help
    cp "$WORK/out" "$WORK/help.$c"
    run 0 help "$c"
    cmp "$WORK/out" "$WORK/help.$c"
    run 0 "$c" -h
    cmp "$WORK/out" "$WORK/help.$c"
    awk 'length > 160 { exit 1 }' "$WORK/help.$c" || die "$c --help has a line longer than 160 columns"
done
cat "$WORK"/help.* >"$WORK/help"
run 0 keys
cp "$WORK/out" "$WORK/keys"

# Everything that can be named by a word is found by it: tables, keys, sections, groups, paths.
sed -n 's/^\([a-z][a-z0-9_ -]*\) - .*/\1/p' "$WORK/keys" >"$WORK/names"
sed -n 's/^  \([a-z0-9_]*\) .*\(int\|float\|yes\/no\|word\|text\|any\) .*/\1/p' "$WORK/keys" >>"$WORK/names"
[ "$(wc -l <"$WORK/names")" -gt 80 ] || die "the tables and their keys are more than 80"
sort -u "$WORK/names" | while IFS= read -r name; do
    run 0 keys "$name"
done
for name in experiment data datasets augment layers model blocks quant formats ranges learnings train phases optimizers schedules batch \
    train.batch 'train.phases[0].lr' train.phases.1.schedule.gamma model.3.conv2d.out 'model[3].resblock.repeat' data.augment.0.crop.pad \
    quant.layers.b1.c1.weights.bits quant.activations.momentum train.optimizer.beta1 train.phases.0.oscillation.freeze train.teacher.share train.layers.lr train.lookahead.steps seed; do
    run 0 keys "$name"
    [ -s "$WORK/out" ] || die "keys $name prints nothing"
done
run 0 keys dampening
[ "$(wc -l <"$WORK/out")" = 2 ] || die "keys dampening: one title, one key"
says "share of the gradient that does not enter the momentum"
run 0 keys ranges
for name in minmax ema mse; do says "$name - "; done
run 0 keys formats
for name in uniform pow2 log odd; do says "$name - "; done
run 0 keys learnings
for name in none lsq lsqplus scale_zero tqt pact dorefa ttq codebook; do says "$name - "; done

# What texts tell a user to type works: `nibble keys X`, paths of keys, options.
strings() { # all string literals of the sources, glued where the compiler glues them
    grep -ohE '"([^"\\]|\\.)*"' src/*/*.c src/kernels/*/*.c layers/*.c datasets/*.c | sed 's/^"//; s/"$//'
}
strings >"$WORK/strings"
cat "$WORK/strings" "$WORK/help" "$WORK/keys" README.md docs/*.md CONTRIBUTING.md experiments/*/README.md >"$WORK/texts"
grep -ohE 'nibble keys [a-z_.0-9]+' "$WORK/texts" | sort -u | while read -r _ _ word; do
    run 0 keys "$word"
done
grep -ohE '`(nibble|build/current/nibble) [a-z]+' "$WORK/texts" | sort -u | while read -r _ word; do
    [ "$word" = help ] || grep -qx "$word" <<<"$commands" || die "nibble $word: there is no such command"
done
grep -ohE '\b(data|quant|train)\.[a-z_]+(\.[a-z_]+)*' "$WORK/strings" "$WORK/help" README.md docs/*.md | grep -vE '\.(safetensors|yaml|md|csv|bin|pkl|h|c)$' |
    grep -vE '^quant\.layers\.' | sort -u >"$WORK/paths"
[ "$(wc -l <"$WORK/paths")" -gt 8 ] || die "messages name keys by path"
while read -r path; do
    run 0 keys "$path"
done <"$WORK/paths"
sed -n 's/^  \(-[a-z], \)\{0,1\}\(--[a-z-]*\).*/\2/p' "$WORK/help" | sort -u >"$WORK/options"
[ "$(wc -l <"$WORK/options")" -gt 20 ] || die "there are more than 20 options"
{ cat "$WORK/help"; grep -hE '(current/|^\$ |`)nibble [a-z]' README.md docs/*.md experiments/*/README.md; grep -vE '^ *-|linker: |tf2onnx|var\(--' "$WORK/strings"; } |
    grep -ohE '(^|[ (`])--[a-z][a-z-]+' | tr -d ' (`' | sort -u >"$WORK/named"
grep -vxF -f "$WORK/options" "$WORK/named" >"$WORK/unknown" || true
! [ -s "$WORK/unknown" ] || die "no command has these options: $(tr '\n' ' ' <"$WORK/unknown")"
run 0 help sweep
grep -qF '`config` is relative to the sweep file; `out`, `starts` and `data.path` to where one stands.' "$WORK/out" || die "help sweep must say where its paths begin"
