/* test_mixup.c - pairs by hand, shares of the beta distribution, and the whole way from loader to batch. */
#include "ref/data_fixture.h"
#include "train/loader.h"
#include "train/mixup.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void images_of_a_pair_become_mixtures_of_both(void **state)
{
    (void)state;
    enum { N = 5, BYTES = 3 };
    static const uint8_t plain[N][BYTES] = {{0, 255, 7}, {1, 2, 3}, {50, 60, 70}, {200, 100, 0}, {255, 0, 9}};
    static const int32_t label[N] = {3, 1, 4, 1, 5};
    uint8_t px[N][BYTES];
    int32_t other[N], mixed_pairs = 0;
    float share[N];
    for (uint64_t key = 0; key < 50; key++) {
        memcpy(px, plain, sizeof px);
        nb_mixup(&(nb_mixed){&px[0][0], label, N, 0, N, BYTES}, 1, key, other, share);
        for (int32_t i = 0; i < N; i++) {
            const int32_t j = N - 1 - i;
            assert_true(other[i] == label[j] && share[i] == share[j] && share[i] >= 0 && share[i] <= 0.5f);
            assert_true(share[i] * 256 == floorf(share[i] * 256));
            for (int32_t k = 0; k < BYTES; k++)
                assert_int_equal(px[i][k],
                                 (int32_t)floorf((1 - share[i]) * plain[i][k] + share[i] * plain[j][k] + 0.5f));
            mixed_pairs += share[i] > 0;
        }
        assert_true(share[2] == 0); /* it has no partner */
    }
    assert_true(mixed_pairs > 150);
}

/* Images 1 and 2 of five: with the partner of 1, and nothing of the others. */
static void a_share_of_a_batch_is_mixed_as_in_the_whole(void **state)
{
    (void)state;
    enum { N = 5 };
    const uint8_t plain[N] = {10, 20, 30, 40, 250};
    const int32_t label[N] = {3, 1, 4, 1, 5};
    for (uint64_t key = 0; key < 50; key++) {
        uint8_t whole[N], part[N];
        int32_t other[N], its_other[N];
        float share[N], its_share[N];
        memcpy(whole, plain, N);
        memcpy(part, plain, N);
        nb_mixup(&(nb_mixed){whole, label, N, 0, N, 1}, 1, key, other, share);
        nb_mixup(&(nb_mixed){part, label, N, 1, 3, 1}, 1, key, its_other, its_share);
        for (int32_t i = 1; i < 3; i++)
            assert_true(part[i] == whole[i] && its_other[i] == other[i] && its_share[i] == share[i]);
        assert_true(part[0] == plain[0] && part[4] == plain[4]);
    }
}

/* Beta(a, a) has mean 1/2 and variance 1 / (4 (2a + 1)). */
static void shares_are_of_the_beta_distribution(void **state)
{
    (void)state;
    static const float a[] = {0.2f, 0.5f, 1};
    enum { N = 20000 };
    for (int32_t k = 0; k < 3; k++) {
        double sum = 0, squares = 0;
        nb_rng r = nb_rng_make(7, (uint64_t)k);
        for (int32_t i = 0; i < N; i++) {
            const double v = (double)nb_mixup_draw(&r, a[k]);
            assert_true(v >= 0 && v <= 1);
            sum += v;
            squares += v * v;
        }
        const double mean = sum / N, variance = squares / N - mean * mean, want = 1 / (4 * (2 * (double)a[k] + 1));
        assert_true(fabs(mean - 0.5) < 0.01 && fabs(variance / want - 1) < 0.04);
    }
}

static void a_loader_mixes_the_same_way_from_wherever_it_starts(void **state)
{
    data_fixture *f = *state;
    nb_data *data;
    nb_loader *l;
    static uint8_t first[8 * 16];
    int32_t other[8];
    const nb_loader_spec spec = {.batch = 8, .flags = NB_LOAD_SHUFFLE | NB_LOAD_DROP_LAST, .seed = 3, .mixup = 0.5f};
    assert_int_equal(
        data_fixture_open(f, "{name: synth, count: 32, height: 4, width: 4, channels: 1, classes: 3}", "train", &data),
        NB_OK);
    assert_int_equal(nb_loader_open(f->ctx, data, &spec, &l), NB_OK);
    for (int32_t i = 0; i < 6; i++)
        (void)nb_loader_next(l);
    const nb_batch *b = nb_loader_next(l);
    assert_true(b->epoch == 1 && b->step == 2 && b->other && b->mixed);
    memcpy(first, b->pixels, sizeof first);
    memcpy(other, b->other, sizeof other);
    nb_loader_seek(l, 1, 2);
    b = nb_loader_next(l);
    assert_memory_equal(b->pixels, first, sizeof first);
    assert_memory_equal(b->other, other, sizeof other);
    nb_loader_close(f->ctx, l);
    nb_data_close(f->ctx, data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(images_of_a_pair_become_mixtures_of_both),
        cmocka_unit_test(a_share_of_a_batch_is_mixed_as_in_the_whole),
        cmocka_unit_test(shares_are_of_the_beta_distribution),
        cmocka_unit_test_setup_teardown(a_loader_mixes_the_same_way_from_wherever_it_starts, data_fixture_setup,
                                        data_fixture_teardown),
    };
    return cmocka_run_group_tests_name("mixup", tests, NULL, NULL);
}
