/* iconv_tile.h - the tile of a dense integer convolution, a template: included once per instruction set and form of
 * operands (iconv_avx512.c, ...), which is why it has no guard.
 *
 * Wanted before the include:
 *   V, V_LANES                          a vector of int32 sums and how many (4, 8 or 16)
 *   V_ZERO V_LOAD(p) V_STORE(p, v)      zeros, from and to any int32
 *   V_ADD(a, b)
 *   W, W_LOAD(p)                        the weights of V_LANES channels of one step: 4 * V_LANES bytes
 *   X, X_SET(v)                         the int32 v, which is one pixel's part of a step, as often as a W has lanes
 *   V_DOT(acc, x, w)                    acc + the products of one step, summed per channel
 *   TILE_BYTES                          1: form NB_ICONV_BYTES, 0: NB_ICONV_S16
 *   TILE_ROWS, TILE_PANELS              pixels (at least 4) and panels (1 or 2) of a whole tile
 *   TILE_TARGET                         function attribute, may be empty
 * It defines `static void dense(const nb_iconv_job *j)`.
 *
 * A tile keeps pixels x (16 * panels) sums in registers: per step the weights, one broadcast per pixel, and a dot
 * product each. Loops over pixels and vectors have constant bounds and must vanish, or the sums live in memory. */
#ifdef __clang__
#    define TILE_UNROLL _Pragma("clang loop unroll(full)")
#else
#    define TILE_UNROLL _Pragma("GCC unroll 16")
#endif
#define TILE_INLINE static inline __attribute__((always_inline)) TILE_TARGET

enum {
    LANES = NB_ICONV_LANES,
    VECTORS = LANES / V_LANES, /* of a panel */
    LINE = TILE_PANELS * VECTORS,
    STEP = 64, /* bytes of a panel */
    VALUE = TILE_BYTES ? 1 : 2,
    CHAINS = 4 /* of tile_of_one */
};

TILE_INLINE X broadcast(const uint8_t *x)
{
    int32_t v;
    memcpy(&v, x, sizeof v);
    return X_SET(v);
}

TILE_INLINE V first_sums(const nb_iconv_job *j, int32_t c)
{
    return TILE_BYTES ? V_LOAD(j->start + c) : V_ZERO;
}

static __attribute__((noinline)) void store_part(int32_t *to, const int32_t *sums, int32_t n)
{
    memcpy(to, sums, (size_t)n * sizeof *to);
}

/* The sums of one pixel; panels is a constant in every call, here and below. */
TILE_INLINE void store_sums(const nb_iconv_job *j, int32_t p, int32_t c0, const V *acc, const int panels)
{
    int32_t part[TILE_PANELS * LANES], *const to = j->acc + p * j->acc_stride + c0;
    const bool whole = j->channels - c0 >= panels * LANES;
    TILE_UNROLL
    for (int v = 0; v < panels * VECTORS; v++)
        V_STORE((whole ? to : part) + v * V_LANES, acc[v]);
    if (!whole)
        store_part(to, part, j->channels - c0);
}

TILE_INLINE void tile(const nb_iconv_job *j, int32_t p, int32_t c0, const int rows, const int panels)
{
    const int64_t panel_bytes = (int64_t)j->n_runs * j->steps * STEP;
    const uint8_t *w = (const uint8_t *)j->panels + c0 / LANES * panel_bytes, *x[TILE_ROWS];
    V acc[TILE_ROWS][LINE];
    TILE_UNROLL
    for (int r = 0; r < rows; r++) {
        x[r] = (const uint8_t *)j->x + (int64_t)j->px[p + r] * VALUE;
        TILE_UNROLL
        for (int v = 0; v < panels * VECTORS; v++)
            acc[r][v] = first_sums(j, c0 + v * V_LANES);
    }
    for (int32_t run = 0; run < j->n_runs; run++) {
        int64_t k = (int64_t)j->runs[run] * VALUE;
        for (const int64_t end = k + 4 * (int64_t)j->steps; k < end; k += 4, w += STEP) {
            W weights[LINE];
            TILE_UNROLL
            for (int v = 0; v < panels * VECTORS; v++)
                weights[v] = W_LOAD(w + v / VECTORS * panel_bytes + v % VECTORS * 4 * V_LANES);
            TILE_UNROLL
            for (int r = 0; r < rows; r++) {
                const X value = broadcast(x[r] + k);
                TILE_UNROLL
                for (int v = 0; v < panels * VECTORS; v++)
                    acc[r][v] = V_DOT(acc[r][v], value, weights[v]);
            }
        }
    }
    TILE_UNROLL
    for (int r = 0; r < rows; r++)
        store_sums(j, p + r, c0, acc[r], panels);
}

/* One pixel (linear layers): several sums over k, so that additions do not wait for each other. */
TILE_INLINE void tile_of_one(const nb_iconv_job *j, int32_t p, int32_t c0)
{
    const uint8_t *w = (const uint8_t *)j->panels + (int64_t)c0 / LANES * j->n_runs * j->steps * STEP;
    V acc[CHAINS][VECTORS];
    TILE_UNROLL
    for (int i = 0; i < CHAINS; i++)
        TILE_UNROLL
    for (int v = 0; v < VECTORS; v++)
        acc[i][v] = i == 0 ? first_sums(j, c0 + v * V_LANES) : V_ZERO;
    for (int32_t run = 0; run < j->n_runs; run++) {
        const uint8_t *x = (const uint8_t *)j->x + ((int64_t)j->px[p] + j->runs[run]) * VALUE;
        int32_t k = 0;
        for (; k + CHAINS <= j->steps; k += CHAINS, x += 4 * CHAINS, w += CHAINS * STEP) {
            TILE_UNROLL
            for (int i = 0; i < CHAINS * VECTORS; i++)
                acc[i / VECTORS][i % VECTORS] =
                    V_DOT(acc[i / VECTORS][i % VECTORS], broadcast(x + i / VECTORS * 4), W_LOAD(w + i * 4 * V_LANES));
        }
        for (; k < j->steps; k++, x += 4, w += STEP) {
            TILE_UNROLL
            for (int v = 0; v < VECTORS; v++)
                acc[0][v] = V_DOT(acc[0][v], broadcast(x), W_LOAD(w + v * 4 * V_LANES));
        }
    }
    TILE_UNROLL
    for (int v = 0; v < VECTORS; v++)
        acc[0][v] = V_ADD(V_ADD(acc[0][v], acc[1][v]), V_ADD(acc[2][v], acc[3][v]));
    store_sums(j, p, c0, acc[0], 1);
}

TILE_INLINE void panels_of(const nb_iconv_job *j, int32_t c0, const int panels)
{
    int32_t p = 0;
    for (; p + TILE_ROWS <= j->n; p += TILE_ROWS)
        tile(j, p, c0, TILE_ROWS, panels);
    for (; p + 4 <= j->n; p += 4)
        tile(j, p, c0, 4, panels);
    for (; p < j->n; p++)
        for (int i = 0; i < panels; i++)
            tile_of_one(j, p, c0 + i * LANES);
}

TILE_TARGET static void dense(const nb_iconv_job *j)
{
    int32_t c0 = 0;
    for (; c0 + (TILE_PANELS - 1) * LANES < j->channels; c0 += TILE_PANELS * LANES)
        panels_of(j, c0, TILE_PANELS);
    if (c0 < j->channels)
        panels_of(j, c0, 1);
}
