/* probe_case.h - a network trained a little in float, then quantized, calibrated and put on switches. */
#ifndef NB_REF_PROBE_CASE_H
#define NB_REF_PROBE_CASE_H

#include "analysis/analyze.h"
#include "ref/street.h"

typedef struct {
    ref_street s;
    nb_graph *graph; /* quantized, simulated */
    nb_probe *probe;
} probe_case;

/* yaml: the whole config. Trains the float network `steps` steps of 32 images, then quantizes it and finds ranges on 256
 * training images; `damage` then does something to the quantized graph (NULL: nothing). Stops the test when anything
 * fails. */
void probe_case_open(probe_case *c, const char *yaml, int32_t steps, void (*damage)(void *ud, nb_graph *g), void *ud);
void probe_case_close(probe_case *c);
/* The first n test images. */
nb_images probe_case_images(const probe_case *c, int32_t n);

#endif
