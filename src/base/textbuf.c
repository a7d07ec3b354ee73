/* textbuf.c - a string that grows by doubling; the first failure sticks. */
#include "base/textbuf.h"

#include "base/utf8.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void nb_text_init(nb_ctx *ctx, nb_text *t)
{
    *t = (nb_text){.ctx = ctx};
}

void nb_text_free(nb_text *t)
{
    nb_free(t->ctx, t->s);
    *t = (nb_text){.ctx = t->ctx};
}

/* Room for n more bytes and the NUL. */
static int reserve(nb_text *t, size_t n)
{
    if (t->st != NB_OK)
        return 0;
    if (n < t->cap - t->len)
        return 1;
    size_t cap = t->cap ? t->cap : 256;
    while (cap - t->len <= n) {
        if (cap > SIZE_MAX / 2) {
            t->st = nb_fail(t->ctx, NB_E_NOMEM, "a text of more than %zu bytes does not fit into memory", cap);
            return 0;
        }
        cap *= 2;
    }
    char *grown = nb_alloc(t->ctx, cap);
    if (!grown) {
        t->st = NB_E_NOMEM;
        return 0;
    }
    if (t->len)
        memcpy(grown, t->s, t->len);
    nb_free(t->ctx, t->s);
    t->s = grown; /* zeroed: the NUL is there */
    t->cap = cap;
    return 1;
}

void nb_text_bytes(nb_text *t, const char *s, size_t n)
{
    if (!reserve(t, n))
        return;
    memcpy(t->s + t->len, s, n);
    t->len += n;
    t->s[t->len] = '\0';
}

void nb_text_add(nb_text *t, const char *s)
{
    nb_text_bytes(t, s, strlen(s));
}

void nb_text_fill(nb_text *t, char c, size_t n)
{
    if (!reserve(t, n))
        return;
    memset(t->s + t->len, c, n);
    t->len += n;
    t->s[t->len] = '\0';
}

void nb_text_printf(nb_text *t, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    if (n < 0 || !reserve(t, (size_t)n))
        return;
    va_start(ap, fmt);
    vsnprintf(t->s + t->len, (size_t)n + 1, fmt, ap);
    va_end(ap);
    t->len += (size_t)n;
}

void nb_text_json(nb_text *t, const char *s)
{
    nb_text_add(t, "\"");
    for (uint32_t cp = 0; *s;) {
        size_t n = nb_utf8_next(s, &cp);
        if (cp == '"' || cp == '\\')
            nb_text_printf(t, "\\%c", (int)cp);
        else if (nb_utf8_is_control(cp) || cp == NB_UTF8_BROKEN)
            nb_text_printf(t, "\\u%04x", (unsigned)cp);
        else
            nb_text_bytes(t, s, n);
        s += n;
    }
    nb_text_add(t, "\"");
}

nb_status nb_text_take(nb_text *t, char **out)
{
    if (reserve(t, 0)) {
        t->s[t->len] = '\0'; /* the length may have been cut back */
        *out = t->s;
        t->s = NULL;
    }
    nb_status st = t->st;
    nb_text_free(t);
    return st;
}
