#!/usr/bin/env bash
# mlperf_audio.sh - MLPerf Tiny's audio networks: as many parameters as the reference, trained on a little that tests make, down to
# C that gives the engine's bits. The autoencoder tells planted anomalies; the keyword network words.
set -eu
. tests/e2e/common.bash
cc=${CC:-cc}
command -v "${cc%% *}" >/dev/null || exit 77
$cc -std=c11 -O1 -Itests tests/e2e/npy_data.c tests/ref/npy_writer.c -o "$WORK/npy_data"
cd "$WORK"
mkdir kws ad && ./npy_data keywords kws 480 120 && ./npy_data sounds ad 1200 300
parameters() { grep -oE '^all +[0-9]+' out | grep -oE '[0-9]+'; }
number() { sed "s/.*\"$1\":\([-+0-9.e]*\).*/\1/" out; } # of the JSON printed last
above() { awk -v a="$1" -v b="$2" 'BEGIN { exit !(a >= b) }' || die "$3: $1 is less than $2"; }

# ---- the autoencoder ----
run 0 info "$root/configs/autoencoder-ad.yaml" --set data.path=ad
says "1x640x1 features, reconstructed"
[ "$(parameters)" = 267928 ] || die "the autoencoder has $(parameters) parameters to train, must be 269,992 - 2 * 1032"
run 0 train "$root/configs/autoencoder-ad.yaml" --set data.path=ad --set out=ad/run --set train.batch=64 \
    --set 'train.phases=[{name: float, epochs: 5, lr: 0.003, schedule: cosine}, {name: qat, epochs: 1, lr: 0.0005, quant: on}]'
says "test AUC "
run 0 eval ad/run/model.int.safetensors --json
auc=$(number AUC)
above "$auc" 0.85 "the AUC of planted anomalies"
run 0 eval ad/run/last.safetensors --json
[ "$(number AUC)" = "$auc" ] || die "the checkpoint's integers have another AUC"
run 0 eval ad/run/last.safetensors --split train
says "explained " # where nothing is an anomaly
refuses 2 "reconstructs its input and names no classes" eval ad/run/last.safetensors --classes
run 0 info ad/run/model.int.safetensors
says "1x640x1 features, reconstructed"
run 0 verify ad/run/model.int.safetensors
refuses 1 "what quantizers cost is told from logits of classes" analyze ad/run/last.safetensors
run 0 report ad/run
grep -q 'AUC [0-9.]* % on 300 test samples' ad/run/report.html || die "the report must say AUC"
run 0 run ad/run/model.int.safetensors ad/x_test.npy
awk '/anomaly score/ { print $3 }' out >scores
[ "$(wc -l <scores)" = 300 ] || die "300 samples have 300 scores"
run 0 run ad/run/model.int.safetensors ad/x_test.npy --json
[ "$(grep -o '"score"' out | wc -l)" = 300 ] || die "300 samples have 300 scores in JSON, too"
run 0 quantize "$root/configs/autoencoder-ad.yaml" --set data.path=ad --from ad/run/phase-1-float.safetensors --output ad/post --images 64
says "AUC %"
run 0 compare ad/run ad/post
says "AUC %"

run 0 export ad/run/model.int.safetensors -o ad/net.c
cat >main.c <<'END'
#include "net.h"
#include <stdio.h>
int main(int argc, char **argv)
{
    static float x[NET_INPUT_BYTES];
    static uint8_t codes[NET_INPUT_BYTES];
    static int32_t logits[NET_CLASSES];
    FILE *f = fopen(argv[argc - 1], "rb");
    if (net_selftest(codes, logits) != 0 || !f || fseek(f, 128, SEEK_SET) != 0)
        return 1;
    while (fread(x, sizeof x, 1, f) == 1) {
        net_features(x, codes);
        net_run(codes, logits);
        SAY;
    }
    return 0;
}
END
$cc -std=c99 -Wall -Wextra -Wpedantic -Werror -Iad '-DSAY=printf("%.6g\n",net_score(codes,logits))' main.c ad/net.c -o ad/net
./ad/net ad/x_test.npy >answers
paste scores answers | awk '{ d = $1 - $2; if (d > 1e-4 * $1 || -d > 1e-4 * $1) exit 1 }' || die "the exported program scores otherwise"

# ---- the keyword network ----
run 0 info "$root/configs/ds-cnn-kws.yaml" --set data.path=kws
[ "$(parameters)" = 23756 ] || die "the DS-CNN has $(parameters) parameters to train, must be 24,908 - 2 * 576"
run 0 train "$root/configs/ds-cnn-kws.yaml" --set data.path=kws --set out=kws/run --set train.batch=32 \
    --set 'train.phases=[{name: float, epochs: 3, lr: 0.005, schedule: cosine}, {name: qat, epochs: 1, lr: 0.0005, quant: on}]'
run 0 eval kws/run/model.int.safetensors --json
above "$(number accuracy)" 0.5 "the accuracy of 12 words"
run 0 run kws/run/model.int.safetensors kws/x_test.npy
awk '/^kws/ { getline; print $3 }' out >said
run 0 export kws/run/model.int.safetensors -o kws/net.c
$cc -std=c99 -Wall -Wextra -Wpedantic -Werror -Ikws '-DSAY=printf("%d\n",(int)net_argmax(logits))' main.c kws/net.c -o kws/net
./kws/net kws/x_test.npy >answers
cmp said answers || die "the exported program answers otherwise"
