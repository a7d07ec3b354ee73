/* blocks.c - weights in blocks: an exponent for each, and rounding within its grid.
 *
 * Exponents are found anew with every scale, from the weights as they are: one per block, channel after channel. Mantissas are
 * what the plain kernel makes of a block at its step, and so is the mask of what was inside. */
#include "quant/learned.h"

#include <math.h>
#include <string.h>

nb_grid nb_grid_mantissas(const nb_grid *g)
{
    nb_grid m = *g;
    if (m.block.n > 0) {
        m.hi >>= m.block.depth;
        m.lo = -m.hi;
        m.block.n = 0;
    }
    return m;
}

static double squared_error(const nb_grid *mantissas, float step, const float *w, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++) {
        const double error = (double)w[i] - (double)step * nb_grid_nearest(mantissas, w[i] / step);
        sum += error * error;
    }
    return sum;
}

int32_t nb_grid_exponent(const nb_grid *g, float scale, const float *w, int64_t n)
{
    const nb_grid m = nb_grid_mantissas(g);
    float most = 0;
    int32_t e = 0;
    for (int64_t i = 0; i < n; i++)
        most = fmaxf(most, fabsf(w[i]));
    while (e < g->block.depth && nearbyintf(most / ldexpf(scale, e)) > (float)m.hi)
        e++;
    if (!g->block.least_error)
        return e;
    int32_t best = e; /* a coarser grid is part of this one, and this one cuts nothing off */
    double least = squared_error(&m, ldexpf(scale, e), w, n);
    while (e-- > 0) {
        const double error = squared_error(&m, ldexpf(scale, e), w, n);
        best = error < least ? e : best;
        least = fmin(error, least);
    }
    return best;
}

/* Of one output channel. */
static int64_t row_of(const nb_node *n)
{
    return nb_count(&n->out) / n->out.shape.d[0];
}

static int64_t blocks_of(const nb_node *n)
{
    const nb_fq_priv *p = n->priv;
    return (row_of(n) - 1) / p->grid.block.n + 1;
}

nb_status nb_fq_blocks_prepare(nb_graph *g, nb_node *n)
{
    const nb_fakequant_attr *a = n->attr;
    nb_fq_priv *p = n->priv;
    if (!a->format || !a->format->blocks || !a->weights)
        return NB_OK;
    p->grid = nb_grid_of(a->format, a->format_attr, a->bits, a->scheme, true, NULL);
    if (p->grid.block.n == 0)
        return NB_OK;
    p->exponent = nb_graph_alloc(g, (size_t)(n->out.shape.d[0] * blocks_of(n)));
    return p->exponent ? NB_OK : NB_E_NOMEM;
}

void nb_fq_set_exponents(const nb_node *n, int32_t r, float scale)
{
    const nb_fq_priv *p = n->priv;
    if (!p->exponent)
        return;
    const int64_t row = row_of(n), blocks = blocks_of(n), size = p->grid.block.n;
    for (int64_t c = r * nb_fq_group(n); c < nb_fq_row_end(n, r); c++)
        for (int64_t b = 0; b < blocks; b++) {
            const int64_t left = row - b * size;
            p->exponent[c * blocks + b] = (uint8_t)nb_grid_exponent(
                &p->grid, scale, nb_fq_values(n) + c * row + b * size, left < size ? left : size);
        }
}

/* At most PIECE weights of one block. */
enum { PIECE = 256 };
static void round_piece(float *y, uint8_t *mask, const nb_fq_span *v, float step, float unit, const nb_grid *mantissas)
{
    uint8_t codes[PIECE];
    float moved[PIECE];
    const float *x = v->x;
    if (v->draw.choose) {
        nb_fq_round(moved, x, v->n, step, mantissas, &v->draw, v->first);
        x = moved;
    }
    nb_k_quantize(codes, mask, x, v->n, step, 0, mantissas->lo, mantissas->hi);
    for (int64_t i = 0; i < v->n; i++)
        y[i] = unit * (float)(int8_t)codes[i];
}

void nb_fq_round_blocks(const nb_node *n, float *y, uint8_t *mask, const nb_fq_span *v, int64_t place, float scale,
                        float unit)
{
    const nb_fq_priv *p = n->priv;
    const nb_grid mantissas = nb_grid_mantissas(&p->grid);
    const int64_t row = row_of(n), blocks = blocks_of(n), size = p->grid.block.n;
    uint8_t inside[PIECE / 8];
    int64_t some;
    if (mask)
        memset(mask, 0, (size_t)((v->n + 7) / 8));
    for (int64_t at = 0; at < v->n; at += some) {
        const int64_t in_row = (place + at) % row, b = in_row / size;
        const int64_t end = (b + 1) * size < row ? (b + 1) * size : row;
        const int32_t e = p->exponent[(place + at) / row * blocks + b];
        some = end - in_row < v->n - at ? end - in_row : v->n - at;
        some = some < PIECE ? some : PIECE;
        const nb_fq_span piece = {v->x + at, some, v->first + at, v->draw};
        round_piece(y + at, inside, &piece, ldexpf(scale, e), ldexpf(unit, e), &mantissas);
        for (int64_t i = 0; mask && i < some; i++)
            mask[(at + i) / 8] = (uint8_t)(mask[(at + i) / 8] | (inside[i / 8] >> (i % 8) & 1) << (at + i) % 8);
    }
}
