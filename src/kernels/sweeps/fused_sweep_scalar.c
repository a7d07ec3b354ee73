/* fused_sweep_scalar.c - the sweeps of fused chains in plain C: the reference every SIMD variant equals bit for bit. */
#include "kernels/sweeps/sweep_isa.h"

#include <math.h>
#include <string.h>

/* 1.5 * 2^23: adding it pushes the fraction out of a float, as in sweep_scalar.c. */
#define ROUND_MAGIC 12582912.0f

static float clamp(float v, const nb_kclamp *k, bool *pass)
{
    *pass = true;
    if (!k->relu)
        return v;
    v = v < 0.0f ? 0.0f : v;
    v = v > k->cap ? k->cap : v;
    *pass = v > 0.0f && v < k->cap;
    return v;
}

static void set_bit(uint8_t *mask, int64_t i, bool on)
{
    if (mask && on)
        mask[i / 8] = (uint8_t)(mask[i / 8] | 1u << (i % 8));
}

static uint8_t quantize(float v, const nb_kgrid *g, bool *pass)
{
    uint8_t code, inside;
    nb_sweep_scalar.quantize(&code, &inside, &v, 1, g->scale, g->zero, g->lo, g->hi);
    *pass = *pass && inside;
    return code;
}

static void map_float(float *y, uint8_t *mask, const float *x, const nb_kmap *m, int64_t rows, int32_t c)
{
    if (mask)
        memset(mask, 0, (size_t)(rows * nb_mask_bytes(c)));
    for (int64_t r = 0; r < rows; r++, x += c, y += c, mask = mask ? mask + nb_mask_bytes(c) : NULL)
        for (int32_t j = 0; j < c; j++) {
            bool pass;
            y[j] = clamp(x[j] * m->a[j] + m->b[j], &m->clamp, &pass);
            set_bit(mask, j, pass);
        }
}

static void map_codes(uint8_t *codes, uint8_t *mask, const float *x, const nb_kmap *m, const nb_kgrid *g, int64_t rows,
                      int32_t c)
{
    if (mask)
        memset(mask, 0, (size_t)(rows * nb_mask_bytes(c)));
    for (int64_t r = 0; r < rows; r++, x += c, codes += c) {
        uint8_t *bits = mask ? mask + r * nb_mask_bytes(c) : NULL;
        for (int32_t j = 0; j < c; j++) {
            bool pass;
            float v = clamp(x[j] * m->a[j] + m->b[j], &m->clamp, &pass);
            codes[j] = quantize(v, g, &pass);
            set_bit(bits, j, pass);
        }
    }
}

static float by_scale(float y, const nb_kgrid *g)
{
    const float first = (float)(g->lo - g->zero), last = (float)(g->hi - g->zero), v = y * (1.0f / g->scale);
    const float near = v < first - 1.0f ? first - 1.0f : v > last + 1.0f ? last + 1.0f : v;
    const float r = (near + ROUND_MAGIC) - ROUND_MAGIC, low = r > first ? r : first, code = low < last ? low : last;
    return r == code ? code - v : code;
}

/* Rows of the channels j .. j + NB_SCALE_LANES. */
static void add_lanes(float *s, const float *dy, const float *x, const nb_kmap *m, const nb_kgrid *g, int64_t rows,
                      int32_t j, int32_t c)
{
    for (int64_t r = 0; r < rows; r++)
        for (int32_t k = 0; k < NB_SCALE_LANES && j + k < c; k++) {
            bool pass;
            const float in = x[r * c + j + k], y = m ? clamp(in * m->a[j + k] + m->b[j + k], &m->clamp, &pass) : in;
            s[k] += dy[r * c + j + k] * by_scale(y, g);
        }
}

static void scale_grad(double *lane, const float *dy, const float *x, const nb_kmap *m, const nb_kgrid *g, int64_t rows,
                       int32_t c)
{
    const int64_t block = c > NB_SCALE_RUN ? 1 : NB_SCALE_ROWS;
    for (int64_t r = 0; r < rows; r += block)
        for (int32_t from = 0; from < c; from += NB_SCALE_RUN) {
            float s[NB_SCALE_LANES] = {0};
            for (int32_t j = from; j < c && j < from + NB_SCALE_RUN; j += NB_SCALE_LANES)
                add_lanes(s, dy + r * c, x + r * c, m, g, rows - r < block ? rows - r : block, j, c);
            for (int32_t k = 0; k < NB_SCALE_LANES; k++)
                lane[k] += (double)s[k];
        }
}

static float operand(const nb_kjoin *j, int32_t k, int64_t i)
{
    const nb_koperand *o = &j->in[k];
    if (!j->codes)
        return ((const float *)o->data)[i];
    float y;
    nb_sweep_scalar.dequantize(&y, (const uint8_t *)o->data + i, 1, o->scale, o->zero, o->is_signed);
    return y;
}

static float joined(const nb_kjoin *j, int64_t i, bool *pass)
{
    float v = operand(j, 0, i);
    if (j->n_in > 1)
        v = v + operand(j, 1, i);
    return clamp(v, &j->clamp, pass);
}

static void join_minmax(float *min, float *max, const nb_kjoin *j, int64_t n)
{
    bool pass, nan = false;
    float lo = INFINITY, hi = -INFINITY;
    for (int64_t i = 0; i < n; i++) {
        float v = joined(j, i, &pass);
        lo = v < lo ? v : lo;
        hi = v > hi ? v : hi;
        nan |= v != v;
    }
    *min = nan ? NAN : lo + 0.0f;
    *max = nan ? NAN : hi + 0.0f;
}

static void join_float(float *y, uint8_t *mask, const nb_kjoin *j, int64_t n)
{
    if (mask)
        memset(mask, 0, (size_t)nb_mask_bytes(n));
    for (int64_t i = 0; i < n; i++) {
        bool pass;
        y[i] = joined(j, i, &pass);
        set_bit(mask, i, pass);
    }
}

static void join_codes(uint8_t *codes, uint8_t *mask, const nb_kjoin *j, const nb_kgrid *g, int64_t n)
{
    if (mask)
        memset(mask, 0, (size_t)nb_mask_bytes(n));
    for (int64_t i = 0; i < n; i++) {
        bool pass;
        float v = joined(j, i, &pass);
        codes[i] = quantize(v, g, &pass);
        set_bit(mask, i, pass);
    }
}

const nb_fused_isa nb_fused_scalar = {
#define SWEEP(name, parameters, arguments) .name = name,
#include "kernels/sweeps/fused_sweep_list.def"
};
