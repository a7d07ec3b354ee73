/* guard.c - memory between two pages nobody may touch. */
#define _DEFAULT_SOURCE /* MAP_ANONYMOUS */
#include "ref/guard.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

ref_guard ref_guard_alloc(size_t bytes, ref_guard_side side)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE), inner = (bytes + page - 1) / page * page;
    ref_guard g = {.map_bytes = inner + 2 * page};
    g.map = mmap(NULL, g.map_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (g.map == MAP_FAILED)
        abort();
    char *first = (char *)g.map + page;
    if (inner && mprotect(first, inner, PROT_READ | PROT_WRITE) != 0)
        abort();
    g.data = side == GUARD_BEGIN ? first : first + inner - bytes;
    memset(g.data, 0xA5, bytes);
    return g;
}

void ref_guard_free(ref_guard *g)
{
    munmap(g->map, g->map_bytes);
    *g = (ref_guard){0};
}
