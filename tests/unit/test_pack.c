/* test_pack.c - weight codes of b bits come back from their bytes, in the documented order. */
#include "lower/pack.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void every_width_and_count_comes_back(void **state)
{
    (void)state;
    int8_t codes[67], back[67];
    uint8_t packed[68];
    for (int32_t bits = NB_PACK_MIN_BITS; bits <= NB_PACK_MAX_BITS; bits++)
        for (int32_t n = 0; n <= 67; n++) {
            const int32_t limit = (1 << (bits - 1)) - 1;
            for (int32_t i = 0; i < n; i++)
                codes[i] = (int8_t)((i * 29 + bits) % (2 * limit + 1) - limit);
            memset(packed, 0xA5, sizeof packed);
            memset(back, 0x55, sizeof back);
            const size_t bytes = nb_pack_bytes(n, bits);
            nb_pack(packed, codes, n, bits);
            assert_int_equal(packed[bytes], 0xA5);
            assert_true(nb_unpack(back, packed, n, bits));
            assert_memory_equal(back, codes, (size_t)n);
        }
}

static void four_bits_stand_two_per_byte_low_nibble_first(void **state)
{
    (void)state;
    const int8_t codes[3] = {1, -2, 7};
    uint8_t packed[2];
    assert_string_equal(nb_pack_name(3), "s4");
    assert_string_equal(nb_pack_name(4), "s4");
    assert_int_equal(nb_pack_bytes(3, 4), 2);
    nb_pack(packed, codes, 3, 4);
    assert_int_equal(packed[0], 0xE1);
    assert_int_equal(packed[1], 0x07);
}

static void two_bits_stand_four_per_byte_low_bits_first(void **state)
{
    (void)state;
    const int8_t codes[5] = {1, -1, 0, 1, -1};
    uint8_t packed[2];
    assert_string_equal(nb_pack_name(2), "s2");
    assert_int_equal(nb_pack_bytes(5, 2), 2);
    nb_pack(packed, codes, 5, 2);
    assert_int_equal(packed[0], 0x4D); /* 01 00 11 01 */
    assert_int_equal(packed[1], 0x03);
}

static void five_to_eight_bits_stand_one_per_byte(void **state)
{
    (void)state;
    const int8_t codes[2] = {-127, 15};
    uint8_t packed[2];
    for (int32_t bits = 5; bits <= 8; bits++) {
        assert_string_equal(nb_pack_name(bits), "i8");
        assert_int_equal(nb_pack_bytes(2, bits), 2);
        nb_pack(packed, codes, 2, bits);
        assert_int_equal(packed[0], 0x81);
        assert_int_equal(packed[1], 15);
    }
}

static void set_bits_after_the_last_code_are_refused(void **state)
{
    (void)state;
    int8_t codes[8];
    assert_true(nb_unpack(codes, (const uint8_t[]){0x0F}, 1, 4));
    assert_false(nb_unpack(codes, (const uint8_t[]){0x1F}, 1, 4));
    assert_true(nb_unpack(codes, (const uint8_t[]){0x3F}, 3, 2));
    assert_false(nb_unpack(codes, (const uint8_t[]){0x40}, 3, 2));
    assert_true(nb_unpack(codes, (const uint8_t[]){0xFF}, 4, 2));
}

/* ---- levels ---- */

