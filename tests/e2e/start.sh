#!/usr/bin/env bash
# start.sh - the program bounds how long its threads wait unless the user has decided, keeps its name, and starts others with the user's
# environment.
set -eu
. tests/e2e/common.bash
ldd "$NIBBLE" | grep -q libgomp || { echo "not built with libgomp"; exit 77; }
[ -r /proc/self/environ ] || exit 77
unset OMP_WAIT_POLICY GOMP_SPINCOUNT OPENBLAS_NUM_THREADS OPENBLAS_CORETYPE NIBBLE_START
cp configs/synth-tiny.yaml "$WORK"
cd "$WORK"

# started VARIABLE=VALUE...: trains in the background, and leaves its environment in $WORK/environ and its words in $WORK/words
started() {
    rm -rf run
    env "$@" bash -c 'exec -a "$0" "$@"' my-nibble "$NIBBLE" train synth-tiny.yaml --set out=run --set data.count=20000 --quiet >out 2>err &
    local pid=$!
    for _ in $(seq 200); do
        [ -e run/config.yaml ] && break
        sleep 0.05
    done
    tr '\0' '\n' <"/proc/$pid/environ" >environ
    tr '\0' '\n' <"/proc/$pid/cmdline" >words
    kill -KILL $pid
    wait $pid 2>/dev/null || true
}

started A=1
grep -qxE 'GOMP_SPINCOUNT=(500|2000)' environ || die "waiting is not bounded"
[ "$(head -1 words)" = my-nibble ] || die "argv[0] is lost"
for said in GOMP_SPINCOUNT=7 OMP_WAIT_POLICY=active; do
    started $said
    grep -qx "$said" environ || die "$said is lost"
    ! grep -qxE 'GOMP_SPINCOUNT=(500|2000)' environ || die "overrides $said"
done

# An OpenBLAS that is older than the processor, and so took the kernels that every processor has, is told which to take; the user's word stands.
narrow=$(GOMP_SPINCOUNT=7 OPENBLAS_CORETYPE=Prescott "$NIBBLE" --version | grep -c "(Prescott), not used: too narrow" || true)
by_itself=$(env GOMP_SPINCOUNT=7 "$NIBBLE" --version | sed -n 's/.*BLAS: OpenBLAS [^ ]* (\([^)]*\)).*/\1/p')
if [ "$narrow" = 1 ]; then
    [ "$by_itself" != Prescott ] || die "an OpenBLAS that does not know this processor stays with kernels that are too narrow"
fi

# What is started from here (a Python that is asked for ONNX Runtime) sees none of it.
printf '#!/bin/sh\nenv >>%s/seen\nexit 1\n' "$WORK" >python
chmod +x python
run 0 train synth-tiny.yaml --set out=run2 --set data.count=256 --set train.phases.0.epochs=1 --set train.phases.1.epochs=1
"$NIBBLE" verify run2/model.int.safetensors --all --images 4 --python ./python >out 2>&1 || true
[ -s seen ] || die "verify --all did not start the python it was given"
! grep -E '^(GOMP_SPINCOUNT|NIBBLE_START|OPENBLAS_NUM_THREADS|OPENBLAS_CORETYPE)=' seen || die "what was set for itself is passed on"

# The dynamic linker in front, and a program that is gone by the time it starts itself again.
run 0 --version
for linker in /lib64/ld-linux-*.so.* /lib/ld-linux-*.so.*; do
    # those of other processors (cross compilers') cannot run here
    "$linker" --version >/dev/null 2>&1 || continue
    timeout 20 "$linker" "$NIBBLE" --version >out || die "does not start by way of $linker"
done
