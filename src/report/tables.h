/* tables.h - what info, verify and bench show, as tables made from data: a command prints them, a report shows them too.
 *
 * Every function here gives a table that the caller frees; text in the data is copied. */
#ifndef NB_REPORT_TABLES_H
#define NB_REPORT_TABLES_H

#include "report/table.h"

#include <nibble/lower.h>

/* ---- what a network is made of ---- */

typedef struct {
    char name[128];
    const char *kind;
    char output[32];     /* "28x28x16" */
    int32_t weight_bits; /* 0: no weights */
    int32_t levels;      /* 0: weights are any integer of their bits */
    int32_t output_bits; /* 0: not a value of its own (merged into the next layer) */
    int32_t acc_bits; /* narrowest signed accumulator that provably holds every sum; 0: no sums, or not integers yet */
    int64_t parameters; /* trained values */
    int64_t macs;       /* per image */
    int64_t bytes; /* of the parameters as they are deployed: packed weights, int32 biases and multipliers, or floats */
} nb_layer_row;

typedef struct {
    nb_layer_row *rows; /* nb_free */
    int32_t n;
} nb_layer_rows;

/* g is frozen. */
nb_status nb_layers_of_graph(const nb_graph *g, nb_layer_rows *out);
nb_status nb_layers_of_integers(nb_ctx *ctx, const nb_intmodel *m, nb_layer_rows *out);
nb_layer_row nb_layers_total(const nb_layer_rows *l); /* parameters, MACs, bytes */
nb_status nb_table_of_layers(nb_ctx *ctx, const nb_layer_rows *l, nb_table **out);

/* ---- integers against what they should be ---- */

/* Of nb_verify: a row per step. */
nb_status nb_table_of_verify(nb_ctx *ctx, const nb_verify_row *rows, int32_t n, nb_table **out);

typedef enum {
    NB_CHECK_EXACT,   /* integers: equal or wrong */
    NB_CHECK_ROUNDED, /* floats that round ties to even: the same first choice is what counts */
    NB_CHECK_ABSENT,  /* not here: says nothing about the model */
    NB_CHECK_BROKEN   /* should have run and did not */
} nb_check_kind;

enum { NB_CHECK_NOTE = 320 };

/* One implementation of an integer model beside the engine's scalar kernels. */
typedef struct {
    char name[64];
    nb_check_kind kind;
    char note[NB_CHECK_NOTE];
    int64_t differ;    /* logits */
    double largest;    /* difference, in units of a logit */
    int32_t same_top1; /* images; ties to anything that is as large */
    double seconds;    /* per image; < 0: unknown */
} nb_check_row;
nb_status nb_table_of_checks(nb_ctx *ctx, const nb_check_row *rows, int32_t n, int32_t images, nb_table **out);

/* ---- how long it takes ---- */

typedef struct {
    const char *what;
    double seconds;
    int32_t images;
    double base; /* seconds of what it is compared with; 0: nothing */
} nb_speed_row;
nb_status nb_table_of_speed(nb_ctx *ctx, const nb_speed_row *rows, int32_t n, nb_table **out);
/* A row per step of the graph, which is frozen: seconds of forward[i] and backward[i] for its batch. title: heading of the layers, a
 * literal. */
nb_status nb_table_of_passes(const nb_graph *g, const double *forward, const double *backward, const char *title,
                             nb_table **out);
/* A row per step of the integer model: seconds[i] for one image. */
nb_status nb_table_of_steps(nb_ctx *ctx, const nb_intmodel *m, const double *seconds, nb_table **out);

#endif
