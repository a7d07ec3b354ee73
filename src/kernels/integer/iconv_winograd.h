/* iconv_winograd.h - the exact integer Winograd form of 3x3 convolution; for iconv.c and the variants that offer it. */
#ifndef NB_KERNELS_ICONV_WINOGRAD_H
#define NB_KERNELS_ICONV_WINOGRAD_H

#include "kernels/integer/iconv_isa.h"

/* Can the geometry be computed so, and is it less work? */
bool nb_iconv_winograd_fits(const nb_geom *g);
/* For nb_iconv_method.choose: that, and the proof that the sums come out exact. */
int32_t nb_iconv_winograd_choose(const nb_iconv_facts *f);
/* Where bytes are multiplied twice as fast as 16-bit pairs: two fifths of the products at most, those counted that are
 * made for tiles that are not there. */
int32_t nb_iconv_winograd_choose_dearer(const nb_iconv_facts *f);

size_t nb_iconv_winograd_packed_bytes(const nb_geom *g); /* 0 where it does not fit */
size_t nb_iconv_winograd_scratch_bytes(const nb_geom *g);
/* Fills everything behind the header. */
void nb_iconv_winograd_pack(void *packed, const int8_t *w, const nb_geom *g);
/* nb_iconv_rows */
void nb_iconv_winograd_rows(const nb_iconv_output *out, const nb_iconv_input *in, const void *packed, const nb_geom *g,
                            int32_t y0, int32_t y1, void *scratch);

#ifdef NB_WITH_AVX2
extern const nb_iconv_winograd nb_iconv_winograd_avx2;
#endif
#ifdef NB_WITH_AVX512
extern const nb_iconv_winograd nb_iconv_winograd_avx512;
#endif
#ifdef NB_WITH_VNNI
extern const nb_iconv_winograd nb_iconv_winograd_vnni;
#endif

#endif
