#!/usr/bin/env bash
# networks.sh - every network in configs/ has the parameters and multiply-accumulates that are published of it, known without its
# data, and goes through ten training steps, float and W4A8, to integers, verify, and C that gives the engine's logits.
# Large ones, and ResNet-32 and -56, whose blocks are ResNet-20's, only with NB_NETWORKS=all (make test-long PARTS=shipped).
set -eu
. tests/e2e/common.bash
cc=${CC:-cc}
command -v "${cc%% *}" >/dev/null || exit 77
cd "$WORK"

# name, parameters, multiply-accumulates as published, what they count beyond ours (of either), size, source.
# Ours are what is trained: batch norms count gamma and beta. TV: torchvision 0.29's model of this name, its parameters and what
# torch.utils.flop_counter says of its convolutions and matrices; TV/32 with a 3x3 stem, no pool, 10 classes. CP: chenyaofo's
# pytorch-cifar-models. BP: the layers of BNN-PYNQ's networks in Brevitas. MT: MLPerf Tiny v1.0's reference (Keras' total).
table() {
    cat <<'END'
autoencoder-ad              269992    0.26M       2064       0       counts  MT; 1032 channels' mean and variance
cifar10-cnv                 1542848   59.5M       -3840      0       small   BP; without its batch norms
cifar10-inception-s         0.50M     62.9M       0          0       small   its definition
cifar10-mobilenetv2         0.70M     27.97M      0          0       small   CP
cifar10-resnet18            11173962  555422720   0          0       large   TV/32, also kuangliu's pytorch-cifar
cifar10-resnet20            0.27M     40.81M      0          0       small   CP, He et al. 2015
cifar10-resnet29-bottleneck 0.31M     47.1M       0          0       small   its definition
cifar10-resnet32            0.46M     69.12M      0          262144  large   He et al. 2015; CP, whose shortcuts are 1x1 convolutions
cifar10-resnet50            23520842  1297829888  0          0       large   TV/32, also kuangliu's pytorch-cifar
cifar10-resnet56            0.85M     125.75M     0          262144  large   as ResNet-32
cifar10-resnet8             78666     12.5M       480+240    0       small   MT; mean and variance, biases before batch norms
cifar10-vgg-small           4.7M      608M        0          0       large   LQ-Nets' network, as papers on few bits quote it
ds-cnn-kws                  24908     2.7M        1152       0       small   MT; mean and variance
fmnist-cnn                  -         -           0          0       own     -
fmnist-mobilenet            -         -           0          0       own     -
fmnist-resnet8              -         -           0          0       own     -
imagenet-inceptionv3        23834568  5713216096  0          0       large   TV, aux_logits=False
imagenet-mobilenetv2        3504872   300774272   0          0       large   TV
imagenet-mobilenetv3-small  2542856   56510400    0          0       small   TV
imagenet-resnet18           11689512  1814073344  0          0       large   TV
imagenet-resnet50           25557032  4089184256  0          0       large   TV
mnist-lenet5                61706     416520      0          0       small   its definition, also Keras' and PyTorch's examples
mnist-mlp                   334336    334336      -1536      0       small   BP (SFC); without its batch norms
synth-tiny                  -         -           0          0       own     -
vww-mobilenetv1             221794    7.5M        5472+2736  0       small   MT; mean and variance, biases before batch norms
END
}
table | cut -d' ' -f1 >listed
(cd "$root/configs" && printf '%s\n' *.yaml) | sed 's/\.yaml$//' | sort | diff listed - || die "the table must have every config"

agrees() { # OURS PUBLISHED: in as many digits as it has ("40.81M")
    awk -v n="$1" -v p="$2" 'BEGIN {
        unit = p ~ /M$/ ? 1e6 : 1
        sub(/M$/, "", p)
        digits = index(p, ".") ? length(p) - index(p, ".") : 0
        exit sprintf("%." digits "f", n / unit) != p
    }'
}

counts() { # NAME PARAMETERS MACS MORE MORE: as published; sets shape
    local ours
    run 0 info "$root/configs/$1.yaml" --set train.batch=1 --set data.path=nowhere
    says "without the data"
    shape=$(sed -n '1s/.*config, \([0-9x]*\) inputs, \([0-9]*\) classes$/\1x\2/p' out)
    ours=$(grep '^all ' out)
    read -r _ parameters macs _ <<<"$ours"
    agrees $((parameters + $4)) "$2" || die "$1: $parameters parameters, published are $2"
    agrees $((macs + $5)) "$3" || die "$1: $macs multiply-accumulates, published are $3"
}

# The classes of a network of ImageNet's size can be fewer, as its comment says.
fewer_classes() { # NAME
    local sets
    read -r -a sets <<<"$(grep -o -- '--set data.classes=.*' "$root/configs/$1.yaml")"
    run 0 info "$root/configs/$1.yaml" --set train.batch=1 "${sets[@]}"
    says ", 10 classes"
}

street() { # NAME HxWxCxCLASSES
    local h w c classes
    IFS=x read -r h w c classes <<<"$2"
    run 0 train "$root/configs/$1.yaml" --set out=net --set quant.weights.bits=4 \
        --set "data={name: synth, height: $h, width: $w, channels: $c, classes: $classes, count: 10, test_count: 4}" \
        --set 'train={batch: 2, optimizer: {name: sgd, momentum: 0.9}, phases: [{name: float, epochs: 1, lr: 0.01, quant: off}, {name: qat, epochs: 1, lr: 0.001, quant: on}]}'
    run 0 verify net/last.safetensors --images 2
    run 0 export net/model.int.safetensors -o net.c
    $cc -O1 main.c net.c -o selftest || die "$1: the exported C does not compile"
    ./selftest || die "$1: the exported C gives other logits than the engine"
    rm -rf net
}
cat >main.c <<'END'
#include "net.h"
static uint8_t pixels[NET_INPUT_BYTES];
static int32_t logits[NET_CLASSES];
int main(void)
{
    return net_selftest(pixels, logits);
}
END

table >table
while read -r name parameters macs more_parameters more_macs size _; do
    [ "$size" = own ] && continue
    counts "$name" "$parameters" "$macs" "$more_parameters" "$more_macs"
    [ "$size" = counts ] && continue # mlperf_audio.sh trains it
    [ "$size" = large ] && [ "${NB_NETWORKS:-}" != all ] && continue
    [[ $name$size == imagenet*large ]] && fewer_classes "$name"
    street "$name" "$shape"
done <table
echo "ok - networks"
