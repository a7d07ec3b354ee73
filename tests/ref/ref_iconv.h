/* ref_iconv.h - integer convolution as its definition reads: the oracle of kernels/integer. */
#ifndef NB_REF_ICONV_H
#define NB_REF_ICONV_H

#include "kernels/integer/iconv.h"

/* What nb_iconv_run computes, from the weights as OHWI codes. */
void ref_iconv(int32_t *acc, const void *x, int32_t x_signed, int32_t zero, const int8_t *w, const nb_geom *g);

#endif
