/* pack.c - weight codes of b bits as bytes in a file and back; the order is specified in pack.h. */
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
