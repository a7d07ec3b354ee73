/* parallel.c - chunks handed to OpenMP's threads as they become free; a plain loop without OpenMP.
 *
 * A nested call runs serially on the thread it was made on and keeps that thread's number, so per-thread scratch stays
 * private. */
#include "base/parallel.h"

#ifdef _OPENMP
#    include <omp.h>

int32_t nb_threads(void)
{
    return omp_get_max_threads();
}

void nb_set_threads(int32_t n)
{
    omp_set_num_threads(n < 1 ? 1 : n);
}

void nb_parallel_for(int64_t n, nb_chunk_fn fn, void *arg)
{
    int32_t threads = omp_in_parallel() ? 1 : omp_get_max_threads();
    if (threads > n)
        threads = (int32_t)n;
    if (threads <= 1) {
        int32_t self = omp_in_parallel() ? omp_get_thread_num() : 0;
        for (int64_t i = 0; i < n; i++)
            fn(arg, i, self);
        return;
    }
#    pragma omp parallel for schedule(dynamic, 1) num_threads(threads)
    for (int64_t i = 0; i < n; i++)
        fn(arg, i, omp_get_thread_num());
}

#else

int32_t nb_threads(void)
{
    return 1;
}

void nb_set_threads(int32_t n)
{
    (void)n;
}

void nb_parallel_for(int64_t n, nb_chunk_fn fn, void *arg)
{
    for (int64_t i = 0; i < n; i++)
        fn(arg, i, 0);
}

#endif
