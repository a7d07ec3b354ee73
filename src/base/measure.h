/* measure.h - clocks, and what a handful of numbers comes to. */
#ifndef NB_BASE_MEASURE_H
#define NB_BASE_MEASURE_H

#include <stdint.h>

double nb_now(void);       /* seconds of a steady clock */
double nb_wall_time(void); /* seconds since 1970; nothing but logs may depend on it */
/* Of the processor, which other programs on the machine do not change: of this thread, of all threads of the process. */
double nb_thread_seconds(void);
double nb_process_seconds(void);

double nb_median(double *v, int32_t n); /* of n >= 1; sorts v */

/* Index of the largest of n >= 1, ties to the lowest. */
int32_t nb_argmax_float(const float *v, int64_t n);
int32_t nb_argmax_int(const int32_t *v, int64_t n);

#endif
