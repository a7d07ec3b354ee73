/* report_training.c - loss, accuracy and learning rate over the epochs, and what each phase took. */
#include "report/report.h"

#include <math.h>
#include <string.h>

enum {
    MOST_PHASES = 32,
    PHASE,
    NAME,
    QUANTIZED,
    EPOCH,
    LR,
    TRAIN_LOSS,
    TRAIN_ACCURACY,
    EVAL_LOSS,
    EVAL_ACCURACY,
    COLUMNS
};

typedef struct {
    const nb_csv *m;
    int32_t at[COLUMNS];
    double *x;
    int32_t n_phases, first[MOST_PHASES]; /* rows that a phase begins with */
    double mark[MOST_PHASES];
    const char *name[MOST_PHASES];
} course;

static bool open_course(const nb_report *r, nb_page *p, course *c)
{
    static const char *const names[COLUMNS] = {[PHASE] = "phase",
                                               [NAME] = "name",
                                               [QUANTIZED] = "quantized",
                                               [EPOCH] = "epoch",
                                               [LR] = "lr",
                                               [TRAIN_LOSS] = "train_loss",
                                               [TRAIN_ACCURACY] = "train_accuracy",
                                               [EVAL_LOSS] = "eval_loss",
                                               [EVAL_ACCURACY] = "eval_accuracy"};
    *c = (course){.m = &r->metrics};
    for (int32_t i = PHASE; i < COLUMNS; i++)
        c->at[i] = nb_csv_column(c->m, names[i]);
    c->x = nb_arena_array(p->arena, (size_t)c->m->n_rows + 1, sizeof *c->x);
    if (!c->x)
        return nb_page_ok(p, NB_E_NOMEM);
    for (int32_t i = 0; i < c->m->n_rows; i++) {
        const char *phase = nb_csv_text(c->m, i, c->at[PHASE]);
        c->x[i] = i + 1;
        if ((i > 0 && strcmp(phase, nb_csv_text(c->m, i - 1, c->at[PHASE])) == 0) || c->n_phases == MOST_PHASES)
            continue;
        c->first[c->n_phases] = i;
        c->mark[c->n_phases] = i + 1;
        c->name[c->n_phases++] = nb_csv_text(c->m, i, c->at[NAME]);
    }
    return true;
}

static void lines(const course *c, nb_page *p, const char *name, const char *title, const char *const *series,
                  const int32_t *column, int32_t n_series, double factor)
{
    const int32_t n = c->m->n_rows;
    double *v = nb_arena_array(p->arena, (size_t)n_series * (size_t)n, sizeof *v);
    if (!v) {
        nb_page_ok(p, NB_E_NOMEM);
        return;
    }
    for (int32_t k = 0; k < n_series; k++)
        for (int32_t i = 0; i < n; i++)
            v[k * n + i] = factor * nb_csv_real(c->m, i, c->at[column[k]]);
    nb_page_lines(p, name, NULL,
                  &(nb_svg_lines){.title = title,
                                  .x_title = "epoch",
                                  .n = n,
                                  .n_series = n_series,
                                  .series = series,
                                  .x = c->x,
                                  .value = v,
                                  .n_marks = c->n_phases,
                                  .mark = c->mark,
                                  .mark_text = c->name});
}

/* Seconds of a phase by timing.csv; NaN: it has no row of it. */
static double seconds_of(const nb_csv *t, const char *phase)
{
    const int32_t at = nb_csv_column(t, "phase"), train = nb_csv_column(t, "train_seconds"),
                  eval = nb_csv_column(t, "eval_seconds");
    double sum = NAN;
    for (int32_t i = 0; i < t->n_rows; i++)
        if (strcmp(nb_csv_text(t, i, at), phase) == 0)
            sum = (isnan(sum) ? 0 : sum) + nb_csv_real(t, i, train) + nb_csv_real(t, i, eval);
    return sum;
}

static void add_real(nb_table *t, double v, int32_t decimals)
{
    if (isfinite(v))
        nb_table_add_real(t, v, decimals);
    else
        nb_table_add_blank(t);
}

/* Which images epochs were evaluated on: those held out, where there are any. */
static bool on_validation(const nb_report *r)
{
    return r->validation > 0;
}

static void phases(const nb_report *r, const course *c, nb_page *p)
{
    static const char *const column[] = {
        "phase", "quantized", "epochs", "loss", "accuracy_percent", "test_loss", "test_accuracy_percent", "seconds"};
    const char *const header[] = {"phase",
                                  "quantized",
                                  "epochs",
                                  "training loss",
                                  "training accuracy %",
                                  on_validation(r) ? "validation loss" : "test loss",
                                  on_validation(r) ? "validation accuracy %" : "test accuracy %",
                                  "seconds"};
    nb_table *t;
    if (!nb_page_ok(p, nb_table_create(p->ctx, &t)))
        return;
    for (int32_t i = 0; i < 8; i++)
        nb_table_column(t, column[i], header[i], i < 2 ? NB_LEFT : NB_RIGHT);
    for (int32_t i = 0; i < c->n_phases; i++) {
        const int32_t end = i + 1 < c->n_phases ? c->first[i + 1] : c->m->n_rows, last = end - 1;
        nb_table_row(t);
        nb_table_add_text(t, c->name[i]);
        nb_table_add_text(t, nb_csv_text(c->m, last, c->at[QUANTIZED]));
        nb_table_add_int(t, end - c->first[i]);
        add_real(t, nb_csv_real(c->m, last, c->at[TRAIN_LOSS]), 4);
        add_real(t, 100 * nb_csv_real(c->m, last, c->at[TRAIN_ACCURACY]), 2);
        add_real(t, nb_csv_real(c->m, last, c->at[EVAL_LOSS]), 4);
        add_real(t, 100 * nb_csv_real(c->m, last, c->at[EVAL_ACCURACY]), 2);
        add_real(t, seconds_of(&r->timing, nb_csv_text(c->m, last, c->at[PHASE])), 1);
    }
    nb_page_table(p, "phases", "The phases, each as it was after its last epoch", t);
}

void nb_section_training(const nb_report *r, nb_page *p)
{
    static const char *const rate[] = {"learning rate"};
    const char *const both[] = {"training", on_validation(r) ? "validation" : "test"};
    static const int32_t loss[] = {TRAIN_LOSS, EVAL_LOSS}, accuracy[] = {TRAIN_ACCURACY, EVAL_ACCURACY}, lr[] = {LR};
    course c;
    if (r->metrics.n_rows == 0 || !open_course(r, p, &c))
        return;
    nb_page_section(p, "training", "Training");
    if (r->metrics.dropped > 0)
        nb_page_say(p, "metrics.csv: %d lines are not whole and left out.", r->metrics.dropped);
    phases(r, &c, p);
    nb_page_say(p,
                "Quantized phases train with the rounding in place (quantization-aware training, QAT), so that weights "
                "learn to live with it. Dashed lines: where a phase begins.");
    nb_page_figures(p);
    lines(&c, p, "accuracy", "Accuracy in percent", both, accuracy, 2, 100);
    lines(&c, p, "loss", "Loss", both, loss, 2, 1);
    lines(&c, p, "learning-rate", "Learning rate", rate, lr, 1, 1);
    nb_page_figures_end(p);
}
