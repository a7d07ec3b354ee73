/* test_image.c - every kind of PNG to pixels, scaling against an oracle in double, and files that lie. */
#include "base/safetensors.h"
#include "ref/data_fixture.h"

#include <math.h>
#include <nibble/image.h>
#include <png.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static nb_status load(data_fixture *f, int32_t h, int32_t w, int32_t c, int32_t background, uint8_t *hwc)
{
    const nb_png_spec spec = {.h = h, .w = w, .c = c, .background = background};
    return nb_png_load(f->ctx, data_fixture_path(f, "x.png"), &spec, hwc);
}

static void grey_and_colour_are_read_as_they_are(void **state)
{
    data_fixture *f = *state;
    static const uint8_t grey[] = {0, 1, 127, 128, 254, 255}, rgb[] = {255, 0, 0, 0, 255, 0, 0, 0, 255, 10, 10, 10};
    uint8_t px[18];
    data_fixture_png(f, "x.png", &(png_file){.h = 2, .w = 3, .depth = 8, .type = PNG_COLOR_TYPE_GRAY, .rows = grey});
    assert_int_equal(load(f, 2, 3, 1, 0, px), NB_OK);
    assert_memory_equal(px, grey, 6);
    assert_int_equal(load(f, 2, 3, 3, 0, px), NB_OK);
    for (int32_t i = 0; i < 18; i++)
        assert_int_equal(px[i], grey[i / 3]);
    for (int32_t interlaced = 0; interlaced < 2; interlaced++) {
        data_fixture_png(
            f, "x.png",
            &(png_file){.h = 2, .w = 2, .depth = 8, .type = PNG_COLOR_TYPE_RGB, .interlaced = interlaced, .rows = rgb});
        assert_int_equal(load(f, 2, 2, 3, 0, px), NB_OK);
        assert_memory_equal(px, rgb, 12);
    }
    assert_int_equal(load(f, 2, 2, 1, 0, px), NB_OK);
    static const uint8_t luma[] = {76, 150, 29, 10}; /* 0.299, 0.587, 0.114 of 255 */
    assert_memory_equal(px, luma, 4);
}

static void few_and_many_bits_become_eight(void **state)
{
    data_fixture *f = *state;
    uint8_t px[4];
    static const uint8_t one[] = {0xa0}, two[] = {0x1b}, four[] = {0x0f, 0x80};
    data_fixture_png(f, "x.png", &(png_file){.h = 1, .w = 4, .depth = 1, .type = PNG_COLOR_TYPE_GRAY, .rows = one});
    assert_int_equal(load(f, 1, 4, 1, 0, px), NB_OK);
    assert_memory_equal(px, "\xff\0\xff\0", 4);
    data_fixture_png(f, "x.png", &(png_file){.h = 1, .w = 4, .depth = 2, .type = PNG_COLOR_TYPE_GRAY, .rows = two});
    assert_int_equal(load(f, 1, 4, 1, 0, px), NB_OK);
    assert_memory_equal(px, "\x00\x55\xaa\xff", 4);
    data_fixture_png(f, "x.png", &(png_file){.h = 1, .w = 3, .depth = 4, .type = PNG_COLOR_TYPE_GRAY, .rows = four});
    assert_int_equal(load(f, 1, 3, 1, 0, px), NB_OK);
    assert_memory_equal(px, "\x00\xff\x88", 3);
    uint8_t wide[512], got[256];
    for (int32_t i = 0; i < 256; i++) {
        wide[2 * i] = wide[2 * i + 1] = (uint8_t)i; /* i * 257 is exactly i */
    }
    data_fixture_png(f, "x.png", &(png_file){.h = 1, .w = 256, .depth = 16, .type = PNG_COLOR_TYPE_GRAY, .rows = wide});
    assert_int_equal(load(f, 1, 256, 1, 0, got), NB_OK);
    for (int32_t i = 0; i < 256; i++)
        assert_int_equal(got[i], i);
}

