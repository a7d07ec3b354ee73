/* sweep_jobs.c - one process for each run, so that a crash or a kill takes one run and never the sweep.
 *
 * Beside a run's folder stand NAME.log, what its processes said, and NAME.result: a key and, when the run is complete,
 * its accuracy. The key is a hash of the run's whole config and of the network that it begins with, so a result is
 * taken for what it is of, whatever became of the sweep file; and it is written before the run begins, so that a run
 * without a result is resumed only when it is the same one. */
#include "cli/sweep_jobs.h"

#include "cli/open_experiment.h"
#include "cli/progress.h"
#include "cli/run_folder.h"
#include "cli/signals.h"

#include "base/check.h"
#include "base/files.h"
#include "base/measure.h"
#include "base/numtext.h"
#include "base/rng.h"
#include "base/safetensors.h"
#include "base/textbuf.h"

#include <cJSON.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#ifdef __linux__
#    include <sys/prctl.h>
#endif
#include <sys/wait.h>
#include <unistd.h>

enum {
    MAX_RESULT_BYTES = 4096,
    MAX_WORDS = 2 * 1024 + 32,
    MAX_CHECKPOINT_BYTES = 1 << 30,
    CANNOT_START = 127,
    NAP = 20000000
};

/* ---- where a run is ---- */

static nb_status path_of(const sweep_jobs *j, int32_t run, const char *end, char *path)
{
    char name[CLI_PATH_BYTES];
    int len = snprintf(name, sizeof name, "%s%s", j->sweep->run[run].name, end);
    NB_ASSERT(len > 0 && len < CLI_PATH_BYTES);
    return cli_file_in(j->c, j->sweep->out, name, path);
}

/* ---- its config ---- */

typedef struct {
    const char *set[MAX_WORDS / 2];
    char seed[32], out[CLI_PATH_BYTES + 8], init[CLI_PATH_BYTES + 8];
    int32_t n;
} run_sets;

/* All --set values of a run. A quantized one is told its start by --from. */
static nb_status sets_of(const sweep_jobs *j, int32_t run, run_sets *s)
{
    const nb_sweep_run *r = &j->sweep->run[run];
    char path[CLI_PATH_BYTES];
    s->n = 0;
    if (r->n_sets + 3 > MAX_WORDS / 2)
        return nb_fail(j->c->ctx, NB_E_CONFIG, "%s: too many changes", r->name);
    snprintf(s->seed, sizeof s->seed, "seed=%" PRIu64, r->seed);
    NB_TRY(path_of(j, run, "", path));
    snprintf(s->out, sizeof s->out, "out=%s", path);
    s->set[s->n++] = s->seed;
    s->set[s->n++] = s->out;
    if (r->start >= 0 && !r->quantize) {
        NB_TRY(path_of(j, r->start, "/last.safetensors", path));
        snprintf(s->init, sizeof s->init, "init=%s", path);
        s->set[s->n++] = s->init;
    }
    for (int32_t i = 0; i < r->n_sets; i++)
        s->set[s->n++] = r->set[i];
    return NB_OK;
}

static nb_status load_config(const sweep_jobs *j, int32_t run, cli_experiment *e)
{
    run_sets *s = nb_alloc(j->c->ctx, sizeof *s);
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
        j->expected[run] = nb_mix(nb_hash_text(e.text), j->sweep->run[run].quantize);
    if (st == NB_OK)
        j->epochs[run] = sweep_run_epochs(e.exp.train, j->sweep->run[run].quantize);
    else
        st = nb_fail(ctx, st, "%s: %s", j->sweep->run[run].name, nb_ctx_error(ctx));
    cli_experiment_close(j->c, &e);
    return st;
}

/* ---- its result ---- */

/* The key of a run whose start, if it has one, is done. */
static nb_status key_of(const sweep_jobs *j, int32_t run, uint64_t *key)
{
    const nb_sweep_run *r = &j->sweep->run[run];
    char path[CLI_PATH_BYTES];
    uint8_t *bytes;
    size_t len;
    *key = j->expected[run];
    if (r->start < 0)
        return NB_OK;
    NB_TRY(path_of(j, r->start, "/last.safetensors", path));
    NB_TRY(nb_file_read(j->c->ctx, path, MAX_CHECKPOINT_BYTES, &bytes, &len));
    *key = nb_mix(*key, nb_hash_bytes(bytes, len));
    nb_free(j->c->ctx, bytes);
    return NB_OK;
}

