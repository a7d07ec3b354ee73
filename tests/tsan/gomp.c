/* gomp.c - stands in for libgomp in builds with SAN=thread: a parallel region on plain pthreads.
 *
 * ThreadSanitizer does not know how libgomp's threads wait for each other, so it reports every result that one region
 * writes and the next one reads. Here a region's threads are created and joined, which it does understand; and since
 * every access inside them is instrumented as ever, a race between two chunks is found. */
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

enum { MAX_TEAM = 256 };

typedef struct {
    void (*fn)(void *);
    void *data;
    unsigned number;
} member;

static _Thread_local int number;
static _Thread_local bool inside;

void GOMP_parallel(void (*fn)(void *), void *data, unsigned n_threads, unsigned flags);
int omp_get_thread_num(void);
int omp_get_max_threads(void);

static void *run(void *arg)
{
    const member *m = arg;
    number = (int)m->number;
    inside = true;
    m->fn(m->data);
    return NULL;
}

void GOMP_parallel(void (*fn)(void *), void *data, unsigned n_threads, unsigned flags)
{
    (void)flags;
    pthread_t thread[MAX_TEAM];
    member team[MAX_TEAM];
    unsigned n = inside || n_threads < 1 ? 1 : n_threads > MAX_TEAM ? MAX_TEAM : n_threads, have = 1;
    for (; have < n; have++) {
        team[have] = (member){fn, data, have};
        if (pthread_create(&thread[have], NULL, run, &team[have]) != 0)
            break;
    }
    const int before = number;
    const bool nested = inside;
    number = nested ? number : 0;
    inside = true;
    fn(data);
    inside = nested;
    number = before;
    for (unsigned i = 1; i < have; i++)
        pthread_join(thread[i], NULL);
}

int omp_get_thread_num(void)
{
    return number;
}

int omp_get_max_threads(void)
{
    const char *asked = getenv("OMP_NUM_THREADS");
    const long n = asked ? strtol(asked, NULL, 10) : sysconf(_SC_NPROCESSORS_ONLN);
    return n < 1 ? 1 : (int)n;
}
