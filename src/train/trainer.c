/* trainer.c - phases, epochs, steps: the loop that turns an experiment into checkpoints.
 *
 * State is a position (nb_position), a graph, an optimizer and the table of epochs; all of it is in last.safetensors,
 * and everything random is a function of (seed, position). So resuming is: open the phase's graph from the file, seek
 * the loader, go on. At the end of an epoch `last` is written first; best, the phase's end and metrics follow from it:
 * a run that is resumed at such an end simply writes them again, with the same bytes. A kill between any two files is
 * harmless, and results without `last` are never what a kill left. Each phase builds its own graph; values move by
 * name (after a phase with `patience` from the file of its best epoch), moments start at zero, averaged weights (when on) become the weights. With averaged weights, evaluation,
 * best.safetensors, the ends of phases and the next phase see the averages; batch-norm statistics and ranges are taken
 * as they are. Nothing is allocated per step. */
#include <nibble/extend/keys.h>
#include <nibble/train.h>

#include "base/check.h"
#include "base/files.h"
#include "base/measure.h"
#include "base/numtext.h"
#include "base/rng.h"
#include "base/textbuf.h"
#include "train/agree.h"
#include "train/checkpoint.h"
#include "train/diagnose.h"
#include "train/events.h"
#include "train/hard.h"
#include "train/init_file.h"
#include "train/loader.h"
#include "train/loss_terms.h"
#include "train/metrics.h"
#include "train/oscillation.h"
#include "train/phase_graph.h"
#include "train/range_log.h"
#include "train/reestimate.h"
#include "train/resumable.h"
#include "train/train_job.h"

#include <math.h>
#include <string.h>

/* No network that learns has a cross entropy like this: uniform guessing among a million classes costs 13.8. */
#define HOPELESS_LOSS 1e4

enum { STREAM = 0x6e6f6973 /* keeps the keys of in-graph noise apart from the loader's */ };

typedef struct {
    nb_ctx *ctx;
    const nb_train_job *job;
    const nb_train_plan *plan;
    nb_graph *graph;
    nb_optim *optim;
    nb_oscillation *oscillation; /* of this phase; NULL: it watches none */
    nb_loader *loader;
    nb_terms *terms;
    nb_hard *hard; /* NULL: whole batches */
    nb_metrics metrics;
    nb_timing timing;
    nb_fingerprint train_data, test_data;
    nb_position at;
    double accuracy; /* of the last evaluation; < 0: none in this phase */
    int64_t steps;   /* per whole epoch */
    bool saved;      /* last.safetensors is of this run, or resumed from */
    double saved_at, epoch_started;
    int64_t steps_timed; /* for the speed: steps and seconds of this phase in this process */
    double seconds_timed, eval_seconds;
    nb_log_keys log;
    char last[NB_JOB_PATH], best[NB_JOB_PATH], metrics_csv[NB_JOB_PATH], timing_csv[NB_JOB_PATH],
        ranges_csv[NB_JOB_PATH], oscillation_csv[NB_JOB_PATH], events[NB_JOB_PATH];
} trainer;

static const nb_phase *phase_of(const trainer *t)
{
    return &t->plan->phase[t->at.phase];
}

/* Of the epoch that is under way. */
static int64_t steps_now(const trainer *t)
{
    return nb_phase_epoch_steps(phase_of(t), t->at.epoch, t->steps);
}

/* ---- files ---- */

static nb_status set_paths(trainer *t)
{
    NB_TRY(nb_job_path(t->ctx, t->job, t->last, "last.safetensors"));
    NB_TRY(nb_job_path(t->ctx, t->job, t->best, "best.safetensors"));
    NB_TRY(nb_job_path(t->ctx, t->job, t->metrics_csv, "metrics.csv"));
    NB_TRY(nb_job_path(t->ctx, t->job, t->ranges_csv, NB_RANGES_FILE));
    NB_TRY(nb_job_path(t->ctx, t->job, t->oscillation_csv, NB_OSCILLATION_FILE));
    NB_TRY(nb_job_path(t->ctx, t->job, t->events, NB_EVENTS_FILE));
    return nb_job_path(t->ctx, t->job, t->timing_csv, "timing.csv");
}

