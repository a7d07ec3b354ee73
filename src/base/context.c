/* context.c - the error sentence, the log sink, and the allocator with its failure injection.
 *
 * The sentence may quote hostile bytes from a file, so control characters become '?': one failure is always one line.
 * Every allocation of the library passes through permit(), which is how a test makes the n-th one fail. */
#include <nibble/context.h>

#include "base/arena.h"
#include "base/check.h"
#include "base/files_state.h"

#include <stdarg.h>
#include <string.h>

enum { ERROR_BYTES = 1024, ALIGN = 64 /* a cache line, and the widest vector register */ };

struct nb_ctx {
    char error[ERROR_BYTES];
    nb_log_fn log;
    void *log_ud;
    int64_t fail_in; /* allocations until one fails; 0 = never */
    nb_files_state files;
};

nb_ctx *nb_ctx_create(void)
{
    return calloc(1, sizeof(nb_ctx));
}

void nb_ctx_destroy(nb_ctx *ctx)
{
    if (!ctx)
        return;
    nb_together_abort(ctx);
    free(ctx->files.read);
    free(ctx);
}

nb_files_state *nb_ctx_files(nb_ctx *ctx)
{
    return &ctx->files;
}

const char *nb_ctx_error(const nb_ctx *ctx)
{
    return ctx->error;
}

static void one_line(char *s)
{
    for (; *s; s++)
        if ((unsigned char)*s < 0x20 || *s == 0x7f)
            *s = '?';
}

nb_status nb_fail(nb_ctx *ctx, nb_status st, const char *fmt, ...)
{
    /* Formatted aside: the arguments may point into the previous sentence. */
    char text[ERROR_BYTES];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    one_line(text);
    memcpy(ctx->error, text, sizeof text);
    return st;
}

void nb_ctx_set_log(nb_ctx *ctx, nb_log_fn fn, void *ud)
{
    ctx->log = fn;
    ctx->log_ud = ud;
}

void nb_log(nb_ctx *ctx, const char *fmt, ...)
{
    if (!ctx->log)
        return;
    char text[ERROR_BYTES];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    one_line(text);
    ctx->log(ctx->log_ud, text);
}

void nb_ctx_fail_alloc_at(nb_ctx *ctx, int64_t n)
{
    ctx->fail_in = n;
}

nb_status nb_alloc_permit(nb_ctx *ctx, size_t bytes)
{
    if (ctx->fail_in > 0 && --ctx->fail_in == 0)
        return nb_fail(ctx, NB_E_NOMEM, "out of memory: %zu bytes", bytes);
    return NB_OK;
}

void *nb_alloc(nb_ctx *ctx, size_t bytes)
{
    if (nb_alloc_permit(ctx, bytes) != NB_OK)
        return NULL;
    void *p = NULL;
    if (bytes > PTRDIFF_MAX - ALIGN || posix_memalign(&p, ALIGN, bytes ? bytes : 1) != 0) {
        nb_fail(ctx, NB_E_NOMEM, "out of memory: %zu bytes", bytes);
        return NULL;
    }
    memset(p, 0, bytes ? bytes : 1);
    return p;
}

void nb_free(nb_ctx *ctx, void *p)
{
    (void)ctx;
    free(p);
}

char *nb_strdup(nb_ctx *ctx, const char *s)
{
    size_t bytes = strlen(s) + 1;
    char *copy = nb_alloc(ctx, bytes);
    if (copy)
        memcpy(copy, s, bytes);
    return copy;
}
