/* train_check.c - what a job is made of, and everything that can be wrong with it before the run folder is touched:
 * nb_train_check. */
#include "train/train_job.h"

#include "base/check.h"
#include "base/numtext.h"
#include "base/ranks.h"
#include "train/checkpoint.h"
#include "train/init_file.h"
#include "train/loss_terms.h"
#include "train/metrics.h"
#include "train/oscillation.h"
#include "train/reestimate.h"
#include "train/resumable.h"
#include "train/train_layers.h"

#include <stdio.h>

nb_status nb_job_path(nb_ctx *ctx, const nb_train_job *job, char *path, const char *name)
{
    int len = snprintf(path, NB_JOB_PATH, "%s/%s", job->out, name);
    return len > 0 && len < NB_JOB_PATH
               ? NB_OK
               : nb_fail(ctx, NB_E_CONFIG, "out: the path is longer than %d bytes", NB_JOB_PATH);
}

nb_status nb_job_loader(nb_ctx *ctx, const nb_train_job *job, nb_loader **out)
{
    nb_loader_spec s = {.batch = job->plan->keys.batch,
                        .flags = NB_LOAD_SHUFFLE | NB_LOAD_DROP_LAST,
                        .seed = job->experiment->seed,
                        .augment = nb_data_common(job->data)->augment,
                        .subset = job->indices,
                        .n_subset = job->n_indices,
                        .balanced = job->plan->keys.sampling == NB_SAMPLING_BALANCED,
                        .mixup = job->plan->keys.mixup,
                        .shared = job->plan->keys.hard >= 1}; /* hard.h chooses among all */
    int32_t images = job->indices ? job->n_indices : nb_data_info(job->data)->count;
    const nb_conf *train = job->experiment->train, *batch = nb_conf_get(train, "batch");
    if (s.batch > images)
        return nb_conf_fail(ctx, batch ? batch : train, "train.batch", NB_E_CONFIG,
                            "%d: must be at most %d, the number of training images", s.batch, images);
    if (nb_cut_units(s.batch) < nb_ranks())
        return nb_conf_fail(ctx, batch ? batch : train, "train.batch", NB_E_CONFIG,
                            s.batch < nb_ranks()
                                ? "%d: must be at least %d, the number of ranks"
                                : "%d: is shared by at most %d ranks (8 below 512, 16 below 1024, then 32), "
                                  "and these are more",
                            s.batch, s.batch < nb_ranks() ? nb_ranks() : nb_cut_units(s.batch));
    return nb_loader_open(ctx, job->data, &s, out);
}

/* What a run cannot store or read back (a name that is not UTF-8, too many names) shows here, not at its first
 * checkpoint. */
static nb_status check_storable(nb_ctx *ctx, const nb_train_job *job, const nb_graph *g)
{
    nb_metrics m = {0}, read = {0};
    char *csv = NULL;
    nb_status st = NB_OK;
    for (int32_t i = 0; i < job->plan->n_phases && st == NB_OK; i++)
        st = nb_metrics_add(ctx, &m, &(nb_metrics_row){.phase = i, .loss = 0.1});
    if (st == NB_OK)
        st = nb_metrics_print(ctx, &m, job->plan, &csv);
    if (st == NB_OK)
        st = nb_checkpoint_prove(
            ctx, &(nb_checkpoint_spec){.graph = g, .config = job->config_text, .metrics = csv, .phase_name = ""});
    if (st == NB_OK)
        st = nb_metrics_parse(ctx, "the first checkpoint", csv, job->plan, &read);
    nb_free(ctx, csv);
    nb_metrics_deinit(ctx, &m);
    nb_metrics_deinit(ctx, &read);
    return st;
}

/* The network of one kind of phase; a quantized one sees one image, so that it has ranges, and must pass job->check.
 */
