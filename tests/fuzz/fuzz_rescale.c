/* fuzz_rescale.c - rescale and its vector variants against 128-bit arithmetic.
 *
 * Input: mult, shift, bias, zero, lo, hi of one channel, then accumulators; whatever they say is brought into the
 * allowed ranges. */
#include <stdlib.h>
#include <string.h>

#include "base/cpu.h"
#include "kernels/integer/iconv_isa.h"
#include "kernels/rescale.h"
#include "ref/ref_rescale.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { HEAD = 12, MAX = 64 };

static int32_t within(int64_t v, int32_t lo, int32_t hi)
{
    const int64_t span = (int64_t)hi - lo + 1;
    return (int32_t)(lo + ((v - lo) % span + span) % span);
}

static int32_t word(const uint8_t *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return (int32_t)(v ^ 0x80000000u);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < HEAD)
        return 0;
    const int32_t s8 = data[0] & 1, min = s8 ? -128 : 0, max = s8 ? 127 : 255;
    const int32_t zero = within(data[1], min, max), lo = within(data[2], min, zero), hi = within(data[3], zero, max);
    const int32_t mult = within(word(data + 4), 1 << 30, INT32_MAX), shift = within(data[0] >> 1, 1, 62),
                  bias = word(data + 8);
    int32_t acc[MAX], n = 0, biases[MAX], mults[MAX], shifts[MAX];
    for (size_t at = HEAD; at + 4 <= size && n < MAX; at += 4) {
        const int64_t v = (int64_t)word(data + at) - bias; /* the sum is what should reach the ends */
        acc[n] = v < INT32_MIN || v > INT32_MAX ? -(bias / 2) : (int32_t)v;
        biases[n] = bias;
        mults[n] = mult;
        shifts[n++] = shift;
    }
    const nb_irequant q = {.bias = biases, .mult = mults, .shift = shifts, .zero = zero, .lo = lo, .hi = hi};
    for (const nb_variant *v = nb_variant_best(nb_iconv_variants); v; v = nb_variant_below(nb_iconv_variants, v)) {
        uint8_t codes[MAX];
        nb_iconv_requantize_on(v, codes, acc, &q, 1, n);
        for (int32_t i = 0; i < n; i++) {
            const int32_t want = ref_rescale(acc[i] + bias, mult, shift, zero, lo, hi);
            if (codes[i] != (uint8_t)want || nb_rescale(acc[i] + bias, mult, shift, zero, lo, hi) != want)
                abort();
        }
    }
    return 0;
}
