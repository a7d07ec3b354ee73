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
 *   DOT_ROW(acc, x, w, n)               if there is better: acc[n] += the products of the four bytes at x with w[n]
 *   CHANNELS, CHANNELS_AT(q, c), STORE_CODES(to, stride, v, k)
 *                                       if sums can become codes: constants of V_LANES channels, four rows to codes
 *   TILE_BYTES                          1: form NB_ICONV_BYTES, 0: NB_ICONV_S16
 *   TILE_ROWS, TILE_PANELS              pixels (at least 4) and panels (1 or 2) of a whole tile
 *   TILE_TARGET                         function attribute, may be empty
 * It defines `static void dense(const nb_iconv_job *j)`.
 *
 * A tile keeps pixels x (16 * panels) sums in registers: per step the weights, one broadcast per pixel, and a dot
 * product each. Loops over pixels and vectors have constant bounds and must vanish, or the sums live in memory. The
 * pixels of a tile are equally far apart, so that a third of them need a register for their address. */
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
    CHAINS = 4,  /* of tile_of_one */
    FROM_ONE = 3 /* pixels from one address: 0, 1 and 2 times their distance behind it */
};

#ifndef DOT_ROW
#    define DOT_ROW(acc, x, w, n)                                                                                      \
        do {                                                                                                           \
            const X value = broadcast(x);                                                                              \
            TILE_UNROLL                                                                                                \
            for (int v = 0; v < (n); v++)                                                                              \
                (acc)[v] = V_DOT((acc)[v], value, (w)[v]);                                                             \
        } while (0)
#endif
#ifndef STORE_CODES
#    define CHANNELS char /* never seen */
#endif

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

/* Rows of a tile, one or at least four, as codes. */
TILE_INLINE void store_codes(const nb_iconv_job *j, int32_t p, int32_t c0, V (*acc)[LINE], const CHANNELS *k,
                             const int rows, const int panels)
{
#ifdef STORE_CODES
    uint8_t *const to = j->codes + p * j->acc_stride + c0;
    TILE_UNROLL
    for (int i = 0; i < (rows + 3) / 4 * panels * VECTORS; i++) {
        const int v = i % (panels * VECTORS), at = i / (panels * VECTORS) * 4, next = rows > 1;
        const int r = next && at > rows - 4 ? rows - 4 : at; /* the last four may be some that are done already */
        const V four[4] = {acc[r][v], acc[r + next][v], acc[r + 2 * next][v], acc[r + 3 * next][v]};
        uint8_t part[4 * V_LANES], *const y = to + r * j->acc_stride + v * V_LANES;
        STORE_CODES(next ? y : part, next ? j->acc_stride : V_LANES, four, &k[v]);
        if (!next)
            memcpy(y, part, V_LANES);
    }
#else
    (void)j, (void)p, (void)c0, (void)acc, (void)k, (void)rows, (void)panels;
#endif
}

/* k: constants for codes, or NULL for sums. */
TILE_INLINE void store_tile(const nb_iconv_job *j, int32_t p, int32_t c0, V (*acc)[LINE], const CHANNELS *k,
                            const int rows, const int panels)
{
    if (k)
        store_codes(j, p, c0, acc, k, rows, panels);
    else
        TILE_UNROLL
    for (int r = 0; r < rows; r++)
        store_sums(j, p + r, c0, acc[r], panels);
}

/* first: the window of pixel p; those of the next are `apart` bytes behind. */
TILE_INLINE void tile(const nb_iconv_job *j, const uint8_t *first, int64_t apart, int32_t p, int32_t c0,
                      const CHANNELS *k, const int rows, const int panels)
{
    const int64_t panel_bytes = (int64_t)j->n_runs * j->steps * STEP;
    const uint8_t *w = (const uint8_t *)j->panels + c0 / LANES * panel_bytes;
    V acc[TILE_ROWS][LINE];
    TILE_UNROLL
    for (int r = 0; r < rows; r++)
        TILE_UNROLL
    for (int v = 0; v < panels * VECTORS; v++)
        acc[r][v] = first_sums(j, c0 + v * V_LANES);
    for (int32_t run = 0; run < j->n_runs; run++) {
        const uint8_t *x[(TILE_ROWS + FROM_ONE - 1) / FROM_ONE];
        TILE_UNROLL
        for (int i = 0; i * FROM_ONE < rows; i++)
            x[i] = first + (int64_t)j->runs[run] * VALUE + i * FROM_ONE * apart;
        for (int32_t step = 0; step < j->steps; step++, w += STEP) {
            W weights[LINE];
            TILE_UNROLL
            for (int v = 0; v < panels * VECTORS; v++)
                weights[v] = W_LOAD(w + v / VECTORS * panel_bytes + v % VECTORS * 4 * V_LANES);
            TILE_UNROLL
            for (int r = 0; r < rows; r++)
                DOT_ROW(acc[r], x[r / FROM_ONE] + r % FROM_ONE * apart, weights, panels * VECTORS);
            TILE_UNROLL
            for (int i = 0; i * FROM_ONE < rows; i++)
                x[i] += 4;
        }
    }
    store_tile(j, p, c0, acc, k, rows, panels);
}

