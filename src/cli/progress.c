/* progress.c - the progress line goes to stderr, the table of epochs to stdout. */
#include "cli/progress.h"

#include "base/measure.h"
#include "base/numtext.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define REDRAW_SECONDS 0.1
enum { USUAL_COLUMNS = 80, LINE_BYTES = 512 };

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

/* Of the terminal, now: it may have been resized. */
static int32_t columns(void)
{
    struct winsize w;
    const char *text = getenv("COLUMNS");
    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_col > 0)
        return w.ws_col;
    long v = text ? strtol(text, NULL, 10) : 0;
    return v > 0 && v < INT32_MAX ? (int32_t)v : USUAL_COLUMNS;
}

/* The last column stays free: some terminals begin a new line when it is written. */
static int32_t room(void)
{
    return columns() - 1;
}

/* Columns of a text: bytes that begin a character. */
static int32_t width_of(const char *text)
{
    int32_t n = 0;
    for (; *text; text++)
        n += ((unsigned char)*text & 0xc0) != 0x80;
    return n;
}

/* Cuts text after so many columns. */
static void cut(char *text, int32_t width)
{
    for (; *text; text++)
        if (((unsigned char)*text & 0xc0) != 0x80 && width-- <= 0)
            break;
    *text = '\0';
}

void cli_progress_clear(cli_progress *p)
{
    const int32_t width = p->width < room() ? p->width : room();
    if (width > 0)
        fprintf(stderr, "\r%*s\r", (int)width, "");
    p->width = 0;
}

/* text in place of what stands there; cut so that it stays one line, which a carriage return can go back over. */
static void draw(cli_progress *p, char *text)
{
    cut(text, room());
    const int32_t width = width_of(text), rest = (p->width < room() ? p->width : room()) - width;
    fprintf(stderr, "\r%s%*s", text, rest > 0 ? (int)rest : 0, "");
    p->width = rest > 0 ? width + rest : width;
    fflush(stderr);
}

void cli_progress_text(cli_progress *p, const char *text)
{
    char line[LINE_BYTES];
    cli_progress_clear(p);
    if (!p->tty || p->quiet)
        return;
    snprintf(line, sizeof line, "%s ...", text);
    draw(p, line);
}

enum { PARTS = 7, PART_BYTES = 64 };

/* The parts that fit, in order; those that are missed least go first. */
static void join(char parts[PARTS][PART_BYTES], int32_t width, char line[LINE_BYTES])
{
    static const int32_t go[] = {5, 2, 4, 3, 6}; /* images/s, step, train, loss, time left */
    for (size_t i = 0;; i++) {
        size_t at = 0;
        line[0] = '\0';
        for (int32_t k = 0; k < PARTS; k++)
            if (*parts[k])
                at += (size_t)snprintf(line + at, LINE_BYTES - at, "%s%s", at ? "  " : "", parts[k]);
        if ((int32_t)at <= width || i == sizeof go / sizeof *go)
            return;
        parts[go[i]][0] = '\0';
    }
}

void cli_progress_step(cli_progress *p, const nb_progress *r)
{
    double t = nb_now();
    if (!p->tty || p->quiet || t - p->shown_at < REDRAW_SECONDS)
        return;
    p->shown_at = t;
    char left[32], line[LINE_BYTES], parts[PARTS][PART_BYTES];
    const nb_phase_keys *k = &r->plan->phase[r->phase].keys;
    snprintf(parts[0], PART_BYTES, "%s", k->name);
    snprintf(parts[1], PART_BYTES, "epoch %d/%d", r->epoch + 1, k->epochs);
    snprintf(parts[2], PART_BYTES, "step %lld/%lld", (long long)r->step, (long long)r->steps);
    snprintf(parts[3], PART_BYTES, "loss %.4f", r->loss);
    snprintf(parts[4], PART_BYTES, "train %.2f %%", nb_percent(r->accuracy));
    snprintf(parts[5], PART_BYTES, "%.0f images/s", r->samples_per_second);
    snprintf(parts[6], PART_BYTES, "%s left", cli_duration(r->seconds_left, left, sizeof left));
    join(parts, room(), line);
    draw(p, line);
}

void cli_progress_share(cli_progress *p, const char *text, double share, double since)
{
    const double t = nb_now();
    char left[32], line[LINE_BYTES];
    if (!p->tty || p->quiet || t - p->shown_at < REDRAW_SECONDS || share <= 0)
        return;
    p->shown_at = t;
    cli_duration((t - since) * (1 - share) / share, left, sizeof left);
    snprintf(line, sizeof line, "%.300s  %.0f %%  %s left", text, 100 * share, left);
    draw(p, line);
}

/* Longest name and number, so that the lines of all phases stand below each other. */
static void epoch_widths(const nb_train_plan *plan, int32_t *name, int32_t *number)
{
    *name = (int32_t)strlen("phase");
    *number = 1;
    for (int32_t i = 0; i < plan->n_phases; i++) {
        const int32_t len = (int32_t)strlen(plan->phase[i].keys.name);
        const int32_t digits = snprintf(NULL, 0, "%d", plan->phase[i].keys.epochs);
        *name = len > *name ? len : *name;
        *number = digits > *number ? digits : *number;
    }
}

void cli_progress_epoch(cli_progress *p, const nb_epoch_report *r)
{
    int32_t name, number;
    cli_progress_clear(p);
    if (p->quiet)
        return;
    epoch_widths(r->plan, &name, &number);
    const nb_phase_keys *k = &r->plan->phase[r->phase].keys;
    const int epoch = 2 * number + 1 > 5 ? 2 * number + 1 : 5;
    char at[32];
    if (!p->titled)
        printf("%-*s  %*s  %9s  %10s  %7s  %9s  %6s  %8s\n", (int)name, "phase", epoch, "epoch", "lr", "train loss",
               "train %", "eval loss", "eval %", "time");
    p->titled = true;
    snprintf(at, sizeof at, "%d/%d", r->epoch + 1, k->epochs);
    char turning[64] = "";
    if (r->oscillating >= 0)
        snprintf(turning, sizeof turning, "  %.2f %% oscillate, %.2f %% frozen", 100 * r->oscillating, 100 * r->frozen);
    printf("%-*s  %*s  %9.3g  %10.4f  %7.2f  %9.4f  %6.2f  %6.1f s%s%s%s\n", (int)name, k->name, epoch, at, r->lr,
           r->loss, nb_percent(r->train_accuracy), r->eval.loss, nb_percent(r->eval.accuracy),
           r->train_seconds + r->eval_seconds, r->eval.simulated ? "  simulated" : "", turning,
           r->best ? "  best" : "");
    fflush(stdout);
}
