/* test_config_set.c - overrides: paths, indices, escapes, what they may create, and that messages blame the command
 * line. */
#include "unit/config_case.h"

#include <stdio.h>

static const char text[] = "seed: 7\nmodel:\n  - input\n  - conv2d: {name: c1, out: 16}\n  - relu\n";

static void a_path_goes_through_maps_and_list_indices(void **state)
{
    (void)state;
    assert_prints("m: [a, {c: {out: 1}}]", "m.1.c.out=8", "m:\n  - a\n  - c: {out: 8}\n");
    assert_prints("m: [a, {c: {out: 1}}]", "m[1].c.out=8", "m:\n  - a\n  - c: {out: 8}\n");
    assert_prints("[[1, 2], [3, 4]]", "[1][0]=x", "- [1, 2]\n- [x, 4]\n");
}

static void missing_sections_on_the_way_are_created(void **state)
{
    (void)state;
    assert_prints("a: 1", "quant.weights.bits=2", "a: 1\nquant:\n  weights: {bits: 2}\n");
    assert_prints("quant:\n", "quant.bits=2", "quant: {bits: 2}\n");
    assert_prints("", "seed=3", "seed: 3\n");
}

static void the_value_is_yaml_of_its_own(void **state)
{
    (void)state;
    assert_prints("a: 1", "a=[flip, {crop: 4}]", "a:\n  - flip\n  - {crop: 4}\n");
    assert_prints("a: 1", "a={b: 'yes'}", "a: {b: \"yes\"}\n");
    assert_prints("a: 1", "a=", "a: \"\"\n");
    assert_prints("a: 1", "a=x=y", "a: \"x=y\"\n");
    assert_prints("a: {b: 1}", "a=~", "a: \"~\"\n");
}

static void a_bare_layer_becomes_a_map_when_a_key_of_it_is_set(void **state)
{
    (void)state;
    assert_prints(text, "model.2.relu.cap=6",
                  "seed: 7\nmodel:\n  - input\n  - conv2d: {name: c1, out: 16}\n  - relu: {cap: 6}\n");
}

static void backslashes_take_separators_literally(void **state)
{
    (void)state;
    assert_prints("a: 1", "b\\.c\\=d\\\\\\[0.e=1", "a: 1\n\"b.c=d\\\\[0\": {e: 1}\n");
}

static void a_name_with_dots_is_found_and_below_quant_layers_made(void **state)
{
    (void)state;
    assert_prints("m: {a.b: {c: 1}}", "m.a.b.c=2", "m:\n  a.b: {c: 2}\n");
    assert_prints("m: {a.b: 1, a.b.c: 1}", "m.a.b.c=2", "m: {a.b: 1, a.b.c: 2}\n"); /* the longest */
    assert_prints("m: {\"a[0].b\": 1}", "m.a[0].b=2", "m: {\"a[0].b\": 2}\n");
    assert_prints("m: {a.b: 1}", "m.a.c=2", "m:\n  a.b: 1\n  a: {c: 2}\n"); /* none of them */
    assert_prints("", "quant.layers.b3.c1.weights.bits=2", "quant:\n  layers:\n    b3.c1:\n      weights: {bits: 2}\n");
    assert_prints("", "quant.layers.b[3].c1.activations={bits: 2}",
                  "quant:\n  layers:\n    \"b[3].c1\":\n      activations: {bits: 2}\n");
    assert_prints("", "quant.layers.weights.weights.bits=2",
                  "quant:\n  layers:\n    weights:\n      weights: {bits: 2}\n");
    assert_prints("", "quant.layers.c1.weights.bits=2", "quant:\n  layers:\n    c1:\n      weights: {bits: 2}\n");
    assert_prints("quant: {layers: {b.c1: {weights: {bits: 2}}}}", "quant.layers.b.c1={weights: {bits: 3}}",
                  "quant:\n  layers:\n    b.c1:\n      weights: {bits: 3}\n");
}

static void later_overrides_win(void **state)
{
    (void)state;
    const char *sets[] = {"a=1", "a=2", "b.c=3", "b={}"};
    nb_ctx *ctx = nb_ctx_create();
    nb_config *cfg = NULL;
    char *got = NULL;
    assert_int_equal(nb_config_parse(ctx, "x.yaml", "", 0, sets, 4, &cfg), NB_OK);
    assert_int_equal(nb_config_print(ctx, cfg, &got), NB_OK);
    assert_string_equal(got, "a: 2\nb: {}\n");
    nb_free(ctx, got);
    nb_config_free(ctx, cfg);
    nb_ctx_destroy(ctx);
}

static void what_an_override_made_says_so(void **state)
{
    (void)state;
    config_case t = case_open(text, "model.1.conv2d.out=0");
    const nb_conf *conv = nb_conf_get(nb_conf_at(nb_conf_get(t.root, "model"), 1), "conv2d");
    assert_string_equal(nb_conf_place(nb_conf_get(conv, "out")), "--set model.1.conv2d.out=0");
    assert_string_equal(nb_conf_place(nb_conf_get(conv, "name")), "x.yaml:4");
    case_close(&t);
}

