/* step_adaround.c - learned rounding of weights (AdaRound, Nagel et al. 2020, arXiv:2004.10568; white paper 3.4).
 *
 * Layer by layer, in order of execution: what the layer gives in the quantized network, whose layers before it are rounded
 * already, comes as near as it can to what it gives in the float network (adaround.c). Scales and zero points stay, and
 * the codes do (held_codes.h). */
#include <nibble/extend/op.h>
#include <nibble/extend/post_step.h>
#include <nibble/extend/quant.h>

#include "base/arena.h"
#include "base/check.h"
#include "base/numtext.h"
#include "post/held_codes.h"
#include "post/layer_rows.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct {
    int32_t iterations, rows, refine, images;
    float lr, lambda, warmup;
} adaround_attr;

extern const nb_post_step nb_post_step_adaround;

static const nb_key adaround_keys[] = {
    NB_KEY_INT(adaround_attr, iterations, "1000", 1, 1000000, "steps of learning for each layer"),
    NB_KEY_INT(adaround_attr, rows, "1024", 1, 65536, "output pixels that a step looks at"),
    NB_KEY_INT(adaround_attr, refine, "4", 0, 100,
               "sweeps at the end, at most, in which the other code of every single weight is tried"),
    NB_KEY_INT(adaround_attr, images, "0", 0, INT32_MAX,
               "of the sample that ranges are found on, the first so many; 0 = all of it"),
    NB_KEY_FLOAT(adaround_attr, lr, "0.1", 1e-6, 1, "learning rate of Adam"),
    NB_KEY_FLOAT(adaround_attr, lambda, "0.3", 0, 1000,
                 "weight of the term that drives every weight to one of its codes"),
    NB_KEY_FLOAT(adaround_attr, warmup, "0.2", 0, 0.9, "share of the steps before that term is there"),
    {0}};

/* What the layers of one pass over the float network want may take so many floats. */
static const int64_t most_wanted = 64 << 20;

typedef struct {
    const nb_post_input *in;
    nb_adaround_keys keys;
    nb_arena *arena;
    nb_pair pair;
    nb_layer_rows *layer;
    float **y;         /* [n], of the layers of this pass */
    int32_t n, at;     /* layers, the one under way */
    double work, done; /* of all layers, of those before this one */
    float *part;       /* room for what is kept of a layer */
    double before, after, flipped, weights;
} state;

/* ---- one layer ---- */

static double work_of(const nb_layer_rows *l)
{
    return (double)l->of.filters * l->of.size;
}

static void tell(void *ud, double share)
{
    const state *s = ud;
    const nb_layer_rows *l = &s->layer[s->at];
    const nb_post_report *r = s->in->report;
    if (r && r->progress)
        r->progress(r->ud, &nb_post_step_adaround, l->mac->name, (s->done + share * work_of(l)) / s->work);
}

/* What a layer's part of the step is: its weights, and what is said of it. */
enum { BEFORE, AFTER, FLIPPED, DONE, SAID };

static int64_t weights_of(const nb_layer_rows *l)
{
    return nb_codes_count(l->mac);
}

static void say(state *s, const nb_layer_rows *l, const float *said)
{
    char text[NB_POST_SUMMARY];
    const double weights = (double)weights_of(l);
    nb_post_row row = {.layer = l->mac->name, .text = text, .done = said[DONE] > 0};
    row.before = (double)said[BEFORE];
    row.after = (double)said[AFTER];
    if (row.done)
        snprintf(text, sizeof text, "%.1f %% of weights to the other neighbour", 100 * (double)said[FLIPPED] / weights);
    else
        snprintf(text, sizeof text, "as it was: other codes would ask for another scale, so that sums fit 32 bits");
    s->before += row.before;
    s->after += row.after;
    s->flipped += (double)said[FLIPPED];
    s->weights += weights;
    nb_post_say(s->in, &nb_post_step_adaround, &row);
}

