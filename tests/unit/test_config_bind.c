/* test_config_bind.c - key tables fill structs; every kind of mistake has its sentence. */
#include "unit/config_case.h"

#include <math.h>

typedef struct {
    int32_t out, stride, mode;
    uint64_t seed;
    float cap;
    bool bias;
    const char *name;
    const nb_conf *in;
} conv;

static const nb_key conv_keys[] = {NB_KEY_STRING(conv, name, "", "name"),
                                   NB_KEY_INT(conv, out, NULL, 1, 65536, "number of filters"),
                                   NB_KEY_INT(conv, stride, "1", 1, 8, "step"),
                                   NB_KEY_ENUM(conv, mode, "zero", "zero|edge|wrap", "what lies outside"),
                                   NB_KEY_UINT64(conv, seed, "3", "of its weights"),
                                   NB_KEY_FLOAT(conv, cap, "inf", 0, INFINITY, "upper bound"),
                                   NB_KEY_BOOL(conv, bias, "yes", "add a bias"),
                                   NB_KEY_NODE(conv, in, "name or [name, ...]", "inputs"),
                                   {0}};

static nb_status bind(const config_case *t, const nb_conf *map, conv *c)
{
    const nb_binding b = {conv_keys, c};
    *c = (conv){0};
    return nb_conf_bind(t->ctx, map, "model[3] conv2d c1", &b, 1);
}

static void assert_bind_fails(const char *text, const char *set, const char *sentence)
{
    config_case t = case_open(text, set);
    conv c;
    assert_int_equal(bind(&t, t.root, &c), NB_E_CONFIG);
    assert_string_equal(nb_ctx_error(t.ctx), sentence);
    case_close(&t);
}

static void every_kind_reaches_its_field(void **state)
{
    (void)state;
    config_case t = case_open(
        "name: c1\nout: 16\nstride: 2\nmode: wrap\nseed: 18446744073709551615\ncap: 6\nbias: no\nin: [a, b]\n", NULL);
    conv c;
    assert_int_equal(bind(&t, t.root, &c), NB_OK);
    assert_string_equal(c.name, "c1");
    assert_int_equal(c.out, 16);
    assert_int_equal(c.stride, 2);
    assert_int_equal(c.mode, 2);
    assert_true(c.seed == UINT64_MAX);
    assert_true(c.cap == 6.0f);
    assert_false(c.bias);
    assert_int_equal(nb_conf_count(c.in), 2);
    case_close(&t);
}

static void absent_keys_take_their_defaults(void **state)
{
    (void)state;
    config_case t = case_open("out: 1", NULL);
    conv c;
    assert_int_equal(bind(&t, t.root, &c), NB_OK);
    assert_string_equal(c.name, "");
    assert_int_equal(c.stride, 1);
    assert_int_equal(c.mode, 0);
    assert_true(c.seed == 3);
    assert_true(isinf(c.cap));
    assert_true(c.bias);
    assert_null(c.in);
    case_close(&t);
}

static void mistakes_name_line_key_value_and_what_is_allowed(void **state)
{
    (void)state;
    assert_bind_fails("out: 1\nstride: 0\n", NULL, "x.yaml:2: model[3] conv2d c1.stride: 0: must be in 1..8");
    assert_bind_fails("out: 1\nstride: 1.5\n", NULL,
                      "x.yaml:2: model[3] conv2d c1.stride: 1.5: must be an integer in 1..8");
    assert_bind_fails("out: 1\nstride:\n", NULL,
                      "x.yaml:2: model[3] conv2d c1.stride: \"\": must be an integer in 1..8");
    assert_bind_fails("out: 1\nstride: [1]\n", NULL,
                      "x.yaml:2: model[3] conv2d c1.stride: a list: must be a single value");
    assert_bind_fails("out: 1\nstride: {a: 1}\n", NULL,
                      "x.yaml:2: model[3] conv2d c1.stride: a section: must be a single value");
    assert_bind_fails("out: 1\nmode: egde\n", NULL,
                      "x.yaml:2: model[3] conv2d c1.mode: egde: must be zero, edge or wrap (did you mean \"edge\"?)");
    assert_bind_fails("out: 1\nbias: 2\n", NULL,
                      "x.yaml:2: model[3] conv2d c1.bias: 2: must be yes or no (also true, false, on, off)");
    assert_bind_fails("out: 1\ncap: nan\n", NULL,
                      "x.yaml:2: model[3] conv2d c1.cap: nan: must be a number >= 0 or inf");
}

