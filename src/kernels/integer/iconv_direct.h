/* iconv_direct.h - "rows times taps" for the methods of iconv_isa.h; for iconv.c only. */
#ifndef NB_KERNELS_ICONV_DIRECT_H
#define NB_KERNELS_ICONV_DIRECT_H

#include "kernels/integer/iconv_isa.h"

typedef struct { /* the first 64 bytes of every packed blob */
    const nb_variant *variant;
    const nb_iconv_method *method; /* NULL: depthwise */
    int32_t base, burst;           /* of NB_ICONV_BYTES */
} nb_iconv_header;

enum {
    NB_ICONV_HEADER = 64,
    NB_ICONV_ACC = 4096
}; /* bytes; int32 values of one block of pixels: 16 KB, half of a usual
      first-level cache */

static inline size_t nb_iconv_align(size_t n)
{
    return (n + 63) & ~(size_t)63;
}

static inline bool nb_iconv_is_depthwise(const nb_geom *g)
{
    return g->groups > 1 && g->groups == g->c && g->oc == g->c;
}

size_t nb_iconv_direct_packed_bytes(const nb_geom *g, nb_iconv_form form);
size_t nb_iconv_direct_scratch_bytes(const nb_geom *g, nb_iconv_form form);
/* The bounds in nb_iconv_facts. */
int32_t nb_iconv_direct_pair_max(const int8_t *w, nb_icodes x, const nb_geom *g);
int64_t nb_iconv_direct_sum_max(const int8_t *w, nb_icodes x, const nb_geom *g);
/* Fills everything behind the header. */
void nb_iconv_direct_pack(void *packed, const int8_t *w, const nb_geom *g);
/* nb_iconv_rows */
void nb_iconv_direct_rows(const nb_iconv_output *out, const nb_iconv_input *in, const void *packed, const nb_geom *g,
                          int32_t y0, int32_t y1, void *scratch);

#endif
