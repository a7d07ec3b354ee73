/* sweep_slots.c - making runs: one process for each, so that a crash or a kill takes one run and never the sweep.
 *
 * A slot is a place where one run at a time is made: --jobs of them on every rank. All ranks have all slots and give runs to
 * them in the same order; whose slot it is starts the processes, and tells the others what came of it, once in a round. So
 * they know the same of every run, and nobody leads. Alone, a round has no message. */
#include "cli/sweep_jobs.h"

#include "cli/progress.h"
#include "cli/run_folder.h"
#include "cli/signals.h"
#include "cli/sweep_result.h"
#include "cli/sweep_words.h"

#include "base/check.h"
#include "base/files.h"
#include "base/measure.h"
#include "base/numtext.h"
#include "base/ranks.h"

#include <cJSON.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <time.h>
#ifdef __linux__
#    include <sys/prctl.h>
#endif
#include <sys/wait.h>
#include <unistd.h>

enum { MAX_ANSWER_BYTES = 4096, CANNOT_START = 127, NAP = 20000000, NAP_OF_RANKS = 100000000, WHY_BYTES = 512 };

typedef enum { SLOT_FREE, SLOT_MAKES, SLOT_JUDGES } slot_state;
typedef enum { NOTHING, DONE, FAILED, ENDED /* asked to */, BROKEN /* the sweep cannot go on */ } slot_news;

typedef struct {
    slot_state state;
    int32_t run;
    double since;
    slot_news news;
    sweep_words *w; /* NULL: another rank's, and so are child and key */
    pid_t child;
    uint64_t key;
} slot;

/* What the news are. */
typedef struct {
    sweep_result answer;
    nb_status st;
    char why[WHY_BYTES];
} slot_report;

typedef struct {
    sweep_jobs *j;
    slot *slot; /* [n], those of a rank in a row */
    slot_report *report;
    int32_t n;
    bool ending;        /* all have been asked to */
    char **environment; /* of processes that are started: they are alone, whatever started this one */
} slots;

/* What ranks know of each other after a round. */
typedef struct {
    uint8_t stop, news[SWEEP_MAX_JOBS];
} round_of_rank;

/* ---- processes ---- */

/* In the child, where only what is safe after a fork may be called. Does not return. */
static void become(const sweep_words *w, const char *out, char **environment, const sigset_t *signals)
{
    char *argv[SWEEP_MAX_WORDS]; /* execve's type has a const less, and its promise not to write */
    memcpy(argv, w->word, ((size_t)w->n + 1) * sizeof *argv);
    cli_signals_reset_child(signals);
#ifdef __linux__
    prctl(PR_SET_PDEATHSIG,
          SIGKILL); /* a run that outlived its sweep would be in the next one's way; a kill loses little */
#endif
    const int in = open("/dev/null", O_RDONLY), log = open(w->log, O_WRONLY | O_CREAT | O_APPEND, 0666);
    const int to = out ? open(out, O_WRONLY | O_CREAT | O_TRUNC, 0666) : log;
    if (in >= 0 && log >= 0 && to >= 0 && dup2(in, 0) >= 0 && dup2(to, 1) >= 0 && dup2(log, 2) >= 0)
        execve("/proc/self/exe", argv, environment);
    _exit(CANNOT_START);
}

static nb_status launch(const slots *all, slot *s, const char *out)
{
    const sweep_jobs *j = all->j;
    if (j->threads) {
        sweep_words_add(s->w, "--threads");
        sweep_words_add(s->w, j->threads);
    }
    fflush(NULL);
    sigset_t signals;
    cli_signals_hold(&signals);
    s->child = fork();
    const int why = errno;
    if (s->child == 0)
        become(s->w, out, all->environment, &signals);
    cli_signals_release(&signals);
    return s->child > 0 ? NB_OK : nb_fail(j->c->ctx, NB_E_IO, "a process cannot be started: %s", strerror(why));
}

static nb_status judge(const slots *all, slot *s)
{
    s->state = SLOT_JUDGES;
    sweep_words_judging(s->w);
    return launch(all, s, s->w->answer);
}

