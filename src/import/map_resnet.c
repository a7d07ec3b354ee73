/* map_resnet.c - ResNets of basic blocks: the names of torchvision and of the many CIFAR variants made after it. */
#include <nibble/import.h>

const nb_name_map nb_name_map_resnet = {
    .name = "resnet",
    .help = "conv1, bn1, layer1.0.conv1, ..., downsample.0 | shortcut.0, fc | linear: torchvision and CIFAR ResNets of "
            "basic blocks",
    .text = "conv1\n"
            "bn1\n"
            "layer{}.{}.conv1\n"
            "layer{}.{}.bn1\n"
            "layer{}.{}.conv2\n"
            "layer{}.{}.bn2\n"
            "layer{}.{}.downsample.0\n"
            "layer{}.{}.downsample.1\n"
            "layer{}.{}.shortcut.0\n"
            "layer{}.{}.shortcut.1\n"
            "fc\n"
            "linear\n",
};
