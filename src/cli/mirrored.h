/* mirrored.h - a second view of every image for `eval --mirror`: the image and its mirror image, their integer logits added. */
#ifndef NB_CLI_MIRRORED_H
#define NB_CLI_MIRRORED_H

#include "cli/open_model.h"

/* How many of the images are then told right; ties go to the first class. m has integers and tells classes apart. */
nb_status cli_mirrored_correct(cli *c, const cli_model *m, const cli_images *images, int32_t *correct);

#endif
