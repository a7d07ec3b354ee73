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
    r.float_is = r.float_name = "the same weights";
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
    says(page,
         "<strong>Costs most:</strong> layer c2. Its rounding by itself moves the answers by 0.3000 nats an image "
         "(divergence), which is 75 % of the sum of all layers; nearly all of it comes from c2 output (3 bits). All "
         "rounding together moves them by 0.4000.");
    says(page, "<strong>Would help most of what was tried:</strong> c2 output: 8 bits, for no byte more: all rounding "
               "together "
               "would move "
               "the answers by 0.1500 nats in place of 0.4000. On the 100 images of this measurement 89.00 % would be "
               "right in place of 88.00 % (1 image more, which is chance), the loss 0.3000 in place of 0.6000.");
    says(page, "The quantizers, each by itself, cost 0.4000 in all; the quantized network, with all of them, 0.4000.");
    nb_free(*state, page);
    nb_arena_free(r.arena);
}

/* A step for the whole network can be better than any other quantizer in the place of one. */
static void a_step_is_among_what_would_help(void **state)
{
    const nb_probe_score with = score(96, 0.3, 0.05);
    costs c;
    make_costs(&c);
    nb_report r = with_costs(*state, &c);
    r.step[r.n_steps++] = (nb_network_row){.name = "ranges anew with bias_correct", .score = &with};
    char *page = page_of(*state, &r);
    says(page,
         "<strong>Would help most of what was tried:</strong> ranges anew with bias_correct, for no byte more: all "
         "rounding together "
         "would move the answers by 0.0500 nats in place of 0.4000.");
    says(page, "(8 images more), the loss"); /* that many are not called chance */
    says(page, "<td class=\"k\">ranges anew with bias_correct</td>");
    nb_free(*state, page);
    c.site[0].values = 1000;
    c.remedy[0] = (nb_analysis_remedy){.site = 0, .bits = 6, .text = "6 bits", .network = score(89, 0.3, 0.01)};
    page = page_of(*state, &r);
    says(page, "<strong>Would help most of what was tried:</strong> c1 weights: 6 bits, for 250 bytes more:");
    nb_free(*state, page);
    nb_arena_free(r.arena);
}

/* Between the network of --from and one that was trained on lies more than rounding, and no sentence says otherwise. */
static void beside_another_network_costs_hold_what_training_changed(void **state)
{
    static const char *const rounding[] = {"Its rounding by itself moves", "All rounding together moves them",
                                           ": all rounding together would move", "weights rounded alone"},
                             *const training[] = {
                                 "Its rounding and what training changed by itself moves the answers by 0.3000",
                                 "All rounding and what training changed together moves them by 0.4000",
                                 ": all rounding and what training changed together would move",
                                 "weights of the trained one, rounded, alone",
                                 "when it alone is on, weights with what training changed in them.",
                                 "In these tables every difference of weights holds training, too"};
    costs c;
    make_costs(&c);
    nb_report r = with_costs(*state, &c);
    for (int32_t trained = 0; trained < 2; trained++) {
        r.trained_since = trained;
        char *page = page_of(*state, &r);
        for (size_t i = 0; i < sizeof rounding / sizeof *rounding; i++)
            assert_true((strstr(page, rounding[i]) != NULL) == !trained);
        for (size_t i = 0; i < sizeof training / sizeof *training; i++)
            assert_true((strstr(page, training[i]) != NULL) == trained);
        nb_free(*state, page);
    }
    nb_arena_free(r.arena);
}