static nb_status begin(const slots *all, slot *s)
{
    const sweep_jobs *j = all->j;
    const nb_sweep_run *r = &j->sweep->run[s->run];
    sweep_words *w = s->w;
    char parent[CLI_PATH_BYTES], integers[CLI_PATH_BYTES];
    sweep_result found;
    NB_TRY(sweep_path_of(j, s->run, "", w->folder));
    NB_TRY(sweep_path_of(j, s->run, ".log", w->log));
    NB_TRY(sweep_path_of(j, s->run, ".answer", w->answer));
    NB_TRY(cli_file_in(j->c, w->folder, "last.safetensors", integers));
    snprintf(parent, sizeof parent, "%.*s", (int)(strrchr(w->folder, '/') - w->folder), w->folder);
    NB_TRY(nb_make_dirs(j->c->ctx, parent));
    NB_TRY(sweep_key_of(j, s->run, &s->key));
    const bool same = sweep_result_read(j, s->run, &found) && found.key == s->key, holds = cli_holds_run(w->folder);
    NB_TRY(sweep_result_write(j, s->run, &(sweep_result){.key = s->key}));
    if (r->quantize && same && nb_file_exists(integers)) /* its files are there together, or not at all */
        return judge(all, s);
    const char *again = holds && (r->quantize || !same) ? "--force" : r->quantize ? NULL : same ? "--resume" : NULL;
    NB_TRY(sweep_words_making(j, s->run, again, w));
    return launch(all, s, NULL);
}

/* The last line of a log: why it failed. */
static void last_line(const sweep_jobs *j, const char *path, char text[WHY_BYTES])
{
    uint8_t *bytes = NULL;
    size_t len = 0;
    snprintf(text, WHY_BYTES, "see %.400s", path);
    if (nb_file_read(j->c->ctx, path, 1 << 26, &bytes, &len) == NB_OK) {
        while (len && bytes[len - 1] == '\n')
            bytes[--len] = 0;
        const char *line = strrchr((const char *)bytes, '\n');
        line = line ? line + 1 : (const char *)bytes;
        line += strncmp(line, "nibble: ", 8) == 0 ? 8 : 0;
        if (*line)
            snprintf(text, WHY_BYTES, "%s", line);
    }
    nb_free(j->c->ctx, bytes);
}

static bool read_answer(const sweep_jobs *j, const slot *s, sweep_result *r)
{
    uint8_t *bytes = NULL;
    size_t len;
    *r = (sweep_result){.key = s->key};
    if (nb_file_read(j->c->ctx, s->w->answer, MAX_ANSWER_BYTES, &bytes, &len) != NB_OK)
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
    remove(s->w->answer);
    return r->complete;
}

/* ---- this rank's slots ---- */

/* The sentence is there. */
static void broken(const slots *all, slot *s, nb_status st)
{
    slot_report *r = &all->report[s - all->slot];
    s->news = BROKEN;
    r->st = st;
    snprintf(r->why, sizeof r->why, "%s", nb_ctx_error(all->j->c->ctx));
}

/* A process of this slot has ended. */
static void ended(const slots *all, slot *s, int status)
{
    const sweep_jobs *j = all->j;
    slot_report *r = &all->report[s - all->slot];
    const bool ok = WIFEXITED(status) && WEXITSTATUS(status) == 0, ending = all->ending || *j->stop;
    nb_status st = NB_OK;
    s->child = 0;
    if (ok && s->state == SLOT_MAKES && !ending) {
        st = judge(all, s);
    } else if (ok && s->state == SLOT_JUDGES && read_answer(j, s, &r->answer)) {
        s->news = DONE;
        st = sweep_result_write(j, s->run, &r->answer);
    } else if (ending) {
        s->news = ENDED;
    } else {
        s->news = FAILED;
        last_line(j, s->w->log, r->why);
    }
    if (st != NB_OK)
        broken(all, s, st);
}

static bool is_own(const slot *s)
{
    return s->w && s->state != SLOT_FREE;
}

/* Looks after all children once; true: one has ended. Not in one long wait: a signal that comes just before it, or restarts it,
 * would be seen only after a run. */
