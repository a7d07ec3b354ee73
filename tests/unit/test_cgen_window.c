/* test_cgen_window.c - which convolutions have a function for Helium, and the bias of its moved codes. That it gives
 * the engine's logits is run on an emulated Cortex-M55 by `make check-mcu`. */
#include "ref/data_fixture.h"
#include "ref/tiny_int.h"

#include "base/files.h"
#include "export/cgen.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* tiny: 1 c1 is dense, 3 dw depthwise, 8 fc one pixel. */
static void dense_convolutions_of_several_pixels_are_windowed(void **state)
{
    data_fixture *f = *state;
    nb_intmodel *m;
    assert_int_equal(ref_tiny_model(f->ctx, 4, &m), NB_OK);
    for (int32_t i = 0; i < m->e.n_steps; i++)
        assert_int_equal(cgen_windowed(m, i), i == 1);
    nb_intmodel_free(f->ctx, m);
}

/* c1 has 18 weights to a channel: only with 4 and 8 bits does the second channel begin with a byte. */
static void rows_that_do_not_begin_on_a_byte_are_not(void **state)
{
    data_fixture *f = *state;
    ref_tiny t;
    nb_intmodel *m;
    for (int32_t bits = 2; bits <= 8; bits++) {
        ref_tiny_fill(&t, bits);
        assert_int_equal(ref_tiny_build(f->ctx, &t, &m), NB_OK);

        assert_int_equal(cgen_windowed(m, 1), bits % 4 == 0);
        nb_intmodel_free(f->ctx, m);
    }
}

static void the_bias_holds_what_moving_codes_by_128_adds(void **state)
{
    data_fixture *f = *state;
    nb_intmodel *m;
    assert_int_equal(ref_tiny_model(f->ctx, 8, &m), NB_OK);
    const nb_estep *s = &m->e.steps[1];
    const int32_t zero = m->e.tensors[s->in[0]].zero;
    int32_t bias[3];
    assert_int_equal(cgen_real_bias(f->ctx, m, 1, bias), NB_OK);
    for (int32_t c = 0; c < 3; c++) {
        int64_t real = bias[c], moved = bias[c] + cgen_window_bias(m, 1, c);
        for (int32_t i = 0; i < 18; i++) {
            const int32_t code = i * 13 % 256;
            real += s->weights[18 * c + i] * (code - zero);
            moved += s->weights[18 * c + i] * (int8_t)(uint8_t)(code ^ 0x80);
        }
        assert_true(real == moved);
    }
    nb_intmodel_free(f->ctx, m);
}

static void other_targets_keep_their_loops(void **state)
{
    data_fixture *f = *state;
    nb_intmodel *m;
    uint8_t *bytes;
    size_t len;
    assert_int_equal(ref_tiny_model(f->ctx, 4, &m), NB_OK);
    assert_int_equal(nb_exporter_find("c")->write(f->ctx, m, data_fixture_path(f, "n.c"), NULL), NB_OK);
    assert_int_equal(nb_file_read(f->ctx, data_fixture_path(f, "n.c"), 1 << 20, &bytes, &len), NB_OK);
    char *text = calloc(1, len + 1);
    assert_non_null(text);
    memcpy(text, bytes, len);
    const char *step = strstr(text, "void n_step1("), *helium = step ? strstr(step, "#if " CGEN_WINDOWS) : NULL;
    assert_non_null(helium);
    const char *other = strstr(helium, "#else"), *end = strstr(helium, "#endif");
    assert_true(other && end && other < end);
    const char *window = strstr(helium, "n_dotw4("), *loops = strstr(helium, "n_dot1_u8z(");
    assert_true(window && window < other);
    assert_true(loops && loops > other && loops < end);
    free(text);
    nb_free(f->ctx, bytes);
    nb_intmodel_free(f->ctx, m);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, data_fixture_setup, data_fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(dense_convolutions_of_several_pixels_are_windowed),
        TEST(rows_that_do_not_begin_on_a_byte_are_not),
        TEST(the_bias_holds_what_moving_codes_by_128_adds),
        TEST(other_targets_keep_their_loops),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
