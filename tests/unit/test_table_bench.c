/* test_table_bench.c - the tables of bench: totals, steps of the graph, steps of the integers. */
#include "table_case.h"

#include <nibble/extend/fusion.h>

#include "ref/small_model.h"
#include "ref/tiny_int.h"

static void totals_are_per_second_and_relative(void **state)
{
    const nb_speed_row rows[] = {{"float", 0.02, 128, 0.02}, {"W4A4", 0.03, 128, 0.02}, {"engine", 0.0005, 1, 0}};
    nb_table *t;
    assert_int_equal(nb_table_of_speed(*state, rows, 3, &t), NB_OK);
    assert_table(*state, t,
                 "            ms  images/s  to float\n"
                 "------  ------  --------  --------\n"
                 "float    20.00      6400      1.00\n"
                 "W4A4     30.00      4267      1.50\n"
                 "engine  0.5000      2000\n");
}

static void steps_of_a_graph_show_their_chain_and_rate(void **state)
{
    small_model m;
    const double forward[] = {0.001, 5.4e-6, 0.003, 0, 0}, backward[] = {0, 0.001, 0, 0.25, 0};
    assert_int_equal(small_model_build(&m, *state,
                                       "model:\n  - input\n  - conv2d: {out: 5, name: c1}\n  - batchnorm\n  - relu\n"
                                       "  - linear: {out: 4, name: fc}\n",
                                       2),
                     NB_OK);
    m.g->fusions = nb_fusions;
    assert_int_equal(nb_graph_freeze(m.g, NB_PLAN_TRAIN), NB_OK);
    assert_int_equal(m.g->n_steps, 5);
    nb_table *t;
    assert_int_equal(nb_table_of_passes(m.g, forward, backward, "float", &t), NB_OK);
    assert_table(*state, t,
                 "float       kind            forward ms  backward ms  forward GMAC/s\n"
                 "----------  --------------  ----------  -----------  --------------\n"
                 "input1      input                1.000        0.000\n"
                 "c1          conv2d               0.005        1.000             1.0\n"
                 "batchnorm1  batchnorm+relu       3.000        0.000\n"
                 "fc          linear               0.000      250.000\n"
                 "loss        softmax_xent         0.000        0.000\n");
    small_model_free(&m);
}

static void steps_of_the_integers_show_their_share(void **state)
{
    nb_intmodel *m;
    const double seconds[] = {1e-6, 5e-6, 1e-6, 1e-6, 0, 0, 0, 0, 2e-6};
    assert_int_equal(ref_tiny_model(*state, 4, &m), NB_OK);
    nb_table *t;
    assert_int_equal(nb_table_of_steps(*state, m, seconds, &t), NB_OK);
    assert_table(*state, t,
                 "integers, one thread  kind     us per image  share %  GMAC/s\n"
                 "--------------------  -------  ------------  -------  ------\n"
                 "in                    table            1.00     10.0\n"
                 "c1                    conv             5.00     50.0     0.3\n"
                 "pool                  maxpool          1.00     10.0\n"
                 "dw                    conv             1.00     10.0     0.0\n"
                 "sum                   add              0.00      0.0\n"
                 "cat                   concat           0.00      0.0\n"
                 "clamp                 maxpool          0.00      0.0\n"
                 "mean                  avgpool          0.00      0.0\n"
                 "fc                    conv             2.00     20.0     0.0\n");
    nb_intmodel_free(*state, m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(totals_are_per_second_and_relative, setup, teardown),
        cmocka_unit_test_setup_teardown(steps_of_a_graph_show_their_chain_and_rate, setup, teardown),
        cmocka_unit_test_setup_teardown(steps_of_the_integers_show_their_share, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
