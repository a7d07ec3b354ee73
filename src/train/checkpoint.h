/* checkpoint.h - writing checkpoints, and what only the trainer reads from them. */
#ifndef NB_TRAIN_CHECKPOINT_H
#define NB_TRAIN_CHECKPOINT_H

#include <nibble/extend/op.h>
#include <nibble/train.h>

#include "train/optim.h"

typedef struct {
    const nb_graph *graph;
    const nb_optim *optim; /* NULL: a model only, nothing to resume from */
    const char *config, *metrics, *phase_name;
    nb_position at;
    double accuracy;                      /* < 0: not evaluated */
    double float_accuracy;                /* of what was quantized; 0: not recorded */
    nb_fingerprint train_data, test_data; /* count 0: not recorded */
    uint64_t teacher_hash;                /* 0: there is none */
} nb_checkpoint_spec;

/* Atomic; equal content gives equal bytes. */
nb_status nb_checkpoint_save(nb_ctx *ctx, const char *path, const nb_checkpoint_spec *s);
/* Writes and reads it back, in memory only: what cannot be stored shows before it costs anything. */
nb_status nb_checkpoint_prove(nb_ctx *ctx, const nb_checkpoint_spec *s);
/* Was this quantizer's grid the same, as far as the file says? */
bool nb_checkpoint_same_grid(const nb_checkpoint *c, const nb_node *quantizer);
/* What the optimizer keeps (nb_optim_kept), for resume: all of it must be there and fit. */
nb_status nb_checkpoint_load_optim(nb_ctx *ctx, const nb_checkpoint *c, nb_optim *o);

#endif
