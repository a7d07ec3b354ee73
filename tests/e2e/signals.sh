#!/usr/bin/env bash
# signals.sh - whatever asks a command to end: training saves first, other commands end with a sentence, and no temporary file is left.
# Nothing here depends on how long something takes: training goes on until it is asked, and what must come first is waited for.
# shellcheck disable=SC2015,SC2016,SC2094 # die does not return; a compiler here is a script in quotes; a pipe is read and written
set -eu
. tests/e2e/common.bash
cc=$(command -v gcc || command -v clang || command -v cc) || exit 77
"$cc" -shared -fPIC -o "$WORK/broken_calls.so" tests/e2e/broken_calls.c -ldl
cd "$WORK"
small_config | sed 's/epochs: 3/epochs: 1/;s/, freeze.*}/}/;s/, warmup: 0.5//' >tiny.yaml
endless=(--set train.phases.0.epochs=1000000 --set train.save_steps=0)
set -m # so that background jobs do not ignore SIGINT
temporaries() {
    find . -name '*.tmp.*'
}
wait_for_rows() { # FOLDER N: until metrics.csv has so many lines
    for ((try = 0; try < 6000; try++)); do
        [ -e "$1/metrics.csv" ] && [ "$(wc -l <"$1/metrics.csv")" -ge "$2" ] && return
        sleep 0.01
    done
    die "$1: no epoch ends"
}
saved() { # WHO: what was asked to end has saved
    code=0
    wait "$pid" || code=$?
    [ "$code" = 1 ] && [ "$(grep -c '^nibble: ' err)" = 1 ] || die "$1: exit $code: $(cat err)"
    grep -q 'interrupted in phase float.*saved; continue with --resume' err || die "$1: no sentence: $(cat err)"
    [ -s asked/last.safetensors ] && [ -z "$(temporaries)" ] || die "$1: $(find asked)"
    rm -r asked
}
begin() { # training in the background until it is asked
    "$NIBBLE" train tiny.yaml "${endless[@]}" --set out=asked >"${1:-/dev/null}" 2>err </dev/null &
    pid=$!
}

# ---- training is asked to end ----
for signal in INT TERM HUP XCPU; do
    begin
    wait_for_rows asked 2
    kill -$signal $pid
    saved $signal
done
# One that comes twice, from two sides, is one.
for twice in 'TERM TERM' 'HUP HUP' 'TERM HUP' 'INT TERM'; do
    begin
    wait_for_rows asked 2
    kill -"${twice% *}" $pid
    kill -"${twice#* }" $pid 2>/dev/null || true
    saved "$twice"
done
# What was ignored when it began stays ignored: nohup, and jobs of a script that Ctrl-C is not meant for.
for signal in HUP INT; do
    trap '' $signal
    begin
    trap - $signal
    wait_for_rows asked 2
    kill -$signal $pid
    wait_for_rows asked $(($(wc -l <asked/metrics.csv) + 3))
    kill -TERM $pid
    saved "ignored $signal"
done

# ---- nobody reads what it prints any more ----
mkfifo pipe
begin pipe
head -n 1 pipe >/dev/null
wait_for_rows asked $(($(wc -l <asked/metrics.csv) + 3)) # it prints every epoch: the pipe is broken, and training goes on
kill -INT $pid
saved 'train | tee, Ctrl-C'
run 0 train tiny.yaml --quiet
exec 5<>pipe 6>pipe 5>&- # 6: a pipe that nobody reads
mkdir unread
code=0
(cd unread && exec "$NIBBLE" train ../tiny.yaml >&6 2>../err) || code=$?
[ "$code" = 1 ] && [ "$(cat err)" = 'nibble: standard output could not be written' ] || die "unread: exit $code, $(cat err)"
same_run run unread/run
code=0
"$NIBBLE" keys >&6 2>err || code=$?
[ "$code" = 141 ] && [ ! -s err ] || die "keys | head must end as other programs do: exit $code: $(cat err)"

# ---- a limit on file sizes: with the signal that comes with it ----
limited() {
    (
        ulimit -f 1
        code=0
        "$NIBBLE" "$@" >/dev/null 2>err || code=$?
        [ "$code" = 1 ] && [ "$(grep -c '^nibble: .*: cannot write: File too large' err)" = 1 ] || die "$*: exit $code: $(cat err)"
    )
    [ -z "$(temporaries)" ] || die "$*: left $(temporaries)"
}
limited export run/model.int.safetensors -o listing.txt
limited train tiny.yaml --quiet --set out=limited
limited quantize tiny.yaml --from run/last.safetensors -o limited-ptq --images 64
[ ! -e listing.txt ] && [ ! -e limited/last.safetensors ] || die "a part of a file is there"

