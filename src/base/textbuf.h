/* textbuf.h - a string that grows: printers append to it and ask once, at the end, whether all went well. */
#ifndef NB_BASE_TEXTBUF_H
#define NB_BASE_TEXTBUF_H

#include <nibble/context.h>

/* After the first failure (out of memory, longer than max) appending does nothing, so callers need not check each step.
 */
typedef struct {
    nb_ctx *ctx;
    char *s; /* NUL-terminated; NULL while empty */
    size_t len, cap;
    nb_status st;
} nb_text;

void nb_text_init(nb_ctx *ctx, nb_text *t);
void nb_text_free(nb_text *t); /* a zeroed struct is fine */
void nb_text_add(nb_text *t, const char *s);
void nb_text_bytes(nb_text *t, const char *s, size_t n);
void nb_text_fill(nb_text *t, char c, size_t n); /* n times c */
void nb_text_printf(nb_text *t, const char *fmt, ...) NB_PRINTF(2, 3);
/* s in quotes as JSON writes it; what is not UTF-8 becomes U+FFFD. */
void nb_text_json(nb_text *t, const char *s);
/* Hands the string out (the caller frees it with nb_free) or gives the first failure; the buffer is empty after. */
nb_status nb_text_take(nb_text *t, char **out);

#endif
