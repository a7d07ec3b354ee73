/* kept_parts.h - what long steps have found so far, in a file beside the run folder, OUT.steps.safetensors: the same command goes
 * on from there when it is started again after a kill. It is gone when the command ends in any other way. */
#ifndef NB_CLI_KEPT_PARTS_H
#define NB_CLI_KEPT_PARTS_H

#include "cli/post_steps.h"
#include "cli/run_folder.h"

#include <nibble/post.h>

typedef struct {
    cli *c;
    char path[CLI_PATH_BYTES], of[64]; /* of: what the parts were made from */
    struct kept_part *first, *last;
    int32_t found; /* parts that an earlier run had */
    nb_post_store store;
} cli_kept_parts;

/* Reads what there is of the same config, version and images, which are those that steps look at; nothing is written before
 * the first part. *k is zeroed by the caller, and closed by it after a failure too. */
nb_status cli_kept_parts_open(cli *c, const cli_post_steps *steps, cli_kept_parts *k);
/* Removes the file, if it is ours. */
void cli_kept_parts_close(cli_kept_parts *k);

#endif
