/* fdepth_tile.h - rows of a depthwise 3x3 convolution: a template like fconv_tile.h, included after it with the same
 * macros.
 *
 * Wanted before the include, beside those of fconv_tile.h:
 *   V_LOAD_PART(p, n) V_STORE_PART(p, v, n)     may be there: the first n lanes; others become 0, or stay as they are
 *
 * Lanes are channels. A pixel is loaded once for all the outputs of a tile that see it: 8 outputs in a row take 10
 * loads per row of the window instead of 24, and multiply-adds become the limit instead of loads. Columns outside the
 * image are left out, so nobody makes a padded copy; an output's taps are added in the same order wherever it lies. */
enum {
    DEPTH_OUT = 8,   /* outputs of a tile: with three weights and a pixel, 12 of 16 registers */
    DEPTH_PAIRS = 4, /* pairs of outputs of a spreading tile: the same */
    DEPTH_DY = 4     /* output gradients of a weight tile: with nine sums and a pixel, 14 registers */
};

#ifndef V_LOAD_PART
#    define V_LOAD_PART(p, n)     load_part(p, n)
#    define V_STORE_PART(p, v, n) store_lane_by_lane(p, v, n)

TILE_INLINE V load_part(const float *p, const int lanes)
{
    float part[V_WIDTH] = {0};
    for (int j = 0; j < lanes; j++)
        part[j] = p[j];
    return V_LOAD(part);
}

TILE_INLINE void store_lane_by_lane(float *p, V v, const int lanes)
{
    float part[V_WIDTH];
    V_STORE(part, v);
    for (int j = 0; j < lanes; j++)
        p[j] = part[j];
}
#endif

TILE_INLINE V load_lanes(const float *p, const int lanes)
{
    return lanes == V_WIDTH ? V_LOAD(p) : V_LOAD_PART(p, lanes);
}

TILE_INLINE void store_lanes(float *p, V v, const int lanes, const bool add)
{
    if (lanes == V_WIDTH)
        V_STORE(p, add ? V_ADD(V_LOAD(p), v) : v);
    else
        V_STORE_PART(p, add ? V_ADD(V_LOAD_PART(p, lanes), v) : v, lanes);
}

TILE_INLINE V first_sum(const nb_fdepth_row *r, int32_t ch, const int lanes)
{
    const float zero = 0.0f;
    return r->bias ? load_lanes(r->bias + ch, lanes) : V_SET1(&zero);
}

/* Outputs x .. x + n - 1, channels ch .. ch + lanes - 1; n and the stride s are constants. */
TILE_INLINE void depth_tile(const nb_fdepth_row *r, int32_t x, int32_t ch, const int lanes, const int n, const int s)
{
    const int columns = (n - 1) * s + 3;
    const ptrdiff_t c = r->c, at = ((ptrdiff_t)x * s - 1) * c + ch;
    const bool left = x > 0, right = (int64_t)x * s - 1 + columns <= r->n_in;
    V acc[DEPTH_OUT];
    TILE_UNROLL
    for (int j = 0; j < n; j++)
        acc[j] = first_sum(r, ch, lanes);
    for (int32_t k = 0; k < r->n_rows; k++) {
        const float *const in = r->in[k], *const wk = r->w[k] + ch;
        const V w0 = V_LOAD(wk), w1 = V_LOAD(wk + r->ldw), w2 = V_LOAD(wk + 2 * r->ldw);
        TILE_UNROLL
        for (int i = 0; i < columns; i++) {
            if ((i == 0 && !left) || (i == columns - 1 && !right))
                continue;
            const V v = load_lanes(in + (at + i * c), lanes);
            if (i % s == 0 && i / s < n)
                acc[i / s] = V_FMA(v, w0, acc[i / s]);
            if (i >= 1 && (i - 1) % s == 0 && (i - 1) / s < n)
                acc[(i - 1) / s] = V_FMA(v, w1, acc[(i - 1) / s]);
            if (i >= 2 && (i - 2) % s == 0)
                acc[(i - 2) / s] = V_FMA(v, w2, acc[(i - 2) / s]);
        }
    }
    TILE_UNROLL
    for (int j = 0; j < n; j++)
        store_lanes(r->out + ((x + j) * c + ch), acc[j], lanes, r->add);
}

/* Outputs 2x .. 2(x + n) - 1 of the gradient of stride 2: an even one sees the middle tap of one pixel, an odd one the
 * outer taps of two. */
