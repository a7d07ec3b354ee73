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

/* ---- what a network said of images ---- */

typedef struct {
    int32_t n, classes;
    const int32_t *labels, *answers; /* [n] */
    const float *logits;             /* [n][classes]; only mistakes need them */
    const char *const *class_names;  /* [classes]; NULL: numbers are all there is */
} nb_answered;

/* A row per class: images, right ones, accuracy, how often the network says it and how often it is right then, and the class
 * it is most often taken for. */
nb_status nb_table_of_classes(nb_ctx *ctx, const nb_answered *a, nb_table **out);

/* The confusion matrix of so many classes at most, a row for what images are, a column for what the network says. */
enum { NB_MATRIX_CLASSES = 20 };
nb_status nb_table_of_confusion(nb_ctx *ctx, const nb_answered *a, nb_table **out);
/* The same for any number of classes, as rows: every pair of class and answer that occurs, in order; or the `most` wrong
 * pairs that occur most often. */
enum { NB_ALL_PAIRS = 0 };
nb_status nb_table_of_pairs(nb_ctx *ctx, const nb_answered *a, int32_t most, nb_table **out);

typedef struct {
    int32_t at, label, answer;        /* at: which of the n images */
    double probability, of_the_label; /* of the answer, and of what it is: softmax of the logits */
    double log_odds;                  /* of the answer, which tells those apart whose probability is 1.0 */
} nb_mistake;
/* The `most` wrong answers that are given with most confidence, surest first; *rows is freed with nb_free, *n is how many
 * there are. */
nb_status nb_mistakes_find(nb_ctx *ctx, const nb_answered *a, int32_t most, nb_mistake **rows, int32_t *n);
/* images [n]: names of the rows' images, or NULL; indices [n]: their numbers in the data set. */
nb_status nb_table_of_mistakes(nb_ctx *ctx, const nb_answered *a, const nb_mistake *rows, int32_t n,
                               const char *const *images, const int32_t *indices, nb_table **out);

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
