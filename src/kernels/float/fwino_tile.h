/* fwino_tile.h - Winograd's transforms and products, a template: included once per instruction set after fconv_tile.h,
 * whose macros it uses, and V_SUB(a, b); has no guard. */

static const float wino_zero = 0.0f;

/* B^T of a column of four pixels. */
TILE_INLINE void wino_column(V *col, const float *p, ptrdiff_t line)
{
    const V a = V_LOAD(p), b = V_LOAD(p + line), c = V_LOAD(p + 2 * line), d = V_LOAD(p + 3 * line);
    col[0] = V_SUB(a, c);
    col[1] = V_ADD(b, c);
    col[2] = V_SUB(c, b);
    col[3] = V_SUB(d, b);
}

/* One row of tiles of an image, all channels: 4x4 pixels at steps of 2 become 16 coefficients. A column of pixels is
 * transformed once and serves two tiles. */
TILE_TARGET static void wino_image(const nb_fwino_row *r)
{
    for (ptrdiff_t c = 0; c < r->channels; c += V_WIDTH) {
        const float *in = r->in + c;
        float *out = r->out + c;
        V col[4][4];
        wino_column(col[0], in, r->line);
        wino_column(col[1], in + r->pixel, r->line);
        for (int32_t t = 0; t < r->n_tiles; t++, in += 2 * r->pixel, out += r->tile) {
            wino_column(col[2], in + 2 * r->pixel, r->line);
            wino_column(col[3], in + 3 * r->pixel, r->line);
            TILE_UNROLL
            for (int y = 0; y < 4; y++) {
                float *o = out + 4 * y * r->plane;
                V_STORE(o, V_SUB(col[0][y], col[2][y]));
                V_STORE(o + r->plane, V_ADD(col[1][y], col[2][y]));
                V_STORE(o + 2 * r->plane, V_SUB(col[2][y], col[1][y]));
                V_STORE(o + 3 * r->plane, V_SUB(col[3][y], col[1][y]));
                col[0][y] = col[2][y];
                col[1][y] = col[3][y];
            }
        }
    }
}

/* One row of tiles of an output gradient: 2x2 pixels become 16 coefficients. */
TILE_TARGET static void wino_gradient(const nb_fwino_row *r)
{
    for (ptrdiff_t c = 0; c < r->channels; c += V_WIDTH) {
        const float *in = r->in + c;
        float *out = r->out + c;
        for (int32_t t = 0; t < r->n_tiles; t++, in += 2 * r->pixel, out += r->tile) {
            V col[2][4];
            TILE_UNROLL
            for (int x = 0; x < 2; x++) {
                const V a = V_LOAD(in + x * r->pixel), b = V_LOAD(in + x * r->pixel + r->line);
                col[x][0] = a;
                col[x][1] = V_ADD(a, b);
                col[x][2] = V_SUB(a, b);
                col[x][3] = b;
            }
            TILE_UNROLL
            for (int y = 0; y < 4; y++) {
                float *o = out + 4 * y * r->plane;
                V_STORE(o, col[0][y]);
                V_STORE(o + r->plane, V_ADD(col[0][y], col[1][y]));
                V_STORE(o + 2 * r->plane, V_SUB(col[0][y], col[1][y]));
                V_STORE(o + 3 * r->plane, col[1][y]);
            }
        }
    }
}

/* One row of tiles of results, one panel: 16 sums become 2x2 pixels. */
TILE_TARGET static void wino_result(const nb_fwino_row *r)
{
    for (ptrdiff_t c = 0; c < NB_PANEL; c += V_WIDTH) {
        const float *in = r->in + c;
        float *out = r->out + c;
        const V bias = V_LOAD(r->bias + c);
        for (int32_t t = 0; t < r->n_tiles; t++, in += r->tile, out += 2 * r->pixel) {
            V col[4][2];
            TILE_UNROLL
            for (int x = 0; x < 4; x++) {
                const float *m = in + x * r->plane;
                const V b = V_LOAD(m + 4 * r->plane), d = V_LOAD(m + 8 * r->plane);
                col[x][0] = V_ADD(V_ADD(V_LOAD(m), b), d);
                col[x][1] = V_ADD(V_SUB(b, d), V_LOAD(m + 12 * r->plane));
            }
            TILE_UNROLL
            for (int y = 0; y < 2; y++) {
                float *o = out + y * r->line;
                const V first = V_ADD(V_ADD(V_ADD(col[0][y], col[1][y]), col[2][y]), bias);
                const V second = V_ADD(V_ADD(V_SUB(col[1][y], col[2][y]), col[3][y]), bias);
                V_STORE(o, r->add ? V_ADD(V_LOAD(o), first) : first);
                V_STORE(o + r->pixel, r->add ? V_ADD(V_LOAD(o + r->pixel), second) : second);
            }
        }
    }
}

/* Rows row .. row + rows - 1 of one plane. */
TILE_INLINE void wino_rows(const nb_fwino_product *p, ptrdiff_t plane, ptrdiff_t row, const int rows)
{
    const float *b = p->b + plane * p->b_plane;
    float *out = p->out + plane * p->out_plane + row * NB_PANEL;
    const float *in[MAX_ROWS];
    V acc[MAX_ROWS][WHOLE], w[WHOLE];
    TILE_UNROLL
    for (int i = 0; i < rows; i++) {
        in[i] = p->in + plane * p->in_plane + (row + i) * p->in_row;
        TILE_KEEP(in[i]);
        TILE_UNROLL
        for (int v = 0; v < WHOLE; v++)
            acc[i][v] = p->add ? V_LOAD(out + i * NB_PANEL + v * V_WIDTH) : V_SET1(&wino_zero);
    }
    for (ptrdiff_t s = 0, n = p->n_sum, off = 0; s < n; s++, off += p->in_sum, b += NB_PANEL) {
        TILE_UNROLL
        for (int v = 0; v < WHOLE; v++)
            w[v] = V_LOAD(b + v * V_WIDTH);
        TILE_UNROLL
        for (int i = 0; i < rows; i++)
            TILE_UNROLL
        for (int v = 0; v < WHOLE; v++)
            acc[i][v] = V_FMA(V_SET1(in[i] + off), w[v], acc[i][v]);
    }
    TILE_UNROLL
    for (int i = 0; i < rows; i++)
        TILE_UNROLL
    for (int v = 0; v < WHOLE; v++)
        V_STORE(out + i * NB_PANEL + v * V_WIDTH, acc[i][v]);
}

typedef void wino_fn(const nb_fwino_product *p, ptrdiff_t plane, ptrdiff_t row);

#define WINO(n)                                                                                                        \
    TILE_TARGET static void wino_##n(const nb_fwino_product *p, ptrdiff_t plane, ptrdiff_t row)                        \
    {                                                                                                                  \
        wino_rows(p, plane, row, n <= TILE_ROWS ? n : 1);                                                              \
    }
TILES(WINO)

static wino_fn *const wino_some[] = TILE_TABLE(wino);

static void wino_product(const nb_fwino_product *p)
{
    for (ptrdiff_t plane = 0; plane < 16; plane++)
        for (ptrdiff_t row = 0; row < p->n_rows; row += TILE_ROWS)
            wino_some[p->n_rows - row < TILE_ROWS ? p->n_rows - row : TILE_ROWS](p, plane, row);
}