static void indices_of_every_width_come_back_row_by_row(void **state)
{
    (void)state;
    int8_t level[256], weights[5 * 67], back[5 * 67];
    uint8_t packed[5 * 67 + 1];
    for (int32_t bits = 1; bits <= 8; bits++)
        for (int32_t row = 1; row <= 67; row++) {
            nb_stream p = {.rows = 5, .row = row, .bits = bits, .level = level, .n_tables = 1};
            p.n_levels = bits == 8 ? 255 : 1 << bits;
            for (int32_t i = 0; i < p.n_levels; i++)
                level[i] = (int8_t)(bits == 8 ? i - 127 : 3 * (i / 2) - 60 + i % 2);
            for (int32_t i = 0; i < 5 * row; i++)
                weights[i] = level[(i * 29 + bits) % p.n_levels];
            memset(packed, 0xA5, sizeof packed);
            assert_int_equal(nb_stream_bytes(&p), 5 * ((row * bits + 7) / 8));
            nb_stream_pack(packed, weights, &p);
            assert_int_equal(packed[nb_stream_bytes(&p)], 0xA5);
            int64_t at = -1;
            assert_int_equal(nb_stream_unpack(back, packed, &p, &at), NB_STREAM_FINE);
            assert_memory_equal(back, weights, (size_t)(5 * row));
        }
}

/* 5, 0, 2 | 1, 1, 4 as 3-bit indices: 101 + 000 << 3 + 010 << 6, and the next channel on a byte of its own. */
static void the_stream_is_little_endian_and_channels_begin_on_a_byte(void **state)
{
    (void)state;
    static const int8_t level[6] = {-127, -2, 0, 3, 99, 127}, weights[6] = {127, -127, 0, -2, -2, 99};
    const nb_stream p = {.rows = 2, .row = 3, .bits = 3, .level = level, .n_levels = 6, .n_tables = 1};
    uint8_t packed[4];
    assert_int_equal(nb_stream_bytes(&p), 4);
    nb_stream_pack(packed, weights, &p);
    assert_memory_equal(packed, ((const uint8_t[]){0x85, 0x00, 0x09, 0x01}), 4);
}

static void indices_beyond_the_table_and_spare_bits_are_refused_where_they_are(void **state)
{
    (void)state;
    static const int8_t level[6] = {-127, -2, 0, 3, 99, 127};
    const nb_stream p = {.rows = 2, .row = 3, .bits = 3, .level = level, .n_levels = 6, .n_tables = 1};
    int8_t w[6];
    int64_t at = -1;
    assert_int_equal(nb_stream_unpack(w, (const uint8_t[]){0x85, 0x00, 0x31, 0x01}, &p, &at), NB_STREAM_BAD_INDEX);
    assert_int_equal(at, 4); /* 110: index 6 */
    assert_int_equal(nb_stream_unpack(w, (const uint8_t[]){0x85, 0x02, 0x09, 0x01}, &p, &at), NB_STREAM_SPARE_BITS);
    assert_int_equal(at, 0);
    assert_int_equal(nb_stream_unpack(w, (const uint8_t[]){0x85, 0x00, 0x09, 0x81}, &p, &at), NB_STREAM_SPARE_BITS);
    assert_int_equal(at, 1);
}

static void distances_from_a_low_come_back_whatever_the_rows(void **state)
{
    (void)state;
    int8_t weights[3 * 33], back[3 * 33], low[3];
    uint8_t packed[3 * 33 + 1];
    for (int32_t bits = 1; bits <= 8; bits++)
        for (int32_t apart = 0; apart < 2; apart++)
            for (int32_t row = 2; row <= 33; row++) {
                const int32_t span = bits == 8 ? 254 : (1 << bits) - 1;
                nb_stream p = {.rows = 3, .row = row, .bits = bits, .low = low};
                for (int32_t i = 0; i < 3 * row; i++)
                    weights[i] = (int8_t)(-127 + apart * (i / row) * (254 - span) / 2 + i % row % 2 * span);
                p.n_low = nb_pack_lows(low, weights, &p);
                assert_int_equal(p.n_low, apart && span < 254 ? 3 : 1);
                memset(packed, 0xA5, sizeof packed);
                nb_stream_pack(packed, weights, &p);
                assert_int_equal(packed[nb_stream_bytes(&p)], 0xA5);
                int64_t at = -1;
                assert_int_equal(nb_stream_unpack(back, packed, &p, &at), NB_STREAM_FINE);
                assert_memory_equal(back, weights, (size_t)(3 * row));
            }
}

