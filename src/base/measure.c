/* measure.c - clocks, median, argmax. */
#include "base/measure.h"

#include <stdlib.h>
#include <time.h>

static double seconds(clockid_t clock)
{
    struct timespec t;
    if (clock_gettime(clock, &t) != 0)
        clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

double nb_now(void)
{
    return seconds(CLOCK_MONOTONIC);
}

double nb_wall_time(void)
{
    return seconds(CLOCK_REALTIME);
}

double nb_thread_seconds(void)
{
    return seconds(CLOCK_THREAD_CPUTIME_ID);
}

double nb_process_seconds(void)
{
    return seconds(CLOCK_PROCESS_CPUTIME_ID);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double nb_median(double *v, int32_t n)
{
    qsort(v, (size_t)n, sizeof *v, by_value);
    return n % 2 ? v[n / 2] : 0.5 * (v[n / 2 - 1] + v[n / 2]);
}

int32_t nb_argmax_float(const float *v, int64_t n)
{
    int64_t best = 0;
    for (int64_t i = 1; i < n; i++)
        best = v[i] > v[best] ? i : best;
    return (int32_t)best;
}

int32_t nb_argmax_int(const int32_t *v, int64_t n)
{
    int64_t best = 0;
    for (int64_t i = 1; i < n; i++)
        best = v[i] > v[best] ? i : best;
    return (int32_t)best;
}
