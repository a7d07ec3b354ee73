/* test_config_print.c - canonical YAML: its looks, that it reads back as the same tree, and failure of every allocation
 * on the way. */
#include "base/rng.h"
#include "unit/config_case.h"

#include <stdio.h>

static void short_leaves_are_flow_and_sections_are_block(void **state)
{
    (void)state;
    static const char canonical[] = "seed: 7\n"
                                    "data: {name: fashion-mnist, augment: [crop4, flip]}\n"
                                    "model:\n"
                                    "  - input\n"
                                    "  - conv2d: {name: c1, out: 16, kernel: 3}\n"
                                    "  - relu\n"
                                    "quant:\n"
                                    "  weights: {bits: 4, range: mse}\n"
                                    "  first_last_bits: 8\n"
                                    "train:\n"
                                    "  phases:\n"
                                    "    - {name: float, lr: 5.0e-4}\n"
                                    "    - - a\n"
                                    "      - {b: c}\n";
    assert_prints(canonical, NULL, canonical);
    assert_prints("seed:  7 # no\ndata:\n  name: 'fashion-mnist'\n  augment:\n  - crop4\n", NULL,
                  "seed: 7\ndata: {name: \"fashion-mnist\", augment: [crop4]}\n");
}

static void what_does_not_fit_on_a_line_is_unfolded(void **state)
{
    (void)state;
    static const char word[] = "abcdefghijklmnopqrstuvwxyz";
    char text[512], want[512];
    snprintf(text, sizeof text, "a: {k: %s, l: %s, m: %.20s, n: %.5s}\n", word, word, word, word);
    assert_int_equal(strlen(text), 101); /* 100 columns and the line end */
    assert_prints(text, NULL, text);
    snprintf(text, sizeof text, "a: {k: %s, l: %s, m: %.20s, n: %.6s}\n", word, word, word, word);
    snprintf(want, sizeof want, "a:\n  k: %s\n  l: %s\n  m: %.20s\n  n: %.6s\n", word, word, word, word);
    assert_prints(text, NULL, want);
}

static void texts_are_quoted_only_where_yaml_needs_it(void **state)
{
    (void)state;
    assert_prints("[-1, 5.0e-4, +2, .5, runs/x_1-y, a@b, 'yes', yes]", NULL,
                  "- -1\n- 5.0e-4\n- +2\n- .5\n- runs/x_1-y\n- a@b\n- \"yes\"\n- yes\n");
    assert_prints("['', '-', '---', 'a: b', 'a #b', '[a', '*a', '~', 'a b']", NULL,
                  "- \"\"\n- \"-\"\n- \"---\"\n- \"a: b\"\n- \"a #b\"\n- \"[a\"\n- \"*a\"\n- \"~\"\n- \"a b\"\n");
    assert_prints("[a b, x:y]", NULL, "- \"a b\"\n- \"x:y\"\n");
    assert_prints("a: |\n  x\n  \"y\\\n", NULL, "a: \"x\\n\\\"y\\\\\\n\"\n");
    assert_prints("a: \"\\t\\x1b\\x7f\\u0085\\u2028\\ufeff\\uffff\xc3\xa9\xf0\x9f\x98\x80\"\n", NULL,
                  "a: \"\\t\\x1B\\x7F\\x85\\u2028\\uFEFF\\uFFFF\xc3\xa9\xf0\x9f\x98\x80\"\n");
    assert_prints("\"a b\": 1\n\"---\": 2\n", NULL, "\"a b\": 1\n\"---\": 2\n");
}

static void empty_things_stay_what_they_are(void **state)
{
    (void)state;
    assert_prints("{a: {}, b: [], c: , d: [[], []], e: [{}]}", NULL,
                  "a: {}\nb: []\nc: \"\"\nd: [[], []]\ne:\n  - {}\n");
    assert_prints("", NULL, "\"\"\n");
    assert_prints("[]", NULL, "[]\n");
    assert_prints("relu", NULL, "relu\n");
}

/* ---- random trees ---- */

typedef struct {
    char s[1 << 16];
    size_t n;
    nb_rng rng;
    int32_t budget; /* nodes left */
} random_yaml;

static void put(random_yaml *r, const char *s)
{
    size_t n = strlen(s);
    assert_true(r->n + n < sizeof r->s);
    memcpy(r->s + r->n, s, n + 1);
    r->n += n;
}

static void put_text(random_yaml *r, int32_t unique)
{
    static const char *const pieces[] = {"a",
                                         "Z",
                                         "0",
                                         "-",
                                         ".",
                                         " ",
                                         ":",
                                         "#",
                                         "\\\"",
                                         "\\\\",
                                         "\\n",
                                         "\\t",
                                         "\\r",
                                         "'",
                                         "{",
                                         "]",
                                         ",",
                                         "&",
                                         "*",
                                         "!",
                                         "%",
                                         "@",
                                         "`",
                                         "|",
                                         ">",
                                         "?",
                                         "~",
                                         "=",
                                         "\xc3\xa9",
                                         "\\x01",
                                         "\\x7f",
                                         "\\N",
                                         "\\_",
                                         "\\u2029",
                                         "\\uFEFF",
                                         "\\uFFFE",
                                         "\xe2\x82\xac",
                                         "\\U0001F600",
                                         "yes",
                                         "null",
                                         "1e3",
                                         "0x1f"};
    char tail[16];
    put(r, "\"");
    for (uint32_t i = nb_rng_below(&r->rng, 8); i > 0; i--)
        put(r, pieces[nb_rng_below(&r->rng, sizeof pieces / sizeof *pieces)]);
    if (unique >= 0) { /* keys of one map differ */
        snprintf(tail, sizeof tail, "%d", (int)unique);
        put(r, tail);
    }
    put(r, "\"");
}

