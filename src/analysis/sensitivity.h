/* sensitivity.h - what a network loses when one quantizer alone has a certain width, and quantizers that could be there.
 *
 *   nb_sensitivity_row rows[] = {{.site = 3, .bits = 4}, {.site = 3, .bits = 2}, ...};
 *   nb_sensitivity(p, rows, n, &calibration, &images, NULL);
 *   rows[0].score.more / rows[0].score.n       mean loss beyond the float network's with 4 bits at site 3 and all else float
 *   rows[0].score.kl / rows[0].score.n         the same without labels: less noisy, never negative, and for small errors of
 *                                              independent quantizers it adds up */
#ifndef NB_ANALYSIS_SENSITIVITY_H
#define NB_ANALYSIS_SENSITIVITY_H

#include "analysis/trials.h"

/* How a quantizer would be unlike the one that is there. */
typedef struct {
    int32_t bits;      /* 0: as they are */
    bool per_channel;  /* weights: a scale for each output channel */
    const char *range; /* NULL: as it is, or by the bits where it is automatic */
} nb_quantizer_wish;

/* The quantizer of that wish for a site, with nothing observed yet. *out->by is NULL where there is no such: the format has
 * not these bits, the range needs what is not there, learned levels cannot be had without learning. */
nb_status nb_candidate_make(nb_probe *p, int32_t site, const nb_quantizer_wish *wish, nb_candidate *out);

typedef struct {
    int32_t site, bits;   /* given */
    bool possible;        /* false: there is no such quantizer; what follows is then 0 */
    nb_probe_score score; /* of the network that is float but for this quantizer */
    double signal, noise; /* squares of the value that it rounds, and of what rounding does to it */
} nb_sensitivity_row;

/* Fills in every row. Ranges of quantizers with these bits are found on the float network's values on `calibration`
 * (training images), the network is judged on `images`. One pass over part of the network for each row and batch. The same for any number of
 * threads. */
nb_status nb_sensitivity(nb_probe *p, nb_sensitivity_row *rows, int32_t n, const nb_images *calibration,
                         const nb_images *images, const nb_watch *watch);
/* Of rows of weights: signal and noise alone, which no image decides. Ranges are found as above. */
nb_status nb_rounding_errors(nb_probe *p, nb_sensitivity_row *rows, int32_t n, const nb_images *calibration);

#endif
