/* pack.c - weight codes of b bits, or indices of levels, as bytes in a file and back; the order is specified in pack.h. */
#include "lower/pack.h"

static int32_t width(int32_t bits)
{
    return bits <= 2 ? 2 : bits <= 4 ? 4 : 8;
}

const char *nb_pack_name(int32_t bits)
{
    return width(bits) == 2 ? "s2" : width(bits) == 4 ? "s4" : "i8";
}

int32_t nb_pack_per_byte(int32_t bits)
{
    return 8 / width(bits);
}

size_t nb_pack_bytes(int64_t n, int32_t bits)
{
    int32_t per = nb_pack_per_byte(bits);
    return (size_t)(n / per + (n % per != 0));
}

void nb_pack(uint8_t *out, const int8_t *codes, int64_t n, int32_t bits)
{
    const int32_t w = width(bits);
    const int32_t per = 8 / w;
    const unsigned mask = (1u << w) - 1;
    for (int64_t i = 0; i < n; i += per) {
        unsigned byte = 0;
        for (int32_t k = 0; k < per && i + k < n; k++)
            byte |= ((unsigned)codes[i + k] & mask) << (k * w);
        out[i / per] = (uint8_t)byte;
    }
}

bool nb_unpack(int8_t *codes, const uint8_t *in, int64_t n, int32_t bits)
{
    const int32_t w = width(bits);
    const int32_t per = 8 / w;
    const int32_t range = 1 << w;
    const int32_t half = range >> 1;
    for (int64_t i = 0; i < n; i++) {
        int32_t v = (in[i / per] >> (i % per * w)) & (range - 1);
        codes[i] = (int8_t)(v >= half ? v - range : v);
    }
    int32_t used = (int32_t)(n % per);
    return used == 0 || in[n / per] >> (used * w) == 0;
}

size_t nb_stream_row_bytes(const nb_stream *p)
{
    return (size_t)((p->row * p->bits + 7) / 8);
}

/* What indices of row r mean: of a table, or from a low on; index[w + 128] is the index of weight w. */
static void indices_of(const nb_stream *p, int64_t r, uint8_t *index)
{
    for (int32_t i = 0; p->level && i < p->n_levels; i++)
        index[p->level[(p->n_tables > 1 ? r : 0) * p->n_levels + i] + 128] = (uint8_t)i;
    for (int32_t w = -128; !p->level && w < 128; w++)
        index[w + 128] = (uint8_t)(w - p->low[p->n_low > 1 ? r : 0]);
}

void nb_stream_pack(uint8_t *out, const int8_t *weights, const nb_stream *p)
{
    uint8_t index[256] = {0};
    for (int64_t r = 0; r < p->rows; r++) {
        uint32_t stream = 0;
        int32_t have = 0;
        if (r == 0 || p->n_tables > 1 || p->n_low > 1)
            indices_of(p, r, index);
        for (int64_t i = 0; i < p->row; i++) {
            stream |= (uint32_t)index[*weights++ + 128] << have;
            have += p->bits;
            if (have >= 8) {
                *out++ = (uint8_t)stream;
                stream >>= 8;
                have -= 8;
            }
        }
        if (have > 0)
            *out++ = (uint8_t)stream;
    }
}

nb_stream_fault nb_stream_unpack(int8_t *weights, const uint8_t *in, const nb_stream *p, int64_t *at)
{
    const uint32_t mask = (1u << p->bits) - 1;
    for (int64_t r = 0; r < p->rows; r++) {
        const int8_t *level = p->level ? p->level + (p->n_tables > 1 ? r : 0) * p->n_levels : NULL;
        const int32_t low = level ? 0 : p->low[p->n_low > 1 ? r : 0], end = level ? p->n_levels : 128 - low;
        uint32_t stream = 0;
        int32_t have = 0;
        for (int64_t i = 0; i < p->row; i++) {
            if (have < p->bits) {
                stream |= (uint32_t)*in++ << have;
                have += 8;
            }
            const int32_t index = (int32_t)(stream & mask);
            stream >>= p->bits;
            have -= p->bits;
            if (index >= end) {
                *at = r * p->row + i;
                return NB_STREAM_BAD_INDEX;
            }
            *weights++ = (int8_t)(level ? level[index] : low + index);
        }
        if (stream != 0) {
            *at = r;
            return NB_STREAM_SPARE_BITS;
        }
    }
    return NB_STREAM_FINE;
}

bool nb_pack_plain(const int8_t *weights, int64_t n, int32_t bits)
{
    const int32_t limit = (1 << (bits - 1)) - 1;
    bool plain = bits == 2 || bits == 4 || bits == 8;
    for (int64_t i = 0; plain && i < n; i++)
        plain = weights[i] >= -limit && weights[i] <= limit;
    return plain;
}

int32_t nb_pack_lows(int8_t *low, const int8_t *weights, const nb_stream *p)
{
    const int32_t span = (1 << p->bits) - 1;
    int32_t least = 127, most = -128;
    for (int64_t r = 0; r < p->rows; r++) {
        int32_t lo = 127, hi = -128;
        for (int64_t i = 0; i < p->row; i++) {
            const int32_t w = weights[r * p->row + i];
            lo = w < lo ? w : lo;
            hi = w > hi ? w : hi;
        }
        if (hi - lo > span)
            return 0;
        low[r] = (int8_t)lo;
        least = lo < least ? lo : least;
        most = hi > most ? hi : most;
    }
    if (most - least > span)
        return (int32_t)p->rows;
    low[0] = (int8_t)least;
    return 1;
}
