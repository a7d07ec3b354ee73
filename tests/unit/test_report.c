/* test_report.c - a report of data made by hand: what its verdict says, what it names as missing, that it needs no more than it has. */
#include "report/report.h"

#include "table_case.h"

#include <math.h>
#include <stdbool.h>

static char *page_of(nb_ctx *ctx, const nb_report *r)
{
    nb_page p;
    char *html;
    assert_int_equal(nb_page_open(ctx, &p), NB_OK);
    nb_report_write(r, &p);
    assert_int_equal(nb_page_print(&p, "title", &html), NB_OK);
    nb_page_close(&p);
    return html;
}

static void says(const char *page, const char *text)
{
    if (!strstr(page, text))
        fail_msg("the page does not say: %s", text);
}

static nb_report empty(nb_ctx *ctx)
{
    nb_report r = {.title = "run", .before = -1};
    assert_int_equal(nb_arena_create(ctx, &r.arena), NB_OK);
    return r;
}

static void a_report_of_nothing_names_what_is_missing(void **state)
{
    nb_report r = empty(*state);
    assert_int_equal(nb_report_lacks(&r, "the network", "x <y> z"), NB_OK);
    char *page = page_of(*state, &r);
    says(page, "Missing: the network: x &lt;y&gt; z");
    assert_null(strstr(page, "id=\"layers\""));
    nb_free(*state, page);
    nb_arena_free(r.arena);
}

static void more_lacks_than_there_is_room_for_are_no_harm(void **state)
{
    nb_report r = empty(*state);
    for (int32_t i = 0; i < NB_REPORT_LACKS + 3; i++)
        assert_int_equal(nb_report_lacks(&r, "it", "so"), NB_OK);
    assert_int_equal(r.n_lacks, NB_REPORT_LACKS);
    nb_arena_free(r.arena);
}

/* Two quantizers, one layer each. */
typedef struct {
    nb_analysis_site site[2];
    nb_analysis_layer layer[2];
    nb_analysis_remedy remedy[2];
    int32_t sites[2], layers[2], biased[2];
    double error[2];
    nb_analysis a;
} costs;

static nb_probe_score score(int64_t correct, double loss, double kl)
{
    return (nb_probe_score){.n = 100, .correct = correct, .loss = 100 * loss, .kl = 100 * kl};
}

static void make_costs(costs *c)
{
    *c = (costs){.site = {{.name = "c1", .weights = true, .bits = 4, .alone = score(89, 0.3, 0.1), .cost = 0.1},
                          {.name = "c2", .layer = 1, .bits = 3, .alone = score(88, 0.3, 0.3), .cost = 0.3}},
                 .layer = {{.name = "c1", .kind = "conv2d", .weights = 0, .output = -1, .channels = 2, .cost = 0.1},
                           {.name = "c2", .kind = "conv2d", .weights = -1, .output = 1, .channels = 2, .cost = 0.3}},
                 .remedy = {{.site = 1, .text = "4 bits", .network = score(89, 0.3, 0.2)},
                            {.site = 1, .text = "8 bits", .network = score(89, 0.3, 0.15)}},
                 .sites = {1, 0},
                 .layers = {1, 0},
                 .biased = {0, 1},
                 .error = {0.5, NAN}};
    for (int32_t i = 0; i < 2; i++) {
        c->site[i].without = score(89, i ? 0.5 : 0.3, 0.2);
        c->layer[i].error = c->error;
    }
    c->a = (nb_analysis){.floats = score(90, 0.2, 0),
                         .quantized = score(88, 0.6, 0.4),
                         .weights = score(89, 0.3, 0.1),
                         .outputs = score(88, 0.3, 0.3),
                         .site = c->site,
                         .layer = c->layer,
                         .n_sites = 2,
                         .n_layers = 2,
                         .sites_by_cost = c->sites,
                         .layers_by_cost = c->layers,
                         .layers_by_bias = c->biased,
                         .remedy = c->remedy,
                         .n_remedies = 2};
}