TILE_INLINE void spread_tile(const nb_fdepth_row *r, int32_t x, int32_t ch, const int lanes, const int n)
{
    const ptrdiff_t c = r->c, at = x * c + ch;
    const bool right = x + n < r->n_in;
    V even[DEPTH_PAIRS], odd[DEPTH_PAIRS];
    TILE_UNROLL
    for (int j = 0; j < n; j++)
        even[j] = odd[j] = first_sum(r, ch, lanes);
    for (int32_t k = 0; k < r->n_rows; k++) {
        const float *const in = r->in[k], *const wk = r->w[k] + ch;
        const V w0 = V_LOAD(wk), w1 = V_LOAD(wk + r->ldw), w2 = V_LOAD(wk + 2 * r->ldw);
        TILE_UNROLL
        for (int i = 0; i <= n; i++) {
            if (i == n && !right)
                continue;
            const V v = load_lanes(in + (at + i * c), lanes);
            if (i > 0)
                odd[i - 1] = V_FMA(v, w0, odd[i - 1]);
            if (i < n) {
                even[i] = V_FMA(v, w1, even[i]);
                odd[i] = V_FMA(v, w2, odd[i]);
            }
        }
    }
    TILE_UNROLL
    for (int j = 0; j < n; j++) {
        float *const out = r->out + (2 * (x + j) * c + ch);
        store_lanes(out, even[j], lanes, r->add);
        if (j < n - 1 || 2 * (x + j) + 1 < r->n_out)
            store_lanes(out + c, odd[j], lanes, r->add);
    }
}

/* Asks for the next cache lines of what will be needed soon, `floats` of them: a tile jumps from pixel to pixel, which
 * the processor does not foresee, and images of a batch come from memory. */
TILE_INLINE void fetch_ahead(uintptr_t *next, const int floats)
{
    TILE_UNROLL
    for (int i = 0; i < floats; i += 16, *next += 64)
        __builtin_prefetch((const void *)*next);
}

/* What a vector of channels fetches of n floats ahead per channel starts there. */
TILE_INLINE uintptr_t ahead_of(uintptr_t start, int32_t ch, int32_t n)
{
    return start + (uintptr_t)ch * (uintptr_t)n * sizeof(float);
}

/* All tiles of a row, for one vector of channels. */
TILE_INLINE void depth_line(const nb_fdepth_row *r, int32_t ch, const int lanes, const int s)
{
    uintptr_t in = ahead_of(r->in_ahead, ch, r->n_in * s), out = ahead_of(r->out_ahead, ch, r->n_out);
    int32_t x = 0;
    for (; x + DEPTH_OUT <= r->n_out; x += DEPTH_OUT) {
        fetch_ahead(&in, DEPTH_OUT * s * s * V_WIDTH);
        fetch_ahead(&out, DEPTH_OUT * V_WIDTH);
        depth_tile(r, x, ch, lanes, DEPTH_OUT, s);
    }
    for (; x + 4 <= r->n_out; x += 4) {
        fetch_ahead(&in, 4 * s * s * V_WIDTH);
        fetch_ahead(&out, 4 * V_WIDTH);
        depth_tile(r, x, ch, lanes, 4, s);
    }
    for (; x + 2 <= r->n_out; x += 2)
        depth_tile(r, x, ch, lanes, 2, s);
    if (x < r->n_out)
        depth_tile(r, x, ch, lanes, 1, s);
}

TILE_INLINE void spread_line(const nb_fdepth_row *r, int32_t ch, const int lanes)
{
    uintptr_t in = ahead_of(r->in_ahead, ch, r->n_in), out = ahead_of(r->out_ahead, ch, r->n_out);
    int32_t x = 0;
    for (; x + DEPTH_PAIRS <= r->n_in; x += DEPTH_PAIRS) {
        fetch_ahead(&in, DEPTH_PAIRS * V_WIDTH);
        fetch_ahead(&out, 2 * DEPTH_PAIRS * V_WIDTH);
        spread_tile(r, x, ch, lanes, DEPTH_PAIRS);
    }
    for (; x < r->n_in; x++)
        spread_tile(r, x, ch, lanes, 1);
}

