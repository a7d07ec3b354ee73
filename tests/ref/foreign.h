/* foreign.h - safetensors files put together by hand, and a small network to take them, for tests of the importers. */
#ifndef NB_REF_FOREIGN_H
#define NB_REF_FOREIGN_H

#include <nibble/extend/op.h>
#include <nibble/import.h>
#include <nibble/model.h>

typedef struct {
    nb_ctx *ctx;
    nb_config *cfg;
    nb_experiment exp;
    nb_graph *g; /* float, not frozen */
} ref_foreign;

/* The network of a `model:` section on images of h x w x c in `classes` classes; aborts when it is none. */
void ref_foreign_open(ref_foreign *f, const char *model, int32_t h, int32_t w, int32_t c, int32_t classes);
void ref_foreign_close(ref_foreign *f);

/* tensors: "name dtype 8x3x3x3" one a line; values count on from 1 over the whole file (F16 and BF16: all 1.5).
 * Returns malloc'ed bytes. */
uint8_t *ref_foreign_file(const char *tensors, size_t *len);

#endif
