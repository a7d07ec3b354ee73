/* proposal.c - what a tensor's numbers say should be done with it.
 *
 * The fewest bits that reach the target decide; at these bits one scale per channel is proposed where it gains a decibel,
 * cutting off where it gains half a one: less than that is within what another sample of images would change. */
#include "analysis/profile.h"

#include "base/numtext.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const double CHANNEL_GAIN = 1, CLIP_GAIN = 0.5, FORMAT_GAIN = 1;

enum { ANY = -1 };

/* The best cell of a format with so many scales and that range, either may be ANY. */
static const nb_profile_cell *best_of(const nb_profile_tensor *t, int32_t format, int32_t per_channel, int32_t range)
{
    const nb_profile_cell *best = NULL;
    for (int32_t i = 0; i < t->n_cells; i++) {
        const nb_profile_cell *c = &t->cell[i];
        const bool asked = c->format == format && (per_channel == ANY || c->per_channel == (per_channel == 1)) &&
                           (range == ANY || (int32_t)c->range == range);
        if (asked && (!best || c->all.noise < best->all.noise))
            best = c;
    }
    return best;
}

static double db(const nb_profile_tensor *t, const nb_profile_cell *c)
{
    return c ? nb_profile_sqnr(t, c) : -INFINITY;
}

/* dB of a over b; none where both are without noise. */
static double gain(const nb_profile_tensor *t, const nb_profile_cell *a, const nb_profile_cell *b)
{
    return b->all.noise > 0 ? db(t, a) - db(t, b) : 0;
}

/* The uniform format of fewest bits that reaches the target; the widest where none does. */
static const nb_profile_cell *fewest_bits(const nb_profile *p, const nb_profile_tensor *t, double target)
{
    const nb_profile_cell *chosen = NULL;
    int32_t bits = 0;
    bool reached = false;
    for (int32_t i = 0; i < p->formats->n; i++) {
        const nb_profile_format *f = &p->formats->of[i];
        const nb_profile_cell *c = best_of(t, i, ANY, ANY);
        if (!c || strcmp(f->format->name, "uniform") != 0)
            continue;
        const bool enough = db(t, c) >= target;
        if (!chosen || (enough ? !reached || f->bits < bits : !reached && f->bits > bits)) {
            chosen = c;
            bits = f->bits;
            reached = enough;
        }
    }
    return chosen;
}

typedef struct {
    char *text;
    size_t size, at;
} sentence;

static void say(sentence *s, const char *fmt, ...) NB_PRINTF(2, 3);

static void say(sentence *s, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    const int n = vsnprintf(s->text + s->at, s->size - s->at, fmt, ap);
    va_end(ap);
    if (n > 0)
        s->at = s->at + (size_t)n < s->size ? s->at + (size_t)n : s->size - 1;
}

/* Another format of as many bits that would do better by FORMAT_GAIN. */
static void say_other_format(sentence *s, const nb_profile *p, const nb_profile_tensor *t, const nb_profile_cell *c)
{
    const nb_profile_cell *best = c;
    for (int32_t i = 0; i < p->formats->n; i++) {
        const nb_profile_cell *other = best_of(t, i, ANY, ANY);
        if (other && p->formats->of[i].bits <= p->formats->of[c->format].bits && other->all.noise < best->all.noise)
            best = other;
    }
    if (best != c && gain(t, best, c) >= FORMAT_GAIN)
        say(s, "; format %s would have %.1f", p->formats->of[best->format].name, db(t, best));
}

static void say_why(sentence *s, const nb_profile *p, const nb_profile_tensor *t, const nb_proposal *r)
{
    const nb_profile_cell *c = r->cell, *fewer = NULL;
    const int32_t bits = p->formats->of[c->format].bits;
    int32_t next = 0;
    for (int32_t i = 0; i < p->formats->n; i++) {
        const nb_profile_format *f = &p->formats->of[i];
        if (strcmp(f->format->name, "uniform") == 0 && f->bits < bits && f->bits > next) {
            fewer = best_of(t, i, ANY, ANY);
            next = f->bits;
        }
    }
    say(s, "%.1f dB", db(t, c));
    if (r->reached && fewer)
        say(s, ", %d bits have %.1f", next, db(t, fewer));
    if (!r->reached)
        say(s, " is all that %d bit%s give, %g are wanted", bits, nb_plural(bits), p->target_db);
    const nb_profile_cell *tensor = best_of(t, c->format, 0, ANY), *channel = best_of(t, c->format, 1, ANY);
    if (channel && c->per_channel)
        say(s, "; a scale per channel gains %.1f dB", gain(t, channel, tensor));
    else if (channel)
        say(s, "; a scale per channel would gain only %.1f dB", fmax(gain(t, channel, tensor), 0));
    if (c->range == NB_PROFILE_CLIP)
        say(s, "; a narrower range gains %.1f dB, cutting off %.2g %%",
            gain(t, c, best_of(t, c->format, c->per_channel, NB_PROFILE_MINMAX)),
            100 * (double)c->all.clipped / (double)t->stats.extent.n);
    if (nb_stats_kurtosis(&t->stats) > 10 && !c->per_channel)
        say(s, "; kurtosis %.0f, %lld beyond 6 std", nb_stats_kurtosis(&t->stats),
            (long long)t->stats.outliers.beyond6);
    say_other_format(s, p, t, c);
}

nb_proposal nb_profile_propose(const nb_profile *p, const nb_profile_tensor *t)
{
    const double target = p->target_db;
    nb_proposal r = {.cell = fewest_bits(p, t, target)};
    sentence reason = {r.reason, sizeof r.reason, 0};
    if (!r.cell || !(t->stats.extent.squares > 0)) {
        r.cell = NULL;
        say(&reason, "%s", t->stats.extent.squares > 0 ? "no uniform format was tried" : "all values are 0");
        return r;
    }
    const int32_t f = r.cell->format;
    const nb_profile_cell *tensor = best_of(t, f, 0, ANY), *channel = best_of(t, f, 1, ANY);
    const bool split =
        channel && (gain(t, channel, tensor) >= CHANNEL_GAIN || (db(t, tensor) < target && db(t, channel) >= target));
    const nb_profile_cell *whole = best_of(t, f, split, NB_PROFILE_MINMAX),
                          *cut = best_of(t, f, split, NB_PROFILE_CLIP);
    const bool clip = gain(t, cut, whole) >= CLIP_GAIN || (db(t, whole) < target && db(t, cut) >= target);
    r.cell = clip ? cut : whole;
    r.reached = db(t, r.cell) >= target;
    const char *granularity = !t->weights ? "" : split ? ", granularity: channel" : ", granularity: tensor";
    snprintf(r.keys, sizeof r.keys, "{bits: %d%s, range: %s}", p->formats->of[f].bits, granularity,
             clip ? "mse" : "minmax");
    say_why(&reason, p, t, &r);
    return r;
}