typedef struct {
    uint64_t key;
    bool complete;
    double accuracy;
    char kind[128], metric[16];
} result;

/* nibble-sweep 1, key HEX, and of a complete run: accuracy NUMBER, kind TEXT, and metric NAME where it is no accuracy.
 * Anything else is no result. */
static bool read_result(const sweep_jobs *j, int32_t run, result *r)
{
    char path[CLI_PATH_BYTES];
    uint8_t *bytes = NULL;
    size_t len;
    nb_c_locale locale;
    *r = (result){0};
    if (path_of(j, run, ".result", path) != NB_OK || !nb_file_exists(path) ||
        nb_file_read(j->c->ctx, path, MAX_RESULT_BYTES, &bytes, &len) != NB_OK || !nb_c_locale_enter(&locale)) {
        nb_free(j->c->ctx, bytes);
        return false;
    }
    const int n = sscanf((const char *)bytes,
                         "nibble-sweep 1\nkey %16" SCNx64 "\naccuracy %lf\nkind %127[^\n]\nmetric %15[^\n]\n", &r->key,
                         &r->accuracy, r->kind, r->metric);
    r->complete = n >= 3 && r->accuracy >= 0 && r->accuracy <= 1;
    nb_c_locale_leave(&locale);
    nb_free(j->c->ctx, bytes);
    return n >= 1;
}

static nb_status write_result(const sweep_jobs *j, int32_t run, const result *r)
{
    char path[CLI_PATH_BYTES], number[NB_NUMTEXT], text[MAX_RESULT_BYTES];
    NB_TRY(path_of(j, run, ".result", path));
    int n = snprintf(text, sizeof text, "nibble-sweep 1\nkey %016" PRIx64 "\n", r->key);
    if (r->complete)
        n += snprintf(text + n, sizeof text - (size_t)n, "accuracy %s\nkind %s\n", nb_double_text(number, r->accuracy),
                      r->kind);
    if (r->complete && strcmp(r->metric, "accuracy") != 0)
        n += snprintf(text + n, sizeof text - (size_t)n, "metric %s\n", r->metric);
    return nb_file_write(j->c->ctx, path, text, (size_t)n);
}

static void take(nb_sweep_run *run, const result *r)
{
    run->state = NB_SWEEP_DONE;
    run->accuracy = r->accuracy;
    snprintf(run->metric, sizeof run->metric, "%s", *r->metric ? r->metric : "accuracy");
    snprintf(run->kind, sizeof run->kind, "%s", r->kind);
}

/* A start that others begin with must be there to begin with. */
static nb_status check_start(const sweep_jobs *j, int32_t run, bool *there)
{
    char path[CLI_PATH_BYTES], folder[CLI_PATH_BYTES];
    nb_st_file *f;
    NB_TRY(path_of(j, run, "/last.safetensors", path));
    NB_TRY(path_of(j, run, "", folder));
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
    result found;
    uint64_t key = 0;
    char folder[CLI_PATH_BYTES];
    NB_TRY(path_of(j, run, "", folder));
    const bool known = r->start < 0 || j->sweep->run[r->start].state == NB_SWEEP_DONE,
               any = read_result(j, run, &found);
    if (known)
        NB_TRY(key_of(j, run, &key));
    bool there = true;
    if (known && any && found.complete && found.key == key && r->purpose == NB_SWEEP_START)
        NB_TRY(check_start(j, run, &there));
    if (known && any && found.complete && found.key == key && there)
        take(r, &found);
    j->stale[run] = r->state != NB_SWEEP_DONE && cli_holds_run(folder) && !(known && any && found.key == key);
    return NB_OK;
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
    for (int32_t i = 0; st == NB_OK && i < n; i++) /* starts come before what begins with them */
        st = look(j, i);
    cli_experiment_close(j->c, &data);
    return st;
}

void sweep_jobs_close(sweep_jobs *j)
{
    nb_free(j->c->ctx, j->expected);
    nb_free(j->c->ctx, j->stale);
    nb_free(j->c->ctx, j->epochs);
}

/* ---- its processes ---- */

