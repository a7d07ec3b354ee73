/* table_answers.c - what a network said of images: by class, class by class, and the mistakes it was surest of.
 *
 * Counts are made of sorted pairs (class, answer), so that nothing has the size of a square of classes. */
#include "report/tables.h"

#include "base/check.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* A pair of class and answer, and how many images have it. */
typedef struct {
    int32_t label, answer, images;
} pair;

typedef struct {
    pair *at; /* ascending by label, then answer */
    int32_t n;
} pairs;

static int by_classes(const void *a, const void *b)
{
    const pair *x = a, *y = b;
    if (x->label != y->label)
        return x->label < y->label ? -1 : 1;
    return (x->answer > y->answer) - (x->answer < y->answer);
}

/* Most images first. */
static int by_images(const void *a, const void *b)
{
    const pair *x = a, *y = b;
    if (x->images != y->images)
        return x->images > y->images ? -1 : 1;
    return by_classes(a, b);
}

static nb_status count_pairs(nb_ctx *ctx, const nb_answered *a, pairs *out)
{
    pair *p = nb_alloc(ctx, (size_t)(a->n ? a->n : 1) * sizeof *p);
    int32_t n = 0;
    if (!p)
        return NB_E_NOMEM;
    for (int32_t i = 0; i < a->n; i++)
        p[i] = (pair){a->labels[i], a->answers[i], 1};
    qsort(p, (size_t)a->n, sizeof *p, by_classes);
    for (int32_t i = 0; i < a->n; i++)
        if (n > 0 && by_classes(&p[n - 1], &p[i]) == 0)
            p[n - 1].images++;
        else
            p[n++] = p[i];
    *out = (pairs){p, n};
    return NB_OK;
}

/* A class is its number and, if it has one, its name. */
static void class_columns(nb_table *t, const nb_answered *a, const char *number, const char *name, const char *header)
{
    nb_table_column(t, number, a->class_names ? "" : header, NB_RIGHT);
    if (a->class_names)
        nb_table_column(t, name, header, NB_LEFT);
}

static void add_class(nb_table *t, const nb_answered *a, int32_t c)
{
    nb_table_add_int(t, c);
    if (a->class_names)
        nb_table_add_text(t, a->class_names[c]);
}

static void add_share(nb_table *t, int32_t part, int32_t whole)
{
    if (whole > 0)
        nb_table_add_real(t, 100.0 * part / whole, 2);
    else
        nb_table_add_blank(t);
}

/* ---- by class ---- */

typedef struct {
    int32_t images, correct, answered;
    pair worst; /* what it is most often taken for; images 0: nothing */
} class_row;

static void fill_rows(class_row *rows, const pairs *p)
{
    for (int32_t i = 0; i < p->n; i++) {
        class_row *r = &rows[p->at[i].label];
        r->images += p->at[i].images;
        rows[p->at[i].answer].answered += p->at[i].images;
        if (p->at[i].label == p->at[i].answer)
            r->correct = p->at[i].images;
        else if (p->at[i].images > r->worst.images)
            r->worst = p->at[i];
    }
}

static void add_class_row(nb_table *t, const nb_answered *a, int32_t c, const class_row *r)
{
    nb_table_row(t);
    add_class(t, a, c);
    nb_table_add_int(t, r->images);
    nb_table_add_int(t, r->correct);
    add_share(t, r->correct, r->images);
    nb_table_add_int(t, r->answered);
    add_share(t, r->correct, r->answered);
    if (r->worst.images == 0)
        return;
    add_class(t, a, r->worst.answer);
    nb_table_add_int(t, r->worst.images);
}

static void add_total(nb_table *t, const nb_answered *a, const class_row *rows)
{
    int32_t correct = 0;
    for (int32_t c = 0; c < a->classes; c++)
        correct += rows[c].correct;
    nb_table_footer(t);
    if (a->class_names)
        nb_table_add_blank(t);
    nb_table_add_text(t, "all");
    nb_table_add_int(t, a->n);
    nb_table_add_int(t, correct);
    add_share(t, correct, a->n);
}

nb_status nb_table_of_classes(nb_ctx *ctx, const nb_answered *a, nb_table **out)
{
    pairs p = {0};
    nb_table *t = NULL;
    class_row *rows = nb_alloc(ctx, (size_t)a->classes * sizeof *rows);
    nb_status st = rows ? count_pairs(ctx, a, &p) : NB_E_NOMEM;
    if (st == NB_OK)
        st = nb_table_create(ctx, &t);
    if (st == NB_OK) {
        class_columns(t, a, "label", "class", "class");
        nb_table_column(t, "images", "images", NB_RIGHT);
        nb_table_column(t, "correct", "right", NB_RIGHT);
        nb_table_column(t, "accuracy_percent", "accuracy %", NB_RIGHT);
        nb_table_column(t, "answered", "answers", NB_RIGHT);
        nb_table_column(t, "precision_percent", "right of these %", NB_RIGHT);
        class_columns(t, a, "taken_for_label", "taken_for", "taken for");
        nb_table_column(t, "taken_for_images", "times", NB_RIGHT);
        fill_rows(rows, &p);
        for (int32_t c = 0; c < a->classes; c++)
            add_class_row(t, a, c, &rows[c]);
        add_total(t, a, rows);
        *out = t;
    }
    nb_free(ctx, p.at);
    nb_free(ctx, rows);
    return st;
}

/* ---- class by class ---- */

