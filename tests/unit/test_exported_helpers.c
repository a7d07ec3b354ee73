/* test_exported_helpers.c - the C of exported programs (src/export/c), compiled here as it lies there: it computes what
 * the engine's own functions do, and the library's strings are its text. */
#include "export/c/net_dot.c"
#include "export/c/net_program.c"
#include "export/c/net_rescale.c"
#include "export/c/net_unpack.c"
#include "export/c/net_window.c"

#include "ref/data_fixture.h"

#include "base/files.h"
#include "base/rng.h"
#include "export/cgen.h"
#include "kernels/rescale.h"
#include "lower/pack.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static uint32_t draw(uint32_t i)
{
    return (uint32_t)(nb_mix(7, i) >> 32);
}

static void both_rescales_are_the_one_of_the_engine(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 100000; i++) {
        const int32_t acc = (int32_t)draw(4 * i), mult = (int32_t)(draw(4 * i + 1) >> 2 | 1u << 30);
        const int32_t zero = (int32_t)(draw(4 * i + 2) % 256) - 128;
        const int32_t shift = 1 + (int32_t)(draw(4 * i + 3) % 62);
        const int32_t expected = nb_rescale(acc, mult, shift, zero, -128, 127);
        assert_int_equal(net_close((int64_t)acc * mult, shift, zero, -128, 127), expected);
        if (shift > 32)
            assert_int_equal(net_close_high(acc, mult, shift, zero, -128, 127), expected);
    }
}

/* From any code on: a row need not begin on a byte. */
static void unpacking_gives_the_codes_that_were_packed(void **state)
{
    enum { N = 37 };
    int8_t codes[N], back[N];
    uint8_t packed[N];
    (void)state;
    for (int32_t bits = 2; bits <= 4; bits += 2) {
        for (uint32_t i = 0; i < N; i++)
            codes[i] = (int8_t)((int32_t)(draw(i) >> (32 - bits)) - (1 << (bits - 1)));
        nb_pack(packed, codes, N, bits);
        for (int32_t first = 0; first < N; first++) {
            (bits == 4 ? net_unpack4 : net_unpack2)(back, packed, first, N - first);
            assert_memory_equal(back, codes + first, (size_t)(N - first));
        }
    }
}

static void indices_give_the_levels_they_stand_for(void **state)
{
    enum { ROW = 19 };
    int8_t level[256], weights[ROW], back[ROW];
    uint8_t packed[ROW];
    (void)state;
    for (int32_t i = 0; i < 256; i++)
        level[i] = (int8_t)(i - 128);
    for (int32_t bits = 1; bits <= 8; bits++) {
        const nb_stream p = {.rows = 1, .row = ROW, .bits = bits, .level = level, .n_levels = 1 << bits, .n_tables = 1};
        for (uint32_t i = 0; i < ROW; i++)
            weights[i] = level[draw(i) >> (32 - bits)];
        nb_stream_pack(packed, weights, &p);
        net_levels(back, packed, level, bits, ROW);
        assert_memory_equal(back, weights, ROW);
        const int8_t low = (int8_t)(127 - ((1 << bits) - 1));
        const nb_stream offsets = {.rows = 1, .row = ROW, .bits = bits, .low = &low, .n_low = 1};
        for (uint32_t i = 0; i < ROW; i++)
            weights[i] = (int8_t)(low + (int32_t)(draw(i) >> (32 - bits)));
        nb_stream_pack(packed, weights, &offsets);
        net_offsets(back, packed, low, bits, ROW);
        assert_memory_equal(back, weights, ROW);
    }
}

/* Odd lengths and distances: vectors of 4 and 8 have rests. */
static void dot_products_are_sums_of_products(void **state)
{
    enum { DX = 3, DW = 29 };
    uint8_t x[64];
    int8_t w[64];
    (void)state;
    for (uint32_t i = 0; i < 64; i++) {
        x[i] = (uint8_t)(draw(i) >> 24);
        w[i] = (int8_t)(draw(64 + i) >> 24);
    }
    for (int32_t n = 0; n <= 29; n++) {
        int32_t two[4] = {1, -2, 3, -4}, one[2] = {1, -2}, expected[4] = {1, -2, 3, -4};
        for (int32_t i = 0; i < n; i++) {
            expected[0] += x[i] * w[i];
            expected[1] += x[i] * w[DW + i];
            expected[2] += x[DX + i] * w[i];
            expected[3] += x[DX + i] * w[DW + i];
        }
        net_dot2_u8(two, x, DX, w, DW, n);
        net_dot1_u8(one, x, w, DW, n);
        assert_memory_equal(two, expected, sizeof two);
        assert_memory_equal(one, expected, sizeof one);
    }
}

static void of_equal_logits_the_first_is_the_largest(void **state)
{
    (void)state;
    assert_int_equal(net_argmax((const int32_t[]){5, 5, 5}), 0);
    assert_int_equal(net_argmax((const int32_t[]){-9, -2, -2}), 1);
    assert_int_equal(net_argmax((const int32_t[]){-9, -2, INT32_MAX}), 2);
}

/* The example's network adds a byte of its arena. */
static void the_self_test_names_the_first_image_that_differs(void **state)
{
    uint8_t pixels[NET_INPUT_BYTES];
    int32_t logits[NET_CLASSES];
    (void)state;
    assert_int_equal(net_selftest(pixels, logits), 0);
    net_arena.bytes[0] = 1;
    assert_int_equal(net_selftest(pixels, logits), 1);
    net_arena.bytes[0] = 0;
}

static void is_in(data_fixture *f, const char *name, const char *piece)
{
    char path[64];
    uint8_t *text;
    size_t len;
    snprintf(path, sizeof path, "src/export/c/%s", name);
    assert_int_equal(nb_file_read(f->ctx, path, 1 << 16, &text, &len), NB_OK);
    bool found = false;
    for (size_t n = strlen(piece), i = 0; i + n <= len && !found; i++)
        found = memcmp(text + i, piece, n) == 0;
    if (!found)
        fail_msg("%s does not have:\n%s", path, piece);
    nb_free(f->ctx, text);
}

/* Backslashes, quotes, '%' and all. */
static void the_strings_are_the_text_of_the_files(void **state)
{
    data_fixture *f = *state;
    is_in(f, "net_rescale.c", cgen_text_close);
    is_in(f, "net_macros.h", cgen_text_simd);
    is_in(f, "net_unpack.c", cgen_text_levels);
    is_in(f, "net_unpack.c", cgen_text_offsets);
    is_in(f, "net_dot.c", cgen_text_dot2);
    is_in(f, "net_window.c", cgen_text_dotw2);
    is_in(f, "net_program.h", cgen_text_declarations);
    is_in(f, "net_program.c", cgen_text_selftest);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_rescales_are_the_one_of_the_engine),
        cmocka_unit_test(unpacking_gives_the_codes_that_were_packed),
        cmocka_unit_test(indices_give_the_levels_they_stand_for),
        cmocka_unit_test(dot_products_are_sums_of_products),
        cmocka_unit_test(of_equal_logits_the_first_is_the_largest),
        cmocka_unit_test(the_self_test_names_the_first_image_that_differs),
        cmocka_unit_test_setup_teardown(the_strings_are_the_text_of_the_files, data_fixture_setup,
                                        data_fixture_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