static nb_report with_costs(nb_ctx *ctx, const costs *c)
{
    nb_report r = empty(ctx);
    r.model = "run/last.safetensors";
    r.kind = "quantized W4A3, simulated";
    r.analysis = &c->a;
    r.float_is = "it";
    r.eval = (nb_eval){.n = 200, .accuracy = 0.88};
    return r;
}

static void the_verdict_names_the_worst_and_the_best_remedy(void **state)
{
    costs c;
    make_costs(&c);
    nb_report r = with_costs(*state, &c);
    char *page = page_of(*state, &r);
    says(page, "88.00 % of 200 test images right");
    says(page, "Costs most: layer c2, 75 % of what all quantizers cost one by one; of the quantizers c2 output (3 "
               "bits), 75 %.");
    says(page, "Would help most of what was tried: c2 output with 8 bits;");
    says(page, "from 0.40000 to 0.15000");
    nb_free(*state, page);
    nb_arena_free(r.arena);
}

/* Weights trained with rounding, which are no network without: divergence says nothing, the loss on labels does. */
static void beside_a_float_network_that_is_none_loss_counts(void **state)
{
    costs c;
    make_costs(&c);
    c.a.weights.correct = 82;
    nb_report r = with_costs(*state, &c);
    char *page = page_of(*state, &r);
    assert_false(nb_report_float_is_sound(&c.a));
    says(page, "Costs most: layer c1, 75 % of");
    says(page, "Would help most: more bits for c1 weights: without it alone the loss goes from 0.60000 to 0.30000.");
    assert_null(strstr(page, "What would help</figcaption>"));
    nb_free(*state, page);
    c.a.weights.correct = 83;
    assert_true(nb_report_float_is_sound(&c.a));
    nb_arena_free(r.arena);
}

static void what_is_confused_is_named_both_ways(void **state)
{
    static const int32_t labels[] = {0, 0, 1, 1, 2, 2, 2}, answers[] = {1, 1, 0, 1, 0, 0, 0};
    static const char *const names[] = {"cat", "<dog>", "emu"};
    nb_report r = empty(*state);
    r.model = "m";
    r.kind = "float";
    r.said = (nb_answered){.n = 7, .classes = 3, .labels = labels, .answers = answers, .class_names = names};
    char *page = page_of(*state, &r);
    says(page, "Confused most: cat and &lt;dog&gt;, 3 times in either direction; emu is taken for cat 3 times.");
    says(page, "emu taken for cat: 3");
    nb_free(*state, page);
    nb_arena_free(r.arena);
}

static void phases_are_rows_with_their_seconds(void **state)
{
    nb_report r = empty(*state);
    assert_int_equal(nb_csv_parse(r.arena,
                                  "phase,name,quantized,epoch,lr,train_loss,train_accuracy,eval_loss,eval_accuracy\n"
                                  "1,float,no,1,0.1,1.5,0.5,1.4,0.55\n1,float,no,2,0.05,1.25,0.6,1.2,0.625\n"
                                  "2,qat,yes,1,0.01,1.125,0.7,1.1,0.75\n2,qat,ye",
                                  &r.metrics),
                     NB_OK);
    assert_int_equal(nb_csv_parse(r.arena, "phase,epoch,train_seconds,eval_seconds\n1,1,2,0.5\n1,2,3,0.5\n", &r.timing),
                     NB_OK);
    char *page = page_of(*state, &r);
    says(page, "1 lines are not whole");
    says(page,
         "<tr><td>float</td><td>no</td><td class=\"r\">2</td><td class=\"r\">1.2500</td><td class=\"r\">60.00</td>"
         "<td class=\"r\">1.2000</td><td class=\"r\">62.50</td><td class=\"r\">6.0</td></tr>");
    says(page, "<tr><td>qat</td><td>yes</td><td class=\"r\">1</td><td class=\"r\">1.1250</td><td class=\"r\">70.00</td>"
               "<td class=\"r\">1.1000</td><td class=\"r\">75.00</td><td class=\"r\"></td></tr>");
    nb_free(*state, page);
    nb_arena_free(r.arena);
}