/* One pixel (linear layers): several sums over k, so that additions do not wait for each other. */
TILE_INLINE void tile_of_one(const nb_iconv_job *j, int32_t p, int32_t c0, const CHANNELS *k)
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
        int32_t step = 0;
        for (; step + CHAINS <= j->steps; step += CHAINS, x += 4 * CHAINS, w += CHAINS * STEP) {
            TILE_UNROLL
            for (int i = 0; i < CHAINS * VECTORS; i++)
                acc[i / VECTORS][i % VECTORS] =
                    V_DOT(acc[i / VECTORS][i % VECTORS], broadcast(x + i / VECTORS * 4), W_LOAD(w + i * 4 * V_LANES));
        }
        for (; step < j->steps; step++, x += 4, w += STEP) {
            TILE_UNROLL
            for (int v = 0; v < VECTORS; v++)
                acc[0][v] = V_DOT(acc[0][v], broadcast(x), W_LOAD(w + v * 4 * V_LANES));
        }
    }
    V sum[1][LINE];
    TILE_UNROLL
    for (int v = 0; v < VECTORS; v++)
        sum[0][v] = V_ADD(V_ADD(acc[0][v], acc[1][v]), V_ADD(acc[2][v], acc[3][v]));
    store_tile(j, p, c0, sum, k, 1, 1);
}

/* Pixels of the next tile, when `left` of n are to do. */
static inline int32_t rows_of(int32_t left, int32_t n)
{
    static const int32_t have[] = {4, 6, 7, 8, 10, 12};
    const int32_t tiles = (left + TILE_ROWS - 1) / TILE_ROWS, want = (left + tiles - 1) / tiles;
    int32_t i = 0;
    while (have[i] < want)
        i++;
    while (have[i] > n || have[i] > TILE_ROWS)
        i--;
    return have[i];
}

/* n pixels whose windows are `apart` bytes apart. What is left of them is done by tiles that begin earlier. */
TILE_INLINE void strip(const nb_iconv_job *j, int64_t apart, int32_t p, int32_t n, int32_t c0, const CHANNELS *k,
                       const int panels)
{
    const uint8_t *x = (const uint8_t *)j->x + (int64_t)j->px[p] * VALUE;
    for (int32_t i = 0, rows; i < n; i += rows) {
        rows = n < 4 ? 1 : rows_of(n - i, n);
        i = i < n - rows ? i : n - rows;
        switch (rows) {
        case 1:
            for (int v = 0; v < panels; v++)
                tile_of_one(j, p + i, c0 + v * LANES, k ? k + v * VECTORS : k);
            break;
#define TILE(rows)                                                                                                     \
    case rows:                                                                                                         \
        tile(j, x + i * apart, apart, p + i, c0, k, rows, panels);                                                     \
        break
            TILE(4);
#if TILE_ROWS > 4
            TILE(6);
#endif
#if TILE_ROWS > 6
            TILE(7);
            TILE(8);
            TILE(10);
            TILE(12);
#endif
#undef TILE
        default:
            break;
        }
    }
}

TILE_INLINE void strips(const nb_iconv_job *j, int32_t c0, const CHANNELS *k, const int panels)
{
    for (int32_t p = 0, n; p < j->n; p += n) {
        const int32_t apart = p + 1 < j->n ? j->px[p + 1] - j->px[p] : 0;
        for (n = 1; p + n < j->n && j->px[p + n] - j->px[p + n - 1] == apart; n++)
            ;
        strip(j, (int64_t)apart * VALUE, p, n, c0, k, panels);
    }
}

TILE_INLINE void panels_of(const nb_iconv_job *j, int32_t c0, const int panels)
{
#ifdef STORE_CODES
    if (j->codes) {
        CHANNELS k[LINE];
        for (int v = 0; v < panels * VECTORS; v++)
            k[v] = CHANNELS_AT(j->q, c0 + v * V_LANES);
        strips(j, c0, k, panels);
        return;
    }
#endif
    strips(j, c0, NULL, panels);
}

TILE_TARGET static void dense(const nb_iconv_job *j)
{
    int32_t c0 = 0;
    for (; c0 + (TILE_PANELS - 1) * LANES < j->channels; c0 += TILE_PANELS * LANES)
        panels_of(j, c0, TILE_PANELS);
    if (c0 < j->channels)
        panels_of(j, c0, 1);
}
