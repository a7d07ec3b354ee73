/* test_sweep_plan.c - sweep files to runs, runs to means and spreads. */
#include "sweep/sweep_plan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static int setup(void **state)
{
    *state = nb_ctx_create();
    return *state ? 0 : -1;
}

static int teardown(void **state)
{
    nb_ctx_destroy(*state);
    return 0;
}

static nb_status open_text(nb_ctx *ctx, const char *text, nb_sweep **out)
{
    char path[] = "/tmp/nibble-sweep-XXXXXX";
    const int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
    nb_status st = nb_sweep_open(ctx, path, out);
    remove(path);
    return st;
}

static const char head[] = "config: net.yaml\nout: runs\nseeds: [1, 2]\nstart: {train.batch: 8}\nhow: {after: "
                           "quantize, trained: {a: [{b: x y}]}}\n";

static nb_sweep *open_tables(nb_ctx *ctx, const char *tables)
{
    char text[2048];
    nb_sweep *s = NULL;
    snprintf(text, sizeof text, "%s%s", head, tables);
    if (open_text(ctx, text, &s) != NB_OK)
        fail_msg("%s", nb_ctx_error(ctx));
    return s;
}

static void a_table_is_rows_by_columns_by_ways_by_seeds(void **state)
{
    nb_sweep *s = open_tables(*state, "tables: [{name: t, rows: {A: {q: 1}, B: {q: 2}}, columns: {r: [x, y, z]}}]\n");
    assert_int_equal(s->n_cells, 2 * 3 * 2);
    assert_int_equal(s->n_runs, 2 + 2 * 3 * 2 * 2); /* two starts */
    assert_string_equal(s->run[0].config, "/tmp/net.yaml");
    const nb_sweep_run *r = &s->run[nb_sweep_cell_at(s, 0, 1, 1, 2)->run[1]];
    assert_string_equal(r->name, "t/trained-B-z-seed2");
    assert_int_equal(r->n_sets, 3);
    assert_string_equal(r->set[0], "a=[{b: \"x y\"}]");
    assert_string_equal(r->set[1], "q=2");
    assert_string_equal(r->set[2], "r=z");
    assert_string_equal(s->run[r->start].name, "start/seed2");
    assert_true(s->run[nb_sweep_cell_at(s, 0, 0, 0, 0)->run[0]].quantize);
    nb_sweep_close(s);
}

/* Phases in float are the same however is quantized afterwards; others are not. */
static void one_start_may_serve_all_seeds(void **state)
{
    nb_sweep *s = NULL;
    static const char text[] = "config: net.yaml\nout: runs\nseeds: [5, 6, 7]\nstart_seed: 2\nstart: {train.batch: 8}\n"
                               "how: {after: quantize}\ntables: [{name: t, rows: {A: {q: 1}, B: {q: 2}}}]\n";
    assert_int_equal(open_text(*state, text, &s), NB_OK);
    assert_int_equal(s->n_runs, 1 + 2 * 3);
    for (int32_t seed = 0; seed < 3; seed++) {
        const nb_sweep_run *r = &s->run[nb_sweep_cell_at(s, 0, 0, 1, 0)->run[seed]];
        assert_int_equal(r->seed, 5 + seed);
        assert_string_equal(s->run[r->start].name, "start/seed2");
        assert_int_equal(s->run[r->start].seed, 2);
        assert_true(s->run[r->start].wanted);
    }
    nb_sweep_close(s);
}

static void a_float_start_is_shared_by_tables_that_quantize_in_other_ways(void **state)
{
    static const char *const format =
        "config: net.yaml\nout: runs\nseeds: [1]\nstart: {train.phases: [{epochs: 1%s}]}\n"
        "reference: {train.phases: [{epochs: 2}]}\nhow: {after: quantize}\n"
        "tables: [{name: t, set: {quant.weights.bits: 4}, rows: {A: {q: 1}}},"
        " {name: u, set: {quant.weights.bits: 2, x: 3}, rows: {A: {q: 1}}},"
        " {name: v, set: {quant: {}}, rows: {A: {q: 1}}}]\n";
    static const char *const quant[] = {"", ", quant: off", ", quant: on"};
    static const int32_t starts[] = {2, 2, 3};
    for (int32_t k = 0; k < 3; k++) {
        char text[1024];
        nb_sweep *s = NULL;
        snprintf(text, sizeof text, format, quant[k]);
        assert_int_equal(open_text(*state, text, &s), NB_OK);
        assert_int_equal(s->n_runs, 2 * starts[k] + 3);
        const int32_t first = s->run[nb_sweep_cell_at(s, 0, 0, 0, 0)->run[0]].start,
                      third = s->run[nb_sweep_cell_at(s, 2, 0, 0, 0)->run[0]].start;
        assert_int_equal(first == third, k < 2);
        assert_string_equal(s->run[first].name, k < 2 ? "start/seed1" : "start/t-seed1");
        nb_sweep_close(s);
    }
}