/* n output gradients from pixel x on, of one row of the window: each pixel of in meets every tap it was read by. */
TILE_INLINE void weight_tile(const nb_fdepth_sums *r, const float *in, const float *dy, int32_t x, int32_t ch,
                             const int lanes, const int n, const int s, V *acc)
{
    const int columns = (n - 1) * s + 3;
    const ptrdiff_t c = r->c, at = ((ptrdiff_t)x * s - 1) * c + ch;
    const bool left = x > 0, right = (int64_t)x * s - 1 + columns <= r->n_in;
    V d[DEPTH_DY];
    TILE_UNROLL
    for (int j = 0; j < n; j++)
        d[j] = load_lanes(dy + ((x + j) * c + ch), lanes);
    TILE_UNROLL
    for (int i = 0; i < columns; i++) {
        if ((i == 0 && !left) || (i == columns - 1 && !right))
            continue;
        const V v = load_lanes(in + (at + i * c), lanes);
        if (i % s == 0 && i / s < n)
            acc[0] = V_FMA(v, d[i / s], acc[0]);
        if (i >= 1 && (i - 1) % s == 0 && (i - 1) / s < n)
            acc[1] = V_FMA(v, d[(i - 1) / s], acc[1]);
        if (i >= 2 && (i - 2) % s == 0)
            acc[2] = V_FMA(v, d[(i - 2) / s], acc[2]);
    }
}

/* The nine sums of one vector of channels over all rows. */
TILE_INLINE void weight_line(const nb_fdepth_sums *r, int32_t ch, const int lanes, const int s)
{
    uintptr_t in_next = ahead_of(r->in_ahead, ch, r->n_in * r->n_rows * s);
    uintptr_t dy_next = ahead_of(r->dy_ahead, ch, r->n_out * r->n_rows);
    V acc[9];
    TILE_UNROLL
    for (int t = 0; t < 9; t++)
        acc[t] = V_LOAD(r->out + (t * r->ldw + ch));
    for (int32_t y = 0; y < r->n_rows; y++) {
        const float *const dy = r->dy + (ptrdiff_t)y * r->n_out * r->c;
        const float *const *const in = r->in + (ptrdiff_t)y * s;
        int32_t x = 0;
        for (; x + DEPTH_DY <= r->n_out; x += DEPTH_DY) {
            fetch_ahead(&in_next, DEPTH_DY * s * s * V_WIDTH);
            fetch_ahead(&dy_next, DEPTH_DY * V_WIDTH);
            TILE_UNROLL
            for (int k = 0; k < 3; k++)
                if (in[k])
                    weight_tile(r, in[k], dy, x, ch, lanes, DEPTH_DY, s, acc + 3 * k);
        }
        for (; x < r->n_out; x++) {
            TILE_UNROLL
            for (int k = 0; k < 3; k++)
                if (in[k])
                    weight_tile(r, in[k], dy, x, ch, lanes, 1, s, acc + 3 * k);
        }
    }
    TILE_UNROLL
    for (int t = 0; t < 9; t++)
        V_STORE(r->out + (t * r->ldw + ch), acc[t]);
}

/* The stride and whole vectors of channels are constants inside; the last channels may be part of a vector. */
TILE_TARGET static void depth3(const nb_fdepth_row *r)
{
    int32_t ch = 0;
    for (; ch + V_WIDTH <= r->c; ch += V_WIDTH)
        if (r->stride == 1)
            depth_line(r, ch, V_WIDTH, 1);
        else
            depth_line(r, ch, V_WIDTH, 2);
    if (ch < r->c && r->stride == 1)
        depth_line(r, ch, r->c - ch, 1);
    else if (ch < r->c)
        depth_line(r, ch, r->c - ch, 2);
}

TILE_TARGET static void depth3_spread(const nb_fdepth_row *r)
{
    int32_t ch = 0;
    for (; ch + V_WIDTH <= r->c; ch += V_WIDTH)
        spread_line(r, ch, V_WIDTH);
    if (ch < r->c)
        spread_line(r, ch, r->c - ch);
}

TILE_TARGET static void depth3_weights(const nb_fdepth_sums *r)
{
    int32_t ch = 0;
    for (; ch + V_WIDTH <= r->c; ch += V_WIDTH)
        if (r->stride == 1)
            weight_line(r, ch, V_WIDTH, 1);
        else
            weight_line(r, ch, V_WIDTH, 2);
    if (ch < r->c && r->stride == 1)
        weight_line(r, ch, r->c - ch, 1);
    else if (ch < r->c)
        weight_line(r, ch, r->c - ch, 2);
}
