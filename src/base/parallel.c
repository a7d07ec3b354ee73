/* parallel.c - chunks handed to OpenMP's threads as they become free; a plain loop in builds with NB_SERIAL (OMP=0).
 *
 * A call is one parallel region: its threads take the next chunk from a shared counter until none is left, so it does
 * not matter how many of those asked for are granted, or how late they come. The number of threads is asked once and
 * kept, because scratch memory is laid out for it.
 *
 * How long a thread waits for the next region before it sleeps decides the speed on a machine that does other things
 * too, where a region ends when its last thread has got a processor. libgomp spins for 3 ms, libomp for 200. Steps of
 * ResNet-8 W8A8 on two cores of a Xeon (Emerald Rapids), GOMP_SPINCOUNT 500, 2000, and threads that are not waited for:
 * quiet 32.0, 30.0, 30.3 ms; beside five busy processes 147, 158, 139 (ResNet-20 with libgomp's own: 785..1,112 of
 * 310). libomp can be told here. libgomp reads GOMP_SPINCOUNT when it is loaded and has no call for it: the program sets
 * it before, by the load it finds (src/cli/start.c); who embeds the library sets it for the process, or OMP_WAIT_POLICY.
 *
 * A nested call, and one made while another thread's call runs, stays serial where it was made; a nested one keeps its
 * thread's number, so per-thread scratch stays private. */
#include "base/parallel.h"

#ifdef NB_SERIAL

int32_t nb_threads(void)
{
    return 1;
}

void nb_set_threads(int32_t n)
{
    (void)n;
}

const char *nb_threads_runtime(void)
{
    return "no OpenMP";
}

void nb_parallel_for(int64_t n, nb_chunk_fn fn, void *arg)
{
    for (int64_t i = 0; i < n; i++)
        fn(arg, i, 0);
}

void nb_parallel_steps(int32_t steps, int32_t parts, nb_part_fn fn, void *arg)
{
    for (int32_t s = 0; s < steps; s++)
        for (int32_t p = 0; p < parts; p++)
            fn(arg, s, p);
}

#else

#    include <omp.h>
#    include <pthread.h>
#    include <sched.h>
#    include <signal.h>
#    include <stdatomic.h>
#    include <stdbool.h>
#    include <stdlib.h>

enum { MAX_THREADS = 256, SPINS = 2000 /* within a region: some 40 us, then others may run */ };

static atomic_int wanted;                     /* threads; 0: not asked yet */
static atomic_flag in_use = ATOMIC_FLAG_INIT; /* some thread's call runs */
static _Thread_local int32_t self = -1;       /* this thread's number while it runs chunks */
static _Thread_local int32_t started;         /* threads this thread's regions have had so far */

static int32_t within_limits(int32_t n)
{
    return n < 1 ? 1 : n > MAX_THREADS ? MAX_THREADS : n;
}

int32_t nb_threads(void)
{
    int32_t n = atomic_load_explicit(&wanted, memory_order_relaxed);
    if (n == 0) {
        n = within_limits(omp_get_max_threads());
        atomic_store_explicit(&wanted, n, memory_order_relaxed);
    }
    return n;
}

void nb_set_threads(int32_t n)
{
    atomic_store_explicit(&wanted, within_limits(n), memory_order_relaxed);
}

/* "4.5" of the year and month that _OPENMP is. */
#    if _OPENMP >= 202111
#        define VERSION "5.2"
#    elif _OPENMP >= 202011
#        define VERSION "5.1"
#    elif _OPENMP >= 201811
#        define VERSION "5.0"
#    else
#        define VERSION "4.5"
#    endif

const char *nb_threads_runtime(void)
{
#    ifdef KMP_VERSION_MAJOR
    return "OpenMP " VERSION ", libomp";
#    else
    return "OpenMP " VERSION ", libgomp";
#    endif
}

/* Bounded waiting where the runtime can be told, unless the user has said something. */
static void limit_waiting(void)
{
#    ifdef KMP_VERSION_MAJOR
    if (!getenv("KMP_BLOCKTIME") && !getenv("OMP_WAIT_POLICY"))
        kmp_set_blocktime(0); /* the unit is 1 ms: too long already */
#    endif
}

typedef struct {
    nb_chunk_fn fn;
    void *arg;
    int64_t n;
    atomic_llong next; /* chunk */
} work;

static void run_chunks(work *w)
{
    self = omp_get_thread_num();
    for (int64_t i; (i = atomic_fetch_add_explicit(&w->next, 1, memory_order_relaxed)) < w->n;)
        w->fn(w->arg, i, self);
    self = -1;
}

static void run_region(work *w, int32_t threads)
{
#    pragma omp parallel num_threads(threads)
    run_chunks(w);
}

/* Threads that the runtime starts leave signals to the program's own. */
static void run_first_region(work *w, int32_t threads)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    limit_waiting();
    run_region(&(work){.n = 0}, threads);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    started = threads;
    run_region(w, threads);
}

void nb_parallel_for(int64_t n, nb_chunk_fn fn, void *arg)
{
    const bool nested = self >= 0;
    const int32_t threads = nb_threads();
    if (nested || n <= 1 || threads == 1 || atomic_flag_test_and_set(&in_use)) {
        for (int64_t i = 0; i < n; i++)
            fn(arg, i, nested ? self : 0);
        return;
    }
    work w = {.fn = fn, .arg = arg, .n = n};
    (started == threads ? run_region : run_first_region)(&w, threads);
    atomic_flag_clear(&in_use);
}

static void pause_briefly(void)
{
#    if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#    endif
}

typedef struct {
    nb_part_fn fn;
    void *arg;
    int64_t n; /* steps * parts */
    int32_t parts;
    atomic_llong claimed, done; /* parts of all steps, in order */
} step_queue;

/* Parts are claimed in order, so every part of the steps before is done or in the hands of a thread that does not wait:
 * whoever is there gets through, alone if need be. */
static void run_steps(void *arg, int64_t chunk, int32_t thread)
{
    step_queue *q = arg;
    (void)chunk;
    (void)thread;
    for (int64_t i; (i = atomic_fetch_add(&q->claimed, 1)) < q->n;) {
        const int64_t before = i / q->parts * q->parts;
        for (int32_t spins = 0; atomic_load(&q->done) < before; spins++)
            if (spins < SPINS)
                pause_briefly();
            else
                sched_yield();
        q->fn(q->arg, (int32_t)(i / q->parts), (int32_t)(i % q->parts));
        atomic_fetch_add(&q->done, 1);
    }
}

void nb_parallel_steps(int32_t steps, int32_t parts, nb_part_fn fn, void *arg)
{
    step_queue q = {.fn = fn, .arg = arg, .n = (int64_t)steps * parts, .parts = parts};
    nb_parallel_for(parts, run_steps, &q);
}

#endif