/* An earlier run of the same command has done this layer. part [weights + SAID]. */
static bool recall(state *s, const nb_layer_rows *l, float *part)
{
    const int64_t n = weights_of(l);
    if (!nb_post_recall(s->in, l->mac->name, part, n + SAID))
        return false;
    memcpy(nb_codes_leaf(l->mac), part, (size_t)n * sizeof *part);
    if (part[n + DONE] > 0)
        nb_fakequant_hold(l->mac->in[1]);
    say(s, l, part + n);
    return true;
}

/* What learning has found becomes the layer's weights. part: work space. */
static nb_status settle(state *s, const nb_layer_rows *l, const int32_t *code, const nb_adaround_gain *g, float *part)
{
    const double all = g->wanted > 0 ? g->wanted : 1;
    const int64_t n = weights_of(l);
    float *said = part + n;
    said[DONE] = nb_codes_write(l->mac, l->of.step, code, part);
    said[BEFORE] = (float)(100 * sqrt(g->nearest / all));
    said[AFTER] = said[DONE] > 0 ? (float)(100 * sqrt(g->learned / all)) : said[BEFORE];
    said[FLIPPED] = said[DONE] > 0 ? (float)g->flipped : 0;
    memcpy(part, nb_codes_leaf(l->mac), (size_t)n * sizeof *part);
    if (said[DONE] > 0)
        nb_fakequant_hold(l->mac->in[1]);
    say(s, l, said);
    return nb_post_keep(s->in, l->mac->name, part, n + SAID);
}

static nb_status round_layer(state *s, nb_layer_rows *l, const float *y, float *x)
{
    nb_ctx *ctx = s->in->graph->ctx;
    const nb_pair quantized = {
        .quantized = s->in->graph, .data = s->pair.data, .indices = s->pair.indices, .n = s->pair.n};
    nb_adaround_gain gain;
    NB_TRY(nb_layer_rows_read(&quantized, l, x));
    l->of.y = y;
    int32_t *code = nb_alloc(ctx, (size_t)weights_of(l) * sizeof *code);
    nb_status st = code ? NB_OK : NB_E_NOMEM;
    if (st == NB_OK)
        st = nb_adaround_solve(ctx, &l->of, &s->keys, &(nb_adaround_watch){tell, s}, code, &gain);
    if (st == NB_OK)
        st = settle(s, l, code, &gain, s->part);
    nb_free(ctx, code);
    return st;
}

/* ---- all of them ---- */

static nb_status plan_layers(state *s)
{
    const nb_graph *g = s->in->graph;
    char why[NB_POST_SUMMARY];
    int64_t most = 0;
    if (nb_codes_refuse(g, why, sizeof why))
        return nb_fail(g->ctx, NB_E_CONFIG, "quant.steps: adaround: %s", why);
    s->layer = nb_arena_array(s->arena, (size_t)g->n, sizeof *s->layer);
    s->y = nb_arena_array(s->arena, (size_t)g->n, sizeof *s->y);
    if (!s->layer || !s->y)
        return NB_E_NOMEM;
    for (int32_t i = 0; i < g->n; i++) {
        const nb_node *n = g->node[i];
        if (n->op->role != NB_ROLE_MAC)
            continue;
        NB_TRY(nb_layer_rows_plan(s->arena, g, n, s->pair.n, &s->layer[s->n]));
        const int64_t weights = weights_of(&s->layer[s->n]);
        most = weights > most ? weights : most;
        s->work += work_of(&s->layer[s->n++]);
    }
    s->part = nb_arena_array(s->arena, (size_t)most + SAID, sizeof *s->part);
    return s->part ? NB_OK : NB_E_NOMEM;
}

/* The layers from s->at on that one pass over the float network is made for: one at least. */
static int32_t layers_of_pass(const state *s)
{
    int64_t floats = 0;
    int32_t end = s->at;
    while (end < s->n && (end == s->at || floats < most_wanted)) {
        floats += (int64_t)nb_layer_rows_count(&s->layer[end]) * s->layer[end].geom.oc;
        end++;
    }
    return end;
}

