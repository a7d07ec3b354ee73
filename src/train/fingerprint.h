/* fingerprint.h - is a data set still the one that it was? */
#ifndef NB_TRAIN_FINGERPRINT_H
#define NB_TRAIN_FINGERPRINT_H

#include <nibble/train.h>

/* Of all pixels and labels, in order: the same for any number of threads, on any machine. Reads every image once. */
nb_status nb_fingerprint_of(nb_ctx *ctx, const nb_data *d, nb_fingerprint *out);
/* Fails with a sentence when the job's config or data are not those that the checkpoint, which the job would resume
 * from, was trained with. */
nb_status nb_check_resumable(nb_ctx *ctx, const nb_train_job *job, const nb_checkpoint *c);

#endif