/* What training after the float phase brought, and what rounding costs, are two figures. */
static void what_training_brought_is_not_what_rounding_costs(void **state)
{
    static const nb_intmodel integers = {.e = {.n_steps = 0}};
    costs c;
    make_costs(&c);
    nb_report r = with_costs(*state, &c);
    r.integers = &integers;
    r.before = 0.8125;
    r.rounding = (nb_report_rounding){.n = 200, .right = 178, .lost = 5, .won = 3, .changed = 11};
    assert_int_equal(nb_csv_parse(r.arena, "phase,name,quantized,epoch\n1,f,no,1\n2,q,yes,1\n2,q,yes,2\n", &r.metrics),
                     NB_OK);
    char *page = page_of(*state, &r);
    says(page,
         "<strong>Rounding costs:</strong> 1.00 \302\261 1.41 points of accuracy. 89.00 % of the same images are right "
         "with the same weights. 11 "
         "answers differ: 5 of them were right without rounding, 3 are right only with it. So small a difference "
         "can be chance");
    says(page, "All rounding together moves them by 0.4000, which changes 11 of 200 answers.");
    says(page, "<strong>Before it was quantized:</strong> the network had reached 81.25 % after 1 epoch. Then 2 epochs "
               "of training with "
               "rounding followed: what lies between is mostly that training, and not what quantization costs.");
    assert_null(strstr(page, " gap"));
    assert_null(strstr(page, "6.75"));
    says(page, "The float phase of training is another network");
    nb_free(*state, page);

    r.calibrated = true; /* then they are one: nothing trained it, but steps have changed its weights */
    r.metrics = (nb_csv){0};
    const nb_report_rounding pairs = r.rounding;
    r.rounding = (nb_report_rounding){0};
    page = page_of(*state, &r);
    says(page,
         "<strong>Rounding costs:</strong> -6.75 points of accuracy beside the float network that it was made from "
         "without further training, which reached 81.25 %.");
    assert_null(strstr(page, "Before it was quantized"));
    r.rounding = pairs;
    nb_free(*state, page);

    r.calibrated = false; /* an integer file alone */
    r.rounding.lost = r.rounding.won = 0;
    page = page_of(*state, &r);
    says(page, "<strong>Rounding costs:</strong> nothing here. 89.00 % of the same images are right with the same "
               "weights, and "
               "11 answers "
               "differ.");
    nb_free(*state, page);
    r.rounding.lost = 5;
    r.rounding.won = 3;
    r.float_is_other = true;
    page = page_of(*state, &r);
    says(page, "reached 81.25 %; whether it was trained further after that is not known here.");
    says(page, "<strong>Behind the float network:</strong> 1.00");
    nb_free(*state, page);

    c.a.floats.correct = 50;
    page = page_of(*state, &r);
    says(page, "<strong>Rounding costs:</strong> this cannot be told. 89.00 % of these images are right with the same "
               "weights, "
               "which is no");
    assert_null(strstr(page, "points that rounding costs"));
    nb_free(*state, page);
    nb_arena_free(r.arena);
}

static void who_chose_the_epoch_is_said(void **state)
{
    static const struct {
        int32_t validation;
        const char *file, *says;
    } cases[] = {{0, "run/model.int.safetensors", "the last epoch was taken, which they did not choose"},
                 {0, "run/best.safetensors", "They also chose the epoch, which flatters it"},
                 {50, "run/best.safetensors", "The epoch was chosen by images held out of training, not by these."}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        nb_report r = empty(*state);
        r.model = cases[i].file;
        r.kind = "float";
        r.validation = cases[i].validation;
        r.eval = (nb_eval){.n = 200, .accuracy = 0.88};
        assert_int_equal(nb_csv_parse(r.arena, "phase,name,quantized,epoch\n1,f,no,1\n", &r.metrics), NB_OK);
        char *page = page_of(*state, &r);
        says(page, cases[i].says);
        says(page, r.validation ? "validation accuracy %" : "test accuracy %");
        nb_free(*state, page);
        nb_arena_free(r.arena);
    }
}

static void bytes_and_widths_that_stand_out_are_named(void **state)
{
    static nb_layer_row rows[] = {{.name = "c1", .weight_bits = 8, .bytes = 100},
                                  {.name = "c2", .weight_bits = 4, .bytes = 300},
                                  {.name = "relu"},
                                  {.name = "c3", .weight_bits = 4, .bytes = 200},
                                  {.name = "fc", .weight_bits = 8, .bytes = 400}};
    nb_report r = empty(*state);
    r.model = "m";
    r.kind = "integers W4A8";
    r.layers = (nb_layer_rows){rows, 5};
    char *page = page_of(*state, &r);
    says(page,
         "weights have 4 bits, but c1 has 8, fc 8. Most bytes of parameters are those of fc, 40 % (400 of 1000), with "
         "weights of 8 bits.");
    nb_free(*state, page);
    nb_arena_free(r.arena);
}

