/* html.h - text that is data made harmless for HTML and SVG, and bytes as base64. */
#ifndef NB_REPORT_HTML_H
#define NB_REPORT_HTML_H

#include "base/textbuf.h"

/* s as content of an element or of an attribute in quotes, in both languages: & < > " ' are spelled out, control characters
 * but line breaks and tabs become "?", broken UTF-8 U+FFFD. */
void nb_html_add(nb_text *out, const char *s);
/* At most `most` characters of it; "…" stands for the rest. */
void nb_html_add_short(nb_text *out, const char *s, int32_t most);
void nb_base64_add(nb_text *out, const uint8_t *bytes, size_t n);

#endif