typedef struct {
    const char *word[MAX_WORDS];
    int32_t n;
    run_sets sets;
    char from[CLI_PATH_BYTES], folder[CLI_PATH_BYTES], log[CLI_PATH_BYTES], answer[CLI_PATH_BYTES];
} words;

static void add(words *w, const char *word)
{
    NB_ASSERT(w->n + 1 < MAX_WORDS);
    w->word[w->n++] = word;
    w->word[w->n] = NULL;
}

/* The command that makes the run. again: --resume, --force or NULL. */
static nb_status making(const sweep_jobs *j, int32_t run, const char *again, words *w)
{
    const nb_sweep_run *r = &j->sweep->run[run];
    w->n = 0;
    add(w, "nibble");
    add(w, r->quantize ? "quantize" : "train");
    add(w, r->config);
    if (r->quantize) {
        NB_TRY(path_of(j, r->start, "/last.safetensors", w->from));
        add(w, "--from");
        add(w, w->from);
    } else {
        add(w, "--quiet");
    }
    NB_TRY(sets_of(j, run, &w->sets));
    for (int32_t i = 0; i < w->sets.n; i++) {
        add(w, "--set");
        add(w, w->sets.set[i]);
    }
    if (again)
        add(w, again);
    return NB_OK;
}

static void judging(words *w)
{
    w->n = 0;
    add(w, "nibble");
    add(w, "eval");
    add(w, w->folder);
    add(w, "--json");
}

static bool needs_quotes(const char *word)
{
    return !*word || strcspn(word, " '\"$`\\*?[]{}()<>|&;!#~\t\n") < strlen(word);
}

