/* resumable.h - may a run go on from its checkpoint? */
#ifndef NB_TRAIN_RESUMABLE_H
#define NB_TRAIN_RESUMABLE_H

#include <nibble/train.h>

/* Fails with a sentence when the job's config or data are not those that the checkpoint, which the job would resume
 * from, was trained with. */
nb_status nb_check_resumable(nb_ctx *ctx, const nb_train_job *job, const nb_checkpoint *c);

#endif