# ---- a signal while a file is being written ----
broken() { # CALL AT DO ARGS...: exit code in code
    local call=$1 at=$2 todo=$3
    shift 3
    code=0
    # in the background: a shell ends itself when what it waits for was ended by SIGINT
    LD_PRELOAD=$WORK/broken_calls.so CALL=$call AT=$at DO=$todo "$NIBBLE" "$@" >out 2>err </dev/null &
    wait $! 2>/dev/null || code=$?
}
run 0 export run/model.int.safetensors -o listing.txt # what is written over is a listing, too
echo precious >>listing.txt
cp listing.txt before.txt
for signal in 1 2 3 10 13 15; do
    broken fsync 1 $signal export run/model.int.safetensors -o listing.txt
    [ "$code" = $((128 + signal)) ] || die "signal $signal: exit $code: $(cat err)"
    [ -z "$(temporaries)" ] && cmp -s listing.txt before.txt || die "signal $signal: $(temporaries)"
    [ $signal = 13 ] || grep -qx 'nibble: ended by SIG[A-Z0-9]*; no file is left half written' err || die "signal $signal: $(cat err)"
done
broken fsync 2 15 export run/model.int.safetensors --format c -o net.c # the second of two
[ "$code" = 143 ] && [ -z "$(temporaries)" ] && [ ! -e net.c ] && [ ! -e net.h ] || die "two files: exit $code, $(ls)"
broken rename 2 15 export run/model.int.safetensors --format c -o net.c # between the renames: afterwards
[ "$code" = 143 ] && [ -z "$(temporaries)" ] && [ -s net.c ] && [ -s net.h ] || die "two files: exit $code, $(ls)"
broken fsync 2 15 quantize tiny.yaml --from run/last.safetensors -o ptq --images 64 --steps none # neither files nor the folder's lock
[ "$code" = 143 ] && [ -z "$(find ptq -type f)" ] || die "quantize: exit $code, $(find ptq)"
# Training, in the middle of a checkpoint: that one is finished, and then it saves.
broken fsync 4 '15 15 1' train tiny.yaml --quiet "${endless[@]}" --set out=middle
[ "$code" = 1 ] && grep -q 'saved; continue with --resume' err && [ -z "$(temporaries)" ] || die "a signal in a checkpoint: exit $code, $(cat err)"

# ---- verify --all: interrupted from within, by the compiler it started ----
exec 7>out
mkdir bin tmp
for tool in sleep true; do
    ln -s "$(command -v $tool)" bin/$tool
done
compiler() {
    printf '#!%s\n%s\n' "$BASH" "$1" >bin/gcc
    chmod +x bin/gcc
}
verify() { # [DESCRIPTOR]: of its output; sets code
    code=0
    # shellcheck disable=SC2030,SC2031
    (export PATH=$WORK/bin TMPDIR=$WORK/tmp NB_PYTHON=/nowhere/python; exec "$NIBBLE" verify run/model.int.safetensors --all --images 20) 1>&"${1:-7}" 2>err </dev/null || code=$?
    [ -z "$(ls -A tmp)" ] || die "left in the temporary folder: $(find tmp)"
}
for signals in TERM 'TERM HUP TERM'; do
    compiler "for s in $signals; do kill -\$s \$PPID; done; sleep 100"
    verify
    [ "$code" = 1 ] && [ "$(cat err)" = 'nibble: interrupted' ] || die "$signals: exit $code: $(cat err)"
done
# Children of the compiler that go on writing, while it is stopped and after it has ended: they end, too.
child="(echo \$BASHPID >>$WORK/child; while :; do echo >f\$RANDOM; done) & until [ -s $WORK/child ]; do sleep 0.01; done;"
gone() { # EXIT CODE
    [ "$code" = "$1" ] || die "exit $code: $(cat err)"
    while read -r left; do
        for ((try = 0; try < 1000; try++)); do # a killed one may still be there, or wait for its parent
            [ -e "/proc/$left" ] && ! grep -q '^State:.Z' "/proc/$left/status" 2>/dev/null || continue 2
            sleep 0.01
        done
        kill -KILL "$left"
        die "a child of the compiler goes on"
    done <child
    rm child
}
compiler "$child kill -INT \$PPID; wait"
verify
gone 1
compiler "$child exit 1"
verify
gone 0
rm bin/gcc
verify 6
[ "$code" = 1 ] || die "verify --all into a pipe nobody reads: exit $code: $(cat err)"
