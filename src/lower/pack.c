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

size_t nb_level_row_bytes(const nb_level_packing *p)
{
    return (size_t)((p->row * p->bits + 7) / 8);
}

void nb_level_pack(uint8_t *out, const int8_t *weights, const nb_level_packing *p)
{
    uint8_t index[256] = {0}; /* by level + 128 */
    for (int32_t i = 0; i < p->n_levels; i++)
        index[p->level[i] + 128] = (uint8_t)i;
    for (int64_t r = 0; r < p->rows; r++) {
        uint32_t stream = 0;
        int32_t have = 0;
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

nb_level_fault nb_level_unpack(int8_t *weights, const uint8_t *in, const nb_level_packing *p, int64_t *at)
{
    const uint32_t mask = (1u << p->bits) - 1;
    for (int64_t r = 0; r < p->rows; r++) {
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
            if (index >= p->n_levels) {
                *at = r * p->row + i;
                return NB_LEVELS_BAD_INDEX;
            }
            *weights++ = p->level[index];
        }
        if (stream != 0) {
            *at = r;
            return NB_LEVELS_SPARE_BITS;
        }
    }
    return NB_LEVELS_FINE;
}
