/* report.c - the sections one after the other, and what several of them ask. */
#include "report/report.h"

#include "report/table_analyze.h"

#include <math.h>

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

const nb_analysis_remedy *nb_report_best_remedy(const nb_analysis *a)
{
    const nb_analysis_remedy *best = NULL;
    for (int32_t i = 0; i < a->n_remedies; i++) {
        const nb_analysis_remedy *m = &a->remedy[i];
        if (nb_report_distance(a, &m->network) < nb_report_distance(a, best ? &best->network : &a->quantized))
            best = m;
    }
    return best;
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
