/* report.c - the sections one after the other, and what several of them ask. */
#include "report/report.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double UNSOUND = 0.05; /* of the images: so much less accurate than the quantized one */

static void (*const sections[])(const nb_report *, nb_page *) = {
#define NB_SECTION(name) nb_section_##name,
#include "report/report_sections.def"
#undef NB_SECTION
};

nb_status nb_report_lacks(nb_report *r, const char *what, const char *why)
{
    const char *copy = nb_arena_strdup(r->arena, why);
    if (!copy)
        return NB_E_NOMEM;
    if (r->n_lacks < NB_REPORT_LACKS)
        r->lack[r->n_lacks++] = (nb_report_lack){what, copy};
    return NB_OK;
}

void nb_report_write(const nb_report *r, nb_page *page)
{
    for (size_t i = 0; i < sizeof sections / sizeof *sections && nb_page_ok(page, NB_OK); i++)
        sections[i](r, page);
}

const char *nb_report_title(nb_page *p, const nb_report *r)
{
    size_t end = strlen(r->title), start;
    while (end > 1 && r->title[end - 1] == '/')
        end--;
    for (start = end; start > 0 && r->title[start - 1] != '/';)
        start--;
    start = start < end ? start : 0;
    const char *text =
        nb_arena_printf(p->arena, "%.*s%s%s%s%s", (int)(end - start), r->title + start, r->kind ? ": " : "",
                        r->kind ? r->kind : "", r->data ? " on " : "", r->data ? r->data : "");
    return text ? text : "";
}

int32_t nb_report_epochs(const nb_report *r, bool quantized)
{
    const int32_t at = nb_csv_column(&r->metrics, "quantized");
    int32_t n = 0;
    for (int32_t i = 0; i < r->metrics.n_rows; i++)
        n += (strcmp(nb_csv_text(&r->metrics, i, at), "no") != 0) == quantized;
    return n;
}

const char *nb_report_quantizer(nb_page *p, const nb_analysis_site *s)
{
    char title[192];
    const char *copy = nb_arena_strdup(p->arena, nb_quantizer_title(s, title, sizeof title));
    return copy ? copy : "";
}

bool nb_report_float_is_sound(const nb_analysis *a)
{
    const nb_probe_score *const part[] = {&a->floats, &a->weights, &a->outputs};
    for (int32_t i = 0; i < 3; i++)
        if ((double)part[i]->correct < (double)a->quantized.correct - UNSOUND * (double)a->quantized.n)
            return false;
    return true;
}

double nb_report_distance(const nb_analysis *a, const nb_probe_score *s)
{
    return (nb_report_float_is_sound(a) ? s->kl : s->loss) / (double)s->n;
}

double nb_report_cost(const nb_analysis *a, const nb_analysis_site *s)
{
    return nb_report_float_is_sound(a)
               ? s->cost
               : fmax(0, nb_report_distance(a, &a->quantized) - nb_report_distance(a, &s->without));
}

static int nearest_first(const void *a, const void *b)
{
    const nb_report_trial *x = a, *y = b;
    if (x->network->kl != y->network->kl)
        return x->network->kl < y->network->kl ? -1 : 1;
    return strcmp(x->text, y->text);
}

const nb_report_trial *nb_report_trials(nb_page *p, const nb_report *r, int32_t *n)
{
    const nb_analysis *a = r->analysis;
    nb_report_trial *t = nb_arena_array(p->arena, (size_t)(a->n_remedies + r->n_steps) + 1, sizeof *t);
    *n = 0;
    if (!t) {
        nb_page_ok(p, NB_E_NOMEM);
        return NULL;
    }
    if (!nb_report_float_is_sound(a))
        return t;
    for (int32_t i = 0; i < a->n_remedies; i++) {
        const nb_analysis_remedy *m = &a->remedy[i];
        const char *text = nb_arena_printf(p->arena, "%s: %s", nb_report_quantizer(p, &a->site[m->site]), m->text);
        t[(*n)++] = (nb_report_trial){text ? text : "", &m->network, nb_remedy_bytes(a, m)};
    }
    for (int32_t i = 0; i < r->n_steps; i++)
        t[(*n)++] = (nb_report_trial){r->step[i].name, r->step[i].score, 0};
    qsort(t, (size_t)*n, sizeof *t, nearest_first);
    return t;
}

const char *nb_report_class(nb_page *p, const nb_report *r, int32_t i)
{
    const char *text = r->said.class_names ? r->said.class_names[i] : nb_arena_printf(p->arena, "class %d", (int)i);
    return text ? text : "";
}

int32_t *nb_report_confusion(nb_page *p, const nb_answered *a)
{
    int32_t *count = nb_arena_array(p->arena, (size_t)a->classes * (size_t)a->classes, sizeof *count);
    for (int32_t i = 0; count && i < a->n; i++)
        count[(size_t)a->labels[i] * (size_t)a->classes + (size_t)a->answers[i]]++;
    if (!count)
        nb_page_ok(p, NB_E_NOMEM);
    return count;
}
