/* mirrored.h - a second view of every image for `eval --mirror`: the image and its mirror image, their integer logits added. */
#ifndef NB_CLI_MIRRORED_H
#define NB_CLI_MIRRORED_H

#include "cli/open_model.h"

typedef struct {
    int32_t correct; /* ties go to the first class */
    double loss;     /* of the mean of both logits */
} cli_mirrored;
/* m has integers and tells classes apart. */
nb_status cli_mirrored_evaluate(cli *c, const cli_model *m, const cli_images *images, cli_mirrored *out);

#endif
