/* aciq.h - the clip that costs least for values of a known distribution, and what it costs, in closed form (Banner et
 * al. 2019, arXiv:1810.05723, sections 3 and A).
 *
 * Values have the spread b: a Laplace's mean |x - mean|, a Gaussian's standard deviation; one-sided ones, after a relu,
 * are positive and b is their mean, or root mean square; of a uniform one, half its width (one-sided: all). The grid divides the range, [-clip, clip] or [0, clip], into
 * `intervals` steps (the paper: 2^bits). Inside, an error is uniform within half a step; beyond, it is the distance to the
 * clip:
 *     noise = range^2 / (12 intervals^2) + integral of (|x| - clip)^2 f(x) beyond it */
#ifndef NB_QUANT_ACIQ_H
#define NB_QUANT_ACIQ_H

#include <stdbool.h>

typedef enum { NB_FIT_GAUSSIAN, NB_FIT_LAPLACE, NB_FIT_UNIFORM } nb_fit;

typedef struct {
    nb_fit fit;
    bool one_sided;
    double intervals; /* >= 1 */
} nb_clip_case;

/* The principal branch: w with w e^w = x, for x >= 0. */
double nb_lambert_w(double x);
/* The clip of least noise, in units of the spread. */
double nb_clip_factor(const nb_clip_case *c);
/* Mean squared error at a clip, in units of the spread squared; clip is in units of the spread. */
double nb_clip_noise(const nb_clip_case *c, double clip);
/* Log likelihood of values at their own best spread is, per value, -log of this (one-sided ones: of half of it). */
double nb_fit_width(nb_fit fit, double spread);
/* Which of Gaussian and Laplace explains such values better (the larger likelihood at its own best spread): their mean size and
 * root mean square about their mean, or about 0 if they are one-sided. */
nb_fit nb_fit_choose(double mean_size, double root_mean_square);

#endif