static bool look_after(const slots *all)
{
    bool any = false;
    for (int32_t k = 0; k < all->n; k++) {
        slot *s = &all->slot[k];
        int status;
        if (!is_own(s) || s->child <= 0)
            continue;
        const pid_t child = waitpid(s->child, &status, WNOHANG);
        if (child == s->child) {
            ended(all, s, status);
            any = true;
        } else if (child < 0 && errno != EINTR) {
            s->child = 0;
            broken(all, s, nb_fail(all->j->c->ctx, NB_E_IO, "waiting for a run: %s", strerror(errno)));
        }
    }
    return any;
}

/* Asks all to save and end. */
static void pass_on(slots *all)
{
    all->ending = true;
    for (int32_t k = 0; k < all->n; k++)
        if (is_own(&all->slot[k]) && all->slot[k].child > 0)
            kill(all->slot[k].child, SIGTERM);
}

/* ---- all slots, on all ranks alike ---- */

/* One line per run that ended. */
static void say(const slots *all, const slot *s)
{
    sweep_jobs *j = all->j;
    const nb_sweep_run *r = &j->sweep->run[s->run];
    char took[32], left[32];
    j->done++;
    const double seconds = nb_now() - s->since;
    j->spent.seconds += seconds;
    j->spent.epochs += j->epochs[s->run];
    printf("%*d of %d  %-40s ", (int)snprintf(NULL, 0, "%d", j->todo), j->done, j->todo, r->name);
    if (r->state == NB_SWEEP_FAILED)
        printf("failed: %s", all->report[s - all->slot].why);
    else
        printf("%6.2f %%  %s", nb_percent(r->accuracy), cli_duration(seconds, took, sizeof took));
    if (j->done < j->todo)
        printf(", about %s left",
               cli_duration(sweep_seconds_left(j->sweep, j->epochs, &j->spent, all->n), left, sizeof left));
    printf("\n");
    fflush(stdout);
}

/* Of what all others wait for, where one can see it under way: its log has a line for each epoch. */
static void say_start(const slots *all, const slot *s)
{
    const nb_sweep_run *r = &all->j->sweep->run[s->run];
    if (r->purpose != NB_SWEEP_START)
        return;
    printf("%s begins, its epochs are in %s\n", r->name, s->w->log);
    fflush(stdout);
}