static void a_table_with_seeds_of_its_own_has_only_these(void **state)
{
    nb_sweep *s = open_tables(*state, "more_seeds: {within: 0.3, seeds: [3]}\n"
                                      "tables:\n"
                                      "  - {name: t, how: after, rows: {A: {q: 1}}}\n"
                                      "  - {name: u, how: after, rows: {A: {q: 1}}, seeds: [3, 4]}\n");
    assert_int_equal(s->table[0].n_seeds, 2);
    assert_int_equal(s->table[0].n_all_seeds, 3);
    assert_int_equal(s->table[1].n_seeds, 2);
    assert_int_equal(s->table[1].n_all_seeds, 2);
    nb_sweep_close(s);
}

static void tables_may_be_of_different_configs(void **state)
{
    nb_sweep *s = NULL;
    static const char text[] =
        "out: runs\nseeds: [1]\nstart: {train.phases: [{epochs: 1}]}\nhow: {after: quantize}\ntables:\n"
        "  - {name: a, config: a.yaml, rows: {A: {q: 1}}}\n"
        "  - {name: b, config: nets/b.yaml, rows: {A: {q: 1}}}\n"
        "  - {name: c, config: a.yaml, rows: {A: {q: 1}, B: {q: 2}}}\n";
    assert_int_equal(open_text(*state, text, &s), NB_OK);
    assert_int_equal(s->n_runs, 2 + 3); /* a and c share start and row A */
    const nb_sweep_run *a = &s->run[nb_sweep_cell_at(s, 0, 0, 0, 0)->run[0]];
    const nb_sweep_run *b = &s->run[nb_sweep_cell_at(s, 1, 0, 0, 0)->run[0]];
    assert_string_equal(a->config, "/tmp/a.yaml");
    assert_string_equal(b->config, "/tmp/nets/b.yaml");
    assert_string_equal(s->run[a->start].name, "start/a-seed1");
    assert_string_equal(s->run[b->start].name, "start/b-seed1");
    assert_int_equal(nb_sweep_cell_at(s, 2, 0, 0, 0)->run[0], nb_sweep_cell_at(s, 0, 0, 0, 0)->run[0]);
    nb_sweep_close(s);
    assert_int_equal(
        open_text(*state, "out: runs\nhow: {t: {train.batch: 8}}\ntables: [{name: a, rows: {A: {q: 1}}}]\n", &s),
        NB_E_CONFIG);
    assert_non_null(strstr(nb_ctx_error(*state), "has no config: say one here, or at the top for all tables"));
}

static void a_table_may_have_a_reference_of_its_own(void **state)
{
    nb_sweep *s = open_tables(*state, "reference: {q: 7}\n"
                                      "tables:\n"
                                      "  - {name: t, how: after, rows: {A: {q: 1}}}\n"
                                      "  - {name: u, how: after, rows: {A: {q: 1}}, reference: {q: 8}}\n"
                                      "  - {name: v, how: after, rows: {A: {q: 1}}, reference: {q: 7}}\n");
    static const char *const want[] = {"q=7", "q=8", "q=7"};
    for (int32_t t = 0; t < 3; t++)
        assert_string_equal(s->run[s->table[t].reference[0]].set[0], want[t]);
    assert_int_equal(s->table[0].reference[1], s->table[2].reference[1]);
    nb_sweep_close(s);
}

static void lists_of_maps_are_combined_and_equal_runs_are_one(void **state)
{
    nb_sweep *s = open_tables(*state, "tables:\n"
                                      "  - {name: t, how: after, rows: [{w: [8, 4]}, {a: [8, 4]}]}\n"
                                      "  - {name: u, how: [after], rows: {one: {w: 4, a: 4}, two: {w: 5}}}\n");
    assert_int_equal(s->n_cells, 4 + 2);
    assert_int_equal(s->n_runs, 2 + (4 + 1) * 2);
    assert_string_equal(s->table[0].row[3], "4 4");
    assert_int_equal(nb_sweep_cell_at(s, 0, 0, 3, 0)->run[0], nb_sweep_cell_at(s, 1, 0, 0, 0)->run[0]);
    nb_sweep_close(s);
}

