/* context.h - status codes, the context that carries the last error sentence, and the allocator.
 *
 * Every function that can fail because of the world (a file, a config, memory) returns nb_status. The function that
 * knows the cause writes one sentence with nb_fail(); callers only forward the status (NB_TRY in base/check.h).
 * A context belongs to one thread; contexts are independent of each other. */
#ifndef NIBBLE_CONTEXT_H
#define NIBBLE_CONTEXT_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#    define NB_API          __attribute__((visibility("default")))
#    define NB_PRINTF(f, a) __attribute__((format(printf, f, a)))
#else
#    define NB_API
#    define NB_PRINTF(f, a)
#endif

typedef enum {
    NB_OK = 0,
    NB_E_NOMEM = -1,       /* out of memory */
    NB_E_IO = -2,          /* a file could not be opened, read or written */
    NB_E_CONFIG = -3,      /* the config, or a command line argument, is wrong: exit code 2 */
    NB_E_SHAPE = -4,       /* tensors do not fit together: exit code 2 */
    NB_E_FORMAT = -5,      /* a file's content is not what it should be */
    NB_E_UNSUPPORTED = -6, /* correct, but this build or this network cannot do it */
    NB_E_RANGE = -7,       /* a proof failed, e.g. an accumulator could overflow */
    NB_E_DIVERGED = -8,    /* training produced NaN or infinity */
    NB_E_STOPPED = -9      /* interrupted by the user; state was saved */
} nb_status;

typedef struct nb_ctx nb_ctx;

/* Returns NULL only when out of memory. */
NB_API nb_ctx *nb_ctx_create(void);
NB_API void nb_ctx_destroy(nb_ctx *ctx);

/* The sentence of the last failure on this context; "" if there was none. Owned by the context. */
NB_API const char *nb_ctx_error(const nb_ctx *ctx);

/* Stores the sentence (cut at 1023 bytes) and returns st, so that `return nb_fail(...)` reads well. */
NB_API nb_status nb_fail(nb_ctx *ctx, nb_status st, const char *fmt, ...) NB_PRINTF(3, 4);

/* Optional sink for lines a user should see that are not errors ("falling back to ..."). Without one they are dropped.
 */
typedef void (*nb_log_fn)(void *ud, const char *line);
NB_API void nb_ctx_set_log(nb_ctx *ctx, nb_log_fn fn, void *ud);
NB_API void nb_log(nb_ctx *ctx, const char *fmt, ...) NB_PRINTF(2, 3);

/* Zeroed memory, 64-byte aligned, or NULL with the sentence set (size 0 gives a valid pointer). Freed by nb_free. */
NB_API void *nb_alloc(nb_ctx *ctx, size_t bytes);
/* Bytes up to the next multiple of 64, which is what nb_alloc aligns to: pieces of one allocation. */
static inline size_t nb_round64(size_t bytes)
{
    return (bytes + 63) / 64 * 64;
}
NB_API void nb_free(nb_ctx *ctx, void *p); /* NULL is fine */
NB_API char *nb_strdup(nb_ctx *ctx, const char *s);

/* Test hook: the n-th allocation from now (1 = the next) on this context fails; 0 switches it off. */
NB_API void nb_ctx_fail_alloc_at(nb_ctx *ctx, int64_t n);

#ifdef __cplusplus
}
#endif
#endif
