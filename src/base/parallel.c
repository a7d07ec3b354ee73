/* parallel.c - chunks handed to a pool of threads as they become free; a plain loop in builds with NB_SERIAL (OMP=0).
 *
 * One pool for the process, made when it is first needed, because threads are a property of the machine. A call wakes
 * the workers, takes part itself as thread 0, and returns when the last chunk is done. Who waits spins for some
 * microseconds, since the next call of a training step is near, and then sleeps: a runtime whose threads spin on takes
 * ten times as long on a machine that does other things too (measured with libgomp at load 5: 19.7 s against 1.9 s).
 *
 * A nested call, and one made while another thread uses the pool, runs serially where it was made; a nested one keeps
 * its thread's number, so per-thread scratch stays private. */
#ifdef __linux__
#    define _GNU_SOURCE 1 /* sched_getaffinity: the processors we may use, not those there are */
#    include <sched.h>
#endif

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

#    include <pthread.h>
#    include <sched.h>
#    include <signal.h>
#    include <stdatomic.h>
#    include <stdbool.h>
#    include <stdlib.h>
#    include <unistd.h>

enum { MAX_THREADS = 256, SPINS = 2000 /* some 40 us: longer than the gap between two layers */ };

/* What the workers work on. Written by the caller while no worker is active, then published by `call`. */
static struct {
    pthread_mutex_t user; /* held by the thread whose call is running */
    pthread_mutex_t lock; /* of the two conditions */
    pthread_cond_t wake, idle;
    pthread_t thread[MAX_THREADS];
    int32_t wanted, workers; /* threads asked for (0: not yet), workers alive = threads - 1 */
    nb_chunk_fn fn;
    void *arg;
    int64_t n;
    atomic_llong next; /* chunk */
    atomic_uint call;  /* counts calls: a change is the signal to look */
    atomic_int active; /* workers that take part; changes under lock */
    bool open, stop;   /* under lock: chunks may be left; workers shall end */
} pool = {.user = PTHREAD_MUTEX_INITIALIZER,
          .lock = PTHREAD_MUTEX_INITIALIZER,
          .wake = PTHREAD_COND_INITIALIZER,
          .idle = PTHREAD_COND_INITIALIZER};

static _Thread_local int32_t self = -1; /* this thread's number while it runs chunks */

static void pause_briefly(void)
{
#    if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#    endif
}

static void run_chunks(int32_t thread)
{
    self = thread;
    for (int64_t i; (i = atomic_fetch_add(&pool.next, 1)) < pool.n;)
        pool.fn(pool.arg, i, thread);
    self = -1;
}

/* A worker that wakes up late finds the call closed and is not waited for: on a busy machine the others have done its
 * share. */
static void *worker(void *number)
{
    int32_t thread = (int32_t)(intptr_t)number;
    unsigned seen = 0;
    for (;;) {
        for (int32_t i = 0; i < SPINS && atomic_load(&pool.call) == seen; i++)
            pause_briefly();
        pthread_mutex_lock(&pool.lock);
        while (atomic_load(&pool.call) == seen)
            pthread_cond_wait(&pool.wake, &pool.lock);
        seen = atomic_load(&pool.call);
        bool stop = pool.stop, open = pool.open;
        atomic_fetch_add(&pool.active, open);
        pthread_mutex_unlock(&pool.lock);
        if (stop)
            return NULL;
        if (!open)
            continue;
        run_chunks(thread);
        pthread_mutex_lock(&pool.lock);
        if (atomic_fetch_sub(&pool.active, 1) == 1 && !pool.open)
            pthread_cond_signal(&pool.idle);
        pthread_mutex_unlock(&pool.lock);
    }
}

/* Publishes what the caller has written into the pool. */
static void announce(bool open, bool stop)
{
    pthread_mutex_lock(&pool.lock);
    pool.open = open;
    pool.stop = stop;
    atomic_fetch_add(&pool.call, 1);
    pthread_cond_broadcast(&pool.wake);
    pthread_mutex_unlock(&pool.lock);
}

static void close_and_wait(void)
{
    pthread_mutex_lock(&pool.lock);
    pool.open = false;
    pthread_mutex_unlock(&pool.lock);
    for (int32_t i = 0; i < SPINS && atomic_load(&pool.active) > 0; i++)
        pause_briefly();
    pthread_mutex_lock(&pool.lock);
    while (atomic_load(&pool.active) > 0)
        pthread_cond_wait(&pool.idle, &pool.lock);
    pthread_mutex_unlock(&pool.lock);
}

static int32_t threads_of_machine(void)
{
    const char *asked = getenv("OMP_NUM_THREADS"); /* the name everybody knows; "4,2" means 4 */
    long n = asked ? strtol(asked, NULL, 10) : 0;
#    ifdef __linux__
    cpu_set_t set;
    if (n < 1 && sched_getaffinity(0, sizeof set, &set) == 0)
        n = CPU_COUNT(&set);
#    endif
    if (n < 1)
        n = sysconf(_SC_NPROCESSORS_ONLN);
    return n < 1 ? 1 : n > MAX_THREADS ? MAX_THREADS : (int32_t)n;
}

int32_t nb_threads(void)
{
    if (pool.wanted == 0)
        pool.wanted = threads_of_machine();
    return pool.wanted;
}

static void stop_workers(void)
{
    if (pool.workers == 0)
        return;
    announce(false, true);
    for (int32_t i = 0; i < pool.workers; i++)
        pthread_join(pool.thread[i], NULL);
    pool.workers = 0;
    pool.stop = false;
}

void nb_set_threads(int32_t n)
{
    pthread_mutex_lock(&pool.user);
    pool.wanted = n < 1 ? 1 : n > MAX_THREADS ? MAX_THREADS : n;
    stop_workers();
    pthread_mutex_unlock(&pool.user);
}

/* Workers leave signals to the program's own threads. Fewer threads than asked for, when the system gives no more,
 * change no result. */
static void start_workers(void)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    atomic_store(&pool.call, 0);
    while (pool.workers < nb_threads() - 1) {
        void *number = (void *)(intptr_t)(pool.workers + 1);
        if (pthread_create(&pool.thread[pool.workers], NULL, worker, number) != 0)
            break;
        pool.workers++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

void nb_parallel_for(int64_t n, nb_chunk_fn fn, void *arg)
{
    bool nested = self >= 0;
    if (nested || n <= 1 || nb_threads() == 1 || pthread_mutex_trylock(&pool.user) != 0) {
        for (int64_t i = 0; i < n; i++)
            fn(arg, i, nested ? self : 0);
        return;
    }
    if (pool.workers == 0)
        start_workers();
    pool.fn = fn;
    pool.arg = arg;
    pool.n = n;
    atomic_store(&pool.next, 0);
    announce(true, false);
    run_chunks(0);
    close_and_wait();
    pthread_mutex_unlock(&pool.user);
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
