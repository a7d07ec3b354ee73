/* test_config_tree.c - walking a tree, comparing two, naming nodes in messages. */
#include "config/config_tree.h"
#include "unit/config_case.h"

static void maps_and_lists_are_walked_by_index_and_by_key(void **state)
{
    (void)state;
    config_case t = case_open("a: 1\nb: [x, y, z]\nc: {d: }\n", NULL);
    assert_true(nb_conf_is_map(t.root));
    assert_int_equal(nb_conf_count(t.root), 3);
    assert_string_equal(nb_conf_key_at(t.root, 1), "b");
    const nb_conf *b = nb_conf_at(t.root, 1);
    assert_true(nb_conf_is_list(b));
    assert_string_equal(nb_conf_text(nb_conf_at(b, 2)), "z");
    assert_null(nb_conf_text(b));
    assert_int_equal(nb_conf_count(nb_conf_get(t.root, "a")), 0);
    assert_string_equal(nb_conf_text(nb_conf_get(nb_conf_get(t.root, "c"), "d")), "");
    assert_null(nb_conf_get(t.root, "A"));
    case_close(&t);
}

static void a_key_is_taken_out_of_its_map_alone(void **state)
{
    (void)state;
    config_case t = case_open("a: {b: 1, c: 2, d: 3}\nc: 4\n", "a.d=5");
    const nb_conf *a = nb_conf_get(t.root, "a");
    assert_true(nb_conf_is_set(nb_conf_get(a, "d")));
    assert_false(nb_conf_is_set(nb_conf_get(a, "c")) || nb_conf_is_set(a) || nb_conf_is_set(NULL));
    nb_config_drop(t.cfg, a, "c");
    nb_config_drop(t.cfg, a, "e");
    nb_config_drop(t.cfg, nb_conf_get(a, "b"), "b"); /* no map */
    char *got = NULL;
    assert_int_equal(nb_config_print(t.ctx, t.cfg, &got), NB_OK);
    assert_string_equal(got, "a: {b: 1, d: 5}\nc: 4\n");
    nb_free(t.ctx, got);
    case_close(&t);
}

static void absent_nodes_are_harmless(void **state)
{
    (void)state;
    assert_false(nb_conf_is_map(NULL) || nb_conf_is_list(NULL) || nb_conf_is_scalar(NULL));
    assert_int_equal(nb_conf_count(NULL), 0);
    assert_null(nb_conf_get(NULL, "a"));
    assert_null(nb_conf_text(NULL));
    assert_string_equal(nb_conf_place(NULL), "");
}

static bool same(const char *a, const char *b)
{
    config_case x = case_open(a, NULL), y = case_open(b, NULL);
    bool equal = nb_conf_equal(x.root, y.root);
    case_close(&x);
    case_close(&y);
    return equal;
}

static void trees_are_equal_by_shape_order_keys_and_texts(void **state)
{
    (void)state;
    assert_true(same("a: [1, {b: x}]", "a:\n - '1'\n - b: \"x\"\n"));
    assert_false(same("{a: 1, b: 2}", "{b: 2, a: 1}"));
    assert_false(same("a: 1", "a: 2"));
    assert_false(same("a: 1", "b: 1"));
    assert_false(same("a: [1]", "a: [1, 1]"));
    assert_false(same("a: []", "a: {}"));
    assert_false(same("a: ''", "a: {}"));
}

static void a_failure_names_place_and_section(void **state)
{
    (void)state;
    config_case t = case_open("a: 1\nb: 2\n", NULL);
    const nb_conf *b = nb_conf_get(t.root, "b");
    assert_int_equal(nb_conf_fail(t.ctx, b, "train.b", NB_E_SHAPE, "%d is odd", 3), NB_E_SHAPE);
    assert_string_equal(nb_ctx_error(t.ctx), "x.yaml:2: train.b: 3 is odd");
    (void)nb_conf_fail(t.ctx, b, "", NB_E_CONFIG, "no");
    assert_string_equal(nb_ctx_error(t.ctx), "x.yaml:2: no");
    (void)nb_conf_fail(t.ctx, NULL, NULL, NB_E_CONFIG, "no");
    assert_string_equal(nb_ctx_error(t.ctx), "no");
    case_close(&t);
}

static void a_layer_is_a_word_or_a_word_with_keys(void **state)
{
    (void)state;
    config_case t = case_open("- relu\n- relu: {cap: 6}\n- relu:\n- {a: 1, b: 2}\n- [a]\n- ''\n- {}\n", NULL);
    const char *name = NULL;
    const nb_conf *body = NULL;
    assert_int_equal(nb_conf_named(t.ctx, nb_conf_at(t.root, 0), "model[0]", &name, &body), NB_OK);
    assert_string_equal(name, "relu");
    assert_true(nb_conf_is_map(body) && nb_conf_count(body) == 0);
    assert_string_equal(nb_conf_place(body), "x.yaml:1"); /* so that a missing key has a line */
    assert_int_equal(nb_conf_named(t.ctx, nb_conf_at(t.root, 1), "model[1]", &name, &body), NB_OK);
    assert_string_equal(nb_conf_text(nb_conf_get(body, "cap")), "6");
    assert_int_equal(nb_conf_named(t.ctx, nb_conf_at(t.root, 2), "model[2]", &name, &body), NB_OK);
    assert_int_equal(nb_conf_count(body), 0);
    for (int32_t i = 3; i < 7; i++)
        assert_int_equal(nb_conf_named(t.ctx, nb_conf_at(t.root, i), "model[9]", &name, &body), NB_E_CONFIG);
    assert_string_equal(nb_ctx_error(t.ctx),
                        "x.yaml:7: model[9]: must be one name, or one name with its keys: `relu: {cap: 6}`");
    case_close(&t);
}

static void what_messages_show_of_a_text_is_short_and_printable(void **state)
{
    (void)state;
    char buf[CONF_SHOWN];
    assert_string_equal(nb_conf_show(buf, ""), "\"\"");
    assert_string_equal(nb_conf_show(buf, "a\nb\x1b[31m\x7f"), "a?b?[31m?");
    char text[200];
    memset(text, 'x', sizeof text);
    text[sizeof text - 1] = '\0';
    text[CONF_SHOWN - 1] = '\0';
    assert_string_equal(nb_conf_show(buf, text), text); /* as long as it can be */
    text[CONF_SHOWN - 1] = 'x';
    memcpy(text + CONF_SHOWN - 5, "\xe2\x82\xac", 3); /* a euro sign across the cut */
    nb_conf_show(buf, text);
    assert_int_equal(strlen(buf), CONF_SHOWN - 5 + 3);
    assert_string_equal(buf + CONF_SHOWN - 6, "x...");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(maps_and_lists_are_walked_by_index_and_by_key),
        cmocka_unit_test(a_key_is_taken_out_of_its_map_alone),
        cmocka_unit_test(absent_nodes_are_harmless),
        cmocka_unit_test(trees_are_equal_by_shape_order_keys_and_texts),
        cmocka_unit_test(a_failure_names_place_and_section),
        cmocka_unit_test(a_layer_is_a_word_or_a_word_with_keys),
        cmocka_unit_test(what_messages_show_of_a_text_is_short_and_printable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