static void ranges_are_drawn_over_the_epochs_of_the_whole_training(void **state)
{
    nb_report r = empty(*state);
    nb_page p;
    assert_int_equal(nb_csv_parse(r.arena,
                                  "phase,name,quantized,epoch\n1,float,no,1\n1,float,no,2\n2,qat,yes,1\n2,qat,yes,2\n",
                                  &r.metrics),
                     NB_OK);
    assert_int_equal(nb_csv_parse(r.arena,
                                  "phase,epoch,quantizer,of,bits,scales,lo,hi,scale_min,scale_max\n"
                                  "2,1,c<1.weight.fq,weights,4,2,-0.5,0.5,0.1,0.2\n2,1,r.fq,values,8,1,0,4,1,1\n"
                                  "2,2,c<1.weight.fq,weights,4,2,-0.25,0.25,0.1,0.2\n2,2,r.fq,values,8,1,0,5,1,1\n"
                                  "3,1,r.fq,values,8,1,0,6,1,1\n3,2,r.fq,val",
                                  &r.ranges),
                     NB_OK);
    assert_int_equal(nb_page_open(*state, &p), NB_OK);
    nb_report_write(&r, &p);
    assert_true(nb_page_ok(&p, NB_OK));
    const nb_asset *weights = p.last, *values = p.last;
    for (const nb_asset *a = p.first; a->next; a = a->next)
        weights = a;
    assert_string_equal(weights->name, "training-ranges-weights");
    assert_string_equal(weights->csv, "name,epoch,lo,hi\n\"c<1.weight, 4 bits\",3,-0.5,0.5\n"
                                      "\"c<1.weight, 4 bits\",4,-0.25,0.25\n");
    assert_non_null(strstr(weights->svg, ">c&lt;1.weight, 4 bits</text>"));
    assert_string_equal(values->name, "training-ranges-values");
    assert_string_equal(values->csv,
                        "name,epoch,lo,hi\n\"r, 8 bits\",3,0,4\n\"r, 8 bits\",4,0,5\n\"r, 8 bits\",5,0,6\n");
    assert_non_null(strstr(values->svg, ">epoch 3 to 5</text>"));
    nb_page_close(&p);
    nb_arena_free(r.arena);
}

static void a_sweep_shows_the_runs_that_no_other_beats(void **state)
{
    static const nb_report_run runs[] = {{"small", "W2", 0.5, 100, false}, {"worse", "W4", 0.4, 200, false},
                                         {"large", "W8", 0.9, 400, false}, {"equal", "W8", 0.9, 400, false},
                                         {"lost", "", NAN, NAN, false},    {"light", "W9", NAN, 1, false},
                                         {"dearer", "", 0.9, 500, true},   {"start", "float", 1, 50, false}};
    static const bool best[] = {true, false, true, true, false, false, false, false};
    nb_report r = empty(*state);
    nb_page p;
    assert_int_equal(nb_csv_parse(r.arena, "run\nx\n", &r.runs), NB_OK);
    r.run = runs;
    r.n_runs = 8;
    assert_int_equal(nb_page_open(*state, &p), NB_OK);
    nb_report_write(&r, &p);
    assert_string_equal(p.first->name, "accuracy-bytes");
    const char *line = p.first->csv;
    for (int32_t i = 0; i < 8; i++) {
        line = strchr(line, '\n') + 1;
        assert_int_equal(line[strcspn(line, "\n") - 1], best[i] ? '1' : '0');
    }
    assert_int_equal(strncmp(p.first->csv, "name,x,y,allocated,unbeaten\n", 28), 0);
    assert_non_null(strstr(p.first->csv, "\ndearer,5e+02,9e+01,1,0\n"));
    assert_non_null(strstr(p.first->svg, "<title>dearer: 500, 90</title></path>")); /* a diamond */
    assert_non_null(strstr(p.first->svg, "<title>small: 100, 50</title></circle>"));
    assert_non_null(strstr(p.first->svg, ">allocated</text>")); /* in the legend */
    nb_page_close(&p);
    nb_arena_free(r.arena);
}