static void an_unknown_key_suggests_the_nearest_or_lists_all(void **state)
{
    (void)state;
    assert_bind_fails("out: 1\nstrde: 2\n", NULL,
                      "x.yaml:2: model[3] conv2d c1.strde: unknown key (did you mean \"stride\"?)");
    assert_bind_fails(
        "dilation: 2\n", NULL,
        "x.yaml:1: model[3] conv2d c1.dilation: unknown key (there are: name, out, stride, mode, seed, cap, "
        "bias, in)");
}

static void a_missing_key_names_the_line_of_its_section(void **state)
{
    (void)state;
    config_case t = case_open("# a\nmodel:\n - conv2d:\n\n     stride: 1\n - conv2d\n", NULL);
    const nb_conf *model = nb_conf_get(t.root, "model"), *body = NULL;
    const char *name = NULL;
    conv c;
    assert_int_equal(nb_conf_named(t.ctx, nb_conf_at(model, 0), "", &name, &body), NB_OK);
    assert_int_equal(bind(&t, body, &c), NB_E_CONFIG);
    assert_string_equal(nb_ctx_error(t.ctx),
                        "x.yaml:3: model[3] conv2d c1.out: required key is missing (number of filters: 1..65536)");
    assert_int_equal(nb_conf_named(t.ctx, nb_conf_at(model, 1), "", &name, &body), NB_OK);
    assert_int_equal(bind(&t, body, &c), NB_E_CONFIG);
    assert_string_equal(nb_ctx_error(t.ctx),
                        "x.yaml:6: model[3] conv2d c1.out: required key is missing (number of filters: 1..65536)");
    assert_int_equal(bind(&t, NULL, &c), NB_E_CONFIG); /* a section that is not there has no line */
    assert_string_equal(nb_ctx_error(t.ctx),
                        "model[3] conv2d c1.out: required key is missing (number of filters: 1..65536)");
    case_close(&t);
}

static void a_wrong_override_is_blamed_and_not_the_file(void **state)
{
    (void)state;
    assert_bind_fails("out: 1\nstride: 2\n", "stride=0",
                      "--set stride=0: model[3] conv2d c1.stride: 0: must be in 1..8");
    assert_bind_fails("out: 1\n", "strde=1",
                      "--set strde=1: model[3] conv2d c1.strde: unknown key (did you mean \"stride\"?)");
    assert_bind_fails("out: 1\nstrde: 2\n", "strde=1", /* the key is the file's, only the value is not */
                      "x.yaml:2: model[3] conv2d c1.strde: unknown key (did you mean \"stride\"?)");
}

static void something_that_is_no_section_is_refused(void **state)
{
    (void)state;
    assert_bind_fails("off", NULL, "x.yaml:1: model[3] conv2d c1: off: must be a section of keys, `key: value`");
    assert_bind_fails("[a]", NULL, "x.yaml:1: model[3] conv2d c1: a list: must be a section of keys, `key: value`");
}