nb_status nb_table_of_confusion(nb_ctx *ctx, const nb_answered *a, nb_table **out)
{
    static const char *const number[NB_MATRIX_CLASSES] = {"0",  "1",  "2",  "3",  "4",  "5",  "6",  "7",  "8",  "9",
                                                          "10", "11", "12", "13", "14", "15", "16", "17", "18", "19"};
    int32_t images[NB_MATRIX_CLASSES][NB_MATRIX_CLASSES] = {{0}};
    nb_table *t;
    NB_ASSERT(a->classes <= NB_MATRIX_CLASSES);
    NB_TRY(nb_table_create(ctx, &t));
    class_columns(t, a, "label", "class", "class");
    for (int32_t c = 0; c < a->classes; c++)
        nb_table_column(t, number[c], number[c], NB_RIGHT);
    for (int32_t i = 0; i < a->n; i++)
        images[a->labels[i]][a->answers[i]]++;
    for (int32_t r = 0; r < a->classes; r++) {
        nb_table_row(t);
        add_class(t, a, r);
        for (int32_t c = 0; c < a->classes; c++)
            if (images[r][c])
                nb_table_add_int(t, images[r][c]);
            else
                nb_table_add_blank(t); /* what is not 0 should be seen */
    }
    *out = t;
    return NB_OK;
}

nb_status nb_table_of_pairs(nb_ctx *ctx, const nb_answered *a, int32_t most, nb_table **out)
{
    pairs p;
    nb_table *t = NULL;
    NB_TRY(count_pairs(ctx, a, &p));
    nb_status st = nb_table_create(ctx, &t);
    if (st == NB_OK) {
        class_columns(t, a, "label", "class", "class");
        class_columns(t, a, "answer_label", "answer", "answer");
        nb_table_column(t, "images", "images", NB_RIGHT);
        if (most != NB_ALL_PAIRS)
            qsort(p.at, (size_t)p.n, sizeof *p.at, by_images);
        for (int32_t i = 0, shown = 0; i < p.n && (most == NB_ALL_PAIRS || shown < most); i++) {
            if (most != NB_ALL_PAIRS && p.at[i].label == p.at[i].answer)
                continue;
            nb_table_row(t);
            add_class(t, a, p.at[i].label);
            add_class(t, a, p.at[i].answer);
            nb_table_add_int(t, p.at[i].images);
            shown++;
        }
        *out = t;
    }
    nb_free(ctx, p.at);
    return st;
}

/* ---- mistakes ---- */

static nb_mistake mistake_at(const nb_answered *a, int32_t i)
{
    const float *z = a->logits + (int64_t)i * a->classes;
    const int32_t answer = a->answers[i];
    double others = 0; /* in units of the answer's exponential, which is the largest */
    for (int32_t c = 0; c < a->classes; c++)
        others += c == answer ? 0 : exp((double)z[c] - (double)z[answer]);
    return (nb_mistake){.at = i,
                        .label = a->labels[i],
                        .answer = answer,
                        .probability = 1 / (1 + others),
                        .of_the_label = exp((double)z[a->labels[i]] - (double)z[answer]) / (1 + others),
                        .log_odds = -log(others)};
}

static int by_log_odds(const void *a, const void *b)
{
    const nb_mistake *x = a, *y = b;
    if (x->log_odds != y->log_odds)
        return x->log_odds > y->log_odds ? -1 : 1;
    return (x->at > y->at) - (x->at < y->at);
}

nb_status nb_mistakes_find(nb_ctx *ctx, const nb_answered *a, int32_t most, nb_mistake **rows, int32_t *n)
{
    int32_t wrong = 0;
    for (int32_t i = 0; i < a->n; i++)
        wrong += a->labels[i] != a->answers[i];
    nb_mistake *m = nb_alloc(ctx, (size_t)(wrong ? wrong : 1) * sizeof *m);
    if (!m)
        return NB_E_NOMEM;
    wrong = 0;
    for (int32_t i = 0; i < a->n; i++)
        if (a->labels[i] != a->answers[i])
            m[wrong++] = mistake_at(a, i);
    qsort(m, (size_t)wrong, sizeof *m, by_log_odds);
    *rows = m;
    *n = wrong < most ? wrong : most;
    return NB_OK;
}

nb_status nb_table_of_mistakes(nb_ctx *ctx, const nb_answered *a, const nb_mistake *rows, int32_t n,
                               const char *const *images, const int32_t *indices, nb_table **out)
{
    nb_table *t;
    NB_TRY(nb_table_create(ctx, &t));
    if (images)
        nb_table_column(t, "image", "image", NB_LEFT);
    nb_table_column(t, "index", images ? "number" : "image", NB_RIGHT);
    class_columns(t, a, "label", "class", "class");
    class_columns(t, a, "answer_label", "answer", "answer");
    nb_table_column(t, "probability", "probability", NB_RIGHT);
    nb_table_column(t, "label_probability", "of its class", NB_RIGHT);
    for (int32_t i = 0; i < n; i++) {
        nb_table_row(t);
        if (images)
            nb_table_add_text(t, images[i]);
        nb_table_add_int(t, indices[i]);
        add_class(t, a, rows[i].label);
        add_class(t, a, rows[i].answer);
        nb_table_add_real(t, rows[i].probability, 4);
        nb_table_add_real(t, rows[i].of_the_label, 4);
    }
    *out = t;
    return NB_OK;
}
