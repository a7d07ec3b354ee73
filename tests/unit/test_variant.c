/* test_variant.c - every family lists its variants so that the best one that this processor can run is chosen. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "kernels/families.h"

static void every_family_begins_with_scalar_which_runs_everywhere(void **state)
{
    (void)state;
    for (const nb_family *f = nb_families; f->name; f++) {
        assert_string_equal(f->variants->name, "scalar");
        assert_int_equal(f->variants->needs, 0);
        for (const nb_variant *v = f->variants; v->name; v++)
            assert_non_null(v->kernels);
    }
}

static void the_best_one_is_the_last_that_runs_and_below_it_come_the_others(void **state)
{
    (void)state;
    for (const nb_family *f = nb_families; f->name; f++) {
        const nb_variant *walk = nb_variant_best(f->variants);
        int32_t n = 0;
        while (f->variants[n].name)
            n++;
        while (n-- > 0)
            if ((nb_cpu_features() & f->variants[n].needs) == f->variants[n].needs) {
                assert_ptr_equal(walk, &f->variants[n]);
                walk = nb_variant_below(f->variants, walk);
            }
        assert_null(walk);
    }
}

static void what_the_processor_lacks_is_not_chosen(void **state)
{
    (void)state;
    nb_cpu_limit(0);
    for (const nb_family *f = nb_families; f->name; f++)
        assert_int_equal(nb_variant_best(f->variants)->needs, 0);
    nb_cpu_limit(UINT32_MAX);
}

typedef struct {
    int32_t (*common)(void);
    int32_t (*rare)(void);
} pair_isa;

static int32_t one(void)
{
    return 1;
}

static int32_t two(void)
{
    return 2;
}

static const pair_isa plain = {.common = one}, better = {.common = two}, best = {.rare = two};
static const nb_variant three[] = {{"scalar", 0, &plain}, {"better", 0, &better}, {"best", 0, &best}, {0}};
static const nb_variant never[] = {{"scalar", 0, &plain}, {"no", 1u << 30, &better}, {"best", 0, &best}, {0}};

static void a_function_that_is_missing_is_the_next_worse_variants(void **state)
{
    (void)state;
    assert_ptr_equal(nb_variant_best(three), &three[2]);
    assert_int_equal(NB_VARIANT_FUNCTION(pair_isa, three, &three[2], common)(), 2);
    assert_int_equal(NB_VARIANT_FUNCTION(pair_isa, three, &three[0], common)(), 1);
    assert_int_equal(NB_VARIANT_FUNCTION(pair_isa, never, &never[2], common)(), 1); /* not of one that cannot run */
    assert_int_equal(NB_VARIANT_FUNCTION(pair_isa, three, &three[2], rare)(), 2);
    assert_true(NB_VARIANT_FUNCTION(pair_isa, three, &three[1], rare) == NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_family_begins_with_scalar_which_runs_everywhere),
        cmocka_unit_test(the_best_one_is_the_last_that_runs_and_below_it_come_the_others),
        cmocka_unit_test(what_the_processor_lacks_is_not_chosen),
        cmocka_unit_test(a_function_that_is_missing_is_the_next_worse_variants),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
