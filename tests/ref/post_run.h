/* post_run.h - steps of post-training on a street, for tests: bound from text, done, and what they say kept. */
#ifndef NB_REF_POST_RUN_H
#define NB_REF_POST_RUN_H

#include "ref/street.h"

#include <nibble/extend/post_step.h>
#include <nibble/train.h>

typedef struct {
    char rows[4096], summary[NB_POST_SUMMARY]; /* "layer: text\n" of every row; of the last step */
    double before, after;                      /* largest of the rows that were done */
    nb_post_result last;
} ref_heard;

/* steps: "[absorb: {sigmas: 2}, ...]", all of one stage, on g with images indices[0..n-1] of the street's training split. */
nb_status ref_post_run(ref_street *s, nb_graph *g, const char *steps, const int32_t *indices, int32_t n, ref_heard *h);

/* The same with a store. */
nb_status ref_post_run_kept(ref_street *s, nb_graph *g, const char *steps, const int32_t *indices, int32_t n,
                            const nb_post_store *store, ref_heard *h);

/* A store that is a table of parts; from the stop-th on there is no memory for more, as if the program was killed. */
enum { REF_PARTS = 16, REF_PART_FLOATS = 4096 };
typedef struct {
    char name[REF_PARTS][64];
    float values[REF_PARTS][REF_PART_FLOATS];
    int64_t n[REF_PARTS];
    int32_t count, stop, found;
} ref_parts;
nb_post_store ref_parts_store(ref_parts *p);

/* The street's network as it stands, quantized as its config says and calibrated on the first n images (n = 0: on none). */
nb_status ref_quantized(ref_street *s, int32_t batch, int32_t n, nb_graph **out);

#endif
