/* test_table_layers.c - what info shows of graphs and of integer models. */
#include "table_case.h"

#include "ref/small_model.h"
#include "ref/tiny_int.h"

static const char network[] =
    "quant: {weights: {bits: 4}, first_last_bits: 0}\nmodel:\n  - input\n  - conv2d: {out: 5, name: c1}\n  - relu\n"
    "  - linear: {out: 4, name: fc}\n";

static void a_float_network_has_32_bits_everywhere(void **state)
{
    small_model m;
    nb_layer_rows l;
    nb_table *t;
    assert_int_equal(small_model_build(&m, *state, network, 2), NB_OK);
    assert_int_equal(nb_layers_of_graph(m.g, &l), NB_OK);
    assert_int_equal(nb_table_of_layers(*state, &l, &t), NB_OK);
    assert_table(*state, t,
                 "layer   kind    output  weight bits  output bits  parameters  MACs  bytes\n"
                 "------  ------  ------  -----------  -----------  ----------  ----  -----\n"
                 "input1  input   7x6x3                         32           0     0      0\n"
                 "c1      conv2d  5x4x5            32           32         140  2700    560\n"
                 "relu1   relu    5x4x5                         32           0     0      0\n"
                 "fc      linear  4                32           32         404   400   1616\n"
                 "------  ------  ------  -----------  -----------  ----------  ----  -----\n"
                 "all                                                      544  3100   2176\n");
    nb_free(*state, l.rows);
    small_model_free(&m);
}

static void merged_layers_of_a_quantized_network_have_no_bits_of_their_own(void **state)
{
    small_model m;
    nb_layer_rows l;
    assert_int_equal(small_model_build(&m, *state, network, 2), NB_OK);
    assert_int_equal(nb_model_quantize(m.g, nb_conf_get(nb_config_root(m.cfg), "quant")), NB_OK);
    assert_int_equal(nb_graph_freeze(m.g, NB_PLAN_INFER), NB_OK);
    assert_int_equal(nb_layers_of_graph(m.g, &l), NB_OK);
    assert_int_equal(l.n, 4);
    assert_string_equal(l.rows[1].name, "c1");
    assert_int_equal(l.rows[1].weight_bits, 4);
    assert_int_equal(l.rows[1].output_bits, 0); /* relu's grid is where its codes are made */
    assert_int_equal(l.rows[2].output_bits, 8);
    assert_int_equal(l.rows[3].output_bits, 32);
    assert_int_equal(l.rows[1].bytes, (5 * 27 + 1) / 2 + 4 * 5); /* half a byte per weight, an int32 per bias */
    nb_free(*state, l.rows);
    small_model_free(&m);
}

static void integers_show_accumulators_and_packed_bytes(void **state)
{
    nb_intmodel *m;
    nb_layer_rows l;
    nb_table *t;
    assert_int_equal(ref_tiny_model(*state, 4, &m), NB_OK);
    assert_int_equal(nb_layers_of_integers(*state, m, &l), NB_OK);
    assert_int_equal(nb_table_of_layers(*state, &l, &t), NB_OK);
    assert_table(*state, t,
                 "layer  kind     output  weight bits  output bits  accumulator bits  parameters  MACs  bytes\n"
                 "-----  -------  ------  -----------  -----------  ----------------  ----------  ----  -----\n"
                 "in     table    5x5x2                          8                             0     0    512\n"
                 "c1     conv     5x5x3             4            8                15          57  1350     63\n"
                 "pool   maxpool  2x2x3                          8                             0     0      0\n"
                 "dw     conv     2x2x3             2            4                12           6    12     37\n"
                 "sum    add      2x2x3                          8                             0     0      0\n"
                 "cat    concat   2x2x6                          8                             0     0      0\n"
                 "clamp  maxpool  2x2x6                          8                             0     0      0\n"
                 "mean   avgpool  1x1x6                          8                             0     0      0\n"
                 "fc     conv     1x1x4             8           32                16          28    24     40\n"
                 "-----  -------  ------  -----------  -----------  ----------------  ----------  ----  -----\n"
                 "all                                                                         91  1386    652\n");
    nb_free(*state, l.rows);
    nb_intmodel_free(*state, m);
}

/* 18 weights of 3 bits and 4 exponents of 3 for each channel: 66 bits. */
static void blocks_take_their_exponents_too(void **state)
{
    ref_tiny t;
    nb_intmodel *m;
    nb_layer_rows l;
    ref_tiny_fill(&t, 4);
    ref_tiny_blocks(&t, 3, 5);
    assert_int_equal(ref_tiny_build(*state, &t, &m), NB_OK);
    assert_int_equal(nb_layers_of_integers(*state, m, &l), NB_OK);
    assert_int_equal(l.rows[1].bytes, 3 * 9 + 12 * 3);
    nb_free(*state, l.rows);
    nb_intmodel_free(*state, m);
}

static void no_memory_is_said_and_nothing_is_lost(void **state)
{
    nb_intmodel *m;
    nb_status st = NB_E_NOMEM;
    assert_int_equal(ref_tiny_model(*state, 4, &m), NB_OK);
    for (int64_t n = 1; n < 200 && st == NB_E_NOMEM; n++) {
        nb_layer_rows l = {0};
        nb_table *t = NULL;
        char *text = NULL;
        nb_ctx_fail_alloc_at(*state, n);
        st = nb_layers_of_integers(*state, m, &l);
        st = st == NB_OK ? nb_table_of_layers(*state, &l, &t) : st;
        st = st == NB_OK ? nb_table_print(t, &text) : st;
        nb_table_free(t);
        nb_free(*state, text);
        nb_free(*state, l.rows);
    }
    nb_ctx_fail_alloc_at(*state, 0);
    assert_int_equal(st, NB_OK);
    nb_intmodel_free(*state, m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_float_network_has_32_bits_everywhere, setup, teardown),
        cmocka_unit_test_setup_teardown(merged_layers_of_a_quantized_network_have_no_bits_of_their_own, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(integers_show_accumulators_and_packed_bytes, setup, teardown),
        cmocka_unit_test_setup_teardown(blocks_take_their_exponents_too, setup, teardown),
        cmocka_unit_test_setup_teardown(no_memory_is_said_and_nothing_is_lost, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
