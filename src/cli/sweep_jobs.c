/* sweep_jobs.c - which runs there are: their configs, what is there of them, and the commands that make them. */
#include "cli/sweep_jobs.h"

#include "cli/alike.h"
#include "cli/open_experiment.h"
#include "cli/run_folder.h"
#include "cli/sweep_result.h"
#include "cli/sweep_words.h"

#include "base/check.h"
#include "base/files.h"
#include "base/ranks.h"
#include "base/rng.h"
#include "base/safetensors.h"
#include "base/textbuf.h"

#include <inttypes.h>
#include <string.h>

/* ---- its config ---- */

/* All --set values of a run. A quantized one is told its start by --from. */
static nb_status sets_of(const sweep_jobs *j, int32_t run, sweep_sets *s)
{
    const nb_sweep_run *r = &j->sweep->run[run];
    char path[CLI_PATH_BYTES];
    s->n = 0;
    if (r->n_sets + 3 > SWEEP_MAX_WORDS / 2)
        return nb_fail(j->c->ctx, NB_E_CONFIG, "%s: too many changes", r->name);
    snprintf(s->seed, sizeof s->seed, "seed=%" PRIu64, r->seed);
    NB_TRY(sweep_path_of(j, run, "", path));
    snprintf(s->out, sizeof s->out, "out=%s", path);
    s->set[s->n++] = s->seed;
    s->set[s->n++] = s->out;
    if (r->start >= 0 && !r->quantize) {
        NB_TRY(sweep_path_of(j, r->start, "/last.safetensors", path));
        snprintf(s->init, sizeof s->init, "init=%s", path);
        s->set[s->n++] = s->init;
    }
    for (int32_t i = 0; i < r->n_sets; i++)
        s->set[s->n++] = r->set[i];
    return NB_OK;
}

static nb_status load_config(const sweep_jobs *j, int32_t run, cli_experiment *e)
{
    sweep_sets *s = nb_alloc(j->c->ctx, sizeof *s);
    nb_status st = s ? sets_of(j, run, s) : NB_E_NOMEM;
    if (st == NB_OK) {
        cli sub = *j->c;
        sub.set = s->set;
        sub.n_sets = s->n;
        st = cli_experiment_load(&sub, j->sweep->run[run].config, e);
    }
    nb_free(j->c->ctx, s);
    return st;
}

/* Hash of what a run is, wherever it and its start are: a sweep that is moved keeps its results, and sweeps can share starts. */
static nb_status config_key(nb_ctx *ctx, const nb_sweep_run *r, cli_experiment *e, uint64_t *key)
{
    char *text;
    nb_config_drop(e->config, nb_config_root(e->config), "out");
    if (r->start >= 0)
        nb_config_drop(e->config, nb_config_root(e->config), "init");
    NB_TRY(nb_config_print(ctx, e->config, &text));
    *key = nb_mix(nb_hash_text(text), r->quantize);
    nb_free(ctx, text);
    return NB_OK;
}

/* data: opened for an earlier run, and used when this one's is the same section. */
static nb_status check_run(sweep_jobs *j, int32_t run, cli_experiment *data)
{
    cli_experiment e = {0};
    nb_ctx *ctx = j->c->ctx;
    nb_status st = load_config(j, run, &e);
    if (st == NB_OK && !data->train) {
        *data = e;
        e = (cli_experiment){0};
        st = cli_experiment_open_train(j->c, data);
        if (st == NB_OK)
            st = load_config(j, run, &e);
    }
    const bool same = st == NB_OK && nb_conf_equal(e.exp.data, data->exp.data);
    if (st == NB_OK && !same)
        st = cli_experiment_open_train(j->c, &e);
    if (st == NB_OK)
        st = nb_experiment_check(ctx, &e.exp, nb_data_info(same ? data->train : e.train));
    if (st == NB_OK)
        j->epochs[run] = sweep_run_epochs(e.exp.train, j->sweep->run[run].quantize);
    if (st == NB_OK)
        st = config_key(ctx, &j->sweep->run[run], &e, &j->expected[run]);
    if (st != NB_OK)
        st = nb_fail(ctx, st, "%s: %s", j->sweep->run[run].name, nb_ctx_error(ctx));
    cli_experiment_close(j->c, &e);
    return st;
}

/* ---- what is there ---- */

/* A start that others begin with must be there to begin with. */
static nb_status check_start(const sweep_jobs *j, int32_t run, bool *there)
{
    char path[CLI_PATH_BYTES], folder[CLI_PATH_BYTES];
    nb_st_file *f;
    NB_TRY(sweep_path_of(j, run, "/last.safetensors", path));
    NB_TRY(sweep_path_of(j, run, "", folder));
    *there = nb_file_exists(path);
    if (!*there)
        return NB_OK;
    if (nb_st_open(j->c->ctx, path, &f) != NB_OK)
        return nb_fail(j->c->ctx, NB_E_FORMAT,
                       "%s; delete the folder %s; with --force it and what begins with it are made again",
                       nb_ctx_error(j->c->ctx), folder);
    nb_st_close(j->c->ctx, f);
    return NB_OK;
}

/* Takes the result that is there, if it is of this run; else says whether something is in the way. */
static nb_status look(sweep_jobs *j, int32_t run)
{
    nb_sweep_run *r = &j->sweep->run[run];
    sweep_result found;
    uint64_t key = 0;
    char folder[CLI_PATH_BYTES];
    NB_TRY(sweep_path_of(j, run, "", folder));
    const bool known = r->start < 0 || j->sweep->run[r->start].state == NB_SWEEP_DONE,
               any = sweep_result_read(j, run, &found);
    if (known)
        NB_TRY(sweep_key_of(j, run, &key));
    bool there = true;
    if (known && any && found.complete && found.key == key && r->purpose == NB_SWEEP_START)
        NB_TRY(check_start(j, run, &there));
    if (known && any && found.complete && found.key == key && there)
        sweep_result_take(r, &found);
    j->stale[run] = r->state != NB_SWEEP_DONE && cli_holds_run(folder) && !(known && any && found.key == key);
    return NB_OK;
}

