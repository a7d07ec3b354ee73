/* logits_file.h - what a network said of every image, as a file for other programs.
 *
 * safetensors, a row for every image in the order of the split:
 *   integers     I32 [n, classes]   what the integer engine computes; not of a float network
 *   scale        F32 [1]            logit = scale * integer
 *   logits       F32 [n, classes]
 *   labels       I32 [n]            what the images are
 *   indices      I32 [n]            their numbers in the data set
 *   class_names  U8                 JSON, a list of strings in the order of the columns; where classes have names
 *   image_names  U8                 JSON, a list of strings in the order of the rows; where images are files */
#ifndef NB_CLI_LOGITS_FILE_H
#define NB_CLI_LOGITS_FILE_H

#include "cli/open_model.h"

/* said has labels and logits, and integers where there are any. */
nb_status cli_logits_save(cli *c, const cli_model *m, const cli_images *images, const nb_answers *said,
                          const char *path);

#endif
