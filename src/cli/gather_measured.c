/* gather_measured.c - of a network: what its quantizers cost and what would help, and whether its integers are what was trained. */
#include "cli/gather.h"

#include "base/check.h"
#include "base/files.h"
#include "base/measure.h"

#include <string.h>

enum { JUDGED = 256, REMEDY_IMAGES = 128, WORST = 5, PROOF_IMAGES = 64, CHECK_IMAGES = 32, BATCH = 32 };

static void on_progress(void *ud, int64_t done, int64_t all)
{
    gathering *g = ud;
    char text[64];
    snprintf(text, sizeof text, "what quantization costs: %d %%", (int)(100 * done / all));
    cli_progress_text(&g->progress, text);
}

static nb_status choose_images(gathering *g, nb_images *images)
{
    const nb_data *test = g->networks.e.test;
    const int64_t all = nb_data_info(test)->count;
    int32_t n;
    NB_TRY(cli_images_count(g->c, JUDGED, (int32_t)all, "test", &n));
    g->indices = nb_alloc(g->c->ctx, (size_t)n * sizeof *g->indices);
    if (!g->indices)
        return NB_E_NOMEM;
    for (int64_t i = 0; i < n; i++)
        g->indices[i] = (int32_t)(i * all / n);
    *images = (nb_images){.data = test, .indices = g->indices, .n = n};
    return NB_OK;
}

static void count_answers(void *ud, nb_probe *p, int32_t first, int32_t n)
{
    gathering *g = ud;
    nb_report_rounding *w = &g->r.rounding;
    const nb_graph *twin = nb_probe_graph(p);
    const int32_t classes = twin->info.classes;
    const float *z = nb_probe_value(p, NB_PROBE_FLOAT, twin->loss->in[0]);
    for (int32_t i = 0; i < n; i++) {
        const int32_t said = nb_argmax_float(z + (int64_t)i * classes, classes), label = g->said.labels[first + i],
                      answer = g->said.answers[first + i];
        w->right += said == label;
        w->lost += said == label && answer != label;
        w->won += said != label && answer == label;
        w->changed += said != answer;
    }
    w->n += n;
}

/* What rounding costs: the float network's answers on all images beside the quantized one's. Of a float file the answers are
 * those of floats, of reconstructions there are none, and weights that steps have changed for the rounded network are no
 * float network to compare with. */
static nb_status compare_answers(gathering *g)
{
    const analyze_networks *a = &g->networks;
    if (a->anew || g->r.said.n == 0 || (!a->floats && !analyze_was_trained(a)))
        return NB_OK;
    cli_progress_text(&g->progress, "the float network on all test images");
    const nb_trials all = {.images = {.data = g->networks.e.test, .n = g->r.said.n}, .batch = count_answers, .ud = g};
    const nb_status st = nb_trials_run(g->networks.probe, &all);
    if (st != NB_OK)
        g->r.rounding = (nb_report_rounding){0};
    return st;
}

/* What may help the network as a whole. */
static nb_status try_steps(gathering *g, const nb_images *images)
{
    for (int32_t i = 0; i < ANALYZE_STEPS; i++) {
        char name[ANALYZE_NAME];
        bool done;
        cli_progress_text(&g->progress, "trying steps on the whole network");
        NB_TRY(analyze_try_step(&g->networks, i, images, &g->with[i], name, &done));
        if (!done)
            continue;
        nb_network_row *row = &g->r.step[g->r.n_steps];
        *row = (nb_network_row){.name = nb_arena_strdup(g->r.arena, name), .score = &g->with[i]};
        if (!row->name)
            return NB_E_NOMEM;
        g->r.n_steps++;
    }
    return NB_OK;
}

static const char *float_of(const analyze_networks *a)
{
    if (a->floats)
        return analyze_was_trained(a)
                   ? "the network of --from, batch norms in float, nothing rounded; the quantized one was trained, and "
                     "its weights are others: every cost here holds what training changed, too (nibble report without "
                     "--from takes the same weights, not rounded)"
                   : "the network of --from, batch norms in float, nothing rounded";
    if (a->anew)
        return "this network as it came, batch norms in float, nothing rounded";
    return analyze_was_trained(a)
               ? "the same weights, batch norms in float, nothing rounded; they were trained with rounding, "
                 "so this is no network that somebody trained"
               : "the same weights, batch norms in float, nothing rounded; steps that were done change them for the "
                 "rounded "
                 "network, so that --from CKPT, the network they were made from, is the better one to compare with";
}

