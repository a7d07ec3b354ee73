/* qgrad_tile.h - rows times pairs, once per instruction set. No include guard: each variant sets the macros V* and
 * TILE_* and includes it.
 *
 * As in fconv_tile.h a tile keeps rows x 16 sums in registers; per pair of values it broadcasts 32 bits per row and
 * multiplies them into the panel, both products and their sum in one instruction (vpmaddwd, or vpdpwssd with the
 * addition). Whole tiles have TILE_ROWS rows; blocks of few columns use half the registers per row and have 8. */
#include "kernels/float/panel_tile.h"

/* Multiplication and addition are rounded each, as in the scalar variant. */
TILE_INLINE void store_row(float *out, const V *acc, const int vectors, const nb_qrows *r)
{
    if (r->n_cols == vectors * V_WIDTH) {
        TILE_UNROLL
        for (int v = 0; v < vectors; v++) {
            VF y = VF_MUL(V_FLOAT(acc[v]), VF_LOAD(r->scale + v * V_WIDTH));
            VF_STORE(out + v * V_WIDTH, r->add ? VF_ADD(VF_LOAD(out + v * V_WIDTH), y) : y);
        }
        return;
    }
    float part[NB_PANEL];
    TILE_UNROLL
    for (int v = 0; v < vectors; v++)
        VF_STORE(part + v * V_WIDTH, VF_MUL(V_FLOAT(acc[v]), VF_LOAD(r->scale + v * V_WIDTH)));
    store_part(out, part, r->n_cols, r->add);
}

/* Rows row .. row + rows - 1; rows and vectors are constants at every call. */
TILE_INLINE void tile(const nb_qrows *r, int32_t row, const int rows, const int vectors)
{
    const int32_t *const sum_off = r->sum_off;
    const int16_t *b = r->b;
    const int16_t *in[MAX_ROWS];
    V acc[MAX_ROWS][WHOLE], w[WHOLE];
    TILE_UNROLL
    for (int i = 0; i < rows; i++) {
        in[i] = r->in + r->row_off[row + i];
        TILE_KEEP(in[i]);
        TILE_UNROLL
        for (int v = 0; v < vectors; v++)
            acc[i][v] = V_ZERO();
    }
    for (ptrdiff_t s = 0, n = r->n_sum; s < n; s++, b += 2 * NB_PANEL) {
        const ptrdiff_t off = sum_off[s];
        TILE_UNROLL
        for (int v = 0; v < vectors; v++)
            w[v] = V_LOAD(b + 2 * v * V_WIDTH);
        TILE_UNROLL
        for (int i = 0; i < rows; i++) {
            int32_t pair;
            memcpy(&pair, in[i] + off, sizeof pair);
            const V x = V_SET1(pair);
            TILE_UNROLL
            for (int v = 0; v < vectors; v++)
                V_DOT(acc[i][v], x, w[v]);
        }
    }
    TILE_UNROLL
    for (int i = 0; i < rows; i++)
        store_row(r->out + r->out_off[row + i], acc[i], vectors, r);
}

typedef void tile_fn(const nb_qrows *r, int32_t row);

#define TILE(n)                                                                                                        \
    TILE_TARGET static void whole_##n(const nb_qrows *r, int32_t row)                                                  \
    {                                                                                                                  \
        tile(r, row, n <= TILE_ROWS ? n : 1, WHOLE);                                                                   \
    }                                                                                                                  \
    TILE_TARGET static void half_##n(const nb_qrows *r, int32_t row)                                                   \
    {                                                                                                                  \
        tile(r, row, n <= HALF_ROWS ? n : 1, HALF);                                                                    \
    }
TILES(TILE)

static tile_fn *const whole[] = TILE_TABLE(whole);
static tile_fn *const half[] = TILE_TABLE(half);

/* All rows of a block: whole tiles, and what is left over one of them in two shares: a few sums alone would wait for
 * each other. */
static void rows(const nb_qrows *r)
{
    if (V_WIDTH == NB_PANEL && r->n_cols <= NB_PANEL / 2) { /* as fast per instruction, and two of them at once */
        nb_qgrad_avx2.rows(r);
        return;
    }
    const bool few = r->n_cols <= HALF * V_WIDTH;
    const int32_t most = few ? HALF_ROWS : TILE_ROWS;
    tile_fn *const *tiles = few ? half : whole;
    for (int32_t row = 0, left = r->n_rows, n; left > 0; row += n, left -= n) {
        n = left >= 2 * most || left == most ? most : left > most ? (left + 1) / 2 : left;
        tiles[n](r, row);
    }
}
