/* race.c - a race on purpose: `make check-tsan` must see ThreadSanitizer report it, or a clean run says nothing. */
#include "base/parallel.h"

#include <stdio.h>
#include <time.h>

enum { CHUNKS = 40, MILLISECOND = 1000000 };

static int64_t sum;

static void add(void *arg, int64_t chunk, int32_t thread)
{
    (void)arg;
    (void)thread;
    nanosleep(&(struct timespec){.tv_nsec = MILLISECOND}, NULL); /* so that every thread gets some */
    sum += chunk;                                                /* by several threads at once */
}

int main(void)
{
    nb_set_threads(4);
    nb_parallel_for(CHUNKS, add, NULL);
    printf("%lld\n", (long long)sum);
    return 0;
}
