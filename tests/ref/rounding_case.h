/* rounding_case.h - a step that rounds weights, on a small network with every kind of layer, for tests. */
#ifndef NB_REF_ROUNDING_CASE_H
#define NB_REF_ROUNDING_CASE_H

#include "ref/post_run.h"

enum { ROUNDING_BATCH = 16, ROUNDING_IMAGES = 64, ROUNDING_MACS = 5, ROUNDING_MOST = 4096 };

typedef struct {
    ref_street s;
    nb_graph *g; /* trained a little, quantized, calibrated */
    int32_t rows, done;
    double before[16], after[16], share;
    char summary[NB_POST_SUMMARY], last[64];
    const nb_post_store *store;
} rounding_case;

void rounding_open(rounding_case *c, const char *quant);
void rounding_close(rounding_case *c);
/* step: "adaround: {iterations: 30}", on the first n images. */
nb_status rounding_run(rounding_case *c, const char *step, int32_t n);
/* Refuses it before anything is run, and in the run; both times with this in the sentence. */
void rounding_must_refuse(const char *quant, const char *step, const char *says);

/* Scales and codes of all weights as the next forward pass has them, one after the other; floats, so that simulated networks
 * have them, too: [ROUNDING_MOST]. Returns how many. */
int32_t rounding_weights(const rounding_case *c, float *out);
int32_t rounding_differences(const float *a, const float *b, int32_t n);

/* What they must work with; ends with NULL. */
extern const char *const rounding_kinds[];

/* What all such steps must do, with these keys of a short run and so many parts: layers, or blocks. share: of the error that is left at most. */
void rounding_gets_better(const char *step, int32_t parts, double share, const char *summary);
void rounding_integers_have_the_codes(const char *quant, const char *step);
void rounding_is_the_same_on_threads(const char *quant, const char *step);
void rounding_goes_on_after_a_kill(const char *quant, const char *step, int32_t parts);

#endif