nb_status sweep_jobs_command(const sweep_jobs *j, int32_t run, char **out)
{
    words *w = nb_alloc(j->c->ctx, sizeof *w);
    nb_text t;
    nb_text_init(j->c->ctx, &t);
    nb_status st = w ? making(j, run, NULL, w) : NB_E_NOMEM;
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

/* In the child, where only what is safe after a fork may be called. Does not return. */
static void become(const words *w, const char *out, const sigset_t *signals)
{
    char *argv[MAX_WORDS]; /* execv's type has a const less, and its promise not to write */
    memcpy(argv, w->word, ((size_t)w->n + 1) * sizeof *argv);
    cli_signals_reset_child(signals);
#ifdef __linux__
    prctl(PR_SET_PDEATHSIG,
          SIGKILL); /* a run that outlived its sweep would be in the next one's way; a kill loses little */
#endif
    const int in = open("/dev/null", O_RDONLY), log = open(w->log, O_WRONLY | O_CREAT | O_APPEND, 0666);
    const int to = out ? open(out, O_WRONLY | O_CREAT | O_TRUNC, 0666) : log;
    if (in >= 0 && log >= 0 && to >= 0 && dup2(in, 0) >= 0 && dup2(to, 1) >= 0 && dup2(log, 2) >= 0)
        execv("/proc/self/exe", argv);
    _exit(CANNOT_START);
}

static nb_status launch(const sweep_jobs *j, words *w, const char *out, pid_t *child)
{
    if (j->threads) {
        add(w, "--threads");
        add(w, j->threads);
    }
    fflush(NULL);
    sigset_t signals;
    cli_signals_hold(&signals);
    *child = fork();
    const int why = errno;
    if (*child == 0)
        become(w, out, &signals);
    cli_signals_release(&signals);
    return *child > 0 ? NB_OK : nb_fail(j->c->ctx, NB_E_IO, "a process cannot be started: %s", strerror(why));
}

/* ---- all of them ---- */

typedef enum { SLOT_FREE, SLOT_MAKES, SLOT_JUDGES } slot_state;

typedef struct {
    slot_state state;
    int32_t run;
    pid_t child;
    uint64_t key;
    double since;
    words w;
} slot;

static nb_status judge(sweep_jobs *j, slot *s)
{
    s->state = SLOT_JUDGES;
    judging(&s->w);
    return launch(j, &s->w, s->w.answer, &s->child);
}

static nb_status begin(sweep_jobs *j, slot *s, int32_t run)
{
    const nb_sweep_run *r = &j->sweep->run[run];
    char parent[CLI_PATH_BYTES], integers[CLI_PATH_BYTES];
    result found;
    s->run = run;
    s->since = nb_now();
    NB_TRY(path_of(j, run, "", s->w.folder));
    NB_TRY(path_of(j, run, ".log", s->w.log));
    NB_TRY(path_of(j, run, ".answer", s->w.answer));
    NB_TRY(cli_file_in(j->c, s->w.folder, "last.safetensors", integers));
    snprintf(parent, sizeof parent, "%.*s", (int)(strrchr(s->w.folder, '/') - s->w.folder), s->w.folder);
    NB_TRY(nb_make_dirs(j->c->ctx, parent));
    NB_TRY(key_of(j, run, &s->key));
    const bool same = read_result(j, run, &found) && found.key == s->key, holds = cli_holds_run(s->w.folder);
    NB_TRY(write_result(j, run, &(result){.key = s->key}));
    if (r->quantize && same && nb_file_exists(integers)) /* its files are there together, or not at all */
        return judge(j, s);
    s->state = SLOT_MAKES;
    const char *again = holds && (r->quantize || !same) ? "--force" : r->quantize ? NULL : same ? "--resume" : NULL;
    NB_TRY(making(j, run, again, &s->w));
    return launch(j, &s->w, NULL, &s->child);
}

/* The last line of a log: why it failed. */
static void last_line(const sweep_jobs *j, const char *path, char *text, size_t size)
{
    uint8_t *bytes = NULL;
    size_t len = 0;
    snprintf(text, size, "see %.400s", path);
    if (nb_file_read(j->c->ctx, path, 1 << 26, &bytes, &len) == NB_OK) {
        while (len && bytes[len - 1] == '\n')
            bytes[--len] = 0;
        const char *line = strrchr((const char *)bytes, '\n');
        line = line ? line + 1 : (const char *)bytes;
        line += strncmp(line, "nibble: ", 8) == 0 ? 8 : 0;
        if (*line)
            snprintf(text, size, "%s", line);
    }
    nb_free(j->c->ctx, bytes);
}

static bool read_answer(const sweep_jobs *j, const slot *s, result *r)
{
    uint8_t *bytes = NULL;
    size_t len;
    *r = (result){.key = s->key};
    if (nb_file_read(j->c->ctx, s->w.answer, MAX_RESULT_BYTES, &bytes, &len) != NB_OK)
        return false;
    cJSON *o = cJSON_Parse((const char *)bytes);
    const cJSON *metric = cJSON_GetObjectItem(o, "metric"), *kind = cJSON_GetObjectItem(o, "kind");
    const cJSON *accuracy = cJSON_IsString(metric) ? cJSON_GetObjectItem(o, metric->valuestring) : NULL;
    r->complete = cJSON_IsNumber(accuracy) && cJSON_IsString(kind);
    if (r->complete) {
        r->accuracy = accuracy->valuedouble;
        snprintf(r->kind, sizeof r->kind, "%s", kind->valuestring);
        snprintf(r->metric, sizeof r->metric, "%s", metric->valuestring);
    }
    cJSON_Delete(o);
    nb_free(j->c->ctx, bytes);
    remove(s->w.answer);
    return r->complete;
}

/* One line per run that ended. */
static void say(sweep_jobs *j, const slot *s)
{
    const nb_sweep_run *r = &j->sweep->run[s->run];
    char took[32], left[32], why[512] = "";
    j->done++;
    const double seconds = nb_now() - s->since;
    j->spent.seconds += seconds;
    j->spent.epochs += j->epochs[s->run];
    if (r->state == NB_SWEEP_FAILED)
        last_line(j, s->w.log, why, sizeof why);
    printf("%*d of %d  %-40s ", (int)snprintf(NULL, 0, "%d", j->todo), j->done, j->todo, r->name);
    if (r->state == NB_SWEEP_FAILED)
        printf("failed: %s", why);
    else
        printf("%6.2f %%  %s", 100 * r->accuracy, cli_duration(seconds, took, sizeof took));
    if (j->done < j->todo)
        printf(", about %s left",
               cli_duration(sweep_seconds_left(j->sweep, j->epochs, &j->spent, j->jobs), left, sizeof left));
    printf("\n");
    fflush(stdout);
}

static nb_status ended(sweep_jobs *j, slot *s, int status)
{
    nb_sweep_run *r = &j->sweep->run[s->run];
    const bool ok = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    result answer;
    if (ok && s->state == SLOT_MAKES && !*j->stop)
        return judge(j, s);
    const bool judged = ok && s->state == SLOT_JUDGES && read_answer(j, s, &answer);
    s->state = SLOT_FREE;
    if (judged) {
        NB_TRY(write_result(j, s->run, &answer));
        take(r, &answer);
    } else if (*j->stop) {
        return NB_OK;
    } else {
        r->state = NB_SWEEP_FAILED;
    }
    say(j, s);
    return NB_OK;
}

/* A run that can begin: wanted, missing, and its start is done; what cannot ever, fails with its start. */
static int32_t next_run(sweep_jobs *j, const slot *slots)
{
    for (int32_t i = 0; i < j->sweep->n_runs; i++) {
        nb_sweep_run *r = &j->sweep->run[i];
        bool runs = false;
        for (int32_t k = 0; k < j->jobs; k++)
            runs = runs || (slots[k].state != SLOT_FREE && slots[k].run == i);
        if (!r->wanted || r->state != NB_SWEEP_MISSING || runs)
            continue;
        const nb_sweep_state start = r->start >= 0 ? j->sweep->run[r->start].state : NB_SWEEP_DONE;
        if (start == NB_SWEEP_DONE)
            return i;
        if (start == NB_SWEEP_FAILED) {
            r->state = NB_SWEEP_FAILED;
            j->done++;
            printf("%s failed with %s\n", r->name, j->sweep->run[r->start].name);
        }
    }
    return -1;
}

static nb_status fill(sweep_jobs *j, slot *slots)
{
    for (int32_t k = 0; k < j->jobs && !*j->stop; k++) {
        if (slots[k].state != SLOT_FREE)
            continue;
        const int32_t run = next_run(j, slots);
        if (run < 0)
            return NB_OK;
        nb_status st = begin(j, &slots[k], run);
        if (st != NB_OK) {
            slots[k].state = SLOT_FREE;
            return st;
        }
    }
    return NB_OK;
}

static slot *slot_of(const sweep_jobs *j, slot *slots, pid_t child)
{
    for (int32_t k = 0; k < j->jobs; k++)
        if (slots[k].state != SLOT_FREE && slots[k].child == child)
            return &slots[k];
    return NULL;
}

static bool any_runs(const sweep_jobs *j, const slot *slots)
{
    for (int32_t k = 0; k < j->jobs; k++)
        if (slots[k].state != SLOT_FREE)
            return true;
    return false;
}

/* Asks all to save and end. */
static void pass_on(const sweep_jobs *j, const slot *slots)
{
    for (int32_t k = 0; k < j->jobs; k++)
        if (slots[k].state != SLOT_FREE)
            kill(slots[k].child, SIGTERM);
}

static nb_status run_slots(sweep_jobs *j, slot *slots)
{
    nb_status st = fill(j, slots);
    for (bool told = false; any_runs(j, slots);) {
        int status;
        if ((*j->stop || st != NB_OK) && !told) {
            pass_on(j, slots);
            told = true;
        }
        /* not in one long wait: a signal that comes just before it, or restarts it, would be seen only after a run */
        const pid_t child = waitpid(-1, &status, WNOHANG);
        if (child == 0)
            nanosleep(&(struct timespec){0, NAP}, NULL);
        slot *s = child > 0 ? slot_of(j, slots, child) : NULL;
        if (child < 0 && errno != EINTR)
            return nb_fail(j->c->ctx, NB_E_IO, "waiting for a run: %s", strerror(errno));
        const nb_status end = s ? ended(j, s, status) : NB_OK;
        st = st == NB_OK ? end : st;
        if (st == NB_OK)
            st = fill(j, slots);
    }
    if (st == NB_OK && *j->stop)
        return nb_fail(j->c->ctx, NB_E_STOPPED, "interrupted; what ran has saved, the same command goes on");
    return st;
}

nb_status sweep_jobs_make(sweep_jobs *j)
{
    slot *slots = nb_alloc(j->c->ctx, (size_t)j->jobs * sizeof *slots);
    if (!slots)
        return NB_E_NOMEM;
    j->todo = j->done = 0;
    for (int32_t i = 0; i < j->sweep->n_runs; i++)
        j->todo += j->sweep->run[i].wanted && j->sweep->run[i].state == NB_SWEEP_MISSING;
    nb_status st = run_slots(j, slots);
    nb_free(j->c->ctx, slots);
    return st;
}
