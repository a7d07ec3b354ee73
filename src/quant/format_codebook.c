/* format_codebook.c - a book of 2^bits weights (Han et al. 2016, arXiv:1510.00149): the centres of k-means over the weights of a
 * channel, group or tensor, as 8-bit integers with a scale.
 *
 * The state is the book, ascending. It begins with centres spread evenly over the range (the paper's best), moved by Lloyd's
 * iterations until they stand still; every later observation moves them once more, as the weights move. A centre that nothing
 * is nearest to stays where it is, so no iteration raises the squared error. Integers are the centres in units of 1/127 of the
 * largest; two that would be the same are moved apart. 0 need not be among them. */
#include <nibble/extend/quant.h>

#include <math.h>

enum { MOST = 128, FIRST_TURNS = 60 };

/* The centre nearest to v, of two the first. */
static int32_t nearest(const float *center, int32_t n, float v)
{
    int32_t i = 0, end = n - 1;
    while (i < end) {
        const int32_t middle = (i + end) / 2;
        if ((double)v * 2 <= (double)center[middle] + (double)center[middle + 1])
            end = middle;
        else
            i = middle + 1;
    }
    return i;
}

/* One of Lloyd's iterations; false when nothing moved. */
static bool lloyd(float *center, int32_t n, const nb_observation *o)
{
    double sum[MOST] = {0};
    int64_t count[MOST] = {0};
    bool moved = false;
    for (int64_t i = 0; i < o->n; i++) {
        const float v = o->values.at(o->values.arg, i);
        const int32_t k = nearest(center, n, v);
        sum[k] += (double)v;
        count[k]++;
    }
    for (int32_t k = 0; k < n; k++) {
        const float mean = count[k] ? (float)(sum[k] / (double)count[k]) : center[k];
        moved |= mean != center[k];
        center[k] = mean;
    }
    return moved;
}

static void codebook_observe(const void *attr, float *state, const nb_observation *o)
{
    (void)attr;
    const int32_t n = 1 << o->grid->bits;
    for (int32_t k = 0; o->first && k < n; k++)
        state[k] = o->min + (o->max - o->min) * ((float)k + 0.5f) / (float)n;
    for (int32_t turn = o->first ? FIRST_TURNS : 1; turn > 0 && lloyd(state, n, o); turn--)
        ;
}

static float largest(const float *state, int32_t n)
{
    return fmaxf(fabsf(state[0]), fabsf(state[n - 1]));
}

static void codebook_params(const void *attr, const float *state, const nb_grid *g, float *scale, int32_t *zero)
{
    (void)attr;
    *scale = nb_grid_scale(g, largest(state, g->n_levels) / 127);
    *zero = 0;
}

/* Ascending whatever the state is; a book of zeros is -1, 0, 1 ... */
static void codebook_book(const void *attr, const float *state, int32_t bits, int8_t *level)
{
    (void)attr;
    const int32_t n = 1 << bits;
    const float unit = largest(state, n) / 127;
    int32_t at[MOST];
    for (int32_t k = 0; k < n; k++) {
        const float v = unit > 0 ? nearbyintf(state[k] / unit) : 0;
        at[k] = v > 127 ? 127 : v > -127 ? (int32_t)v : -127;
        if (k > 0 && at[k] <= at[k - 1])
            at[k] = at[k - 1] + 1;
    }
    for (int32_t k = n - 1; k >= 0; k--) {
        const int32_t most = k == n - 1 ? 127 : at[k + 1] - 1;
        at[k] = at[k] > most ? most : at[k];
        level[k] = (int8_t)at[k];
    }
}

static const nb_range codebook_range = {.name = "codebook",
                                        .help = "centres of k-means",
                                        .n_state_per_level = 1,
                                        .reads_all = true,
                                        .observe = codebook_observe,
                                        .params = codebook_params};

const nb_format nb_format_codebook = {.name = "codebook",
                                      .help =
                                          "weights of 1 to 7 bits from a book of 2^bits by k-means; finds its scales",
                                      .min_bits = 1,
                                      .max_bits = 7,
                                      .weights_only = true,
                                      .range = &codebook_range,
                                      .book = codebook_book,
                                      .passes = INFINITY};