static void palette_and_alpha_lie_on_the_background(void **state)
{
    data_fixture *f = *state;
    static const uint8_t palette[3][4] = {{10, 20, 30, 255}, {200, 100, 0, 0}, {0, 0, 0, 128}}, index[] = {0, 1, 2};
    uint8_t px[9];
    data_fixture_png(f, "x.png",
                     &(png_file){.h = 1,
                                 .w = 3,
                                 .depth = 8,
                                 .type = PNG_COLOR_TYPE_PALETTE,
                                 .rows = index,
                                 .palette = palette,
                                 .n_palette = 3});
    assert_int_equal(load(f, 1, 3, 3, 255, px), NB_OK);
    static const uint8_t on_white[] = {10, 20, 30, 255, 255, 255, 127, 127, 127},
                         on_black[] = {10, 20, 30, 0, 0, 0, 0, 0, 0};
    assert_memory_equal(px, on_white, 9);
    assert_int_equal(load(f, 1, 3, 3, 0, px), NB_OK);
    assert_memory_equal(px, on_black, 9);
    static const uint8_t rgba[] = {100, 100, 100, 51}, ga[] = {40, 255, 250, 0};
    data_fixture_png(f, "x.png", &(png_file){.h = 1, .w = 1, .depth = 8, .type = PNG_COLOR_TYPE_RGBA, .rows = rgba});
    assert_int_equal(load(f, 1, 1, 1, 200, px), NB_OK);
    assert_int_equal(px[0], 180); /* (100 * 51 + 200 * 204) / 255 */
    data_fixture_png(f, "x.png",
                     &(png_file){.h = 1, .w = 2, .depth = 8, .type = PNG_COLOR_TYPE_GRAY_ALPHA, .rows = ga});
    assert_int_equal(load(f, 1, 2, 1, 7, px), NB_OK);
    assert_memory_equal(px, "\x28\x07", 2);
    int32_t h, w, c;
    assert_int_equal(nb_png_size(f->ctx, data_fixture_path(f, "x.png"), &h, &w, &c), NB_OK);
    assert_int_equal(h * 100 + w * 10 + c, 121);
}

/* Gamma, profiles, every type and depth, interlaced or not, transparent colours: tests/golden/png_pil.py. */
static void every_kind_of_png_gives_the_bytes_that_pil_gives(void **state)
{
    data_fixture *f = *state;
    nb_st_file *golden;
    int32_t files = 0;
    uint8_t px[256];
    assert_int_equal(nb_st_open(f->ctx, "tests/golden/png_pil.safetensors", &golden), NB_OK);
    for (int32_t i = 0; i < nb_st_count(golden); i++) {
        const nb_st_tensor *png = nb_st_at(golden, i);
        const size_t stem = strlen(png->name) - 4;
        if (strcmp(png->name + stem, ".png") != 0)
            continue;
        files++;
        for (int32_t c = 1; c <= 3; c += 2) {
            char name[64];
            snprintf(name, sizeof name, "%.*s.%s", (int)stem, png->name, c == 1 ? "grey" : "rgb");
            const nb_st_tensor *want = nb_st_find(golden, name);
            const nb_png_spec spec = {
                .h = (int32_t)want->shape[0], .w = (int32_t)want->shape[1], .c = c, .background = 200};
            assert_true(want->bytes <= sizeof px && want->count == (int64_t)spec.h * spec.w * c);
            assert_int_equal(nb_png_decode(f->ctx, name, png->data, png->bytes, &spec, px), NB_OK);
            if (memcmp(px, want->data, want->bytes) != 0)
                fail_msg("%s: other bytes than PIL's", name);
        }
    }
    assert_int_equal(files, 71);
    nb_st_close(f->ctx, golden);
}

static void a_color_outside_of_the_palette_is_an_error(void **state)
{
    data_fixture *f = *state;
    static const uint8_t palette[2][4] = {{10, 20, 30, 255}, {40, 50, 60, 255}}, index[] = {0, 2};
    uint8_t px[6];
    data_fixture_png(f, "x.png",
                     &(png_file){.h = 1,
                                 .w = 2,
                                 .depth = 8,
                                 .type = PNG_COLOR_TYPE_PALETTE,
                                 .rows = index,
                                 .palette = palette,
                                 .n_palette = 2});
    assert_int_equal(load(f, 1, 2, 3, 255, px), NB_E_FORMAT);
    assert_non_null(
        strstr(nb_ctx_error(f->ctx), "x.png: damaged PNG: row 0, column 1: a color behind the palette's 2"));
}

/* Triangle filter in double, straight from its definition. */
static double oracle(const uint8_t *src, int32_t h, int32_t w, int32_t oh, int32_t ow, int32_t y, int32_t x)
{
    const double sy = (double)h / oh, sx = (double)w / ow, ry = sy > 1 ? sy : 1, rx = sx > 1 ? sx : 1;
    double sum = 0, weights = 0;
    for (int32_t v = 0; v < h; v++)
        for (int32_t u = 0; u < w; u++) {
            const double dy = 1 - fabs(v + 0.5 - (y + 0.5) * sy) / ry, dx = 1 - fabs(u + 0.5 - (x + 0.5) * sx) / rx;
            if (dy > 0 && dx > 0) {
                sum += dy * dx * src[v * w + u];
                weights += dy * dx;
            }
        }
    return sum / weights;
}

