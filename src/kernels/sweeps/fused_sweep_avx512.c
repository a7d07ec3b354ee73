/* fused_sweep_avx512.c - the sweep of fused chains that computes more than it reads, with AVX-512, bit-equal to
 * fused_sweep_scalar.c: the lanes of a sum are those of a register. */
#include "kernels/sweeps/sweep_isa.h"

#ifdef NB_WITH_AVX512
#    include <immintrin.h>
#    include <math.h>

#    define TARGET __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl")))
#    define INLINE static inline __attribute__((always_inline)) TARGET

_Static_assert(NB_SCALE_LANES == 16, "a lane is a place in a register");

typedef struct {
    __m512 inverse, first, last, cap;
    int map, relu; /* constants at every inlined use: is there a map, has it a relu, with a cap */
} stepper;

/* What 16 values make of a step of the scale: min and max take the end of the grid for a NaN. */
INLINE __m512 by_scale16(__m512 y, const stepper *z)
{
    const __m512 v = _mm512_mul_ps(y, z->inverse);
    const __m512 r = _mm512_roundscale_ps(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    const __m512 code = _mm512_min_ps(_mm512_max_ps(r, z->first), z->last);
    return _mm512_mask_sub_ps(code, _mm512_cmp_ps_mask(r, code, _CMP_EQ_OQ), code, v);
}

/* Rows of the 16 channels from j on, or of those in `here`. */
INLINE __m512 add_by_scale(__m512 s, const float *dy, const float *x, const nb_kmap *m, const stepper *z, int64_t rows,
                           int32_t j, int32_t c, __mmask16 here)
{
    const __m512 a = z->map ? _mm512_maskz_loadu_ps(here, m->a + j) : _mm512_setzero_ps();
    const __m512 b = z->map ? _mm512_maskz_loadu_ps(here, m->b + j) : _mm512_setzero_ps();
    for (int64_t r = 0; r < rows; r++) {
        __m512 y = _mm512_maskz_loadu_ps(here, x + r * c + j);
        if (z->map)
            y = _mm512_add_ps(_mm512_mul_ps(y, a), b);
        if (z->relu > 0)
            y = _mm512_max_ps(_mm512_setzero_ps(), y);
        if (z->relu > 1)
            y = _mm512_min_ps(z->cap, y);
        s = _mm512_add_ps(s, _mm512_mul_ps(_mm512_maskz_loadu_ps(here, dy + r * c + j), by_scale16(y, z)));
    }
    return s;
}

INLINE void add_doubles(double *lane, __m512 s)
{
    const __m512d low = _mm512_cvtps_pd(_mm512_castps512_ps256(s)),
                  high = _mm512_cvtps_pd(_mm512_extractf32x8_ps(s, 1));
    _mm512_storeu_pd(lane, _mm512_add_pd(_mm512_loadu_pd(lane), low));
    _mm512_storeu_pd(lane + 8, _mm512_add_pd(_mm512_loadu_pd(lane + 8), high));
}

INLINE void scale_grad_with(double *lane, const float *dy, const float *x, const nb_kmap *m, const nb_kgrid *g,
                            int64_t rows, int32_t c, int map, int relu)
{
    const stepper z = {.inverse = _mm512_set1_ps(1.0f / g->scale),
                       .first = _mm512_set1_ps((float)(g->lo - g->zero)),
                       .last = _mm512_set1_ps((float)(g->hi - g->zero)),
                       .cap = _mm512_set1_ps(map ? m->clamp.cap : 0),
                       .map = map,
                       .relu = relu};
    const int64_t block = c > NB_SCALE_RUN ? 1 : NB_SCALE_ROWS;
    for (int64_t r = 0; r < rows; r += block)
        for (int32_t from = 0; from < c; from += NB_SCALE_RUN) {
            const int32_t end = c - from < NB_SCALE_RUN ? c : from + NB_SCALE_RUN;
            const int64_t n = rows - r < block ? rows - r : block;
            int32_t j = from;
            __m512 s = _mm512_setzero_ps();
            for (; j + NB_SCALE_LANES <= end; j += NB_SCALE_LANES)
                s = add_by_scale(s, dy + r * c, x + r * c, m, &z, n, j, c, 0xffff);
            if (j < end)
                s = add_by_scale(s, dy + r * c, x + r * c, m, &z, n, j, c, (__mmask16)((1 << (end - j)) - 1));
            add_doubles(lane, s);
        }
}

TARGET static void scale_grad(double *lane, const float *dy, const float *x, const nb_kmap *m, const nb_kgrid *g,
                              int64_t rows, int32_t c)
{
    if (!m)
        scale_grad_with(lane, dy, x, m, g, rows, c, 0, 0);
    else if (!m->clamp.relu)
        scale_grad_with(lane, dy, x, m, g, rows, c, 1, 0);
    else if (m->clamp.cap == INFINITY)
        scale_grad_with(lane, dy, x, m, g, rows, c, 1, 1);
    else
        scale_grad_with(lane, dy, x, m, g, rows, c, 1, 2);
}

const nb_fused_isa nb_fused_avx512 = {.scale_grad = scale_grad};
#endif
