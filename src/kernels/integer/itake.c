/* itake.c - see itake.h. Runs of indices that go on one by one are copied whole: cropped and padded images, slices of
 * channels; indices that jump (a shuffle) value by value. */
#include "kernels/integer/itake.h"

#include <stdbool.h>

#include "kernels/integer/ibytes.h"

/* How many from entry k on go on one by one, or are all -1. */
static int32_t run_of(const int32_t *index, int32_t k, int32_t n)
{
    int32_t end = k + 1;
    while (end < n && index[end] == (index[k] < 0 ? -1 : index[k] + end - k))
        end++;
    return end - k;
}

static int32_t runs_of(const int32_t *index, int32_t n)
{
    int32_t runs = 0;
    for (int32_t k = 0; k < n; k += run_of(index, k, n))
        runs++;
    return runs;
}

static void jump_bytes(uint8_t *y, const uint8_t *x, const int32_t *index, int32_t n, uint8_t zero)
{
    for (int32_t k = 0; k < n; k++)
        y[k] = index[k] < 0 ? zero : x[index[k]];
}

static void jump_words(uint32_t *y, const uint32_t *x, const int32_t *index, int32_t n, uint32_t zero)
{
    for (int32_t k = 0; k < n; k++)
        y[k] = index[k] < 0 ? zero : x[index[k]];
}

/* One row of pixels whose channels jump. */
static void jump_row(uint8_t *y, const uint8_t *x, const nb_take *t, int32_t size, int32_t zero)
{
    const int32_t n = t->out[2], *index = t->index[2];
    for (int32_t j = 0; j < t->out[1]; j++, y += (int64_t)n * size) {
        const uint8_t *from = x + (int64_t)t->index[1][j] * t->in[2] * size;
        if (t->index[1][j] < 0)
            memset(y, zero, (size_t)n * (size_t)size);
        else if (size == 1)
            jump_bytes(y, from, index, n, (uint8_t)zero);
        else
            jump_words((uint32_t *)(void *)y, (const uint32_t *)(const void *)from, index, n,
                       (uint32_t)(zero & 255) * 0x01010101u);
    }
}

/* One row, a run of channels after the other; where that is all of a pixel, several pixels at once. */
static void copy_row(uint8_t *y, const uint8_t *x, const nb_take *t, int32_t size, int32_t zero)
{
    const int32_t w = t->out[1], c = t->out[2], *col = t->index[1], *channel = t->index[2];
    for (int32_t k = 0, n; k < c; k += n) {
        n = run_of(channel, k, c);
        const bool whole = n == c && c == t->in[2] && channel[k] == 0;
        for (int32_t j = 0, m; j < w; j += m) {
            m = whole ? run_of(col, j, w) : 1;
            const size_t bytes = (size_t)m * (size_t)n * (size_t)size;
            uint8_t *to = y + ((int64_t)j * c + k) * size;
            if (channel[k] < 0 || col[j] < 0)
                memset(to, zero, bytes);
            else
                memcpy(to, x + ((int64_t)col[j] * t->in[2] + channel[k]) * size, bytes);
        }
    }
}

void nb_k_take(void *y, const void *x, const nb_take *t, int32_t size, int32_t zero, int32_t y0, int32_t y1)
{
    const int64_t row = (int64_t)t->out[1] * t->out[2] * size;
    const bool jumps = runs_of(t->index[2], t->out[2]) > t->out[2] / 8 + 1;
    uint8_t *to = (uint8_t *)y + y0 * row;
    for (int32_t i = y0; i < y1; i++, to += row) {
        const int32_t from = t->index[0][i];
        const uint8_t *at = (const uint8_t *)x + (int64_t)from * t->in[1] * t->in[2] * size;
        if (from < 0)
            memset(to, zero, (size_t)row);
        else if (i > y0 && t->index[0][i - 1] == from)
            memcpy(to, to - row, (size_t)row);
        else
            (jumps ? jump_row : copy_row)(to, at, t, size, zero);
    }
}

void nb_k_blend_codes(uint8_t *y, const uint8_t *x, int32_t is_signed, const nb_take *t, int32_t y0, int32_t y1)
{
    const int32_t c = t->out[2], flip = is_signed ? 0x80 : 0; /* s8 moved by 128 is u8, and moves the result by 128 */
    const int64_t row = (int64_t)t->in[1] * c;
    y += (int64_t)y0 * t->out[1] * c;
    for (int32_t i = y0; i < y1; i++) {
        const int32_t below = t->index[0][i] % NB_BLEND_ONE, above = NB_BLEND_ONE - below;
        const uint8_t *top = x + t->index[0][i] / NB_BLEND_ONE * row, *bottom = below ? top + row : top;
        for (int32_t j = 0; j < t->out[1]; j++, y += c) {
            const int32_t right = t->index[1][j] % NB_BLEND_ONE, left = NB_BLEND_ONE - right;
            const int64_t at = (int64_t)(t->index[1][j] / NB_BLEND_ONE) * c, next = right ? at + c : at;
            for (int32_t k = 0; k < c; k++) {
                const int32_t upper = (top[at + k] ^ flip) * left + (top[next + k] ^ flip) * right;
                const int32_t lower = (bottom[at + k] ^ flip) * left + (bottom[next + k] ^ flip) * right;
                const int32_t sum = upper * above + lower * below;
                y[k] = (uint8_t)(((sum + (1 << (2 * NB_BLEND_BITS - 1))) >> (2 * NB_BLEND_BITS)) ^ flip);
            }
        }
    }
}
