#!/usr/bin/env bash
# progress.sh - what training shows on a terminal: a line that never is wider than it, and a table that fits into 80 columns.
set -eu
. tests/e2e/common.bash
script -qec true /dev/null >/dev/null 2>&1 </dev/null || { echo "no script(1) that runs commands"; exit 77; }
cd "$WORK"
small_config | sed 's/{name: float, epochs: 3/{name: a-rather-long-name, epochs: 3/' >long.yaml
small_config >tiny.yaml

# shown SETUP CONFIG: every line that was drawn, one a line, without the blanks behind it
shown() {
    rm -rf run
    script -qec "$1; '$NIBBLE' train $2" /dev/null </dev/null >terminal || die "training on a terminal: exit $?"
    tr '\r' '\n' <terminal | sed 's/ *$//' | grep . >lines
}
widest() { # of the lines that were drawn over: the ones with "left"
    grep 'left' lines | awk '{ if (length > w) w = length } END { print w + 0 }'
}

for columns in 30 40 60 80 200; do
    shown "stty cols $columns" tiny.yaml
    grep -q 'epoch 1/3.*left' lines || die "$columns columns: no progress"
    [ "$(widest)" -lt "$columns" ] || die "$columns columns: a line of $(widest)"
    # nothing that is to be removed, blanks included, is wider than the terminal either
    grep -aoE ' {2,}' <(tr '\r' '\n' <terminal | grep -E '^ +$') | awk -v w="$columns" 'length >= w { exit 1 }' ||
        die "$columns columns: clears more than a line"
done
grep -q 'step .*images/s' lines || die "a wide terminal shows everything: $(grep left lines | head -n 1)"
shown "stty cols 60" long.yaml
[ "$(widest)" -lt 60 ] || die "60 columns and a long name: a line of $(widest)"
shown "stty cols 0; export COLUMNS=50" tiny.yaml
{ [ "$(widest)" -lt 50 ] && [ "$(widest)" -gt 30 ]; } || die "COLUMNS=50 of a terminal without a size: $(widest)"
shown "stty cols 0; unset COLUMNS" tiny.yaml
[ "$(widest)" -lt 80 ] || die "no size at all is 80 columns: $(widest)"

# The table of epochs: one head, a line per epoch, no wider than 80 columns; the same where there is no terminal.
rm -rf run
run 0 train tiny.yaml
[ ! -s err ] || die "without a terminal there is no progress line: $(<err)"
[ "$(grep -c '^phase  epoch  .*eval %' out)" = 1 ] || die "the table has one head"
[ "$(grep -cE '^(float|qat)  +[123]/3  +' out)" = 6 ] || die "the table has a line per epoch"
grep -E "^(phase|float|qat) " out | awk 'length > 80 { exit 1 }' || die "a line of the table is wider than 80 columns"
grep -E '^(float|qat) +[0-9]+/' out | awk '{ print $1, $2, $5, $7 }' >seen
awk -F, 'NR > 1 { printf "%s %d/3 %.2f %.2f\n", $2, $4, 100 * $7, 100 * $9 }' run/metrics.csv >wanted
diff wanted seen || die "the table shows what metrics.csv holds"