static nb_status check_network(nb_ctx *ctx, const nb_train_job *job, const nb_batch *b, int32_t phase,
                               const nb_checkpoint *init)
{
    const bool quant = job->plan->phase[phase].keys.quant, run = quant && job->check;
    nb_graph_spec spec = {.experiment = job->experiment,
                          .info = nb_data_info(job->data),
                          .max_batch = 1,
                          .quant = quant,
                          .bits = {job->plan->phase[phase].keys.bits[0], job->plan->phase[phase].keys.bits[1]},
                          .plan = run ? NB_PLAN_TRAIN : NB_PLAN_INFER,
                          .compute = NB_COMPUTE_F32,
                          .reference = job->reference};
    nb_graph *g = NULL;
    NB_TRY(nb_graph_open(ctx, &spec,
                         &(nb_params_source){.file = init,
                                             .mode = NB_PARAMS_START,
                                             .except = init ? job->experiment->init_except : NULL},
                         &g));
    nb_status st = check_storable(ctx, job, g);
    if (st == NB_OK)
        st = nb_check_reestimate(ctx, job, phase, g);
    if (st == NB_OK)
        st = nb_oscillation_check(ctx, job->plan, phase, g);
    if (st == NB_OK)
        st = nb_layers_check(ctx, job->plan, g);
    if (st == NB_OK)
        st = nb_terms_check(ctx, job, phase, g);
    if (st == NB_OK && run) {
        nb_forward(g, &(nb_run){.train = true, .pixels = b->pixels, .labels = b->labels});
        st = job->check(job->ud, g);
    }
    nb_graph_free(g);
    return st;
}

/* The checkpoint that the first phase begins with, or NULL. One to be resumed from is looked at and closed. */
static nb_status check_start(nb_ctx *ctx, const nb_train_job *job, nb_checkpoint **init)
{
    char last[NB_JOB_PATH];
    nb_checkpoint *c;
    if (!job->resume)
        return *job->experiment->init ? nb_init_open(ctx, job->experiment, init) : NB_OK;
    NB_TRY(nb_job_path(ctx, job, last, "last.safetensors"));
    NB_TRY(nb_checkpoint_open(ctx, last, &c));
    nb_status st = nb_check_resumable(ctx, job, c);
    nb_checkpoint_close(ctx, c);
    return st;
}

/* Who stops early looks at images that the result is not measured on. */
static nb_status check_patience(nb_ctx *ctx, const nb_train_job *job)
{
    for (int32_t i = 0; i < job->plan->n_phases; i++)
        if (job->plan->phase[i].keys.patience && !nb_data_common(job->data)->validation)
            return nb_conf_fail(ctx, job->plan->phase[i].entry, "train.phases", NB_E_CONFIG,
                                "patience: the test images would say when to stop: hold some training images out with "
                                "data.validation");
    return NB_OK;
}

static bool same_network(const nb_phase_keys *a, const nb_phase_keys *b)
{
    return a->quant == b->quant && a->teacher == b->teacher && a->bits[0] == b->bits[0] && a->bits[1] == b->bits[1];
}

static nb_status check_networks(nb_ctx *ctx, const nb_train_job *job, nb_loader *loader)
{
    nb_checkpoint *init = NULL;
    nb_status st = nb_experiment_check(ctx, job->experiment, nb_data_info(job->data));
    if (st == NB_OK)
        st = check_patience(ctx, job);
    if (st == NB_OK)
        st = check_start(ctx, job, &init);
    const nb_batch *b = nb_loader_next(loader);
    if (st == NB_OK)
        st = nb_data_check(ctx, job->data);
    for (int32_t i = 0; i < job->plan->n_phases && st == NB_OK; i++) {
        const nb_phase *p = &job->plan->phase[i];
        if (i > 0 && same_network(&p[-1].keys, &p->keys) && !p->keys.reestimate_bn && !p->watches)
            continue;
        st = check_network(ctx, job, b, i, i == 0 ? init : NULL);
    }
    nb_checkpoint_close(ctx, init);
    return st;
}

nb_status nb_train_check(nb_ctx *ctx, const nb_train_job *job)
{
    nb_loader *loader;
    nb_c_locale locale;
    NB_TRY(nb_job_loader(ctx, job, &loader));
    nb_status st =
        nb_c_locale_enter(&locale) ? check_networks(ctx, job, loader) : nb_fail(ctx, NB_E_NOMEM, "out of memory");
    nb_c_locale_leave(&locale);
    nb_loader_close(ctx, loader);
    return st;
}
