/* parallel.h - the only place that starts computing threads. Work is cut into chunks by the caller from sizes alone,
 * never from the thread count, so results are the same for 1 or 64 threads. Nested calls run serially. */
#ifndef NB_BASE_PARALLEL_H
#define NB_BASE_PARALLEL_H

#include <stdint.h>

typedef void (*nb_chunk_fn)(void *arg, int64_t chunk, int32_t thread);

/* Upper bound of `thread` + 1: OMP_NUM_THREADS, or the processors this process may use; 1 in builds with OMP=0. */
int32_t nb_threads(void);
/* Not while a parallel_for runs. */
void nb_set_threads(int32_t n);
/* What runs them: "OpenMP 4.5, libgomp". */
const char *nb_threads_runtime(void);
/* fn(arg, 0..n-1, thread) in any order; returns when all are done. */
void nb_parallel_for(int64_t n, nb_chunk_fn fn, void *arg);

typedef void (*nb_part_fn)(void *arg, int32_t step, int32_t part);

/* fn(arg, step, 0..parts-1) for one step after the other: all parts of a step are done before the next step begins. For
 * many short steps: threads meet without leaving the pool. One thread alone does all parts in order. */
void nb_parallel_steps(int32_t steps, int32_t parts, nb_part_fn fn, void *arg);

/* Splits [0, count) into chunks of `grain`: the number of chunks, and chunk i's range. */
static inline int64_t nb_chunks(int64_t count, int64_t grain)
{
    return (count + grain - 1) / grain;
}
static inline int64_t nb_chunk_end(int64_t count, int64_t grain, int64_t i)
{
    int64_t end = (i + 1) * grain;
    return end < count ? end : count;
}

#endif