static void a_proof_says_what_was_equal(void **state)
{
    static const nb_intmodel integers = {.e = {.n_steps = 0}};
    static nb_verify_row rows[] = {{.name = "a", .outputs = 30}, {.name = "b", .outputs = 12}};
    static nb_verify_report proof = {.rows = rows, .images = 3, .same_top1 = 3};
    nb_report r = empty(*state);
    r.model = "m";
    r.kind = "integers W4A8";
    r.integers = &integers;
    r.proof = &proof;
    r.n_proofs = 2;
    char *page = page_of(*state, &r);
    says(page, "<strong>Proven here:</strong> the integers are the quantized network of training: all 42 values of all "
               "layers on "
               "3 images "
               "are equal.");
    nb_free(*state, page);
    rows[0].rounding = 2;
    page = page_of(*state, &r);
    says(page, "of 42 values of all layers on 3 images 2 differ, each by one rounding of a tie, and nothing else.");
    nb_free(*state, page);
    rows[1].faults = 1;
    page = page_of(*state, &r);
    says(page, "<strong>Refuted:</strong> the integers are not the network that was trained: of 42 values of all "
               "layers on 3 images 1 "
               "differ by more than rounding.");
    assert_null(strstr(page, ">Proven here"));
    nb_free(*state, page);
    nb_arena_free(r.arena);
}

static void the_title_is_the_last_name_of_the_path(void **state)
{
    static const char *const cases[][2] = {{"runs/x/", "x: W4 on synth"},
                                           {"/a/b.safetensors", "b.safetensors: W4 on synth"},
                                           {".", ".: W4 on synth"},
                                           {"/", "/: W4 on synth"}};
    nb_page p;
    assert_int_equal(nb_page_open(*state, &p), NB_OK);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const nb_report r = {.title = cases[i][0], .kind = "W4", .data = "synth"};
        assert_string_equal(nb_report_title(&p, &r), cases[i][1]);
    }
    assert_string_equal(nb_report_title(&p, &(nb_report){.title = "many"}), "many");
    nb_page_close(&p);
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
    says(page,
         "<strong>Costs most:</strong> layer c1. Its rounding by itself moves the answers by 0.3000 nats an image "
         "(of loss), which is 75 % of");
    says(page, "<strong>Would help most:</strong> more bits for c1 weights: without it alone the loss goes from "
               "0.60000 to 0.30000.");
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
    says(
        page,
        "<strong>Confused most:</strong> cat and &lt;dog&gt;, 3 times in both directions together; most often one way: "
        "emu is taken "
        "for cat, 3 times.");
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
    says(page, "<tr><td class=\"k\">float</td><td>no</td><td class=\"r\">2</td><td class=\"r\">1.2500</td><td "
               "class=\"r\">60.00</td>"
               "<td class=\"r\">1.2000</td><td class=\"r\">62.50</td><td class=\"r\">6.0</td></tr>");
    says(page, "<tr><td class=\"k\">qat</td><td>yes</td><td class=\"r\">1</td><td class=\"r\">1.1250</td><td "
               "class=\"r\">70.00</td>"
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
    assert_non_null(strstr(p.first->csv, "\ndearer,500,90,1,0\n"));
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
    says(page, "<strong>Not proven here:</strong> that the integers are the network that was trained");
    says(page, "that the exported C, ONNX Runtime and other instruction sets give the same integers");
    nb_free(*state, page);
    r.check = checks;
    r.n_checks = 3;
    page = page_of(*state, &r);
    assert_null(strstr(page, "that the exported C,"));
    says(page, "<strong>Not proven here either:</strong> ONNX Runtime: no python3.");
    says(page, "<strong>Refuted:</strong> C by tcc gives 3 logits");
    assert_null(strstr(page, "<strong>Refuted:</strong> engine"));
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
        cmocka_unit_test_setup_teardown(a_step_is_among_what_would_help, setup, teardown),
        cmocka_unit_test_setup_teardown(beside_another_network_costs_hold_what_training_changed, setup, teardown),
        cmocka_unit_test_setup_teardown(what_training_brought_is_not_what_rounding_costs, setup, teardown),
        cmocka_unit_test_setup_teardown(who_chose_the_epoch_is_said, setup, teardown),
        cmocka_unit_test_setup_teardown(bytes_and_widths_that_stand_out_are_named, setup, teardown),
        cmocka_unit_test_setup_teardown(a_proof_says_what_was_equal, setup, teardown),
        cmocka_unit_test_setup_teardown(the_title_is_the_last_name_of_the_path, setup, teardown),
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
