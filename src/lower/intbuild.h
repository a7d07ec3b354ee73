/* intbuild.h - puts an integer model together in memory: tensors, then steps in execution order, then finish.
 *
 *   nb_intbuilder_create -> nb_intbuilder_tensor ... -> nb_intbuilder_step ... -> nb_intbuilder_finish ->
 * nb_intbuilder_free
 *
 * Names and arrays are copied, callers keep theirs. The first step is a NB_STEP_TABLE (n_in = 0: it reads the
 * pixels), the last step's output is the network's output. Lowering and the file loader both build their models here,
 * so there is one place where a model is checked. */
#ifndef NB_LOWER_INTBUILD_H
#define NB_LOWER_INTBUILD_H

#include <nibble/intmodel.h>

typedef struct {
    int32_t classes;
    const char *const *class_names; /* [classes] or NULL */
    const nb_features *features;    /* or NULL */
    nb_task task;                   /* reconstruct: classes is how many values come out, as many as go in */
    const char *config;             /* NULL = "" */
    double accuracy;                /* 0..1; < 0 = not measured. The owner may set model->accuracy later. */
} nb_intmeta;

typedef enum {
    NB_INT_PLAN,  /* offsets are planned from lifetimes in step order */
    NB_INT_PLACED /* offsets stand as given, and are checked */
} nb_int_placing;

typedef struct nb_intbuilder nb_intbuilder;

/* where stands in front of every message (a file's path; "" for none) and is borrowed until free. */
nb_status nb_intbuilder_create(nb_ctx *ctx, const char *where, nb_intbuilder **out);
/* For who wants to know whether and how a network can be lowered, and never finishes: weights are checked, not kept. */
void nb_intbuilder_forget_weights(nb_intbuilder *b);
void nb_intbuilder_free(nb_intbuilder *b); /* NULL is fine; a finished model lives on */
/* t->offset is only read by NB_INT_PLACED. */
nb_status nb_intbuilder_tensor(nb_intbuilder *b, const nb_etensor *t, const nb_tinfo *info, int32_t *index);
/* What may be said of a step without its arrays: when this is NB_OK, its geometry tells how long they must be. */
nb_status nb_intbuilder_shape(nb_intbuilder *b, const nb_estep *s, const nb_sinfo *info);
/* macs and acc_bound of info are derived, s->packed is not looked at. */
nb_status nb_intbuilder_step(nb_intbuilder *b, const nb_estep *s, const nb_sinfo *info);
/* What is known of a step so far. */
const nb_sinfo *nb_intbuilder_info(const nb_intbuilder *b, int32_t step);
const nb_tinfo *nb_intbuilder_tensor_info(const nb_intbuilder *b, int32_t tensor);
/* The tensors and steps so far. */
const nb_emodel *nb_intbuilder_model(const nb_intbuilder *b);
/* Plans, checks everything (the sentence names layer and reason), prepares the weights: the model is ready to run. The builder is spent whether or not this succeeds. */
nb_status nb_intbuilder_finish(nb_intbuilder *b, nb_int_placing placing, const nb_intmeta *meta, nb_intmodel **out);

#endif
