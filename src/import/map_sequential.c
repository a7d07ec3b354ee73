/* map_sequential.c - modules that are only numbered: nn.Sequential, AlexNet, VGG. */
#include <nibble/import.h>

const nb_name_map nb_name_map_sequential = {
    .name = "sequential",
    .help = "0, 1, ... or features.0, ..., classifier.0, ...: chains such as nn.Sequential and VGG",
    .text = "{}\n"
            "features.{}\n"
            "classifier.{}\n"
            "classifier\n"
            "fc\n",
};
