/* iconv_amx.c - the dense integer convolution with AMX: tdpbssd multiplies a tile of 16 pixels x 64 bytes by a tile of
 * 64 bytes x 16 channels, 16384 products an instruction. 16 steps of a panel are such a tile of weights already.
 *
 * 32 pixels x 32 channels are four tiles of sums. Two more hold the operands of whole tiles, two those of the last
 * steps of a run, which are fewer: an instruction takes the depth from the shapes of its tiles, and changing shapes
 * would clear the sums. Neighbouring pixels overlap in the padded image, so their tile is loaded from there with the
 * distance from pixel to pixel as stride, no matter what the kernel's size is; only 16 pixels that cross the end of an
 * image row are copied together first. When the number of pixels is no multiple of 16, the last tile begins earlier and
 * computes some again; when there are fewer than 16, tiles have as many rows. */
#include "kernels/integer/ibytes.h"
#include "kernels/integer/iconv_isa.h"

#ifdef NB_WITH_AMX

#    include <immintrin.h>

#    define AMX        __attribute__((target("amx-tile,amx-int8")))
#    define AMX_INLINE static inline __attribute__((always_inline)) AMX

enum { LANES = NB_ICONV_LANES, STEP = 64, DEPTH = 16 /* steps of a tile */, ROWS = 16, LINE = 64 /* bytes */ };

/* gcc's intrinsics do not tell it which memory they read: stores stay on their side of this. */
static inline void keep_stores(const void *p)
{
    __asm__ volatile("" : : "r"(p) : "memory");
}

/* Tiles: 0-3 sums, 4 and 5 pixels (rows of them) and weights, 6 and 7 those of the last `tail` steps of a run. */
AMX static void configure(int32_t rows, int32_t tail)
{
    struct {
        uint8_t palette, start_row, reserved[14];
        uint16_t row_bytes[16];
        uint8_t rows[16];
    } shapes = {.palette = 1};
    _Static_assert(sizeof shapes == 64, "what ldtilecfg reads");
    for (int32_t t = 0; t < 8; t++) {
        shapes.row_bytes[t] = (uint16_t)(t == 6 ? 4 * tail : LINE);
        shapes.rows[t] = (uint8_t)(t == 5 ? DEPTH : t == 7 ? tail : rows);
    }
    keep_stores(&shapes);
    _tile_loadconfig(&shapes);
}

typedef struct { /* the pixels of a tile, and where they lie together if they do not in the image */
    const uint8_t *x;
    const int32_t *px;
    int32_t rows;
    int64_t stride; /* from pixel to pixel, or 0: not always the same */
    uint8_t copy[ROWS * LINE];
} group;

static void group_at(group *t, const nb_iconv_job *j, int32_t p, int32_t rows)
{
    t->x = j->x;
    t->px = j->px + p;
    t->rows = rows;
    t->stride = rows > 1 ? t->px[1] - t->px[0] : LINE;
    for (int32_t i = 2; i < rows; i++)
        if (t->px[i] - t->px[i - 1] != t->stride) {
            t->stride = 0;
            return;
        }
}

/* The rows of a tile: of each pixel the values from offset k on. */
static inline const uint8_t *rows_at(group *t, int64_t k, int64_t *stride)
{
    *stride = t->stride ? t->stride : LINE;
    if (t->stride)
        return t->x + t->px[0] + k;
    keep_stores(t->copy);
    for (int32_t i = 0; i < t->rows; i++) /* behind the image there is a line that may be read */
        memcpy(t->copy + i * LINE, t->x + t->px[i] + k, LINE);
    keep_stores(t->copy);
    return t->copy;
}

/* Tile numbers are part of an instruction's name: a macro for the two pairs of operand tiles. groups (of 16 pixels) and
 * panels are constants in every call. */
#    define MULTIPLY(name, A, B)                                                                                       \
        AMX_INLINE void name(group *t, int64_t k, const uint8_t *w, int64_t panel, const int groups, const int panels) \
        {                                                                                                              \
            int64_t stride, stride2 = 0;                                                                               \
            const uint8_t *const x = rows_at(&t[0], k, &stride), *x2 = NULL;                                           \
            _tile_loadd(A, x, stride);                                                                                 \
            _tile_loadd(B, w, LINE);                                                                                   \
            _tile_dpbssd(0, A, B);                                                                                     \
            if (groups == 2) {                                                                                         \
                x2 = rows_at(&t[1], k, &stride2);                                                                      \
                _tile_loadd(A, x2, stride2);                                                                           \
                _tile_dpbssd(2, A, B);                                                                                 \
            }                                                                                                          \
            if (panels == 2) {                                                                                         \
                _tile_loadd(B, w + panel, LINE);                                                                       \
                if (groups == 2) {                                                                                     \
                    _tile_dpbssd(3, A, B);                                                                             \
                    _tile_loadd(A, x, stride);                                                                         \
                }                                                                                                      \
                _tile_dpbssd(1, A, B);                                                                                 \
            }                                                                                                          \
        }
