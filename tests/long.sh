#!/usr/bin/env bash
# long.sh - what `make test` has no time for: before a release, or after a change that a part below is about.
# A part is a function of its name and a word in `all`; one that cannot run here says so.
#
# usage: tests/long.sh [PART...]        all of them without arguments
#   NETWORKS=2000 FUZZ_SECONDS=60 SUITES="bookworm trixie forky" PYTHON=python3 in the environment
# shellcheck disable=SC2086 # MAKE and all are words
set -u
all="networks shipped exported optimized threads sanitizers fuzz python arm emulated mcu fresh"
export NB_QUIET=1 NB_TIMEOUT=${NB_TIMEOUT:-36000}
count=${NETWORKS:-2000}
for name in "$@"; do
    case " $all " in *" $name "*) ;; *)
        echo "long.sh: $name: no such part, there are: $all" >&2
        exit 2
        ;;
    esac
done
. tests/parts.bash
b=$($MAKE -s CC=gcc print-B)

networks() {
    NB_TEST_NETWORKS=$count part "$count random networks, engine, interpreter and graph; fused and not" \
        $MAKE CC=gcc check-fast TESTS="$b/tests/prop/test_networks $b/tests/prop/test_fusion"
    NB_TEST_NETWORKS=20 part "the damaged layer of 20 random networks" $MAKE CC=gcc check-fast TESTS="$b/tests/prop/test_blame"
}
shipped() {
    RUN_SECONDS=600 NB_NETWORKS=all part "the networks in configs/, large ones as well" $MAKE CC=gcc check-e2e E2E=tests/e2e/networks.sh
}
exported() {
    NB_TEST_NETWORKS=$count NB_TEST_CC="gcc -std=c99 -O2 -Wall -Wextra" part "$count random networks as C, gcc -O2" \
        $MAKE CC=gcc check-fast TESTS="$b/tests/prop/test_exported_c"
}
optimized() { # make test has clang's -O1
    if links clang; then
        part "unit and property tests, clang -O3" $MAKE CC=clang products check-fast
    else
        leave_out "unit and property tests, clang -O3" "there is no clang here"
    fi
}
threads() {
    OMP_NUM_THREADS=4 part "all unit and property tests on 4 threads, gcc, TSan" $MAKE CC=gcc SAN=thread check-fast
}
sanitizers() {
    local san="CC=clang SAN=address,undefined OMP=0"
    if links clang -fsanitize=address,undefined; then
        part "unit and property tests, clang, ASan and UBSan" $MAKE $san check-fast
        part "fuzz corpus, clang, ASan and UBSan" $MAKE $san fuzz-replay
    else
        leave_out "unit and property tests and fuzz corpus, clang, ASan and UBSan" "there is no clang with these sanitizers here"
    fi
}
fuzz() {
    if command -v clang >/dev/null; then
        part "fuzz targets, ${FUZZ_SECONDS:-60} s each" $MAKE FUZZ_SECONDS="${FUZZ_SECONDS:-60}" fuzz
    else
        leave_out "fuzz targets" "there is no clang here"
    fi
}
has() { # MODULE...: of PYTHON
    "${PYTHON:-python3}" -c "import $(echo "$*" | tr ' ' ',')" 2>/dev/null
}
python() {
    if has onnx onnxruntime; then
        part "random networks in ONNX Runtime" $MAKE CC=gcc PYTHON="${PYTHON:-python3}" check-onnx
    else
        leave_out "random networks in ONNX Runtime" "${PYTHON:-python3} has no onnx and onnxruntime (PYTHON=...)"
    fi
    if has ai_edge_litert; then
        part "random networks in LiteRT" $MAKE CC=gcc PYTHON="${PYTHON:-python3}" check-tflite
    else
        leave_out "random networks in LiteRT" "${PYTHON:-python3} has no ai_edge_litert (PYTHON=...)"
    fi
    if has torch onnx safetensors; then
        part "networks of PyTorch through import" $MAKE CC=gcc PYTHON="${PYTHON:-python3}" check-import
    else
        leave_out "networks of PyTorch through import" "${PYTHON:-python3} has no torch, onnx and safetensors (PYTHON=...)"
    fi
    if has tensorboard; then
        part "event files in TensorBoard" $MAKE CC=gcc PYTHON="${PYTHON:-python3}" check-e2e E2E=tests/e2e/tensorboard.sh
    else
        leave_out "event files in TensorBoard" "${PYTHON:-python3} has no tensorboard (PYTHON=...)"
    fi
}
arm() {
    if command -v aarch64-linux-gnu-gcc >/dev/null; then
        part "kernels for aarch64" $MAKE check-arm
    else
        leave_out "kernels for aarch64" "see tests/emulated/README.md for what is needed"
    fi
}
emulated() {
    if command -v "${BOCHS:-bochs}" >/dev/null; then
        part "kernels on emulated processors" $MAKE CC=gcc check-emulated
    else
        leave_out "kernels on emulated processors" "see tests/emulated/README.md for what is needed"
    fi
}
mcu() {
    if command -v arm-none-eabi-gcc >/dev/null && command -v qemu-system-arm >/dev/null; then
        part "networks on microcontrollers" $MAKE CC=gcc check-mcu
    else
        leave_out "networks on microcontrollers" "needs gcc-arm-none-eabi and qemu-system-arm"
    fi
}
fresh() {
    local suite
    for suite in ${SUITES:-bookworm trixie forky}; do
        if [ "$(id -u)" = 0 ] && command -v debootstrap >/dev/null; then
            part "a fresh machine: $suite" tests/fresh.sh "$suite"
        else
            leave_out "a fresh machine: $suite" "needs root and debootstrap"
        fi
    done
}

[ $# -gt 0 ] || set -- $all # words
for name in "$@"; do
    "$name"
done
sum_up