static nb_status save_to(trainer *t, const char *path, const nb_optim *optim)
{
    char *csv;
    NB_TRY(nb_metrics_print(t->ctx, &t->metrics, t->plan, &csv));
    nb_checkpoint_spec s = {.graph = t->graph, .optim = optim, .config = t->job->config_text, .metrics = csv};
    s.phase_name = phase_of(t)->keys.name;
    s.train_data = t->train_data;
    s.test_data = t->test_data;
    s.teacher_hash = t->job->teacher_hash;
    s.at = t->at;
    s.accuracy = t->accuracy;
    nb_status st = nb_checkpoint_save(t->ctx, path, &s);
    nb_free(t->ctx, csv);
    return st;
}

static nb_status save_last(trainer *t)
{
    NB_TRY(save_to(t, t->last, t->optim));
    t->saved = true;
    t->saved_at = nb_now();
    return NB_OK;
}

static nb_status save_metrics(trainer *t)
{
    char *csv;
    NB_TRY(nb_metrics_print(t->ctx, &t->metrics, t->plan, &csv));
    nb_status st = nb_file_write(t->ctx, t->metrics_csv, csv, strlen(csv));
    nb_free(t->ctx, csv);
    return st;
}

/* For others to look at: outside of the promise of the same bytes, for the times in it. */
static nb_status save_events(trainer *t)
{
    return t->log.tensorboard ? nb_events_write(t->ctx, t->events, &t->metrics, t->steps) : NB_OK;
}

nb_status nb_phase_file(nb_ctx *ctx, const nb_train_plan *plan, int32_t phase, char **out)
{
    const char *name = plan->phase[phase].keys.name;
    nb_text t;
    nb_text_init(ctx, &t);
    nb_text_printf(&t, "phase-%d", phase + 1);
    if (strncmp(name, "phase", 5) != 0 ||
        name[5 + strspn(name + 5, "0123456789")]) /* not what it is called by default */
        nb_text_printf(&t, "-%s", name);
    nb_text_add(&t, ".safetensors");
    return nb_text_take(&t, out);
}

/* What the next phase starts from, kept because it overwrites last.safetensors. */
static nb_status phase_end_path(const trainer *t, char path[NB_JOB_PATH])
{
    char *name;
    NB_TRY(nb_phase_file(t->ctx, t->plan, t->at.phase, &name));
    nb_status st = nb_job_path(t->ctx, t->job, path, name);
    nb_free(t->ctx, name);
    return st;
}

static nb_status save_phase_end(trainer *t)
{
    char path[NB_JOB_PATH];
    NB_TRY(phase_end_path(t, path));
    return save_to(t, path, NULL);
}

/* The best epoch of this phase by the table of epochs, the first of equals; -1: none is over. */
static int32_t best_of_phase(const trainer *t)
{
    int32_t best = -1;
    double accuracy = -1;
    for (int32_t i = 0; i < t->metrics.n; i++) {
        const nb_metrics_row *r = &t->metrics.row[i];
        if (r->phase == t->at.phase && r->accuracy > accuracy) {
            best = r->epoch;
            accuracy = r->accuracy;
        }
    }
    return best;
}

/* All its epochs are done, or none has been better for too long. */
static bool phase_is_over(const trainer *t)
{
    const nb_phase_keys *k = &phase_of(t)->keys;
    return t->at.epoch == k->epochs ||
           (k->patience && t->at.step == 0 && t->at.epoch > 0 && t->at.epoch - 1 - best_of_phase(t) >= k->patience);
}

/* Its last epoch, or, with patience, its best one so far. */
static bool ends_phase(const trainer *t)
{
    if (t->at.phase + 1 == t->plan->n_phases)
        return false;
    return phase_of(t)->keys.patience ? best_of_phase(t) == t->at.epoch - 1 : phase_is_over(t);
}

/* The files that follow from last.safetensors at the end of an epoch. */
static nb_status save_derived(trainer *t)
{
    const nb_position *p = &t->at;
    bool best = p->best_accuracy >= 0 && p->best_phase == p->phase && p->best_epoch + 1 == p->epoch;
    nb_optim_swap(t->optim);
    nb_status st = best ? save_to(t, t->best, NULL) : NB_OK;
    if (st == NB_OK && ends_phase(t))
        st = save_phase_end(t);
    if (st == NB_OK)
        st = nb_range_log_write(t->ctx, t->ranges_csv, t->graph, p->phase, p->epoch - 1);
    nb_optim_swap(t->optim);
    if (st == NB_OK)
        st = nb_oscillation_log(t->ctx, t->oscillation_csv, t->oscillation, p->phase, p->epoch - 1);
    return st == NB_OK ? save_metrics(t) : st;
}