MULTIPLY(multiply_whole, 4, 5)
MULTIPLY(multiply_tail, 6, 7)
#    undef MULTIPLY

/* A tile of sums to pixels from p on and the last channels, from c0 on. */
static void store_part(const nb_iconv_job *j, int32_t p, int32_t rows, int32_t c0, const int32_t *sums)
{
    for (int32_t i = 0; i < rows; i++)
        memcpy(j->acc + (p + i) * j->acc_stride + c0, sums + i * LANES, (size_t)(j->channels - c0) * sizeof *sums);
}

#    define STORE(TILE, p, c0)                                                                                         \
        do {                                                                                                           \
            if (j->channels - (c0) >= LANES) {                                                                         \
                _tile_stored(TILE, j->acc + (int64_t)(p)*j->acc_stride + (c0), j->acc_stride * 4);                     \
            } else {                                                                                                   \
                int32_t part[ROWS * LANES];                                                                            \
                _tile_stored(TILE, part, LINE);                                                                        \
                store_part(j, p, t[0].rows, c0, part);                                                                 \
            }                                                                                                          \
        } while (0)

/* rows * groups pixels from p on, 16 * panels channels from c0 on. */
AMX_INLINE void block(const nb_iconv_job *j, int32_t p, int32_t rows, int32_t c0, const int groups, const int panels)
{
    const int64_t panel = (int64_t)j->n_runs * j->steps * STEP;
    const uint8_t *w = (const uint8_t *)j->panels + c0 / LANES * panel;
    group t[2];
    for (int i = 0; i < groups; i++)
        group_at(&t[i], j, p + rows * i, rows);
    _tile_loadd(0, j->start + c0, 0); /* 16 times the same row */
    if (groups == 2)
        _tile_loadd(2, j->start + c0, 0);
    if (panels == 2)
        _tile_loadd(1, j->start + c0 + LANES, 0);
    if (groups == 2 && panels == 2)
        _tile_loadd(3, j->start + c0 + LANES, 0);
    for (int32_t run = 0; run < j->n_runs; run++) {
        int64_t k = j->runs[run];
        int32_t left = j->steps;
        for (; left >= DEPTH; left -= DEPTH, k += LINE, w += DEPTH * STEP)
            multiply_whole(t, k, w, panel, groups, panels);
        if (left)
            multiply_tail(t, k, w, panel, groups, panels);
        w += left * STEP;
    }
    STORE(0, p, c0);
    if (panels == 2)
        STORE(1, p, c0 + LANES);
    if (groups == 2)
        STORE(2, p + rows, c0);
    if (groups == 2 && panels == 2)
        STORE(3, p + rows, c0 + LANES);
}

AMX_INLINE void panels_of(const nb_iconv_job *j, int32_t c0, const int panels)
{
    int32_t p = 0;
    for (; p + 2 * ROWS <= j->n; p += 2 * ROWS)
        block(j, p, ROWS, c0, 2, panels);
    if (p + ROWS <= j->n) {
        block(j, p, ROWS, c0, 1, panels);
        p += ROWS;
    }
    if (p < j->n)
        block(j, j->n < ROWS ? 0 : j->n - ROWS, j->n < ROWS ? j->n : ROWS, c0, 1, panels);
}

AMX static void dense(const nb_iconv_job *j)
{
    int32_t c0 = 0;
    configure(j->n < ROWS ? j->n : ROWS, j->steps % DEPTH ? j->steps % DEPTH : DEPTH);
    for (; c0 + LANES < j->channels; c0 += 2 * LANES)
        panels_of(j, c0, 2);
    if (c0 < j->channels)
        panels_of(j, c0, 1);
    _tile_release();
}

/* An instruction takes as long for few steps as for 16: with less than 3, VNNI needs fewer cycles. */
static int32_t choose(const nb_iconv_facts *f)
{
    const nb_geom *g = f->geom;
    return g->c / g->groups * (g->groups == 1 ? g->kw : 1) > 8;
}

static const nb_iconv_method bytes = {
    .name = "bytes", .form = NB_ICONV_BYTES, .middle = 128, .choose = choose, .dense = dense};
static const nb_iconv_method *const methods[] = {&bytes, NULL};

/* The rest comes from the next worse variant, hence its needs. */
const nb_iconv_isa nb_iconv_amx = {.methods = methods};

#endif
