/* train_job.h - what training and its check before it ask of a job. */
#ifndef NB_TRAIN_TRAIN_JOB_H
#define NB_TRAIN_TRAIN_JOB_H

#include <nibble/train.h>

#include "train/loader.h"

enum { NB_JOB_PATH = 4096 };

/* "<out>/<name>" into path [NB_JOB_PATH]. */
nb_status nb_job_path(nb_ctx *ctx, const nb_train_job *job, char *path, const char *name);
/* Its training images in batches, shuffled. */
nb_status nb_job_loader(nb_ctx *ctx, const nb_train_job *job, nb_loader **out);

#endif
