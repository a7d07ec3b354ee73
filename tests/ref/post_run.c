/* post_run.c - see post_run.h. */
#include "ref/post_run.h"

#include "base/check.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static void on_row(void *ud, const nb_post_step *step, const nb_post_row *r)
{
    ref_heard *h = ud;
    const size_t at = strlen(h->rows);
    (void)step;
    snprintf(h->rows + at, sizeof h->rows - at, "%s: %s\n", r->layer, r->text);
    if (r->done) {
        h->before = fmax(h->before, r->before);
        h->after = fmax(h->after, r->after);
    }
}

static void on_done(void *ud, const nb_post_step *step, const nb_post_result *r)
{
    ref_heard *h = ud;
    (void)step;
    h->last = *r;
    h->last.summary = NULL;
    snprintf(h->summary, sizeof h->summary, "%s", r->summary);
}

nb_status ref_post_run(ref_street *s, nb_graph *g, const char *steps, const int32_t *indices, int32_t n, ref_heard *h)
{
    return ref_post_run_kept(s, g, steps, indices, n, NULL, h);
}

nb_status ref_post_run_kept(ref_street *s, nb_graph *g, const char *steps, const int32_t *indices, int32_t n,
                            const nb_post_store *store, ref_heard *h)
{
    char text[512];
    nb_config *cfg;
    nb_post_list l;
    *h = (ref_heard){.before = 0};
    const nb_post_report report = {.row = on_row, .done = on_done, .ud = h};
    snprintf(text, sizeof text, "steps: %s\n", steps);
    NB_TRY(nb_config_parse(s->ctx, "steps", text, strlen(text), NULL, 0, &cfg));
    nb_status st = nb_post_bind(s->ctx, nb_config_root(cfg), nb_post_steps, &l);
    if (st == NB_OK) {
        st = nb_post_run(&l, nb_graph_about(g).quantized ? NB_POST_QUANTIZED : NB_POST_FLOAT,
                         &(nb_post_input){.graph = g,
                                          .data = s->train,
                                          .indices = indices,
                                          .n = n,
                                          .experiment = &s->exp,
                                          .report = &report,
                                          .store = store});
        nb_post_free(&l);
    }
    nb_config_free(s->ctx, cfg);
    return st;
}

nb_status ref_quantized(ref_street *s, int32_t batch, int32_t n, nb_graph **out)
{
    const nb_graph_spec spec = {.experiment = &s->exp,
                                .info = nb_data_info(s->train),
                                .max_batch = batch,
                                .quant = true,
                                .plan = NB_PLAN_TRAIN};
    NB_TRY(nb_graph_open(s->ctx, &spec, &(nb_params_source){.graph = s->graph, .mode = NB_PARAMS_CALIBRATE}, out));
    return nb_calibrate(*out, s->train, NULL, n);
}

static bool get_part(void *ud, const char *part, float *values, int64_t n)
{
    ref_parts *p = ud;
    for (int32_t i = 0; i < p->count; i++)
        if (strcmp(p->name[i], part) == 0) {
            NB_ASSERT(p->n[i] == n);
            memcpy(values, p->values[i], (size_t)n * sizeof *values);
            p->found++;
            return true;
        }
    return false;
}

static nb_status put_part(void *ud, const char *part, const float *values, int64_t n)
{
    ref_parts *p = ud;
    if (p->count == p->stop)
        return NB_E_NOMEM;
    NB_ASSERT(p->count < REF_PARTS && n <= REF_PART_FLOATS);
    snprintf(p->name[p->count], sizeof p->name[0], "%s", part);
    memcpy(p->values[p->count], values, (size_t)n * sizeof *values);
    p->n[p->count++] = n;
    return NB_OK;
}

nb_post_store ref_parts_store(ref_parts *p)
{
    return (nb_post_store){get_part, put_part, p};
}