static void finish(nb_sweep *s, int32_t run, double accuracy)
{
    s->run[run].state = NB_SWEEP_DONE;
    s->run[run].accuracy = accuracy;
    snprintf(s->run[run].kind, sizeof s->run[run].kind, "integers W4A4");
}

static void mean_and_sample_standard_deviation(void **state)
{
    nb_sweep *s = open_tables(*state, "tables: [{name: t, how: after, seeds: [1, 2, 3], rows: {A: {q: 1}}}]\n");
    const nb_sweep_cell *c = &s->cell[0];
    finish(s, c->run[0], 0.25);
    finish(s, c->run[2], 0.75);
    s->run[c->run[1]].state = NB_SWEEP_FAILED;
    const nb_sweep_stats r = nb_sweep_stats_of(s, c->run, 3);
    assert_int_equal(r.n, 2);
    assert_int_equal(r.wanted, 3);
    assert_int_equal(r.failed, 1);
    assert_true(r.mean == 0.5);
    assert_true(r.spread > 0.35355 && r.spread < 0.35356); /* sqrt(2 * 0.25^2 / 1) */
    assert_string_equal(r.by, "integers");
    nb_sweep_close(s);
}

static void close_cells_of_a_row_get_more_seeds(void **state)
{
    nb_sweep *s = open_tables(*state, "tables: [{name: t, how: after, seeds: [1], more_seeds: {within: 0.5, seeds: "
                                      "[3]}, rows: {A: {q: 1}}, columns: {r: [x, y, z]}}]\n");
    finish(s, s->cell[0].run[0], 0.900);
    finish(s, s->cell[1].run[0], 0.904);
    finish(s, s->cell[2].run[0], 0.910);
    assert_int_equal(nb_sweep_want_more(s), 2);
    assert_true(s->run[s->cell[0].run[1]].wanted && s->run[s->cell[1].run[1]].wanted);
    assert_false(s->run[s->cell[2].run[1]].wanted);
    finish(s, s->cell[0].run[1], 0.900);
    finish(s, s->cell[1].run[1], 0.912); /* 0.908 on average: near the third now */
    assert_int_equal(nb_sweep_want_more(s), 1);
    finish(s, s->cell[2].run[1], 0.910);
    assert_int_equal(nb_sweep_want_more(s), 0);
    nb_sweep_close(s);
}

