/* test_itake.c - moved and mixed values, against one value at a time. */
#include "base/rng.h"
#include "kernels/integer/itake.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { SIDE = 9, MOST = SIDE * SIDE * SIDE };

static nb_rng rng;

static int32_t pick(int32_t lo, int32_t hi)
{
    return lo + (int32_t)nb_rng_below(&rng, (uint32_t)(hi - lo + 1));
}

static nb_take draw(int32_t index[3][SIDE], int32_t blends)
{
    nb_take t;
    for (int32_t axis = 0; axis < 3; axis++) {
        t.in[axis] = pick(1, SIDE);
        t.out[axis] = blends && axis == 2 ? t.in[axis] : pick(1, SIDE);
        const int32_t kind = pick(0, 2), from = pick(-2, t.in[axis]);
        for (int32_t i = 0; i < t.out[axis]; i++) {
            const int32_t any = kind == 0 ? pick(-1, t.in[axis] - 1) : from + i / kind;
            index[axis][i] = blends                         ? pick(0, (t.in[axis] - 1) * NB_BLEND_ONE)
                             : any < t.in[axis] && any > -1 ? any
                                                            : -1;
        }
        t.index[axis] = blends && axis == 2 ? NULL : index[axis];
    }
    return t;
}

static void values_of_one_and_of_four_bytes_move_alike(void **state)
{
    (void)state;
    static uint32_t x[MOST], y[MOST];
    static uint8_t xb[MOST], yb[MOST];
    for (int32_t i = 0; i < MOST; i++)
        xb[i] = (uint8_t)(x[i] = nb_rng_u32(&rng));
    for (int32_t n = 0; n < 500; n++) {
        int32_t index[3][SIDE];
        const nb_take t = draw(index, 0);
        const int32_t zero = pick(0, 255), y0 = pick(0, t.out[0]), y1 = pick(y0, t.out[0]);
        memset(y, 0x55, sizeof y);
        memset(yb, 0x55, sizeof yb);
        nb_k_take(y, x, &t, 4, zero, y0, y1);
        nb_k_take(yb, xb, &t, 1, zero, y0, y1);
        for (int32_t i = 0; i < MOST; i++) {
            const int32_t row = i / t.out[2] / t.out[1], col = i / t.out[2] % t.out[1], c = i % t.out[2];
            uint32_t want = 0x55555555;
            if (row >= y0 && row < y1) {
                const int32_t from[3] = {index[0][row], index[1][col], index[2][c]};
                const int is_zero = from[0] < 0 || from[1] < 0 || from[2] < 0;
                want = is_zero ? (uint32_t)zero * 0x01010101u : x[(from[0] * t.in[1] + from[1]) * t.in[2] + from[2]];
            }
            assert_int_equal(y[i], want);
            assert_int_equal(yb[i], (uint8_t)want);
        }
    }
}

static void codes_are_mixed_exactly_and_rounded_once(void **state)
{
    (void)state;
    static uint8_t x[MOST], y[MOST];
    for (int32_t n = 0; n < 300; n++) {
        int32_t index[3][SIDE];
        const nb_take t = draw(index, 1);
        const int32_t is_signed = pick(0, 1), y0 = pick(0, t.out[0]), y1 = pick(y0, t.out[0]);
        for (int32_t i = 0; i < MOST; i++)
            x[i] = (uint8_t)(n % 3 == 0 ? 255 : n % 3 == 1 ? 128 : (int32_t)nb_rng_u32(&rng)); /* the ends, too */
        nb_k_blend_codes(y, x, is_signed, &t, y0, y1);
        for (int32_t i = y0 * t.out[1] * t.out[2]; i < y1 * t.out[1] * t.out[2]; i++) {
            const int32_t row = index[0][i / t.out[2] / t.out[1]], col = index[1][i / t.out[2] % t.out[1]];
            int64_t sum = 0;
            for (int32_t p = 0; p < t.in[0] * t.in[1]; p++) {
                const int32_t down = 2048 - abs(row - p / t.in[1] * 2048), right = 2048 - abs(col - p % t.in[1] * 2048);
                const uint8_t byte = x[p * t.in[2] + i % t.out[2]];
                if (down > 0 && right > 0)
                    sum += (int64_t)down * right * (is_signed ? (int8_t)byte : byte);
            }
            const int64_t want = (sum + (1 << 21) + ((int64_t)256 << 22)) / (1 << 22) - 256;
            assert_int_equal(is_signed ? (int8_t)y[i] : y[i], want);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_of_one_and_of_four_bytes_move_alike),
        cmocka_unit_test(codes_are_mixed_exactly_and_rounded_once),
    };
    rng = nb_rng_make(31, 0);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
