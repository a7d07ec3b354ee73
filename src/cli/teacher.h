/* teacher.h - train.teacher, opened: the network that a training learns from. */
#ifndef NB_CLI_TEACHER_H
#define NB_CLI_TEACHER_H

#include "cli/open_model.h"

typedef struct {
    cli_model model;
    nb_int_batch *integers; /* it runs on the engine; NULL: on its graph */
    int32_t batch;          /* of the graph, at most */
    uint64_t hash;          /* of its file */
} cli_teacher;

/* Opens what the plan names, if it does, for batches of plan->keys.batch images like these; closed by the caller, after a failure
 * too. */
nb_status cli_teacher_open(cli *c, const nb_train_plan *plan, const nb_dsinfo *info, cli_teacher *t);
void cli_teacher_close(cli *c, cli_teacher *t);
/* Logits [n, classes] of pixels [n, h, w, c], this rank's of a batch of `whole`. */
nb_status cli_teacher_logits(cli_teacher *t, const uint8_t *pixels, int32_t n, int32_t whole, float *logits);

#endif