/* Other ranks' file systems may be slow to see what was written last. */
static nb_status follow_rank_0(sweep_jobs *j)
{
    const int32_t n = j->sweep->n_runs;
    nb_sweep_run *run = nb_alloc(j->c->ctx, ((size_t)n + 1) * sizeof *run);
    if (!run)
        return NB_E_NOMEM;
    memcpy(run, j->sweep->run, (size_t)n * sizeof *run);
    const nb_piece piece[] = {{run, (size_t)n * sizeof *run, 0, 0}, {j->stale, (size_t)n * sizeof *j->stale, 0, 0}};
    nb_ranks_share(piece, 2);
    for (int32_t i = 0; i < n; i++) {
        nb_sweep_run *r = &j->sweep->run[i];
        r->state = run[i].state;
        r->accuracy = run[i].accuracy;
        memcpy(r->metric, run[i].metric, sizeof r->metric);
        memcpy(r->kind, run[i].kind, sizeof r->kind);
    }
    nb_free(j->c->ctx, run);
    return NB_OK;
}

static nb_status check_ranks(sweep_jobs *j, const cli_experiment *data)
{
    uint64_t all = 1;
    for (int32_t i = 0; i < j->sweep->n_runs; i++)
        all = nb_mix(all, j->expected[i]);
    return cli_ranks_alike(j->c, &(cli_alike){.file = j->c->arg[0], .config = all, .data[0] = data->train});
}

nb_status sweep_jobs_open(sweep_jobs *j)
{
    const int32_t n = j->sweep->n_runs;
    cli_experiment data = {0};
    j->expected = nb_alloc(j->c->ctx, ((size_t)n + 1) * sizeof *j->expected);
    j->stale = nb_alloc(j->c->ctx, ((size_t)n + 1) * sizeof *j->stale);
    j->epochs = nb_alloc(j->c->ctx, ((size_t)n + 1) * sizeof *j->epochs);
    nb_status st = j->expected && j->stale && j->epochs ? NB_OK : NB_E_NOMEM;
    cli_log(j->c->ctx, false); /* every run says in its own log what its changes replaced */
    for (int32_t i = 0; st == NB_OK && i < n; i++)
        st = check_run(j, i, &data);
    cli_log(j->c->ctx, true);
    if (st == NB_OK)
        st = check_ranks(j, &data);
    for (int32_t i = 0; st == NB_OK && nb_rank() == 0 && i < n; i++) /* starts come before what begins with them */
        st = look(j, i);
    if (st == NB_OK && nb_ranks() > 1)
        st = follow_rank_0(j);
    cli_experiment_close(j->c, &data);
    return st;
}

void sweep_jobs_close(sweep_jobs *j)
{
    nb_free(j->c->ctx, j->expected);
    nb_free(j->c->ctx, j->stale);
    nb_free(j->c->ctx, j->epochs);
}

/* ---- its commands ---- */

void sweep_words_add(sweep_words *w, const char *word)
{
    NB_ASSERT(w->n + 1 < SWEEP_MAX_WORDS);
    w->word[w->n++] = word;
    w->word[w->n] = NULL;
}

nb_status sweep_words_making(const sweep_jobs *j, int32_t run, const char *again, sweep_words *w)
{
    const nb_sweep_run *r = &j->sweep->run[run];
    w->n = 0;
    sweep_words_add(w, "nibble");
    sweep_words_add(w, r->quantize ? "quantize" : "train");
    sweep_words_add(w, r->config);
    if (r->quantize) {
        NB_TRY(sweep_path_of(j, r->start, "/last.safetensors", w->from));
        sweep_words_add(w, "--from");
        sweep_words_add(w, w->from);
    }
    NB_TRY(sets_of(j, run, &w->sets));
    for (int32_t i = 0; i < w->sets.n; i++) {
        sweep_words_add(w, "--set");
        sweep_words_add(w, w->sets.set[i]);
    }
    if (again)
        sweep_words_add(w, again);
    return NB_OK;
}

void sweep_words_judging(sweep_words *w)
{
    w->n = 0;
    sweep_words_add(w, "nibble");
    sweep_words_add(w, "eval");
    sweep_words_add(w, w->folder);
    sweep_words_add(w, "--json");
}

static bool needs_quotes(const char *word)
{
    return !*word || strcspn(word, " '\"$`\\*?[]{}()<>|&;!#~\t\n") < strlen(word);
}

nb_status sweep_jobs_command(const sweep_jobs *j, int32_t run, char **out)
{
    sweep_words *w = nb_alloc(j->c->ctx, sizeof *w);
    nb_text t;
    nb_text_init(j->c->ctx, &t);
    nb_status st = w ? sweep_words_making(j, run, NULL, w) : NB_E_NOMEM;
    for (int32_t i = 0; st == NB_OK && i < w->n; i++) {
        nb_text_add(&t, i ? " " : "");
        nb_text_add(&t, needs_quotes(w->word[i]) ? "'" : "");
        for (const char *c = w->word[i]; *c; c++)
            nb_text_bytes(&t, *c == '\'' ? "'\\''" : c, *c == '\'' ? 4 : 1);
        nb_text_add(&t, needs_quotes(w->word[i]) ? "'" : "");
    }
    nb_free(j->c->ctx, w);
    if (st == NB_OK)
        return nb_text_take(&t, out);
    nb_text_free(&t);
    return st;
}
