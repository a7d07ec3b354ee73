/* intbuild.h - puts an integer model together in memory: tensors, then steps in execution order, then finish.
 *
 *   nb_intbuilder_create -> nb_intbuilder_tensor ... -> nb_intbuilder_step ... -> nb_intbuilder_finish ->
 * nb_intbuilder_free
 *
 * Names and arrays are copied, callers keep theirs. The first step is the only NB_STEP_TABLE (n_in = 0: it reads the
 * pixels), the last step's output is the network's output. Lowering and the file loader both build their models here,
 * so there is one place where a model is checked. */
#ifndef NB_LOWER_INTBUILD_H
#define NB_LOWER_INTBUILD_H

#include <nibble/intmodel.h>

typedef struct {
    const char *name; /* of the graph node whose value this is */
    int32_t h, w, c;
    int32_t type;    /* nb_etype */
    int32_t bits;    /* 2..8; 32 for NB_EI_S32 */
    float scale;     /* > 0, normal */
    int32_t zero;    /* 0 for NB_EI_S32 */
    uint64_t offset; /* arena bytes; only read by NB_INT_PLACED */
} nb_inttensor;

typedef struct {
    int32_t kind;     /* nb_step_kind */
    const char *name; /* the layer; unique among steps */
    int32_t n_in, in[NB_ENGINE_MAX_IN], out;
    int32_t lo, hi;            /* clamp of the output codes */
    nb_geom geom;              /* CONV, MAXPOOL, AVGPOOL (a plain clamp is a 1x1 MAXPOOL) */
    const uint8_t *table;      /* TABLE: [c][256] */
    const int8_t *weights;     /* CONV: OHWI codes within [-(2^(bits-1) - 1), 2^(bits-1) - 1] */
    int32_t weight_bits;       /* CONV: 2..8 */
    const int32_t *bias;       /* CONV: [oc] */
    const int32_t *mult;       /* CONV: [oc], ADD and CONCAT: [n_in], AVGPOOL: [1]; NULL for a CONV with int32 output */
    const int32_t *shift;      /* as mult; ADD: [1] */
    const float *weight_scale; /* CONV: [n_scale] as trained */
    int32_t n_scale;           /* 1 or oc */
} nb_intstep;

typedef struct {
    int32_t classes;
    const char *const *class_names; /* [classes] or NULL */
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
void nb_intbuilder_free(nb_intbuilder *b); /* NULL is fine; a finished model lives on */
nb_status nb_intbuilder_tensor(nb_intbuilder *b, const nb_inttensor *t, int32_t *index);
nb_status nb_intbuilder_step(nb_intbuilder *b, const nb_intstep *s);
/* Plans, checks (nb_engine_check; the sentence names layer and reason), derives macs and accumulator bounds, prepares
 * the weights: the model is ready to run. The builder is spent whether or not this succeeds. */
nb_status nb_intbuilder_finish(nb_intbuilder *b, nb_int_placing placing, const nb_intmeta *meta, nb_intmodel **out);

#endif