static void put_tree(random_yaml *r, int32_t depth)
{
    uint32_t kind = nb_rng_below(&r->rng, depth < 12 && r->budget > 0 ? 4 : 2);
    r->budget--;
    if (kind < 2) {
        if (kind == 0)
            put(r, "word-1");
        else
            put_text(r, -1);
        return;
    }
    put(r, kind == 2 ? "[" : "{");
    int32_t n = (int32_t)nb_rng_below(&r->rng, 7);
    for (int32_t i = 0; i < n; i++) {
        put(r, i ? ", " : "");
        if (kind == 3) {
            put_text(r, i);
            put(r, ": ");
        }
        put_tree(r, depth + 1);
    }
    put(r, kind == 2 ? "]" : "}");
}

static void a_printed_tree_reads_back_equal_and_prints_the_same_bytes(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 2000; seed++) {
        random_yaml r = {.rng = nb_rng_make(seed, 0), .budget = 60};
        put_tree(&r, 0);
        config_case a = case_open(r.s, NULL);
        char *once = NULL, *twice = NULL;
        assert_int_equal(nb_config_print(a.ctx, a.cfg, &once), NB_OK);
        config_case b = case_open(once, NULL);
        assert_true(nb_conf_equal(a.root, b.root));
        assert_int_equal(nb_config_print(b.ctx, b.cfg, &twice), NB_OK);
        assert_string_equal(once, twice);
        nb_free(a.ctx, once);
        nb_free(b.ctx, twice);
        case_close(&a);
        case_close(&b);
    }
}

static void a_print_too_large_to_be_read_again_is_refused(void **state)
{
    (void)state;
    enum { N = (3 << 20) }; /* each line end becomes two characters */
    nb_ctx *ctx = nb_ctx_create();
    nb_config *cfg = NULL;
    char *out = NULL, *text = nb_alloc(ctx, N + 8);
    memset(text, '\n', N);
    memcpy(text, "a: |+\n", 6);
    assert_int_equal(nb_config_parse(ctx, "x.yaml", text, N, NULL, 0, &cfg), NB_OK);
    assert_int_equal(nb_config_print(ctx, cfg, &out), NB_E_CONFIG);
    assert_string_equal(nb_ctx_error(ctx), "x.yaml: printed, it is larger than 4 MiB and could not be read again");
    assert_null(out);
    nb_free(ctx, text);
    nb_config_free(ctx, cfg);
    nb_ctx_destroy(ctx);
}

static nb_status parse_bind_print(nb_ctx *ctx)
{
    static const char text[] = "seed: 7\ndata: {name: synth, augment: [a, b, c, d, e, f, g, h, i, j]}\n"
                               "model:\n  - input\n  - conv2d: {name: c1, out: 16}\n  - relu\n";
    const char *sets[] = {"model.2.relu.cap=6", "quant.weights={bits: [1, 2]}", "out=\"a b\""};
    nb_config *cfg = NULL;
    nb_experiment e;
    char *out = NULL;
    nb_status st = nb_config_parse(ctx, "x.yaml", text, sizeof text - 1, sets, 3, &cfg);
    if (st == NB_OK)
        st = nb_experiment_bind(ctx, cfg, &e);
    if (st == NB_OK)
        st = nb_config_print(ctx, cfg, &out);
    nb_free(ctx, out);
    nb_config_free(ctx, cfg);
    return st;
}

static void every_failing_allocation_is_a_status_and_leaks_nothing(
    void **state) /* leaks: under the address sanitizer */
{
    (void)state;
    nb_ctx *ctx = nb_ctx_create();
    int64_t n = 1;
    for (;; n++) {
        nb_ctx_fail_alloc_at(ctx, n);
        nb_status st = parse_bind_print(ctx);
        nb_ctx_fail_alloc_at(ctx, 0);
        if (st == NB_OK)
            break;
        assert_int_equal(st, NB_E_NOMEM);
        assert_true(*nb_ctx_error(ctx) != '\0');
        assert_true(n < 10000);
    }
    assert_true(n > 50); /* the hook reaches every piece, not only the arena's blocks */
    nb_ctx_destroy(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(short_leaves_are_flow_and_sections_are_block),
        cmocka_unit_test(what_does_not_fit_on_a_line_is_unfolded),
        cmocka_unit_test(texts_are_quoted_only_where_yaml_needs_it),
        cmocka_unit_test(empty_things_stay_what_they_are),
        cmocka_unit_test(a_printed_tree_reads_back_equal_and_prints_the_same_bytes),
        cmocka_unit_test(a_print_too_large_to_be_read_again_is_refused),
        cmocka_unit_test(every_failing_allocation_is_a_status_and_leaks_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