/* ---- when numbers go bad ---- */

static nb_status diverged(trainer *t, const nb_run *r, const char *what, double value)
{
    char where[256];
    bool found = nb_diagnose(t->graph, r, where, sizeof where);
    const nb_phase *p = phase_of(t);
    return nb_fail(
        t->ctx, NB_E_DIVERGED,
        "training diverged in phase %s, epoch %d, step %lld: %s is %g%s%s; lower the phase's lr (now %g) or set "
        "train.optimizer.clip, e.g. to 1; %s%s",
        p->keys.name, t->at.epoch + 1, (long long)t->at.step + 1, what, value,
        found ? ", and the first thing not finite is " : "", found ? where : "", (double)p->keys.lr,
        t->saved ? "the last good state is in " : "no checkpoint had been written yet", t->saved ? t->last : "");
}

/* ---- one step ---- */

static nb_run run_of(const trainer *t, const nb_batch *b)
{
    const nb_phase_keys *k = &phase_of(t)->keys;
    nb_run r = {.train = true, .pixels = b->pixels, .labels = b->labels};
    r.freeze_bn = k->freeze_bn_at >= 0 && t->at.epoch >= k->freeze_bn_at;
    r.freeze_ranges = k->freeze_ranges_at >= 0 && t->at.epoch >= k->freeze_ranges_at;
    r.seed = nb_mix(t->job->experiment->seed, STREAM);
    r.step = (uint64_t)(t->at.epochs_done * t->steps + t->at.step);
    return r;
}

/* Of whole batches, also where a part of each is learned from: of that alone they would be those of its hardest images. */
static void count_batch(trainer *t, const nb_hard_seen *seen, int32_t n)
{
    t->at.correct += seen->images ? seen->correct : nb_graph_correct(t->graph);
    t->at.seen += seen->images ? seen->images : n;
    t->at.loss_sum += seen->images ? seen->loss : (double)nb_graph_loss(t->graph);
}

static nb_status step(trainer *t)
{
    const nb_batch *b = nb_loader_next(t->loader);
    NB_TRY(nb_data_check(t->ctx, t->job->data)); /* nothing is learned of an image that was not read */
    nb_hard_seen seen = {0};
    if (t->hard)
        b = nb_hard_pick(t->hard, t->graph, b, t->at.updates > 0, &seen);
    nb_run r = run_of(t, b);
    NB_TRY(nb_terms_of(t->terms, t->at.phase, b, &r.terms));
    nb_forward(t->graph, &r);
    double loss = (double)nb_graph_loss(t->graph);
    if (!(loss < HOPELESS_LOSS))
        return diverged(t, &r, "the loss", loss);
    const bool first = t->at.epoch == 0 && t->at.step == 0 && phase_of(t)->keys.quant;
    if (first && t->job->on_ranges)
        NB_TRY(t->job->on_ranges(t->job->ud, t->graph));
    count_batch(t, &seen, b->whole);
    nb_backward(t->graph, &r);
    const int64_t done = t->at.epoch * t->steps + t->at.step;
    const int64_t all = nb_phase_steps(phase_of(t), t->steps);
    if (t->oscillation)
        nb_oscillation_watch(t->oscillation, done, all);
    double norm = nb_optim_grad_norm(t->optim);
    if (!isfinite(norm))
        return diverged(t, &r, "the norm of the gradient", norm);
    nb_optim_freeze_ranges(t->optim, r.freeze_ranges);
    nb_optim_step(t->optim, nb_phase_lr(phase_of(t), done, t->steps), ++t->at.updates, norm);
    nb_optim_look(t->optim, done + 1, all);
    if (t->oscillation)
        nb_oscillation_hold(t->oscillation);
    t->at.step++;
    if (t->hard)
        nb_graph_set_batch(t->graph, t->plan->keys.batch);
    return NB_OK;
}

static void report_step(trainer *t, double seconds)
{
    t->steps_timed++;
    t->seconds_timed += seconds;
    if (!t->job->on_step)
        return;
    double per_step = t->seconds_timed / (double)t->steps_timed;
    int64_t left = nb_phase_steps(phase_of(t), t->steps) - t->at.epoch * t->steps - t->at.step;
    int32_t evals = phase_of(t)->keys.epochs - t->at.epoch;
    for (int32_t p = t->at.phase + 1; p < t->plan->n_phases; p++) {
        left += nb_phase_steps(&t->plan->phase[p], t->steps);
        evals += t->plan->phase[p].keys.epochs;
    }
    nb_progress p = {
        .plan = t->plan, .phase = t->at.phase, .epoch = t->at.epoch, .step = t->at.step, .steps = steps_now(t)};
    p.loss = t->at.loss_sum / (double)t->at.step;
    p.accuracy = (double)t->at.correct / (double)t->at.seen;
    p.samples_per_second = (double)t->plan->keys.batch / per_step;
    p.seconds_left = (double)left * per_step + evals * t->eval_seconds;
    t->job->on_step(t->job->ud, &p);
}