static void scaling_is_a_triangle_filter_within_a_rounding(void **state)
{
    data_fixture *f = *state;
    enum { H = 13, W = 21 };
    uint8_t src[H * W], got[40 * 40];
    uint32_t r = 1;
    for (int32_t i = 0; i < H * W; i++)
        src[i] = (uint8_t)((r = r * 1664525u + 1013904223u) >> 24);
    data_fixture_png(f, "x.png", &(png_file){.h = H, .w = W, .depth = 8, .type = PNG_COLOR_TYPE_GRAY, .rows = src});
    static const int32_t size[][2] = {{13, 21}, {26, 42 - 2}, {40, 40}, {7, 9},  {1, 1},
                                      {13, 3},  {1, 21},      {30, 2},  {12, 20}};
    for (size_t k = 0; k < sizeof size / sizeof size[0]; k++) {
        const int32_t oh = size[k][0], ow = size[k][1];
        const nb_png_spec spec = {.h = oh, .w = ow, .c = 1, .resize = true};
        assert_int_equal(nb_png_load(f->ctx, data_fixture_path(f, "x.png"), &spec, got), NB_OK);
        for (int32_t y = 0; y < oh; y++)
            for (int32_t x = 0; x < ow; x++)
                assert_true(fabs(got[y * ow + x] - oracle(src, H, W, oh, ow, y, x)) <= 0.51);
    }
}

static void scaling_keeps_a_flat_colour_flat(void **state)
{
    data_fixture *f = *state;
    uint8_t src[5 * 4 * 3], got[9 * 2 * 3];
    for (int32_t i = 0; i < 60; i++)
        src[i] = (uint8_t)(100 * (i % 3) + 55);
    data_fixture_png(f, "x.png", &(png_file){.h = 5, .w = 4, .depth = 8, .type = PNG_COLOR_TYPE_RGB, .rows = src});
    const nb_png_spec spec = {.h = 9, .w = 2, .c = 3, .resize = true};
    assert_int_equal(nb_png_load(f->ctx, data_fixture_path(f, "x.png"), &spec, got), NB_OK);
    for (int32_t i = 0; i < 54; i++)
        assert_int_equal(got[i], 100 * (i % 3) + 55);
}

static void another_size_is_an_error_that_says_what_to_do(void **state)
{
    data_fixture *f = *state;
    data_fixture_grey(f, "x.png", 4, 6, 9);
    uint8_t px[24];
    assert_int_equal(load(f, 6, 4, 1, 0, px), NB_E_FORMAT);
    const char *says = strstr(nb_ctx_error(f->ctx), "x.png: 4 pixels high, 6 wide: ");
    assert_non_null(says);
    assert_string_equal(says, "x.png: 4 pixels high, 6 wide: must be 6 high, 4 wide");
    const nb_png_spec spec = {.h = 6, .w = 4, .c = 1, .remedy = "--resize"};
    assert_int_equal(nb_png_load(f->ctx, data_fixture_path(f, "x.png"), &spec, px), NB_E_FORMAT);
    assert_non_null(strstr(nb_ctx_error(f->ctx), "must be 6 high, 4 wide; --resize scales it"));
}

static uint32_t crc(const uint8_t *p, size_t n)
{
    uint32_t c = 0xffffffffu;
    while (n--) {
        c ^= *p++;
        for (int32_t k = 0; k < 8; k++)
            c = c & 1 ? c >> 1 ^ 0xedb88320u : c >> 1;
    }
    return ~c;
}

/* Writes a valid header that claims h x w into png bytes. */
static void claim(uint8_t *png, uint32_t h, uint32_t w)
{
    for (int32_t i = 0; i < 4; i++) {
        png[16 + i] = (uint8_t)(w >> (24 - 8 * i));
        png[20 + i] = (uint8_t)(h >> (24 - 8 * i));
    }
    const uint32_t c = crc(png + 12, 17);
    for (int32_t i = 0; i < 4; i++)
        png[29 + i] = (uint8_t)(c >> (24 - 8 * i));
}

static size_t read_x(data_fixture *f, uint8_t *to, size_t max)
{
    FILE *in = fopen(data_fixture_path(f, "x.png"), "rb");
    assert_non_null(in);
    const size_t n = fread(to, 1, max, in);
    fclose(in);
    return n;
}