static void what_was_not_proven_is_said_by_name(void **state)
{
    static const nb_check_row checks[] = {{.name = "engine avx2", .kind = NB_CHECK_EXACT},
                                          {.name = "C by tcc", .kind = NB_CHECK_EXACT, .differ = 3},
                                          {.name = "ONNX Runtime", .kind = NB_CHECK_ABSENT, .note = "no python3"}};
    static const nb_intmodel integers = {.e = {.n_steps = 0}};
    nb_report r = empty(*state);
    r.model = "m";
    r.kind = "integers W4A8";
    r.integers = &integers;
    char *page = page_of(*state, &r);
    says(page, "Not proven here: that the integers are the network that was trained");
    says(page, "that the exported C, ONNX Runtime and other instruction sets give the same integers");
    nb_free(*state, page);
    r.check = checks;
    r.n_checks = 3;
    page = page_of(*state, &r);
    assert_null(strstr(page, "that the exported C,"));
    says(page, "Not proven here either: ONNX Runtime: no python3.");
    says(page, "Refuted: C by tcc gives 3 logits");
    assert_null(strstr(page, "Refuted: engine"));
    nb_free(*state, page);
    nb_arena_free(r.arena);
}

static void without_memory_a_report_says_so(void **state)
{
    static const int32_t labels[] = {0, 1}, answers[] = {1, 1};
    costs c;
    make_costs(&c);
    nb_report r = with_costs(*state, &c);
    r.said = (nb_answered){.n = 2, .classes = 2, .labels = labels, .answers = answers};
    assert_int_equal(nb_csv_parse(r.arena, "phase,name,epoch,lr\n1,a,1,0.1\n", &r.metrics), NB_OK);
    assert_int_equal(nb_csv_parse(r.arena, "phase,epoch,quantizer,of,bits,lo,hi\n1,1,a,values,8,0,1\n", &r.ranges),
                     NB_OK);
    bool whole = false;
    for (int64_t n = 1; !whole; n++) {
        nb_page p;
        char *html = NULL;
        nb_ctx_fail_alloc_at(*state, n);
        nb_status st = nb_page_open(*state, &p);
        if (st == NB_OK) {
            nb_report_write(&r, &p);
            st = nb_page_print(&p, "t", &html);
        }
        nb_ctx_fail_alloc_at(*state, 0);
        whole = st == NB_OK;
        assert_true(whole || st == NB_E_NOMEM);
        nb_free(*state, html);
        nb_page_close(&p);
    }
    nb_arena_free(r.arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_report_of_nothing_names_what_is_missing, setup, teardown),
        cmocka_unit_test_setup_teardown(more_lacks_than_there_is_room_for_are_no_harm, setup, teardown),
        cmocka_unit_test_setup_teardown(the_verdict_names_the_worst_and_the_best_remedy, setup, teardown),
        cmocka_unit_test_setup_teardown(beside_a_float_network_that_is_none_loss_counts, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_confused_is_named_both_ways, setup, teardown),
        cmocka_unit_test_setup_teardown(phases_are_rows_with_their_seconds, setup, teardown),
        cmocka_unit_test_setup_teardown(ranges_are_drawn_over_the_epochs_of_the_whole_training, setup, teardown),
        cmocka_unit_test_setup_teardown(a_sweep_shows_the_runs_that_no_other_beats, setup, teardown),
        cmocka_unit_test_setup_teardown(what_was_not_proven_is_said_by_name, setup, teardown),
        cmocka_unit_test_setup_teardown(without_memory_a_report_says_so, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
