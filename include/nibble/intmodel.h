/* intmodel.h - the integer model: the engine's steps plus names, scales and bits, and its file (*.int.safetensors).
 *
 * An nb_intmodel owns everything it points to (one arena). The file's layout is specified at the top of
 * src/lower/intfile.c. */
#ifndef NIBBLE_INTMODEL_H
#define NIBBLE_INTMODEL_H

#include <nibble/context.h>
#include <nibble/dataset.h>
#include <nibble/engine.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    const char *name; /* name of the graph node whose value this is: "c1.relu.fq" */
    float scale;      /* real = scale * (code - zero) */
    int32_t bits;     /* 1..8, 32 for int32 logits */
} nb_tinfo;

/* How weights are stored (src/lower/pack.h): as codes, as offsets from the smallest, as indices of levels, in blocks. */
typedef enum { NB_PACKING_CODES, NB_PACKING_OFFSET, NB_PACKING_LEVELS, NB_PACKING_BLOCKS } nb_packing;

typedef struct {
    const char *name;    /* the layer: "c1", "block1.add" */
    int32_t weight_bits; /* as stored: 2..8, with levels 1..8; 0 for steps without weights */
    int32_t n_scale;     /* 1 or oc: float scales of the weights as trained, for readers of the file */
    const float *weight_scale;
    const int8_t *level; /* [n_tables][n_levels], each table ascending, -127..127: what weights can be; NULL: all of a
                            channel lie within 2^weight_bits - 1 of each other */
    int32_t n_levels;    /* 2..2^weight_bits */
    int32_t n_tables;    /* 1, or one for each of the oc channels; 0 without levels */
    int32_t block; /* > 0, without levels: so many weights in a row of a channel, the last of it fewer, are integers of
                            weight_bits bits (2..7, narrow) times one power of two */
    nb_packing packing; /* derived from the weights, as are */
    int32_t n_low;      /* 0, 1 or oc: the smallest weight, of all or of each channel, where they are offsets */
    const int8_t *low;
    int64_t macs;
    int64_t acc_bound; /* proven bound of |accumulator| */
} nb_sinfo;

typedef struct nb_intmodel {
    nb_emodel e;
    const nb_tinfo *tensors; /* [e.n_tensors]; tensor i of the engine is e.tensors[i] */
    const nb_sinfo *steps;   /* [e.n_steps] */
    nb_task task;
    int32_t classes;                /* outputs, whatever they are */
    const char *const *class_names; /* [classes] or NULL */
    const nb_features *features; /* how a sample's numbers become the codes it takes as pixels; NULL: they are pixels */
    const char *config;          /* the experiment's config text, or "" */
    double accuracy;             /* on the evaluation set when it was written, 0..1; < 0 = not measured */
    struct nb_arena *arena;
    void *packed; /* prepared weights */
} nb_intmodel;

/* What goes in (pixels have its h, w, c) and what comes out (classes codes or int32 sums). */
static inline int32_t nb_intmodel_input(const nb_intmodel *m)
{
    return m->e.steps[0].out;
}
static inline int32_t nb_intmodel_output(const nb_intmodel *m)
{
    return m->e.steps[m->e.n_steps - 1].out;
}

/* For callers that cannot read the struct (other languages): size of the pixels it takes, and how many logits it gives.
 */
NB_API void nb_intmodel_sizes(const nb_intmodel *m, int32_t *h, int32_t *w, int32_t *c, int32_t *classes);
/* "" when the model knows no names; 0 <= label < classes. Lives as long as the model. */
NB_API const char *nb_intmodel_class_name(const nb_intmodel *m, int32_t label);

NB_API void nb_intmodel_free(nb_ctx *ctx, nb_intmodel *m); /* NULL is fine */
/* Writes atomically; equal models give equal bytes. */
NB_API nb_status nb_intmodel_save(nb_ctx *ctx, const nb_intmodel *m, const char *path);
/* Reads, checks everything (nb_engine_check included) and prepares the weights: the result is ready to run. */
NB_API nb_status nb_intmodel_load(nb_ctx *ctx, const char *path, nb_intmodel **out);
NB_API nb_status nb_intmodel_parse(nb_ctx *ctx, const char *name, const uint8_t *bytes, size_t len, nb_intmodel **out);

#ifdef __cplusplus
}
#endif
#endif
