/* map_nibble.c - our own names and layout: checkpoints of Nibble, and files written for it. */
#include <nibble/import.h>

const nb_name_map nb_name_map_nibble = {
    .name = "nibble",
    .help = "our own names and layout (OHWI): float checkpoints, or files written for a config",
    .text = "layout ohwi\n"
            "opt/* -> -\n"
            "* -> *\n",
};
