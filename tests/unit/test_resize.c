/* test_resize.c - places in images of another size, by hand. */
#include "core/resize.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

typedef int32_t place(int32_t i, int32_t in, int32_t out, nb_align align);

static void expect(place *fn, nb_align align, int32_t in, int32_t out, const int32_t *want)
{
    for (int32_t i = 0; i < out; i++)
        assert_int_equal(fn(i, in, out, align), want[i]);
}

static void the_nearest_pixel_is_what_pytorch_and_onnx_take(void **state)
{
    (void)state;
    expect(nb_resize_nearest, NB_ALIGN_HALF_PIXEL, 2, 4, (const int32_t[]){0, 0, 1, 1});
    expect(nb_resize_nearest, NB_ALIGN_ASYMMETRIC, 2, 4, (const int32_t[]){0, 0, 1, 1});
    expect(nb_resize_nearest, NB_ALIGN_ASYMMETRIC, 4, 6, (const int32_t[]){0, 0, 1, 2, 2, 3});
    expect(nb_resize_nearest, NB_ALIGN_HALF_PIXEL, 4, 6, (const int32_t[]){0, 1, 1, 2, 3, 3});
    expect(nb_resize_nearest, NB_ALIGN_CORNERS, 3, 6, (const int32_t[]){0, 0, 1, 1, 2, 2});
    expect(nb_resize_nearest, NB_ALIGN_ASYMMETRIC, 5, 2, (const int32_t[]){0, 2});
    expect(nb_resize_nearest, NB_ALIGN_CORNERS, 5, 1, (const int32_t[]){0});
}

static void places_between_pixels_count_in_2048ths_and_stay_inside(void **state)
{
    (void)state;
    expect(nb_resize_between, NB_ALIGN_HALF_PIXEL, 2, 4, (const int32_t[]){0, 512, 1536, 2048});
    expect(nb_resize_between, NB_ALIGN_CORNERS, 2, 4, (const int32_t[]){0, 683, 1365, 2048});
    expect(nb_resize_between, NB_ALIGN_ASYMMETRIC, 2, 4, (const int32_t[]){0, 1024, 2048, 2048});
    expect(nb_resize_between, NB_ALIGN_HALF_PIXEL, 4, 2, (const int32_t[]){1024, 5120});
    expect(nb_resize_between, NB_ALIGN_HALF_PIXEL, 1, 3, (const int32_t[]){0, 0, 0});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_nearest_pixel_is_what_pytorch_and_onnx_take),
        cmocka_unit_test(places_between_pixels_count_in_2048ths_and_stay_inside),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
