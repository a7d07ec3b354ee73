/* range_kl.c - the range that keeps the distribution of values best: the smallest Kullback-Leibler divergence of the
 * quantized histogram from the observed one (Migacz 2017, "8-bit inference with TensorRT"; two-sided as in MXNet).
 *
 * A candidate range is the bins up to a threshold on either side of 0, within the extremes of what was seen.
 *   P  those bins of the histogram; what lies beyond is added to the outermost of them, so that saturation costs.
 *   Q  the same bins without what lies beyond, as many neighbours in a group as make one group per level: a group's sum is
 *      shared evenly by those of its bins that P has anything in. Empty bins stay empty.
 * The bin of zeros gets its neighbour's count (pass_over_zeros).
 * A candidate holds half of all values and has at least as many bins with anything in them as there are levels. Where a join
 * adds codes, values are of few kinds and many bins empty: a range with one kind would be perfect, and one that ends at a
 * frequent kind nearly so, as what is clipped is added there.
 * KL(P || Q) = sum P log(P / Q) over P's bins, both scaled to sum 1. Where P has something and Q nothing (all of a group is
 * what was clipped) it is infinite and the candidate is out; the widest range never is. Ties keep the wider range.
 *
 * Q is constant over a group's bins, so with running sums of counts, of used bins and of P log P a candidate costs one
 * logarithm per level, and the outermost bins, which the clipped mass changes, are corrected for. */
#include "quant/histogram.h"

#include <math.h>

enum { TRAINING_STRIDE = 16 /* bins between thresholds: a step has no time for all */ };

static const nb_key kl_keys[] = {NB_KEY_FLOAT(nb_range_average, momentum, "0.05", 1e-6, 1,
                                              "activations in training: share of the new batch in the histogram"),
                                 {0}};

/* Running sums: [i] is of the bins before i. */
typedef struct {
    double count[NB_BINS + 1], log_count[NB_BINS + 1];
    int32_t used[NB_BINS + 1];
} running;

static double x_log_x(double x)
{
    return x > 0 ? x * log(x) : 0;
}

static void run_up(running *r, const nb_histogram *h)
{
    r->count[0] = r->log_count[0] = 0;
    r->used[0] = 0;
    for (int32_t i = 0; i < NB_BINS; i++) {
        r->count[i + 1] = r->count[i] + (double)h->share[i];
        r->log_count[i + 1] = r->log_count[i] + x_log_x((double)h->share[i]);
        r->used[i + 1] = r->used[i] + (h->share[i] > 0);
    }
}

/* Of the range of bins [from, to), in `levels` groups. */
static double divergence(const nb_histogram *h, const running *r, int32_t from, int32_t to, int32_t levels)
{
    const double all = r->count[NB_BINS], inside = r->count[to] - r->count[from];
    const double below = r->count[from], above = all - r->count[to];
    const double first = (double)h->share[from], last = (double)h->share[to - 1];
    double p_log_p = r->log_count[to] - r->log_count[from];
    p_log_p += x_log_x(first + below) - x_log_x(first) + x_log_x(last + above) - x_log_x(last);
    double p_log_q = 0;
    for (int32_t k = 0; k < levels; k++) {
        const int64_t n = to - from;
        const int32_t a = from + (int32_t)(n * k / levels), b = from + (int32_t)(n * (k + 1) / levels);
        if (a == b)
            continue;
        const double sum = r->count[b] - r->count[a];
        const double clipped = (a == from ? below : 0) + (b == to ? above : 0);
        const int32_t used =
            r->used[b] - r->used[a] + (a == from && below > 0 && !(first > 0)) + (b == to && above > 0 && !(last > 0));
        if (!used)
            continue;
        if (!(r->used[b] > r->used[a]))
            return INFINITY;
        p_log_q += (sum + clipped) * log(sum / used);
    }
    /* P sums to all, Q to what is inside */
    return (p_log_p - p_log_q) / all + log(inside / all);
}

/* Zeros are a code of every grid, whatever the range, and after a relu they are half of all values: in one bin they would
 * decide everything. As in NVIDIA's own calibrator their bin gets what its neighbour has. */
static void pass_over_zeros(nb_histogram *h)
{
    const int32_t zero = h->is_signed != 0 ? NB_BINS / 2 : 0;
    h->share[zero] = h->share[zero + 1];
}

static void kl_search(const nb_histogram *h, const nb_observation *o, float *low, float *high)
{
    running r;
    run_up(&r, h);
    const nb_grid *g = o->grid;
    int32_t begin = 0, end = NB_BINS; /* bins that hold anything, 0 among them */
    const int32_t zero = h->is_signed != 0 ? NB_BINS / 2 : 0;
    while (end > zero + 1 && !(h->share[end - 1] > 0))
        end--;
    while (begin < zero && !(h->share[begin] > 0))
        begin++;
    if (nb_grid_symmetric(g) && h->is_signed != 0) {
        const int32_t reach = end - zero > zero - begin ? end - zero : zero - begin;
        begin = zero - reach;
        end = zero + reach;
    }
    const int32_t levels = g->level ? g->n_levels : h->is_signed != 0 ? g->hi - g->lo + 1 : g->hi + 1;
    const int32_t widest = end - zero > zero - begin ? end - zero : zero - begin;
    double least = INFINITY;
    int32_t best = widest;
    const int32_t stride = o->calibration ? 1 : TRAINING_STRIDE;
    for (int32_t t = widest; t > 0; t -= stride) {
        const int32_t a = zero - t > begin ? zero - t : begin, b = zero + t < end ? zero + t : end;
        const bool few = r.used[b] - r.used[a] < levels || r.count[b] - r.count[a] < r.count[NB_BINS] / 2;
        if (few && t < widest)
            break;
        const double d = divergence(h, &r, a, b, levels);
        if (d < least) {
            least = d;
            best = t;
        }
    }
    *low = (float)nb_histogram_edge(h, zero - best > begin ? zero - best : begin);
    *high = (float)nb_histogram_edge(h, zero + best < end ? zero + best : end);
}

static void kl_observe(const void *attr, float *state, const nb_observation *o)
{
    const float momentum = ((const nb_range_average *)attr)->momentum;
    nb_histogram now = {0}, *h = o->grid->weights ? &now : (nb_histogram *)(state + NB_ENDS);
    nb_histogram_add(h, o, momentum);
    state[NB_LOW] = state[NB_HIGH] = 0;
    if (h->reach > 0) {
        nb_histogram judged = *h;
        pass_over_zeros(&judged);
        kl_search(&judged, o, &state[NB_LOW], &state[NB_HIGH]);
    }
}

const nb_range nb_range_kl = {.name = "kl",
                              .help = "smallest Kullback-Leibler divergence of the quantized histogram (TensorRT's)",
                              .keys = kl_keys,
                              .attr_size = sizeof(nb_range_average),
                              .n_state = NB_ENDS,
                              .n_history = NB_HISTOGRAM_FLOATS,
                              .observe = kl_observe,
                              .params = nb_ends_params,
                              .sound = nb_ends_sound,
                              .history_sound = nb_histogram_sound};
