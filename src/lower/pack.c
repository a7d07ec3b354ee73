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
    const int64_t exponents = p->block > 0 ? (p->row + p->block - 1) / p->block : 0;
    return (size_t)((p->row * p->bits + exponents * NB_PACK_EXPONENT_BITS + 7) / 8);
}

int32_t nb_pack_exponent(const int8_t *weights, int64_t n, int32_t bits)
{
    const int32_t limit = (1 << (bits - 1)) - 1;
    int32_t all = 0, most = 0, e = 0; /* all: bits that some weight has */
    for (int64_t i = 0; i < n; i++) {
        const int32_t size = weights[i] < 0 ? -weights[i] : weights[i];
        all |= size;
        most = size > most ? size : most;
    }
    while (most > limit << e)
        e++;
    return (all & ((1 << e) - 1)) == 0 ? e : -1;
}

typedef struct {
    uint8_t *out;
    uint32_t stream;
    int32_t have;
} bit_writer;

static void put_bits(bit_writer *w, uint32_t value, int32_t bits)
{
    w->stream |= value << w->have;
    for (w->have += bits; w->have >= 8; w->have -= 8) {
        *w->out++ = (uint8_t)w->stream;
        w->stream >>= 8;
    }
}

static void end_row(bit_writer *w)
{
    if (w->have > 0)
        *w->out++ = (uint8_t)w->stream;
    w->stream = 0;
    w->have = 0;
}

static int64_t block_end(const nb_stream *p, int64_t at)
{
    return at + p->block < p->row ? at + p->block : p->row;
}

static void pack_blocks(bit_writer *o, const int8_t *row, const nb_stream *p)
{
    const uint32_t mask = (1u << p->bits) - 1;
    for (int64_t at = 0, end; at < p->row; at = end) {
        end = block_end(p, at);
        const int32_t e = nb_pack_exponent(row + at, end - at, p->bits);
        put_bits(o, (uint32_t)e, NB_PACK_EXPONENT_BITS);
        for (int64_t i = at; i < end; i++)
            put_bits(o, (uint32_t)(row[i] / (1 << e)) & mask, p->bits);
    }
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
    bit_writer o = {.out = out};
    for (int64_t r = 0; r < p->rows; r++, weights += p->row) {
        if (p->block > 0)
            pack_blocks(&o, weights, p);
        else if (r == 0 || p->n_tables > 1 || p->n_low > 1)
            indices_of(p, r, index);
        for (int64_t i = 0; p->block == 0 && i < p->row; i++)
            put_bits(&o, index[weights[i] + 128], p->bits);
        end_row(&o);
    }
}

typedef struct {
    const uint8_t *in;
    uint32_t stream;
    int32_t have;
} bit_reader;

static int32_t get_bits(bit_reader *r, int32_t bits)
{
    if (r->have < bits) {
        r->stream |= (uint32_t)*r->in++ << r->have;
        r->have += 8;
    }
    const uint32_t value = r->stream & ((1u << bits) - 1);
    r->stream >>= bits;
    r->have -= bits;
    return (int32_t)value;
}

/* *at counts from the row's first. */
static nb_stream_fault unpack_blocks(int8_t *row, bit_reader *in, const nb_stream *p, int64_t *at)
{
    const int32_t half = 1 << (p->bits - 1);
    for (int64_t first = 0, end; first < p->row; first = end) {
        const int32_t e = get_bits(in, NB_PACK_EXPONENT_BITS);
        end = block_end(p, first);
        for (*at = first; *at < end; ++*at) {
            const int32_t mantissa = (get_bits(in, p->bits) ^ half) - half, weight = mantissa * (1 << e);
            if (mantissa == -half || weight < -127 || weight > 127)
                return NB_STREAM_BAD_INDEX;
            row[*at] = (int8_t)weight;
        }
        *at = first;
        if (e != nb_pack_exponent(row + first, end - first, p->bits))
            return NB_STREAM_BAD_EXPONENT;
    }
    return NB_STREAM_FINE;
}

static nb_stream_fault unpack_indices(int8_t *row, bit_reader *in, const nb_stream *p, int64_t r, int64_t *at)
{
    const int8_t *level = p->level ? p->level + (p->n_tables > 1 ? r : 0) * p->n_levels : NULL;
    const int32_t low = level ? 0 : p->low[p->n_low > 1 ? r : 0], end = level ? p->n_levels : 128 - low;
    for (*at = 0; *at < p->row; ++*at) {
        const int32_t index = get_bits(in, p->bits);
        if (index >= end)
            return NB_STREAM_BAD_INDEX;
        row[*at] = (int8_t)(level ? level[index] : low + index);
    }
    return NB_STREAM_FINE;
}

nb_stream_fault nb_stream_unpack(int8_t *weights, const uint8_t *in, const nb_stream *p, int64_t *at)
{
    for (int64_t r = 0; r < p->rows; r++, weights += p->row, in += nb_stream_row_bytes(p)) {
        bit_reader bits = {.in = in};
        int64_t i;
        const nb_stream_fault fault =
            p->block > 0 ? unpack_blocks(weights, &bits, p, &i) : unpack_indices(weights, &bits, p, r, &i);
        *at = fault != NB_STREAM_FINE ? r * p->row + i : r;
        if (fault != NB_STREAM_FINE)
            return fault;
        if (bits.stream != 0)
            return NB_STREAM_SPARE_BITS;
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
