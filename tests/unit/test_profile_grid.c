/* test_profile_grid.c - values rounded to every format, against the nearest level found by looking at all of them; and what
 * lists of formats say. */
#include "analysis/profile_grid.h"

#include "base/rng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { N = 5003, GROUPS = 3 };

static float values[N];

static int setup(void **state)
{
    for (int32_t i = 0; i < N; i++) {
        const double u = (double)(nb_mix(1, (uint64_t)i) >> 11) * 0x1p-53,
                     v = (double)(nb_mix(2, (uint64_t)i) >> 11) * 0x1p-53;
        values[i] = i % 50 == 0 ? 0.0f : (float)(log(u + 1e-9) * (v < 0.5 ? 1 : -1));
    }
    *state = nb_ctx_create();
    return *state ? 0 : -1;
}

static int teardown(void **state)
{
    nb_ctx_destroy(*state);
    return 0;
}

static nb_profile_formats parsed(void **state, const char *formats, const char *bits)
{
    nb_profile_formats f = {.n = 0};
    if (nb_profile_formats_parse(*state, formats, bits, &f) != NB_OK)
        fail_msg("%s", nb_ctx_error(*state));
    return f;
}

/* By all levels, group by group. */
static void brute(const nb_rounder *r, float scale, int32_t zero, double noise[GROUPS], int64_t *vanished)
{
    double level[NB_GRID_CODES], edge[NB_GRID_CODES];
    const int32_t n = nb_rounder_values(r, scale, zero, level, edge);
    memset(noise, 0, GROUPS * sizeof *noise);
    *vanished = 0;
    for (int32_t i = 0; i < N; i++) {
        int32_t best = 0;
        for (int32_t k = 1; k < n; k++)
            if (fabs((double)values[i] - level[k]) < fabs((double)values[i] - level[best]))
                best = k;
        const double e = (double)values[i] - level[best];
        noise[i % GROUPS] += e * e;
        *vanished += values[i] != 0.0f && level[best] == 0;
    }
}

static void rounding_is_to_the_nearest_level(void **state)
{
    nb_profile_formats f = parsed(state, "uniform,pow2,log,apot,odd,fp4,fp6_e2m3,fp8_e4m3", "3,7");
    for (int32_t i = 0; i < f.n; i++)
        for (int32_t weights = f.of[i].format->weights_only; weights < 2; weights++) {
            nb_rounder r;
            float scale;
            int32_t zero;
            nb_rounded got[GROUPS] = {{0}};
            int64_t count[NB_GRID_CODES] = {0}, n = 0, vanished, got_vanished = 0;
            double noise[GROUPS];
            nb_rounder_init(&r, &f.of[i], weights == 1);
            nb_params_cover(&r.grid, -3, 4, &scale, &zero);
            nb_rounder_measure(&r, scale, zero, values, N, got, GROUPS, count);
            brute(&r, scale, zero, noise, &vanished);
            for (int32_t g = 0; g < GROUPS; g++) {
                if (!(fabs(got[g].noise - noise[g]) <= 1e-5 * noise[g]))
                    fail_msg("%s: noise %.9g, want %.9g", f.of[i].name, got[g].noise, noise[g]);
                got_vanished += got[g].vanished;
            }
            assert_true(llabs(got_vanished - vanished) <= 1); /* a tie that float and double see on other sides */
            for (int32_t k = 0; k < r.n_codes; k++)
                n += count[k];
            assert_int_equal(n, r.grid.real ? 0 : N);
        }
    nb_profile_formats_free(&f);
}

/* Codes -2..2 of step 1 in an unsigned grid with zero 2, of 0..7: five kinds of value, counted by hand. */
static void what_is_lost_is_counted(void **state)
{
    nb_profile_formats f = parsed(state, "uniform", "3");
    nb_rounder r;
    nb_rounded got = {0};
    int64_t count[NB_GRID_CODES] = {0};
    const float x[] = {-3.0f, -2.4f, -0.4f, 0.0f, 0.3f, 1.0f, 5.4f, 5.6f, 9.0f};
    nb_rounder_init(&r, &f.of[0], false);
    nb_rounder_measure(&r, 1.0f, 2, x, 9, &got, 1, count);
    assert_int_equal(got.clipped, 3);  /* -3, 5.6, 9 */
    assert_int_equal(got.vanished, 2); /* -0.4, 0.3 */
    assert_int_equal(got.at_zero, 3);
    assert_true(fabs(got.noise - (1 + 0.16 + 0.16 + 0.09 + 0.16 + 0.36 + 16)) < 1e-5);
    const int64_t want[8] = {2, 0, 3, 1, 0, 0, 0, 3};
    for (int32_t k = 0; k < 8; k++)
        assert_int_equal(count[k], want[k]);
    nb_profile_formats_free(&f);
}

static void lists_say_which_formats(void **state)
{
    nb_profile_formats f = parsed(state, "uniform, fp8_e4m3,ternary,log", "2, 8");
    const char *const want[] = {"uniform 2", "uniform 8", "fp8_e4m3", "ternary 2", "log 2", "log 8"};
    assert_int_equal(f.n, 6);
    for (int32_t i = 0; i < f.n; i++)
        assert_string_equal(f.of[i].name, want[i]);
    nb_profile_formats_free(&f);
    static const struct {
        const char *formats, *bits, *why;
    } bad[] = {{"unifrom", "4",
                "--formats: unifrom: there is no such format (did you mean \"uniform\"?); there are: uniform, pow2, "},
               {"pow2,xyzzy,log", "4", "--formats: xyzzy: there is no such format; there are: uniform, pow2, "},
               {"uniform,pow2,uniform", "4", "--formats, --bits: uniform of 4 bits: is named twice"},
               {"uniform", "4,5,4", "--formats, --bits: uniform of 4 bits: is named twice"},
               {"uniform", "4,9", "--bits: 9: must be whole numbers 2..8"},
               {"uniform", "four", "--bits: four: must be whole numbers 2..8"},
               {"uniform", "", "--bits: uniform has 2 to 8 bits"},
               {"odd", "8", "--bits: odd has 2 to 7 bits: name some of these"},
               {"", "4", "--formats: names no format"},
               {"fixed", "4", "--formats: fixed: has one scale for all layers"},
               {"block", "4", "--formats: block: has a step for every block of weights"},
               {"uniform,pow2,log", "2,3,4,5,6,7,8", "more than 14 formats"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(nb_profile_formats_parse(*state, bad[i].formats, bad[i].bits, &f), NB_E_CONFIG);
        if (!strstr(nb_ctx_error(*state), bad[i].why))
            fail_msg("%s", nb_ctx_error(*state));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rounding_is_to_the_nearest_level),
        cmocka_unit_test(what_is_lost_is_counted),
        cmocka_unit_test(lists_say_which_formats),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