nb_status gather_analysis(gathering *g)
{
    const nb_watch watch = {.at = on_progress, .ud = g};
    nb_analysis_job job = {.watch = &watch, .n_worst = WORST};
    analyze_networks *a = &g->networks;
    if (g->model.integers && !g->model.checkpoint && !nb_is_folder(g->c->arg[0]))
        return nb_fail(g->c->ctx, NB_E_UNSUPPORTED,
                       "%s holds integers alone; of the run folder, or the training checkpoint, this can be measured",
                       g->model.path);
    a->c = g->c;
    NB_TRY(analyze_open(a));
    NB_TRY(choose_images(g, &job.images));
    job.calibration = (nb_images){a->e.train, cli_post_steps_images(&a->steps),
                                  a->e.n_train < REMEDY_IMAGES ? a->e.n_train : REMEDY_IMAGES};
    NB_TRY(nb_analyze(a->probe, &job, &g->analysis));
    g->r.analysis = &g->analysis;
    g->r.float_is = float_of(a);
    g->r.float_name = a->floats ? "the network of --from" : "the same weights, not rounded";
    g->r.float_is_other = a->floats != NULL;
    g->r.trained_since = a->floats && analyze_was_trained(a);
    g->r.as_config_says = a->anew;
    NB_TRY(compare_answers(g));
    return try_steps(g, &job.images);
}

/* ---- proofs ---- */

/* The training checkpoint that the integers were lowered from: of a run folder. */
static nb_status open_trained(gathering *g, cli_model **out)
{
    char meant[CLI_PATH_BYTES];
    const char *path;
    *out = &g->model;
    if (g->model.graph)
        return NB_OK;
    *out = &g->trained;
    NB_TRY(cli_meant_file(g->c, g->c->arg[0], CLI_FLOATS, meant, &path));
    if (nb_is_folder(path) || strcmp(path, g->model.path) == 0)
        return nb_fail(g->c->ctx, NB_E_UNSUPPORTED, "the training checkpoint that %s was lowered from is not here",
                       g->model.path);
    NB_TRY(cli_model_open(g->c, path, BATCH, &g->trained));
    g->trained.path = "the training checkpoint";
    return g->trained.graph && g->trained.integers
               ? NB_OK
               : nb_fail(g->c->ctx, NB_E_UNSUPPORTED, "%s holds no quantized network", path);
}

static nb_status compare_layers(gathering *g)
{
    cli_model *from;
    NB_TRY(open_trained(g, &from));
    const int32_t n = g->r.eval.n < PROOF_IMAGES ? g->r.eval.n : PROOF_IMAGES;
    cli_progress_text(&g->progress, "comparing with the network of training");
    NB_TRY(nb_verify(from->graph, g->model.integers, g->r.images, n, &g->proof));
    g->r.proof = &g->proof;
    g->r.n_proofs = g->model.integers->e.n_steps;
    return NB_OK;
}

/* All implementations; times are left out, so that equal input gives an equal report. */
static nb_status compare_implementations(gathering *g)
{
    verify_job *j = nb_alloc(g->c->ctx, sizeof *j);
    if (!j)
        return NB_E_NOMEM;
    g->checks = j;
    *j = (verify_job){.c = g->c, .m = g->model.integers, .progress = g->progress};
    j->n = g->r.eval.n < CHECK_IMAGES ? g->r.eval.n : CHECK_IMAGES;
    NB_TRY(verify_implementations(j, g->r.images));
    for (int32_t i = 0; i < j->n_rows; i++)
        j->row[i].seconds = -1;
    g->r.check = j->row;
    g->r.n_checks = j->n_rows;
    g->r.check_images = j->n;
    return NB_OK;
}

nb_status gather_proofs(gathering *g)
{
    NB_TRY(gather_without(g, "comparison with the network of training", compare_layers(g)));
    return cli_flag(g->c, "--proofs") ? gather_without(g, "comparison of implementations", compare_implementations(g))
                                      : NB_OK;
}
