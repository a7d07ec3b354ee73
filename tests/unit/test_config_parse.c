/* test_config_parse.c - YAML to tree: what is accepted, where nodes are, and the sentence for everything refused. */
#include "unit/config_case.h"

#include <stdio.h>
#include <stdlib.h>

static void nodes_know_their_file_and_line(void **state)
{
    (void)state;
    config_case t = case_open("# comment\nseed: 7\n\nquant:\n\n  weights: {bits: 4,\n    range: mse}\n", NULL);
    const nb_conf *quant = nb_conf_get(t.root, "quant"), *weights = nb_conf_get(quant, "weights");
    assert_string_equal(nb_conf_place(nb_conf_get(t.root, "seed")), "x.yaml:2");
    assert_string_equal(nb_conf_place(quant), "x.yaml:4"); /* a section is where its name is */
    assert_string_equal(nb_conf_place(nb_conf_get(weights, "range")), "x.yaml:7");
    case_close(&t);
}

static void the_root_may_be_a_map_a_list_or_a_word(void **state)
{
    (void)state;
    config_case t = case_open("relu", NULL);
    assert_string_equal(nb_conf_text(t.root), "relu");
    case_close(&t);
    t = case_open("[a, {b: c}]", NULL);
    assert_true(nb_conf_is_list(t.root));
    assert_int_equal(nb_conf_count(t.root), 2);
    case_close(&t);
}

static void a_document_of_comments_is_an_empty_config(void **state)
{
    (void)state;
    config_case t = case_open("# nothing\n", NULL);
    assert_true(nb_conf_is_scalar(t.root));
    assert_string_equal(nb_conf_text(t.root), "");
    assert_string_equal(nb_conf_place(t.root), "x.yaml:1");
    case_close(&t);
}

static void a_byte_order_mark_and_windows_line_ends_are_fine(void **state)
{
    (void)state;
    config_case t = case_open("\xef\xbb\xbfseed: 7\r\nout: x\r\n", NULL);
    assert_string_equal(nb_conf_text(nb_conf_get(t.root, "out")), "x");
    assert_string_equal(nb_conf_place(nb_conf_get(t.root, "out")), "x.yaml:2");
    case_close(&t);
}

static void a_repeated_key_names_both_lines(void **state)
{
    (void)state;
    assert_refused("seed: 1\nout: x\nseed: 2\n", NULL, "x.yaml:3: seed: repeated key, first given on line 1");
}

static void what_a_config_does_not_need_is_refused(void **state)
{
    (void)state;
    assert_refused("a: &x 1\n", NULL, "x.yaml:1: anchors (&name) are not supported: write the value where it is used");
    assert_refused("a: 1\nb: *x\n", NULL,
                   "x.yaml:2: aliases (*name) are not supported; quote a text that starts with *");
    assert_refused("a: !!int 1\n", NULL,
                   "x.yaml:1: tags (!type) are not supported: the key decides what its value means");
    assert_refused("%TAG !e! tag:e\n---\na: 1\n", NULL, "x.yaml:1: tag directives (%TAG) are not supported");
    assert_refused("a: 1\n---\nb: 1\n", NULL, "x.yaml:2: a second document starts here: one file is one experiment");
    assert_refused("? [a, b]\n: c\n", NULL, "x.yaml:1: a key must be plain text, not a list or map");
    assert_refused("\"\": c\n", NULL, "x.yaml:1: a key is empty");
    assert_refused("a: \"x\\0y\"\n", NULL, "x.yaml:1: a text holds a NUL character");
}

static void syntax_errors_are_one_sentence_with_a_line(void **state)
{
    (void)state;
    assert_refused("a: 1\nb:\n\tc: 2\n", NULL, "x.yaml:3: a tab cannot indent; use spaces");
    assert_refused(
        "a: [1, 2\nb: 3\n", NULL,
        "x.yaml:2: not valid YAML: did not find expected ',' or ']', while parsing a flow sequence that began "
        "on line 1");
    assert_refused("a: 1\n\nb: \xff\n", NULL, "x.yaml:3: not valid YAML: invalid leading UTF-8 octet");
}

static void nesting_stops_at_64_levels(void **state)
{
    (void)state;
    char text[2 * 65 + 1] = {0};
    memset(text, '[', 64);
    memset(text + 64, ']', 64);
    config_case t = case_open(text, NULL);
    case_close(&t);
    memset(text, '[', 65);
    memset(text + 65, ']', 65);
    assert_refused(text, NULL, "x.yaml:1: nested deeper than 64 levels");
}

