#!/usr/bin/env bash
# verify_all.sh - every implementation of the integers in one table; compilers and programs that fail, hang, lie or are not there; nothing is left.
set -eu
. tests/e2e/common.bash
cd "$WORK"
small_config | sed 's/count: 240/count: 64/;s/epochs: 3/epochs: 1/;s/, freeze.*}/}/;s/, warmup: 0.5//' >tiny.yaml
run 0 train tiny.yaml --quiet
model=run/model.int.safetensors

# A PATH with what these scripts need and, one after the other, different compilers; a temporary folder with a name that a shell would act upon.
mkdir bin "tmp ;\$(touch pwned)"
for tool in timeout grep cat sed bash sh sleep head chmod as ld; do # as and ld: of gcc, which looks for them in PATH
    tool=$(command -v $tool) && ln -s "$tool" bin/
done
# tcc does in no time what is needed here; a gcc of ccache would look for the real one in PATH, which it is to be.
real=$(command -v tcc || PATH=/usr/bin:$PATH command -v gcc || true)
export PATH=$WORK/bin TMPDIR="$WORK/tmp ;\$(touch pwned)" NB_PYTHON=/nowhere/python
clean() {
    [ -z "$(cd "$TMPDIR" && echo *)" ] || [ "$(cd "$TMPDIR" && echo *)" = '*' ] || die "left behind: $(cd "$TMPDIR" && echo *)"
    [ ! -e pwned ] && [ ! -e "$root/pwned" ] || die "a path was run as a command"
}
compiler() { # NAME SCRIPT: in bin, until the next call
    rm -f bin/gcc bin/clang bin/cc
    printf '#!%s\n%s\n' "$WORK/bin/bash" "$2" >"bin/$1"
    chmod +x "bin/$1"
}
row() { # PATTERN of a line of the table
    grep -qE "$1" out || { cat out err >&2; die "no row: $1"; }
}
# rm is not in bin: it went into the shell before
rm() { command -p rm "$@"; }

# Nothing but the engine: rows say what is missing, which is no failure.
run 0 verify $model --all --images 30
row '^engine scalar, 1 thread  +30 +0 +0 +30 '
levels=$(grep -cE '^engine [a-z0-9]+, 1 thread +30 +0 +0 +30 ' out)
case $(grep -cE '^engine [a-z0-9]+, [0-9]+ threads +30 +0 +0 +30 ' out) in
0 | "$levels") ;; # none in a build without threads
*) die "a row for each level, on one and on several threads" ;;
esac
row '^C  .*not here: there is no gcc, clang or cc in PATH'
row '^ONNX Runtime  .*not here: /nowhere/python: no such program'
clean
run 0 verify run/last.safetensors --all --images 30 --json
says '"implementation":"engine scalar, 1 thread","images":30,"differing_logits":0'
clean

if [ -n "$real" ]; then
    compiler gcc "exec $real \"\$@\""
    run 0 verify $model --all
    row '^C, gcc -O0  +100 +0 +0 +100 '
    clean
    # One logit is wrong in every image.
    compiler clang "case \" \$* \" in *\" net.c \"*) sed 's/net_run(pixels, logits);/& logits[0] ^= 1;/;s/net_selftest(pixels, logits)/0/' main.c >bad.c
        exec $real \"\${@/main.c/bad.c}\";; esac; exec $real \"\$@\""
    run 1 verify $model --all --images 30
    row '^C, clang -O0  +30 +30 +1 '
    says "C, clang -O0: 30 of 120 logits are not the engine's"
    clean
    # It cannot do this network; it makes programs that hang, that write too little, that crash.
    compiler cc "case \" \$* \" in *\" net.c \"*) echo 'net.c:1: error: too hard' >&2; exit 1;; esac; exec $real \"\$@\""
    run 1 verify $model --all --images 30
    row '^C, cc -O3 .*failed: net.c:1: error: too hard'
    says "C, cc -O0: net.c:1: error: too hard"
    for last in 'sleep 100;no end after 1 s' ':;cannot open' 'kill -11 $$;ended by signal 11'; do
        compiler cc "case \" \$* \" in *\" net.c \"*) printf '#!%s\n%s\n' $WORK/bin/bash '${last%;*}' >program; chmod +x program; exit 0;; esac; exec $real \"\$@\""
        run 1 verify $model --all --images 30 --timeout 1
        row "^C, cc -O0 .*failed: .*${last##*;}"
        clean
    done
fi

# A compiler that is no use, and one that never comes back.
compiler gcc 'echo "gcc: error: broken" >&2; exit 1'
run 0 verify $model --all --images 30
row '^C, gcc -O0 .*not here: gcc: error: broken'
clean
compiler gcc 'sleep 1000'
run 0 verify $model --all --images 30 --timeout 1
row '^C, gcc -O0 .*not here: no end after 1 s'
[ "$(grep -c '^C, ' out)" = 1 ] || die "must not wait for a compiler that hangs a second time"
clean

# Ctrl-C while it hangs: the compiler ends, the folder goes.
"$NIBBLE" verify $model --all --images 30 >out 2>err &
nibble=$!
for _ in {1..200}; do
    [ ! -e "$TMPDIR"/nibble-*/stderr ] || break
    sleep 0.05
done
kill -TERM $nibble
code=0
wait $nibble || code=$?
[ $code = 1 ] || die "interrupted: exit code $code"
says "interrupted"
clean
rm -f bin/gcc

# ONNX Runtime, as a script plays it.
compiler python 'exit 1'
run 1 verify $model --all --images 30 --python /nowhere/python
says "ONNX Runtime: /nowhere/python: no such program"
run 1 verify $model --all --images 30 --python bin/python
says "bin/python: exit code 1"
compiler python 'echo "ModuleNotFoundError: No module named numpy" >&2; exit 1'
NB_PYTHON=bin/python run 0 verify $model --all --images 30
row '^ONNX Runtime .*not here: .*bin/python: ModuleNotFoundError: No module named numpy'
compiler python '[ "$1" = -c ] && exit; head -c 480 /dev/zero >logits.bin; echo 0.003 9.9.9 checked' # 30 images of 4 zeros
run 1 verify $model --all --images 30 --python bin/python
row '^ONNX Runtime 9.9.9, QDQ  +30 .*; checked$'
row '^ONNX Runtime 9.9.9, QLinearConv  +30 '
says "ONNX Runtime 9.9.9, QDQ: another first choice on"
NB_PYTHON=bin/python run 1 verify $model --all --images 31
row '^ONNX Runtime, QDQ  .*failed: wrote 480 bytes of logits, not 496'
clean

# Usage.
refuses 2 '--python is for --all' verify $model --python python3
refuses 2 '--timeout is for --all' verify $model --timeout 3
refuses 2 '--timeout: 0: must be in 1..1000000' verify $model --all --timeout 0
refuses 2 '--images: 0: must be a whole number from 1 on' verify $model --all --images 0
refuses 2 '--from is for layers' verify $model --all --from $model
refuses 2 'takes images of 12x12x3, the data set has 10x12x3' verify $model --all --set data.height=10
TMPDIR=/nowhere refuses 1 'a temporary folder cannot be made' verify $model --all
clean