/* A run that can begin: wanted, missing, and its start is done; what cannot ever, fails with its start. */
static int32_t next_run(const slots *all)
{
    sweep_jobs *j = all->j;
    for (int32_t i = 0; i < j->sweep->n_runs; i++) {
        nb_sweep_run *r = &j->sweep->run[i];
        bool runs = false;
        for (int32_t k = 0; k < all->n; k++)
            runs = runs || (all->slot[k].state != SLOT_FREE && all->slot[k].run == i);
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

/* Every rank gets one run before one gets a second. */
static void fill(const slots *all)
{
    const int32_t ranks = nb_ranks(), jobs = all->n / ranks;
    for (int32_t i = 0; i < all->n; i++) {
        slot *s = &all->slot[i % ranks * jobs + i / ranks];
        if (s->state != SLOT_FREE)
            continue;
        const int32_t run = next_run(all);
        if (run < 0)
            return;
        s->state = SLOT_MAKES;
        s->run = run;
        s->since = nb_now();
        const nb_status st = s->w ? begin(all, s) : NB_OK;
        if (st != NB_OK)
            broken(all, s, st);
        else if (s->w)
            say_start(all, s);
    }
}

/* Every rank gets all news. *stop: somebody was asked to end, here or elsewhere. */
static void exchange(const slots *all, bool *stop)
{
    const int32_t ranks = nb_ranks(), jobs = all->n / ranks;
    round_of_rank each[NB_MAX_RANKS] = {{0}}, *own = &each[nb_rank()];
    nb_piece piece[NB_MAX_RANKS];
    own->stop = *all->j->stop != 0;
    for (int32_t i = 0; i < jobs; i++)
        own->news[i] = (uint8_t)all->slot[nb_rank() * jobs + i].news;
    for (int32_t r = 0; r < ranks; r++)
        piece[r] = (nb_piece){&each[r], sizeof each[r], r, 0};
    nb_ranks_share(piece, ranks);
    for (int32_t k = 0; k < all->n; k++) {
        slot *s = &all->slot[k];
        s->news = (slot_news)each[k / jobs].news[k % jobs];
        if (s->news != NOTHING)
            nb_ranks_share(&(nb_piece){&all->report[k], sizeof *all->report, k / jobs, 0}, 1);
    }
    for (int32_t r = 0; r < ranks; r++)
        *stop = *stop || each[r].stop;
}

/* What the news say. */
static nb_status take_in(const slots *all)
{
    nb_status st = NB_OK;
    for (int32_t k = 0; k < all->n; k++) {
        slot *s = &all->slot[k];
        const slot_report *r = &all->report[k];
        nb_sweep_run *run = &all->j->sweep->run[s->run];
        if (s->news == NOTHING)
            continue;
        if (s->news == BROKEN && st == NB_OK)
            st = nb_fail(all->j->c->ctx, r->st, "%s", r->why);
        if (s->news == DONE)
            sweep_result_take(run, &r->answer);
        if (s->news == FAILED)
            run->state = NB_SWEEP_FAILED;
        if (s->news == DONE || s->news == FAILED)
            say(all, s);
        s->state = SLOT_FREE;
        s->news = NOTHING;
    }
    return st;
}

static bool any_runs(const slots *all)
{
    for (int32_t k = 0; k < all->n; k++)
        if (all->slot[k].state != SLOT_FREE)
            return true;
    return false;
}

static nb_status run_all(slots *all)
{
    const struct timespec nap = {0, nb_ranks() > 1 ? NAP_OF_RANKS : NAP};
    nb_status st = NB_OK;
    fill(all);
    for (bool stop = false; any_runs(all);) {
        if (!look_after(all))
            nanosleep(&nap, NULL);
        exchange(all, &stop);
        const nb_status news = take_in(all);
        st = st == NB_OK ? news : st;
        if ((stop || st != NB_OK) && !all->ending)
            pass_on(all);
        if (!all->ending)
            fill(all);
        if (!any_runs(all) && st == NB_OK && stop)
            st = nb_fail(all->j->c->ctx, NB_E_STOPPED, "interrupted; what ran has saved, the same command goes on");
    }
    return st;
}

static nb_status open_slots(slots *all)
{
    extern char **environ;
    nb_ctx *ctx = all->j->c->ctx;
    const int32_t jobs = all->j->jobs;
    int32_t n = 0, kept = 0;
    all->n = jobs * nb_ranks();
    all->slot = nb_alloc(ctx, (size_t)all->n * sizeof *all->slot);
    all->report = nb_alloc(ctx, (size_t)all->n * sizeof *all->report);
    while (environ[n])
        n++;
    all->environment = nb_alloc(ctx, ((size_t)n + 1) * sizeof *all->environment);
    if (!all->slot || !all->report || !all->environment)
        return NB_E_NOMEM;
    for (int32_t i = 0; i < n; i++)
        if (!nb_ranks_says_so(environ[i]))
            all->environment[kept++] = environ[i];
    for (int32_t i = 0; i < jobs; i++) {
        slot *s = &all->slot[nb_rank() * jobs + i];
        s->w = nb_alloc(ctx, sizeof *s->w);
        if (!s->w)
            return NB_E_NOMEM;
    }
    return NB_OK;
}

nb_status sweep_jobs_make(sweep_jobs *j)
{
    slots all = {.j = j};
    nb_status st = open_slots(&all);
    j->todo = j->done = 0;
    for (int32_t i = 0; i < j->sweep->n_runs; i++)
        j->todo += j->sweep->run[i].wanted && j->sweep->run[i].state == NB_SWEEP_MISSING;
    nb_files_own(j->c->ctx, true); /* of the runs in its slots */
    if (st == NB_OK)
        st = run_all(&all);
    nb_files_own(j->c->ctx, false);
    for (int32_t k = 0; all.slot && k < all.n; k++)
        nb_free(j->c->ctx, all.slot[k].w);
    nb_free(j->c->ctx, all.slot);
    nb_free(j->c->ctx, all.report);
    nb_free(j->c->ctx, all.environment);
    return st;
}