static void tables_share_a_section_and_may_share_keys(void **state)
{
    (void)state;
    typedef struct {
        const char *name;
        int32_t more;
    } extra;
    static const nb_key extra_keys[] = {
        NB_KEY_STRING(extra, name, "", ""), NB_KEY_INT(extra, more, "0", 0, 9, ""), {0}};
    config_case t = case_open("{out: 3, more: 4, name: n}", NULL);
    conv c = {0};
    extra e = {0};
    const nb_binding b[] = {{conv_keys, &c}, {NULL, NULL}, {extra_keys, &e}};
    assert_int_equal(nb_conf_bind(t.ctx, t.root, "x", b, 3), NB_OK);
    assert_int_equal(c.out, 3);
    assert_int_equal(e.more, 4);
    assert_string_equal(c.name, "n");
    assert_string_equal(e.name, "n");
    case_close(&t);
}

static void a_wrong_default_is_reported_as_ours(void **state)
{
    (void)state;
    static const nb_key keys[] = {NB_KEY_INT(conv, stride, "0", 1, 8, ""), {0}};
    config_case t = case_open("", NULL);
    conv c = {0};
    const nb_binding b = {keys, &c};
    assert_int_equal(nb_conf_bind(t.ctx, t.root, "x", &b, 1), NB_E_CONFIG);
    assert_string_equal(nb_ctx_error(t.ctx), "x.yaml:1: x.stride: 0: is a wrong default; this is an error in Nibble");
    case_close(&t);
}

typedef struct {
    char all[64];
    const char *stop;
} collected;

static nb_status collect(void *ud, const char *text, const nb_conf *node)
{
    collected *c = ud;
    assert_string_equal(nb_conf_text(node), text);
    strcat(strcat(c->all, text), ";");
    return c->stop && !strcmp(c->stop, text) ? NB_E_SHAPE : NB_OK;
}

static void lists_of_words_may_be_one_word_or_empty(void **state)
{
    (void)state;
    config_case t = case_open("{a: [x, y], b: z, c: , d: [], e: [x, [y]], f: {x: y}}", NULL);
    collected c = {0};
    assert_int_equal(nb_conf_each_text(t.ctx, nb_conf_get(t.root, "a"), "w", collect, &c), NB_OK);
    assert_int_equal(nb_conf_each_text(t.ctx, nb_conf_get(t.root, "b"), "w", collect, &c), NB_OK);
    assert_int_equal(nb_conf_each_text(t.ctx, nb_conf_get(t.root, "c"), "w", collect, &c), NB_OK);
    assert_int_equal(nb_conf_each_text(t.ctx, nb_conf_get(t.root, "d"), "w", collect, &c), NB_OK);
    assert_int_equal(nb_conf_each_text(t.ctx, NULL, "w", collect, &c), NB_OK);
    assert_string_equal(c.all, "x;y;z;");
    assert_int_equal(nb_conf_each_text(t.ctx, nb_conf_get(t.root, "e"), "w", collect, &c), NB_E_CONFIG);
    assert_string_equal(nb_ctx_error(t.ctx), "x.yaml:1: w: must be a list of words, [a, b]");
    assert_int_equal(nb_conf_each_text(t.ctx, nb_conf_get(t.root, "f"), "w", collect, &c), NB_E_CONFIG);
    c = (collected){.stop = "x"};
    assert_int_equal(nb_conf_each_text(t.ctx, nb_conf_get(t.root, "a"), "w", collect, &c), NB_E_SHAPE);
    assert_string_equal(c.all, "x;");
    case_close(&t);
}

static void single_values_follow_the_same_rules(void **state)
{
    (void)state;
    static const nb_key share = {.kind = NB_K_FLOAT, .min = 0, .max = 1};
    config_case t = case_open("[0.5, 2, [1], nan]", NULL);
    float v = 0;
    assert_int_equal(nb_conf_value(t.ctx, nb_conf_at(t.root, 0), "step.milestones", &share, &v), NB_OK);
    assert_true(v == 0.5f);
    assert_int_equal(nb_conf_value(t.ctx, nb_conf_at(t.root, 1), "step.milestones", &share, &v), NB_E_CONFIG);
    assert_string_equal(nb_ctx_error(t.ctx), "x.yaml:1: step.milestones: 2: must be in 0..1");
    assert_int_equal(nb_conf_value(t.ctx, nb_conf_at(t.root, 2), "step.milestones", &share, &v), NB_E_CONFIG);
    assert_string_equal(nb_ctx_error(t.ctx), "x.yaml:1: step.milestones: a list: must be a single value");
    assert_int_equal(nb_conf_value(t.ctx, nb_conf_at(t.root, 3), "step.milestones", &share, &v), NB_E_CONFIG);
    case_close(&t);
}