static void an_option_that_is_an_override_speaks_in_its_own_words(void **state)
{
    (void)state;
    config_case t = case_open("a: 1", NULL);
    assert_int_equal(nb_config_set(t.ctx, t.cfg, "--steps nope", "quant.steps=[nope]"), NB_OK);
    const nb_conf *step = nb_conf_at(nb_conf_get(nb_conf_get(t.root, "quant"), "steps"), 0);
    assert_string_equal(nb_conf_text(step), "nope");
    assert_string_equal(nb_conf_place(step), "--steps nope");
    assert_true(nb_conf_is_set(step));
    assert_int_equal(nb_config_set(t.ctx, t.cfg, "--steps [", "quant.steps=["), NB_E_CONFIG);
    assert_string_equal(nb_ctx_error(t.ctx),
                        "--steps [: not valid YAML: did not find expected node content, while parsing a flow node");
    case_close(&t);
}

static void wrong_overrides_are_refused_with_what_would_be_right(void **state)
{
    (void)state;
    assert_refused(text, "seed", "--set seed: must be section.key=value");
    assert_refused(text, "=1", "--set =1: a key is empty; write section.key=value");
    assert_refused(text, "a..b=1", "--set a..b=1: a key is empty; write section.key=value");
    assert_refused(text, "a.=1", "--set a.=1: a key is empty; write section.key=value");
    assert_refused(text, "model[1=1", "--set model[1=1: an index is written [3] or .3");
    assert_refused(text, "model[1]x=1", "--set model[1]x=1: an index is written [3] or .3");
    assert_refused(text, "model.3=x", "--set model.3=x: 3: must be an index, 0..2, of the list at x.yaml:2");
    assert_refused(
        text, "model.99999999999999999999=x",
        "--set model.99999999999999999999=x: 99999999999999999999: must be an index, 0..2, of the list at x.yaml:2");
    assert_refused(text, "model.c1.out=x", "--set model.c1.out=x: c1: must be an index, 0..2, of the list at x.yaml:2");
    assert_refused("a: []", "a.0=x", "--set a.0=x: 0: there is no such element: the list at x.yaml:1 is empty");
    assert_refused(text, "seed.x=1", "--set seed.x=1: 7: the value at x.yaml:1 is a plain text, it has no keys");
    assert_refused(text, "model.2.relo.cap=1",
                   "--set model.2.relo.cap=1: relu: the value at x.yaml:5 is a plain text, it has no keys");
    assert_refused(text, "a=[",
                   "--set a=[: not valid YAML: did not find expected node content, while parsing a flow node");
    assert_refused(text, "a=&x 1", "--set a=&x 1: anchors (&name) are not supported: write the value where it is used");
    assert_refused(text, "a={b: 1, b: 2}", "--set a={b: 1, b: 2}: b: repeated key, first given on line 1");
    assert_refused(text, "\xff=1", "--set \xff=1: the key is not UTF-8");
    assert_refused(text, "a\xc0\xaf=1", "--set a\xc0\xaf=1: the key is not UTF-8");
}

static void depth_counts_from_the_root(void **state)
{
    (void)state;
    char set[256];
    size_t n = 0;
    for (int32_t i = 0; i < 63; i++)
        n += (size_t)snprintf(set + n, sizeof set - n, "%sa", i ? "." : "");
    memcpy(set + n, "={b: 1}", sizeof "={b: 1}");
    config_case t = case_open("", set);
    case_close(&t);
    memcpy(set + n, "={b: []}", sizeof "={b: []}");
    assert_int_equal(case_parse(&t, "", set), NB_E_CONFIG);
    assert_non_null(strstr(nb_ctx_error(t.ctx), ": nested deeper than 64 levels"));
    case_close(&t);
    memcpy(set + n, ".a.a=1", sizeof ".a.a=1");
    assert_int_equal(case_parse(&t, "", set), NB_E_CONFIG);
    assert_non_null(strstr(nb_ctx_error(t.ctx), ": nested deeper than 64 levels"));
    case_close(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_path_goes_through_maps_and_list_indices),
        cmocka_unit_test(missing_sections_on_the_way_are_created),
        cmocka_unit_test(the_value_is_yaml_of_its_own),
        cmocka_unit_test(a_bare_layer_becomes_a_map_when_a_key_of_it_is_set),
        cmocka_unit_test(backslashes_take_separators_literally),
        cmocka_unit_test(a_name_with_dots_is_found_and_below_quant_layers_made),
        cmocka_unit_test(later_overrides_win),
        cmocka_unit_test(what_an_override_made_says_so),
        cmocka_unit_test(an_option_that_is_an_override_speaks_in_its_own_words),
        cmocka_unit_test(wrong_overrides_are_refused_with_what_would_be_right),
        cmocka_unit_test(depth_counts_from_the_root),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