static void faults_have_their_place(void **state)
{
    static const struct {
        const char *tables, *says;
    } cases[] = {
        {"tables: []\n", ":6: tables: must be a list"},
        {"tables: [{name: t, rows: {A: {q: 1}, q: [1, 2]}}]\n", "either names with their changes or keys with lists"},
        {"tables: [{name: t, rows: {A: {seed: 1}}}]\n", "seed: the sweep sets it"},
        {"tables: [{name: t, rows: {A: {q: 1}}, how: [aftre]}]\n",
         "aftre: unknown way to make a network (did you mean \"after\"?)"},
        {"tables: [{name: t, rows: {A: {q: 1}}}, {name: t, rows: {A: {q: 1}}}]\n",
         "name: t: is the name of another table"},
        {"tables: [{name: t, rows: {a/b: {q: 1}, a_b: {q: 2}}}]\n", "would have the folder t/after-a_b-seed1"},
        {"tables: [{name: t, rows: {A: {q: 1}}, seeds: [1, 1]}]\n", "1: is there already"},
        {"tables: [{name: t, rows: 3}]\n", "must be names with their changes"},
        {"tables: [{name: t, rows: {A: {q: 1}}, columns: {B: {r: 1}, C: {q: 2}}}]\n",
         "tables.columns: q=2: undoes q=1 of row A: let one axis set a key"},
        {"tables: [{name: t, rows: {A: {q.w.bits: 1}}, columns: {B: {q.w: {format: x}}}}]\n", "undoes q.w.bits=1"},
        {"tables: [{name: t, rows: [{q: [1, 2]}, {q: [3]}]}]\n", ":6: tables.rows: q=3: undoes q=1 of 1"},
        {"tables:\n  - name: t\n    rows:\n      A: {q: 1, r: 2}\n      B: {r: 2, q: 1}\n",
         ":10: tables.rows: B: says the same as A"},
        {"tables: [{name: t, rows: {q: [1, 2, 1]}}]\n", ":6: tables.rows: 1: is there already"},
        {"tables: [{name: t, rows: {A: {q: 1}}, columns: {X: {}, Y: {}}}]\n", "tables.columns: Y: says the same as X"},
        {"tables: [{name: t, rows: {q: []}}]\n", ":6: tables.rows: q: has no value"},
        {"tables: [{name: t, rows: {A: {q: 1}}, how: []}]\n", ":6: tables.how: has no way to make a network"},
        {"tables: [{name: t, rows: {A: {q: 1}}, how: [after, after]}]\n", "tables.how: after: is there already"},
        {"tables: [{name: t, rows: {A: {q: 1}}, seeds: []}]\n", ":6: seeds: has no seed"},
        {"tables: [{name: t, rows: {A: {q: 1}}, more_seeds: {within: 1, seeds: []}}]\n",
         "more_seeds.seeds: has no seed"},
        {"tables: [{name: \"\", rows: {A: {q: 1}}}]\n", "name: is empty"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[2048];
        nb_sweep *s;
        snprintf(text, sizeof text, "%s%s", head, cases[i].tables);
        assert_int_equal(open_text(*state, text, &s), NB_E_CONFIG);
        if (!strstr(nb_ctx_error(*state), cases[i].says))
            fail_msg("%s: says %s", cases[i].tables, nb_ctx_error(*state));
    }
}

static void the_files_own_lists_are_not_empty_and_its_ways_differ(void **state)
{
    static const struct {
        const char *text, *says;
    } cases[] = {
        {"seeds: []\nhow: {trained: {a: 1}}\n", ":3: seeds: has no seed: must be a list of them, [1, 2], or left out"},
        {"seeds:\nhow: {trained: {a: 1}}\n", ":3: seeds: has no seed"},
        {"how:\n  one: {a: 1}\n  two: {a: 1}\n", ":5: how: two: says the same as one"},
        {"start: {b: 1}\nhow: {one: quantize, two: quantize}\n", ":4: how: two: says the same as one"},
    };
    nb_sweep *s;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[512];
        snprintf(text, sizeof text, "config: n.yaml\nout: runs\n%stables: [{name: t, rows: {A: {q: 1}}}]\n",
                 cases[i].text);
        assert_int_equal(open_text(*state, text, &s), NB_E_CONFIG);
        if (!strstr(nb_ctx_error(*state), cases[i].says))
            fail_msg("%s: says %s", cases[i].text, nb_ctx_error(*state));
    }
    /* training with no change is not quantizing, and no seeds are the first */
    assert_int_equal(open_text(*state,
                               "config: n.yaml\nout: runs\nstart: {b: 1}\nhow: {one: quantize, two: {}}\n"
                               "tables: [{name: t, rows: {A: {q: 1}}}]\n",
                               &s),
                     NB_OK);
    assert_int_equal(s->table[0].n_seeds, 1);
    nb_sweep_close(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_table_is_rows_by_columns_by_ways_by_seeds, setup, teardown),
        cmocka_unit_test_setup_teardown(one_start_may_serve_all_seeds, setup, teardown),
        cmocka_unit_test_setup_teardown(a_float_start_is_shared_by_tables_that_quantize_in_other_ways, setup, teardown),
        cmocka_unit_test_setup_teardown(tables_may_be_of_different_configs, setup, teardown),
        cmocka_unit_test_setup_teardown(a_table_may_have_a_reference_of_its_own, setup, teardown),
        cmocka_unit_test_setup_teardown(a_table_with_seeds_of_its_own_has_only_these, setup, teardown),
        cmocka_unit_test_setup_teardown(lists_of_maps_are_combined_and_equal_runs_are_one, setup, teardown),
        cmocka_unit_test_setup_teardown(mean_and_sample_standard_deviation, setup, teardown),
        cmocka_unit_test_setup_teardown(close_cells_of_a_row_get_more_seeds, setup, teardown),
        cmocka_unit_test_setup_teardown(faults_have_their_place, setup, teardown),
        cmocka_unit_test_setup_teardown(the_files_own_lists_are_not_empty_and_its_ways_differ, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
