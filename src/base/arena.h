/* arena.h - memory that is given back all at once: blocks linked in a list, every piece zeroed and 64-byte aligned. */
#ifndef NB_BASE_ARENA_H
#define NB_BASE_ARENA_H

#include <nibble/context.h>

typedef struct nb_arena nb_arena;

nb_status nb_arena_create(nb_ctx *ctx, nb_arena **out);
void nb_arena_free(nb_arena *a); /* NULL is fine */
/* NULL with the sentence set when out of memory; bytes 0 gives a valid pointer. Overflow-safe. */
void *nb_arena_alloc(nb_arena *a, size_t bytes);
void *nb_arena_array(nb_arena *a, size_t count, size_t size);
char *nb_arena_strdup(nb_arena *a, const char *s);
char *nb_arena_printf(nb_arena *a, const char *fmt, ...) NB_PRINTF(2, 3);

/* For allocators built on nb_alloc: counts one allocation; fails with the sentence set when a test wants this one to
 * fail. */
nb_status nb_alloc_permit(nb_ctx *ctx, size_t bytes);

#endif