static nb_status round_pass(state *s, int32_t end)
{
    nb_ctx *ctx = s->in->graph->ctx;
    const nb_pair floats = {.floats = s->pair.floats, .data = s->pair.data, .indices = s->pair.indices, .n = s->pair.n};
    nb_status st = NB_OK;
    for (int32_t i = s->at; i < end && st == NB_OK; i++) {
        const nb_layer_rows *l = &s->layer[i];
        s->y[i] = nb_alloc(ctx, (size_t)nb_layer_rows_count(l) * (size_t)l->geom.oc * sizeof **s->y);
        st = s->y[i] ? NB_OK : NB_E_NOMEM;
    }
    if (st == NB_OK)
        st = nb_layer_rows_want(&floats, s->layer + s->at, end - s->at, s->y + s->at);
    for (; s->at < end && st == NB_OK; s->at++) {
        nb_layer_rows *l = &s->layer[s->at];
        float *x = nb_alloc(ctx, (size_t)l->of.rows * (size_t)l->of.size * (size_t)l->of.groups * sizeof *x);
        st = x ? round_layer(s, l, s->y[s->at], x) : NB_E_NOMEM;
        nb_free(ctx, x);
        s->done += work_of(l);
        nb_free(ctx, s->y[s->at]);
        s->y[s->at] = NULL;
    }
    for (int32_t i = 0; i < end; i++)
        nb_free(ctx, s->y[i]);
    return st;
}

static nb_status round_all(state *s)
{
    NB_TRY(plan_layers(s));
    for (; s->at < s->n && recall(s, &s->layer[s->at], s->part); s->at++)
        s->done += work_of(&s->layer[s->at]);
    while (s->at < s->n)
        NB_TRY(round_pass(s, layers_of_pass(s)));
    return NB_OK;
}

static nb_status adaround_run(const nb_post_input *in, const void *attr, char *summary)
{
    const adaround_attr *a = attr;
    const int32_t n = a->images ? a->images : in->n;
    state s = {.in = in,
               .keys = {{a->iterations, a->lr, a->lambda, a->warmup}, a->rows, a->refine},
               .pair = {.floats = in->floats, .data = in->data, .indices = in->indices, .n = n}};
    if (n > in->n || n < 1)
        return nb_fail(in->graph->ctx, NB_E_CONFIG,
                       "quant.steps: adaround: images: %d: there are %d to look at; in `nibble quantize` --images says "
                       "how many",
                       n, in->n);
    NB_TRY(nb_arena_create(in->graph->ctx, &s.arena));
    nb_status st = round_all(&s);
    nb_arena_free(s.arena);
    if (st != NB_OK)
        return st;
    snprintf(
        summary, NB_POST_SUMMARY,
        "%d layer%s over %d image%s; error of what they give, mean of layers, %.3g %% -> %.3g %%; %.1f %% of weights "
        "to the other neighbour",
        s.n, nb_plural(s.n), n, nb_plural(n), s.before / s.n, s.after / s.n, 100 * s.flipped / s.weights);
    return st;
}

static bool adaround_looks(const void *attr)
{
    (void)attr;
    return true;
}

/* Of weights with more bits the nearest codes are good enough: on ResNet-20 W8A8 there is nothing to gain, at W4A8 a third of a point
 * is (experiments/post-training). */
enum { FEW_BITS = 4 };

static const char *adaround_needless(const nb_graph *g)
{
    for (int32_t i = 0; i < g->n; i++)
        if (g->node[i]->op->role == NB_ROLE_MAC && nb_codes_bits(g->node[i]) <= FEW_BITS)
            return NULL;
    return "no weights of 4 bits or fewer, where rounding costs much";
}

const nb_post_step nb_post_step_adaround = {
    .name = "adaround",
    .help =
        "learns for every weight which of its two neighbouring codes is better for what its layer gives (AdaRound), "
        "in place of the nearer one",
    .keys = adaround_keys,
    .attr_size = sizeof(adaround_attr),
    .stage = NB_POST_QUANTIZED,
    .needs_float = true,
    .rounds = true,
    .moves_weights = true,
    .measure = "error %",
    .run = adaround_run,
    .looks = adaround_looks,
    .needless = adaround_needless,
    .refuse = nb_codes_refuse,
    .examples = (const char *const[]){"adaround", "adaround: {iterations: 10000}", NULL},
};