static bool save_is_due(const trainer *t)
{
    const nb_train_keys *k = &t->plan->keys;
    if (t->at.step == steps_now(t))
        return false; /* the end of the epoch saves anyway */
    return (k->save_steps && t->at.step % k->save_steps == 0) ||
           (k->save_seconds && nb_now() - t->saved_at >= (double)k->save_seconds);
}

/* ---- one epoch ---- */

/* Weights that are no longer finite must never reach a file: the check stands before every save. */
static nb_status check_finite(trainer *t)
{
    if (nb_params_finite(t->graph))
        return NB_OK;
    nb_run none = {0};
    return diverged(t, &none, "a parameter", NAN);
}

static nb_status interrupted(trainer *t)
{
    NB_TRY(check_finite(t));
    NB_TRY(save_last(t));
    return nb_fail(t->ctx, NB_E_STOPPED,
                   "interrupted in phase %s, epoch %d, after step %lld of %lld, saved; continue with --resume",
                   phase_of(t)->keys.name, t->at.epoch + 1, (long long)t->at.step, (long long)steps_now(t));
}

static nb_status train_epoch(trainer *t)
{
    nb_loader_seek(t->loader, t->at.epochs_done, (int32_t)t->at.step);
    while (t->at.step < steps_now(t)) {
        if (nb_ranks_any(t->job->stop && *t->job->stop))
            return interrupted(t);
        double start = nb_now();
        NB_TRY(step(t));
        report_step(t, nb_now() - start);
        if (save_is_due(t)) {
            NB_TRY(check_finite(t));
            NB_TRY(save_last(t));
        }
    }
    return check_finite(t);
}

/* At the end of a phase that asks for it: on a fixed sample of the training images, as calibration takes it. */
static nb_status reestimate(const trainer *t)
{
    const nb_train_job *j = t->job;
    const nb_phase_keys *k = &phase_of(t)->keys;
    if (!k->reestimate_bn || t->at.epoch + 1 < k->epochs)
        return NB_OK;
    int32_t *order = NULL;
    if (!j->indices)
        NB_TRY(nb_split_order(t->ctx, nb_data_info(j->data)->count, 0, j->experiment->seed, &order));
    nb_status st = nb_reestimate_bn(t->graph, j->data, order ? order : j->indices, k->reestimate_bn, NULL);
    nb_free(t->ctx, order);
    return st;
}

/* The epoch is over: evaluate, move the position to the next one, write everything. */
static nb_status finish_epoch(trainer *t)
{
    nb_epoch_report r = {.plan = t->plan, .phase = t->at.phase, .epoch = t->at.epoch, .oscillating = -1, .frozen = -1};
    if (t->oscillation)
        nb_oscillation_shares(t->oscillation, &r.oscillating, &r.frozen);
    r.loss = t->at.loss_sum / (double)t->at.step;
    r.train_accuracy = (double)t->at.correct / (double)t->at.seen;
    r.lr = nb_phase_lr(phase_of(t), t->at.epoch * t->steps + t->at.step - 1, t->steps);
    double start = nb_now();
    r.train_seconds = start - t->epoch_started;
    nb_optim_swap(t->optim);
    nb_status st = reestimate(t);
    st = st == NB_OK ? t->job->evaluate(t->job->ud, t->graph, &r.eval) : st;
    t->eval_seconds = r.eval_seconds = nb_now() - start;
    if (st == NB_E_DIVERGED)
        st = nb_fail(t->ctx, st, "evaluation after phase %s, epoch %d: %s", phase_of(t)->keys.name, t->at.epoch + 1,
                     nb_ctx_error(t->ctx));
    if (st == NB_OK) {
        nb_metrics_row row = {t->at.phase,
                              t->at.epoch,
                              r.lr,
                              r.loss,
                              r.train_accuracy,
                              r.eval.loss,
                              r.eval.accuracy,
                              r.eval.simulated,
                              strcmp(r.eval.metric ? r.eval.metric : "accuracy", "accuracy") == 0 ? NULL
                                                                                                  : r.eval.metric};
        st = nb_metrics_add(t->ctx, &t->metrics, &row);
    }
    if (st == NB_OK)
        st = nb_timing_add(t->ctx, &t->timing,
                           &(nb_timing_row){t->at.phase, t->at.epoch, r.train_seconds, r.eval_seconds});
    if (st == NB_OK) {
        t->accuracy = r.eval.accuracy;
        r.best = nb_phase_competes(t->plan, t->at.phase) && r.eval.accuracy > t->at.best_accuracy;
        if (r.best) {
            t->at.best_accuracy = r.eval.accuracy;
            t->at.best_phase = t->at.phase;
            t->at.best_epoch = t->at.epoch;
        }
        t->at.epoch++;
        t->at.epochs_done++;
        t->at.step = t->at.seen = t->at.correct = 0;
        t->at.loss_sum = 0;
    }
    nb_optim_swap(t->optim);
    NB_TRY(st);
    NB_TRY(nb_timing_write(t->ctx, &t->timing, t->timing_csv)); /* before last: that does not hold the times */
    NB_TRY(save_last(t));
    NB_TRY(save_derived(t));
    NB_TRY(save_events(t));
    if (t->job->on_epoch)
        t->job->on_epoch(t->job->ud, &r);
    return NB_OK;
}

