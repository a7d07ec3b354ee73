/* test_png_write.c - pixels come back from the PNG that they were written as. */
#include <nibble/image.h>

#include "table_case.h"

enum { H = 5, W = 7 };

static void pixels_come_back(void **state)
{
    uint8_t pixels[H * W * 3], back[H * W * 3];
    for (int32_t i = 0; i < H * W * 3; i++)
        pixels[i] = (uint8_t)(i * 37 + i / 5);
    for (int32_t c = 1; c <= 3; c += 2) {
        uint8_t *png, *again;
        size_t len, len_again;
        assert_int_equal(nb_png_write(*state, pixels, H, W, c, &png, &len), NB_OK);
        assert_int_equal(nb_png_write(*state, pixels, H, W, c, &again, &len_again), NB_OK);
        assert_true(len == len_again && memcmp(png, again, len) == 0);
        const nb_png_spec spec = {.h = H, .w = W, .c = c};
        assert_int_equal(nb_png_decode(*state, "x.png", png, len, &spec, back), NB_OK);
        assert_memory_equal(back, pixels, (size_t)(H * W * c));
        nb_free(*state, again);
        nb_free(*state, png);
    }
}

/* What is seen through lies on the background; what is opaque is what it was. */
static void alpha_is_kept(void **state)
{
    const uint8_t pixels[] = {10, 255, 20, 0};
    uint8_t *png, back[2];
    size_t len;
    const nb_png_spec spec = {.h = 1, .w = 2, .c = 1, .background = 200};
    assert_int_equal(nb_png_write(*state, pixels, 1, 2, 2, &png, &len), NB_OK);
    assert_int_equal(nb_png_decode(*state, "x.png", png, len, &spec, back), NB_OK);
    assert_int_equal(back[0], 10);
    assert_int_equal(back[1], 200);
    nb_free(*state, png);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(pixels_come_back, setup, teardown),
        cmocka_unit_test_setup_teardown(alpha_is_kept, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