static void a_header_that_claims_too_much_costs_no_memory(void **state)
{
    data_fixture *f = *state;
    data_fixture_grey(f, "x.png", 4, 4, 9);
    uint8_t png[4096], px[16];
    const size_t n = read_x(f, png, sizeof png);
    const nb_png_spec spec = {.h = 4, .w = 4, .c = 1, .resize = true};
    static const uint32_t size[][2] = {
        {1000000, 1000000}, {0x7fffffff, 0x7fffffff}, {16385, 1}, {16384, 16384}, {8192, 8192}, {0, 4}};
    for (size_t k = 0; k < sizeof size / sizeof size[0]; k++) {
        claim(png, size[k][0], size[k][1]);
        assert_int_equal(nb_png_decode(f->ctx, "big.png", png, n, &spec, px), NB_E_FORMAT);
        assert_non_null(strstr(nb_ctx_error(f->ctx), "big.png: "));
    }
    claim(png, 8192, 8192);
    assert_int_equal(nb_png_decode(f->ctx, "big.png", png, n, &spec, px), NB_E_FORMAT);
    assert_non_null(strstr(nb_ctx_error(f->ctx), "damaged: the header promises 8192x8192 pixels"));
}

static void damage_anywhere_is_an_error_or_harmless(void **state)
{
    data_fixture *f = *state;
    static const uint8_t rgb[] = {255, 0, 0, 0, 255, 0, 0, 0, 255, 10, 10, 10};
    data_fixture_png(f, "x.png", &(png_file){.h = 2, .w = 2, .depth = 8, .type = PNG_COLOR_TYPE_RGB, .rows = rgb});
    uint8_t png[4096], px[12];
    const size_t n = read_x(f, png, sizeof png);
    const nb_png_spec spec = {.h = 2, .w = 2, .c = 3};
    for (size_t len = 0; len + 12 < n; len++) /* without its last chunk, IEND, a PNG is still whole */
        assert_int_equal(nb_png_decode(f->ctx, "cut.png", png, len, &spec, px), NB_E_FORMAT);
    for (size_t i = 0; i < n - 12; i++) {
        png[i] ^= 0x10;
        assert_int_equal(nb_png_decode(f->ctx, "bad.png", png, n, &spec, px), NB_E_FORMAT);
        png[i] ^= 0x10;
    }
    assert_int_equal(nb_png_decode(f->ctx, "good.png", png, n, &spec, px), NB_OK);
    assert_int_equal(nb_png_decode(f->ctx, "text.png", (const uint8_t *)"hello", 5, &spec, px), NB_E_FORMAT);
    assert_non_null(strstr(nb_ctx_error(f->ctx), "text.png: not a readable PNG: "));
    data_fixture_remove(f, "x.png");
    assert_int_equal(load(f, 2, 2, 3, 0, px), NB_E_IO);
}

static void failing_at_any_allocation_is_an_error(void **state)
{
    data_fixture *f = *state;
    data_fixture_grey(f, "x.png", 4, 4, 9);
    const nb_png_spec spec = {.h = 3, .w = 5, .c = 3, .resize = true};
    char path[512];
    snprintf(path, sizeof path, "%s", data_fixture_path(f, "x.png"));
    nb_status st = NB_E_NOMEM;
    for (int64_t n = 1; st != NB_OK; n++) {
        uint8_t px[45];
        nb_ctx_fail_alloc_at(f->ctx, n);
        st = nb_png_load(f->ctx, path, &spec, px);
        nb_ctx_fail_alloc_at(f->ctx, 0);
        assert_true(st == NB_OK || st == NB_E_NOMEM);
    }
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, data_fixture_setup, data_fixture_teardown)
    const struct CMUnitTest tests[] = {
        T(grey_and_colour_are_read_as_they_are),
        T(every_kind_of_png_gives_the_bytes_that_pil_gives),
        T(a_color_outside_of_the_palette_is_an_error),
        T(few_and_many_bits_become_eight),
        T(palette_and_alpha_lie_on_the_background),
        T(scaling_is_a_triangle_filter_within_a_rounding),
        T(scaling_keeps_a_flat_colour_flat),
        T(another_size_is_an_error_that_says_what_to_do),
        T(a_header_that_claims_too_much_costs_no_memory),
        T(damage_anywhere_is_an_error_or_harmless),
        T(failing_at_any_allocation_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