/* ---- one phase ---- */

/* Opens the phase's graph and optimizer with values from `from`; the graph before is freed. */
static nb_status open_phase(trainer *t, const nb_params_source *from)
{
    nb_graph *g;
    NB_TRY(nb_phase_graph_open(t->ctx, t->job, t->at.phase, from, &g));
    nb_optim_free(t->ctx, t->optim);
    nb_graph_free(t->graph);
    t->graph = g;
    t->optim = NULL;
    t->oscillation = NULL;
    t->steps_timed = 0;
    t->seconds_timed = 0;
    NB_TRY(nb_optim_create(t->ctx, t->plan, g, &t->optim));
    return nb_oscillation_create(t->optim, phase_of(t), g, &t->oscillation);
}

static nb_status next_phase(trainer *t)
{
    const bool from_best = phase_of(t)->keys.patience > 0;
    char path[NB_JOB_PATH];
    nb_checkpoint *best = NULL;
    if (from_best) {
        nb_ranks_follow();
        NB_TRY(phase_end_path(t, path));
        NB_TRY(nb_checkpoint_open(t->ctx, path, &best));
    }
    nb_optim_swap(t->optim);
    t->at.phase++;
    t->at.epoch = 0;
    t->at.updates = 0;
    t->accuracy = -1;
    const nb_params_source from = {.file = best, .graph = best ? NULL : t->graph, .mode = NB_PARAMS_START};
    nb_status st = open_phase(t, &from);
    nb_checkpoint_close(t->ctx, best);
    return st;
}

static nb_status run_phases(trainer *t)
{
    for (;;) {
        while (!phase_is_over(t)) {
            t->epoch_started = nb_now();
            NB_TRY(train_epoch(t));
            NB_TRY(finish_epoch(t));
        }
        if (t->at.phase + 1 == t->plan->n_phases)
            return NB_OK;
        NB_TRY(next_phase(t));
    }
}

/* ---- beginning and end ---- */

static nb_status check_position(const trainer *t, const nb_checkpoint *c)
{
    const nb_position *p = &c->at;
    bool ok = p->phase < t->plan->n_phases && p->best_phase < t->plan->n_phases;
    const nb_phase *phase = &t->plan->phase[ok ? p->phase : 0];
    ok = ok && p->epoch <= phase->keys.epochs && c->quantized == phase->keys.quant;
    ok = ok &&
         (p->epoch < phase->keys.epochs ? p->step < nb_phase_epoch_steps(phase, p->epoch, t->steps) : p->step == 0);
    if (ok)
        return NB_OK;
    return nb_fail(t->ctx, NB_E_FORMAT, "%s: its position (phase %d, epoch %d, step %lld) is not one of this training",
                   c->path, p->phase + 1, p->epoch + 1, (long long)p->step);
}