static void long_keys_many_keys_and_many_values_are_refused(void **state)
{
    (void)state;
    char key[129 + sizeof ": 1"];
    memset(key, 'k', 129);
    memcpy(key + 129, ": 1", sizeof ": 1");
    assert_refused(key, NULL, "x.yaml:1: a key is longer than 128 bytes");
    assert_int_equal(key[1], 'k');
    config_case t = case_open(key + 1, NULL);
    case_close(&t);

    enum { N = NB_CONFIG_MAX_KEYS + 1 };
    char *keys = calloc(N, 16);
    assert_non_null(keys);
    size_t at = 0;
    for (int32_t i = 0; i < N; i++)
        at += (size_t)snprintf(keys + at, 16, "k%d: 1\n", (int)i);
    assert_refused(keys, NULL, "x.yaml:1025: more than 1024 keys in one section");
    free(keys);

    enum { VALUES = NB_CONFIG_MAX_NODES };
    char *list = malloc(2 * VALUES + 2);
    assert_non_null(list);
    list[0] = '[';
    for (size_t i = 0; i < VALUES; i++)
        memcpy(list + 1 + 2 * i, "1,", 2);
    memcpy(list + 2 * VALUES, "]", 2);
    assert_refused(list, NULL, "x.yaml:1: more than 65536 values: this is not an experiment file");
    free(list);
}

static void a_file_larger_than_4_MiB_is_refused(void **state)
{
    (void)state;
    size_t n = NB_CONFIG_MAX_BYTES + 1;
    char *text = calloc(1, n + 1);
    assert_non_null(text);
    memset(text, ' ', n);
    assert_refused(text, NULL, "x.yaml:1: larger than 4 MiB: this is not an experiment file");
    free(text);
}

static void a_flood_of_tag_directives_does_not_hang(void **state) /* libyaml compares all pairs: 32 s for this one */
{
    (void)state;
    enum { N = 200000, EACH = 24 };
    char *text = calloc(N, EACH);
    assert_non_null(text);
    size_t at = 0;
    for (int32_t i = 0; i < N; i++)
        at += (size_t)snprintf(text + at, EACH, "%%TAG !a%d! b\n", (int)i);
    assert_refused(text, NULL, "x.yaml:1: tag directives (%TAG) are not supported");
    free(text);
}

static void a_text_may_say_tag_as_often_as_it_likes(
    void **state) /* found by fuzzing: a print that could not be read again */
{
    (void)state;
    char text[256] = "a: \"";
    for (int32_t i = 0; i < 20; i++)
        strcat(text, "\xc3\xa9%TAG ");
    strcat(text, "\"\n");
    config_case t = case_open(text, NULL);
    case_close(&t);
}

static void every_kind_of_line_break_is_seen_by_the_flood_guard(void **state)
{
    (void)state;
    static const char *const breaks[] = {"\n", "\r", "\xc2\x85", "\xe2\x80\xa8", "\xe2\x80\xa9"};
    for (size_t b = 0; b < sizeof breaks / sizeof *breaks; b++) {
        char text[512] = "";
        for (int32_t i = 0; i < 20; i++) {
            char line[32];
            snprintf(line, sizeof line, "%%TAG !a%d! b%s", (int)i, breaks[b]);
            strcat(text, line);
        }
        assert_refused(text, NULL, "x.yaml:1: tag directives (%TAG) are not supported");
    }
}

static void a_missing_file_is_an_io_error_that_names_it(void **state)
{
    (void)state;
    config_case t = {.ctx = nb_ctx_create()};
    assert_int_equal(nb_config_load(t.ctx, "/nonexistent/x.yaml", NULL, 0, &t.cfg), NB_E_IO);
    assert_non_null(strstr(nb_ctx_error(t.ctx), "/nonexistent/x.yaml"));
    case_close(&t);
}

static void a_file_loads_under_its_own_name(void **state)
{
    (void)state;
    char path[] = "/tmp/nibble-config-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    FILE *f = fdopen(fd, "w");
    assert_non_null(f);
    fputs("seed: 7\n", f);
    fclose(f);
    config_case t = {.ctx = nb_ctx_create()};
    assert_int_equal(nb_config_load(t.ctx, path, NULL, 0, &t.cfg), NB_OK);
    assert_memory_equal(nb_conf_place(nb_config_root(t.cfg)), path, strlen(path));
    case_close(&t);
    remove(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nodes_know_their_file_and_line),
        cmocka_unit_test(the_root_may_be_a_map_a_list_or_a_word),
        cmocka_unit_test(a_document_of_comments_is_an_empty_config),
        cmocka_unit_test(a_byte_order_mark_and_windows_line_ends_are_fine),
        cmocka_unit_test(a_repeated_key_names_both_lines),
        cmocka_unit_test(what_a_config_does_not_need_is_refused),
        cmocka_unit_test(syntax_errors_are_one_sentence_with_a_line),
        cmocka_unit_test(nesting_stops_at_64_levels),
        cmocka_unit_test(long_keys_many_keys_and_many_values_are_refused),
        cmocka_unit_test(a_file_larger_than_4_MiB_is_refused),
        cmocka_unit_test(a_flood_of_tag_directives_does_not_hang),
        cmocka_unit_test(a_text_may_say_tag_as_often_as_it_likes),
        cmocka_unit_test(every_kind_of_line_break_is_seen_by_the_flood_guard),
        cmocka_unit_test(a_missing_file_is_an_io_error_that_names_it),
        cmocka_unit_test(a_file_loads_under_its_own_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
