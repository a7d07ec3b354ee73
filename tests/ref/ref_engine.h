/* ref_engine.h - a naive interpreter of integer models: every value a 64-bit integer, every step the loops of its
 * definition in nibble/engine.h. Shares no code with the engine or its kernels. */
#ifndef NB_REF_ENGINE_H
#define NB_REF_ENGINE_H

#include <nibble/engine.h>
#include <stdbool.h>

typedef struct {
    int32_t n;
    int64_t **value; /* [n]: one array per tensor, in NHWC order; no two share memory */
} ref_values;

/* Runs a sound model on one image and keeps every tensor. Stops the test when there is no memory. */
ref_values ref_engine_run(const nb_emodel *m, const uint8_t *pixels);
void ref_values_free(ref_values *v);
/* Does the engine's tensor t (its bytes at `bytes`) hold exactly these values? */
bool ref_engine_equal(const nb_emodel *m, const ref_values *v, int32_t t, const void *bytes);

#endif
