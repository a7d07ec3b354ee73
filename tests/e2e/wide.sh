#!/usr/bin/env bash
# wide.sh - wide float layers give the same bytes on 1, 2 and 4 threads, node by node, and after a kill and a resume, by OpenBLAS as by our
# own kernels; a BLAS with wrong products is said in one sentence and not used.
set -eu
. tests/e2e/common.bash
cd "$WORK"
cat >wide.yaml <<'END'
seed: 3
out: run
data: {name: synth, count: 64, test_count: 32, height: 16, width: 16, channels: 3, classes: 4}
model:
  - input
  - conv2d: {out: 64, kernel: 3, pad: 1, bias: no}
  - batchnorm
  - relu
  - conv2d: {out: 128, kernel: 3, pad: 1, stride: 2, bias: no}
  - batchnorm
  - relu
  - linear: {out: 96}
  - relu
  - linear: {out: 4}
train:
  batch: 16
  save_steps: 1
  optimizer: {name: sgd, momentum: 0.9}
  phases: [{name: float, epochs: 3, lr: 0.02, quant: off}]
END
! grep -q 'avx512' /proc/cpuinfo || export NB_CPU=avx2 # OPENBLAS_CORETYPE=Haswell, or what it finds: not narrower than our kernels

same() { # FOLDER: the same training as in one/run
    for file in last.safetensors metrics.csv; do
        cmp one/run/$file "$1/run/$file" || die "$file differs: $1"
    done
}
trained() { # FOLDER ARGUMENT...
    mkdir "$1"
    (cd "$1" && run 0 train ../wide.yaml "${@:2}")
}
trained one --threads 1
first=$(head -n 1 out)
for threads in 2 4; do
    trained t$threads --threads $threads
    same t$threads
done
trained nodes --reference
same nodes

mkdir killed
cd killed
"$NIBBLE" train ../wide.yaml >out 2>err &
pid=$!
for _ in $(seq 400); do
    [ -e run/last.safetensors ] && break
    sleep 0.02
done
kill -KILL $pid
wait $pid 2>/dev/null || true
run 0 train ../wide.yaml --resume
cd ..
same killed

"$NIBBLE" --version >version
grep -q "^threads: .*OpenMP" version || die "--version does not say what runs the threads"
[ "${first#threads: 1 }" = "$(sed -n 's/^threads: [0-9]* //p' version)" ] || die "the first line of train is not that of --version"
run 0 bench wide.yaml --steps 1 --threads 1
[ "$(head -n 1 out)" = "$first" ] || die "the first line of bench is not that of train"
grep -q OpenBLAS version || exit 0
cat >wrong.c <<'END'
void cblas_sgemm(int o, int ta, int tb, int m, int n, int k, float alpha, const float *a, int lda, const float *b, int ldb, float beta,
                 float *c, int ldc);
void cblas_sgemm(int o, int ta, int tb, int m, int n, int k, float alpha, const float *a, int lda, const float *b, int ldb, float beta,
                 float *c, int ldc)
{
    (void)o, (void)ta, (void)tb, (void)m, (void)n, (void)k, (void)alpha, (void)a, (void)lda, (void)b, (void)ldb, (void)beta, (void)ldc;
    c[0] = 1;
}
END
cc -shared -fPIC -o wrong.so wrong.c
mkdir wrong
(cd wrong && LD_PRELOAD=$WORK/wrong.so run 0 train ../wide.yaml)
[ "$(grep -c 'computes wrong products on this processor, so wide layers use' err)" = 1 ] || die "a wrong BLAS must be said once"
LD_PRELOAD=$WORK/wrong.so "$NIBBLE" --version | grep -q 'not used: its products are wrong' || die "--version must say it"
case $(uname -m) in x86_64)
    mkdir narrow
    (cd narrow && OPENBLAS_CORETYPE=Prescott run 0 train ../wide.yaml) # too narrow for these layers: our own kernels
    cmp narrow/run/last.safetensors wrong/run/last.safetensors || die "a wrong BLAS was used all the same"
    # an old OpenBLAS does not know a new processor and is too narrow there by itself
    [[ $(env -u OPENBLAS_CORETYPE "$NIBBLE" --version) == *Prescott* ]] || ! cmp -s narrow/run/last.safetensors one/run/last.safetensors ||
        die "OpenBLAS was never used" ;;
esac
