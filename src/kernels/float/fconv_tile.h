/* fconv_tile.h - the tile of rows times taps, a template: included once per instruction set (fconv_avx2.c, ...), which
 * is why it has no guard.
 *
 * Wanted before the include:
 *   V, V_WIDTH                          a vector of floats and how many (4, 8 or 16)
 *   V_LOAD(p) V_STORE(p, v)            from and to any floats
 *   V_SET1(p)                           *p in every lane
 *   V_ADD(a, b) V_FMA(a, b, c)          a + b, a * b + c
 *   TILE_ROWS                           rows of a whole tile, at most 8
 *   TILE_TARGET                         function attribute, may be empty
 *
 * A tile keeps rows x 16 sums in registers: per tap the 16 weights, one broadcast per row, and a multiply-add each.
 * Rows have their own base pointer, so a tile may cross the end of an image row. Loops over rows and vectors have
 * constant bounds and must vanish, or the sums live in memory: hence the pragmas and one function per number of rows.
 * Blocks of few columns use half the registers per row, so their tiles have 8 rows: two multiply-adds per cycle for the
 * 4 cycles that one takes. */
#include "kernels/float/panel_tile.h"

TILE_INLINE void store(float *out, const V *acc, const int vectors, int32_t n_cols, bool add)
{
    if (n_cols == vectors * V_WIDTH) {
        TILE_UNROLL
        for (int v = 0; v < vectors; v++)
            V_STORE(out + v * V_WIDTH, add ? V_ADD(V_LOAD(out + v * V_WIDTH), acc[v]) : acc[v]);
        return;
    }
    float part[NB_PANEL];
    TILE_UNROLL
    for (int v = 0; v < vectors; v++)
        V_STORE(part + v * V_WIDTH, acc[v]);
    store_part(out, part, n_cols, add);
}

/* Rows row .. row + rows - 1 of a block; rows, vectors and depth are constants at every call. bias: NB_PANEL floats. */
TILE_INLINE void tile(const nb_frows *r, const float *bias, int32_t row, const int rows, const int vectors,
                      const bool depth)
{
    const int32_t *const sum_off = r->sum_off;
    const float *b = r->b;
    const ptrdiff_t ldb = r->ldb;
    const float *in[MAX_ROWS];
    V acc[MAX_ROWS][WHOLE], w[WHOLE];
    TILE_UNROLL
    for (int i = 0; i < rows; i++) {
        in[i] = r->in + r->row_off[row + i];
        TILE_KEEP(in[i]);
        TILE_UNROLL
        for (int v = 0; v < vectors; v++)
            acc[i][v] = V_LOAD(bias + v * V_WIDTH);
    }
    for (ptrdiff_t s = 0, n = r->n_sum; s < n; s++, b += ldb) {
        const ptrdiff_t off = sum_off[s];
        TILE_UNROLL
        for (int v = 0; v < vectors; v++)
            w[v] = V_LOAD(b + v * V_WIDTH);
        TILE_UNROLL
        for (int i = 0; i < rows; i++) {
            const float *const x = in[i] + off;
            TILE_UNROLL
            for (int v = 0; v < vectors; v++)
                acc[i][v] = V_FMA(depth ? V_LOAD(x + v * V_WIDTH) : V_SET1(x), w[v], acc[i][v]);
        }
    }
    TILE_UNROLL
    for (int i = 0; i < rows; i++)
        store(r->out + r->out_off[row + i], acc[i], vectors, r->n_cols, r->add);
}

typedef void tile_fn(const nb_frows *r, const float *bias, int32_t row);

#define TILE(n)                                                                                                        \
    TILE_TARGET static void dense_whole_##n(const nb_frows *r, const float *bias, int32_t row)                         \
    {                                                                                                                  \
        tile(r, bias, row, n <= TILE_ROWS ? n : 1, WHOLE, false);                                                      \
    }                                                                                                                  \
    TILE_TARGET static void depth_whole_##n(const nb_frows *r, const float *bias, int32_t row)                         \
    {                                                                                                                  \
        tile(r, bias, row, n <= TILE_ROWS ? n : 1, WHOLE, true);                                                       \
    }                                                                                                                  \
    TILE_TARGET static void dense_half_##n(const nb_frows *r, const float *bias, int32_t row)                          \
    {                                                                                                                  \
        tile(r, bias, row, n <= HALF_ROWS ? n : 1, HALF, false);                                                       \
    }                                                                                                                  \
    TILE_TARGET static void depth_half_##n(const nb_frows *r, const float *bias, int32_t row)                          \
    {                                                                                                                  \
        tile(r, bias, row, n <= HALF_ROWS ? n : 1, HALF, true);                                                        \
    }
TILES(TILE)

static tile_fn *const dense_whole[] = TILE_TABLE(dense_whole);
static tile_fn *const depth_whole[] = TILE_TABLE(depth_whole);
static tile_fn *const dense_half[] = TILE_TABLE(dense_half);
static tile_fn *const depth_half[] = TILE_TABLE(depth_half);

/* All rows of a block: whole tiles, then one smaller tile. */
static void run(const nb_frows *r, tile_fn *const *whole, tile_fn *const *half)
{
    const bool few = r->n_cols <= HALF * V_WIDTH;
    const int32_t rows = few ? HALF_ROWS : TILE_ROWS;
    tile_fn *const *tiles = few ? half : whole;
    float bias[NB_PANEL] = {0};
    for (int32_t j = 0; r->bias && j < r->n_cols; j++)
        bias[j] = r->bias[j];
    for (int32_t row = 0; row < r->n_rows; row += rows)
        tiles[r->n_rows - row < rows ? r->n_rows - row : rows](r, bias, row);
}

static void dense(const nb_frows *r)
{
    run(r, dense_whole, dense_half);
}

static void depth(const nb_frows *r)
{
    run(r, depth_whole, depth_half);
}
