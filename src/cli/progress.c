/* progress.c - the progress line goes to stderr, the lines of epochs to stdout. */
#include "cli/progress.h"

#include <math.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define REDRAW_SECONDS 0.1

double cli_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

const char *cli_duration(double seconds, char *buf, size_t len)
{
    long s = seconds > 0 && seconds < 1e9 ? lrint(seconds) : 0;
    if (s >= 3600)
        snprintf(buf, len, "%ld:%02ld:%02ld", s / 3600, s / 60 % 60, s % 60);
    else
        snprintf(buf, len, "%ld:%02ld", s / 60, s % 60);
    return buf;
}

void cli_progress_init(cli_progress *p, bool quiet)
{
    *p = (cli_progress){.tty = isatty(STDERR_FILENO) != 0, .quiet = quiet, .shown_at = -1};
}

void cli_progress_clear(cli_progress *p)
{
    if (p->width > 0)
        fprintf(stderr, "\r%*s\r", (int)p->width, "");
    p->width = 0;
}

void cli_progress_text(cli_progress *p, const char *text)
{
    cli_progress_clear(p);
    if (!p->tty || p->quiet)
        return;
    p->width = fprintf(stderr, "%s ...", text);
    fflush(stderr);
}

void cli_progress_step(cli_progress *p, const nb_progress *r)
{
    double t = cli_now();
    if (!p->tty || p->quiet || t - p->shown_at < REDRAW_SECONDS)
        return;
    p->shown_at = t;
    char left[32];
    const nb_phase_keys *k = &r->plan->phase[r->phase].keys;
    int len = fprintf(stderr, "\r%s  epoch %d/%d  step %lld/%lld  loss %.4f  train %.2f %%  %.0f images/s  %s left",
                      k->name, r->epoch + 1, k->epochs, (long long)r->step, (long long)r->steps, r->loss,
                      100 * r->accuracy, r->samples_per_second, cli_duration(r->seconds_left, left, sizeof left)) -
              1;
    if (len < p->width) /* the rest of a longer line */
        fprintf(stderr, "%*s", (int)(p->width - len), "");
    p->width = len > p->width ? len : p->width;
    fflush(stderr);
}

void cli_progress_epoch(cli_progress *p, const nb_epoch_report *r)
{
    cli_progress_clear(p);
    if (p->quiet)
        return;
    int32_t name_width = 5;
    for (int32_t i = 0; i < r->plan->n_phases; i++) {
        int32_t len = snprintf(NULL, 0, "%s", r->plan->phase[i].keys.name);
        name_width = len > name_width ? len : name_width;
    }
    const nb_phase_keys *k = &r->plan->phase[r->phase].keys;
    printf("%-*s  epoch %3d/%-3d  lr %-9.3g  loss %.4f  train %6.2f %%  eval %6.2f %%  eval loss %.4f  %6.1f s%s\n",
           (int)name_width, k->name, r->epoch + 1, k->epochs, r->lr, r->loss, 100 * r->train_accuracy,
           100 * r->eval.accuracy, r->eval.loss, r->train_seconds + r->eval_seconds, r->best ? "  best" : "");
    fflush(stdout);
}