static nb_status resume(trainer *t, const nb_checkpoint *c)
{
    NB_TRY(nb_check_resumable(t->ctx, t->job, c));
    NB_TRY(check_position(t, c));
    t->at = c->at;
    t->accuracy = c->accuracy;
    t->saved = true;
    NB_TRY(nb_metrics_parse(t->ctx, c->path, c->metrics, t->plan, &t->metrics));
    NB_TRY(nb_timing_read(t->ctx, &t->timing, t->timing_csv, c->at.phase, c->at.epoch));
    NB_TRY(open_phase(t, &(nb_params_source){.file = c, .mode = NB_PARAMS_EXACT}));
    NB_TRY(nb_checkpoint_load_optim(t->ctx, c, t->optim));
    return t->at.step == 0 && t->at.epoch > 0 ? save_derived(t) : NB_OK; /* a kill may have come before them */
}

static nb_status begin(trainer *t)
{
    const nb_train_job *j = t->job;
    const char *init = j->experiment->init;
    t->at.best_accuracy = t->accuracy = -1;
    NB_TRY(nb_data_fingerprint(t->ctx, j->data, &t->train_data));
    if (j->test)
        NB_TRY(nb_data_fingerprint(t->ctx, j->test, &t->test_data));
    nb_checkpoint *c = NULL;
    if (j->resume || *init)
        NB_TRY(j->resume ? nb_checkpoint_open(t->ctx, t->last, &c) : nb_init_open(t->ctx, j->experiment, &c));
    const nb_params_source start = {
        .file = c, .mode = NB_PARAMS_START, .except = c ? j->experiment->init_except : NULL};
    const nb_fingerprint data[2] = {t->train_data, t->test_data};
    nb_status st = nb_ranks_agree(t->ctx, j, data, c);
    if (st == NB_OK)
        st = j->resume ? resume(t, c) : open_phase(t, &start);
    nb_checkpoint_close(t->ctx, c);
    return st;
}

static nb_status fill_result(const trainer *t, nb_train_result *out)
{
    nb_phase_result *p = nb_alloc(t->ctx, (size_t)t->plan->n_phases * sizeof *p);
    if (!p)
        return NB_E_NOMEM;
    for (int32_t i = 0; i < t->metrics.n; i++) {
        const nb_metrics_row *r = &t->metrics.row[i];
        double seconds = p[r->phase].seconds;
        p[r->phase] = (nb_phase_result){r->loss, r->train_accuracy, r->eval_loss, r->accuracy, seconds, r->epoch + 1};
    }
    for (int32_t i = 0; i < t->timing.n; i++)
        if (t->timing.row[i].phase < t->plan->n_phases)
            p[t->timing.row[i].phase].seconds += t->timing.row[i].train_seconds + t->timing.row[i].eval_seconds;
    *out = (nb_train_result){p, t->at.best_accuracy, t->at.best_phase, t->at.best_epoch};
    return NB_OK;
}

nb_status nb_train(nb_ctx *ctx, const nb_train_job *job, nb_train_result *out)
{
    trainer *t = nb_alloc(ctx, sizeof *t);
    if (!t)
        return NB_E_NOMEM;
    *t = (trainer){.ctx = ctx, .job = job, .plan = job->plan, .saved_at = nb_now()};
    nb_c_locale locale; /* numbers in checkpoints and tables have a point */
    nb_status st = nb_c_locale_enter(&locale) ? set_paths(t) : nb_fail(ctx, NB_E_NOMEM, "out of memory");
    if (st == NB_OK)
        st = nb_conf_bind(ctx, job->experiment->log, "log", &(nb_binding){nb_log_section_keys, &t->log}, 1);
    if (st == NB_OK)
        st = nb_job_loader(ctx, job, &t->loader);
    if (st == NB_OK)
        st = nb_terms_create(ctx, job, &t->terms);
    if (st == NB_OK)
        st = nb_hard_create(ctx, job, &t->hard);
    if (st == NB_OK) {
        t->steps = nb_loader_steps_per_epoch(t->loader);
        st = begin(t);
    }
    if (st == NB_OK)
        st = save_events(t); /* a kill may have come before the last epoch's */
    if (st == NB_OK)
        st = run_phases(t);
    if (st == NB_OK)
        st = fill_result(t, out);
    nb_loader_close(ctx, t->loader);
    nb_terms_free(ctx, t->terms);
    nb_hard_free(ctx, t->hard);
    nb_optim_free(ctx, t->optim);
    nb_graph_free(t->graph);
    nb_metrics_deinit(ctx, &t->metrics);
    nb_timing_deinit(ctx, &t->timing);
    nb_free(ctx, t);
    nb_c_locale_leave(&locale);
    return st;
}
