/* map_mobilenetv2.c - MobileNetV2 with torchvision's names. A block with expansion is conv.0.0, conv.0.1 (1x1 and its
 * batch norm), conv.1.0, conv.1.1 (depthwise), conv.2, conv.3 (projection); without, conv.0.0, conv.0.1, conv.1,
 * conv.2. Our invres blocks stand in the same order. */
#include <nibble/import.h>

const nb_name_map nb_name_map_mobilenetv2 = {
    .name = "mobilenetv2",
    .help = "features.0.0, features.1.conv.0.0, ..., features.18.0, classifier.1: torchvision's MobileNetV2",
    .text = "features.{}.0\n"
            "features.{}.1\n"
            "features.{}.conv.0.0\n"
            "features.{}.conv.0.1\n"
            "features.{}.conv.1.0\n"
            "features.{}.conv.1.1\n"
            "features.{}.conv.1\n"
            "features.{}.conv.2\n"
            "features.{}.conv.3\n"
            "classifier.{}\n"
            "classifier\n",
};