static void an_unknown_name_suggests_or_lists(void **state)
{
    (void)state;
    static const char *const names[] = {"conv2d", "relu", "linear"};
    config_case t = case_open("- cnov2d: {out: 1}\n- rulu\n- attention\n", NULL);
    assert_int_equal(nb_conf_unknown(t.ctx, nb_conf_at(t.root, 0), "model[0]", "layer", names, 3), NB_E_CONFIG);
    assert_string_equal(nb_ctx_error(t.ctx), "x.yaml:1: model[0]: cnov2d: unknown layer (did you mean \"conv2d\"?)");
    (void)nb_conf_unknown(t.ctx, nb_conf_at(t.root, 1), "model[1]", "layer", names, 3);
    assert_string_equal(nb_ctx_error(t.ctx), "x.yaml:2: model[1]: rulu: unknown layer (did you mean \"relu\"?)");
    (void)nb_conf_unknown(t.ctx, nb_conf_at(t.root, 2), "model[2]", "layer", names, 3);
    assert_string_equal(nb_ctx_error(t.ctx),
                        "x.yaml:3: model[2]: attention: unknown layer (there are: conv2d, relu, linear)");
    case_close(&t);
}

static void an_experiment_needs_data_and_a_model(void **state)
{
    (void)state;
    nb_experiment e;
    config_case t = case_open("data: {name: synth}\nmodel: [input]\n", NULL);
    assert_int_equal(nb_experiment_bind(t.ctx, t.cfg, &e), NB_OK);
    assert_true(e.seed == 1);
    assert_string_equal(e.out, "");
    assert_string_equal(e.init, "");
    assert_true(nb_conf_is_map(e.data) && nb_conf_is_list(e.model));
    assert_null(e.quant);
    assert_null(e.train);
    case_close(&t);
    t = case_open("seed: 2\ndata: {name: synth}\n", NULL);
    assert_int_equal(nb_experiment_bind(t.ctx, t.cfg, &e), NB_E_CONFIG);
    assert_string_equal(nb_ctx_error(t.ctx),
                        "x.yaml:1: model: required key is missing (layers in execution order: [layer, ...])");
    case_close(&t);
    t = case_open("seed: -2\ndata: {name: synth}\nmodel: [input]\n", NULL);
    assert_int_equal(nb_experiment_bind(t.ctx, t.cfg, &e), NB_E_CONFIG);
    assert_string_equal(nb_ctx_error(t.ctx), "x.yaml:1: seed: -2: must be an integer in 0..18446744073709551615");
    case_close(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_reaches_its_field),
        cmocka_unit_test(absent_keys_take_their_defaults),
        cmocka_unit_test(mistakes_name_line_key_value_and_what_is_allowed),
        cmocka_unit_test(an_unknown_key_suggests_the_nearest_or_lists_all),
        cmocka_unit_test(a_missing_key_names_the_line_of_its_section),
        cmocka_unit_test(a_wrong_override_is_blamed_and_not_the_file),
        cmocka_unit_test(something_that_is_no_section_is_refused),
        cmocka_unit_test(tables_share_a_section_and_may_share_keys),
        cmocka_unit_test(a_wrong_default_is_reported_as_ours),
        cmocka_unit_test(lists_of_words_may_be_one_word_or_empty),
        cmocka_unit_test(single_values_follow_the_same_rules),
        cmocka_unit_test(an_unknown_name_suggests_or_lists),
        cmocka_unit_test(an_experiment_needs_data_and_a_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
