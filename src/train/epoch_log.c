/* epoch_log.c - see epoch_log.h. */
#include "train/epoch_log.h"

#include "base/check.h"
#include "base/files.h"

#include <stdlib.h>
#include <string.h>

enum { MOST_BYTES = 1 << 28 };

/* The lines of text up to that epoch. */
static void keep_lines(nb_text *t, const nb_epoch_log *log, const char *text)
{
    const size_t head = strlen(log->head);
    const char *at = strncmp(text, log->head, head) == 0 ? text + head : "", *end;
    for (; (end = strchr(at, '\n')); at = end + 1) {
        char *comma;
        const long p = strtol(at, &comma, 10), e = *comma == ',' ? strtol(comma + 1, NULL, 10) : 0;
        if (p > 0 && e > 0 && (p <= log->phase || (p == log->phase + 1 && e <= log->epoch)))
            nb_text_bytes(t, at, (size_t)(end + 1 - at));
    }
}

/* In quotes where it must be (RFC 4180). */
static void add_name(nb_text *t, const char *name)
{
    if (!name[strcspn(name, ",\"\r\n")]) {
        nb_text_add(t, name);
        return;
    }
    nb_text_add(t, "\"");
    for (; *name; name++)
        nb_text_bytes(t, *name == '"' ? "\"\"" : name, *name == '"' ? 2 : 1);
    nb_text_add(t, "\"");
}

void nb_epoch_log_line(nb_text *t, int32_t phase, int32_t epoch, const char *name)
{
    nb_text_printf(t, "%d,%d,", phase + 1, epoch + 1);
    add_name(t, name);
}

nb_status nb_epoch_log_write(nb_ctx *ctx, const nb_epoch_log *log)
{
    uint8_t *old = NULL;
    size_t len;
    nb_text t;
    if (nb_file_exists(log->path))
        NB_TRY(nb_file_read(ctx, log->path, MOST_BYTES, &old, &len));
    else if (!log->add)
        return NB_OK;
    nb_text_init(ctx, &t);
    nb_text_add(&t, log->head);
    keep_lines(&t, log, old ? (const char *)old : "");
    nb_status st = log->add ? log->add(log->ud, &t) : NB_OK;
    st = st == NB_OK ? t.st : st;
    if (st == NB_OK && (!old || len != t.len || memcmp(old, t.s, len) != 0))
        st = nb_file_write(ctx, log->path, t.s, t.len);
    nb_text_free(&t);
    nb_free(ctx, old);
    return st;
}