static void lows_are_the_smallest_of_all_or_of_each_and_there_are_none_of_what_is_too_far_apart(void **state)
{
    (void)state;
    int8_t low[2] = {99, 99};
    nb_stream p = {.rows = 2, .row = 2, .bits = 3};
    assert_int_equal(nb_pack_lows(low, (const int8_t[]){-4, 1, 3, 0}, &p), 1);
    assert_int_equal(low[0], -4);
    assert_int_equal(nb_pack_lows(low, (const int8_t[]){-4, 1, 4, 0}, &p), 2); /* a full grid, and it negated */
    assert_true(low[0] == -4 && low[1] == 0);
    assert_int_equal(nb_pack_lows(low, (const int8_t[]){-4, 4, 0, 0}, &p), 0);
}

static void plain_are_narrow_codes_of_8_4_and_2_bits(void **state)
{
    (void)state;
    for (int32_t bits = 1; bits <= 8; bits++) {
        const int8_t limit = (int8_t)((1 << (bits - 1)) - 1), codes[3] = {limit, (int8_t)-limit, (int8_t)(-limit - 1)};
        assert_int_equal(nb_pack_plain(codes, 2, bits), bits == 2 || bits == 4 || bits == 8);
        assert_false(nb_pack_plain(codes, 3, bits));
    }
}

static void an_offset_past_127_is_refused(void **state)
{
    (void)state;
    const int8_t low = 125;
    const nb_stream p = {.rows = 1, .row = 2, .bits = 2, .low = &low, .n_low = 1};
    int8_t w[2];
    int64_t at = -1;
    assert_int_equal(nb_stream_unpack(w, (const uint8_t[]){0x09}, &p, &at), NB_STREAM_FINE);
    assert_true(w[0] == 126 && w[1] == 127);
    assert_int_equal(nb_stream_unpack(w, (const uint8_t[]){0x0D}, &p, &at), NB_STREAM_BAD_INDEX);
    assert_int_equal(at, 1);
}

/* The second channel has another table. */
static void every_channel_may_have_levels_of_its_own(void **state)
{
    (void)state;
    static const int8_t level[8] = {-9, -1, 3, 4, -4, -3, 1, 9}, weights[6] = {-9, 4, 3, 9, -4, 1};
    const nb_stream p = {.rows = 2, .row = 3, .bits = 2, .level = level, .n_levels = 4, .n_tables = 2};
    uint8_t packed[2];
    int8_t back[6];
    int64_t at;
    nb_stream_pack(packed, weights, &p);
    assert_true(packed[0] == 0x2C && packed[1] == 0x23);
    assert_int_equal(nb_stream_unpack(back, packed, &p, &at), NB_STREAM_FINE);
    assert_memory_equal(back, weights, 6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_width_and_count_comes_back),
        cmocka_unit_test(four_bits_stand_two_per_byte_low_nibble_first),
        cmocka_unit_test(two_bits_stand_four_per_byte_low_bits_first),
        cmocka_unit_test(five_to_eight_bits_stand_one_per_byte),
        cmocka_unit_test(set_bits_after_the_last_code_are_refused),
        cmocka_unit_test(indices_of_every_width_come_back_row_by_row),
        cmocka_unit_test(the_stream_is_little_endian_and_channels_begin_on_a_byte),
        cmocka_unit_test(indices_beyond_the_table_and_spare_bits_are_refused_where_they_are),
        cmocka_unit_test(distances_from_a_low_come_back_whatever_the_rows),
        cmocka_unit_test(lows_are_the_smallest_of_all_or_of_each_and_there_are_none_of_what_is_too_far_apart),
        cmocka_unit_test(plain_are_narrow_codes_of_8_4_and_2_bits),
        cmocka_unit_test(an_offset_past_127_is_refused),
        cmocka_unit_test(every_channel_may_have_levels_of_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
