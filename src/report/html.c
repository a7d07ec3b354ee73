/* html.c - see html.h. */
#include "report/html.h"

#include "base/utf8.h"

#include <limits.h>
#include <stdbool.h>

static const char *entity(uint32_t cp)
{
    switch (cp) {
    case '&':
        return "&amp;";
    case '<':
        return "&lt;";
    case '>':
        return "&gt;";
    case '"':
        return "&quot;";
    case '\'':
        return "&#39;";
    case NB_UTF8_BROKEN:
        return "\xef\xbf\xbd";
    default:
        return nb_utf8_is_control(cp) && cp != '\n' && cp != '\t' ? "?" : NULL;
    }
}

/* U+FFFE and U+FFFF are characters of no XML document; surrogates nb_utf8_next does not give. */
static bool is_noncharacter(uint32_t cp)
{
    return (cp & 0xfffe) == 0xfffe;
}

void nb_html_add_short(nb_text *out, const char *s, int32_t most)
{
    for (uint32_t cp = 0; *s; most--) {
        const size_t n = nb_utf8_next(s, &cp);
        const char *e = is_noncharacter(cp) ? "?" : entity(cp);
        if (most == 1 && s[n]) {
            nb_text_add(out, "\xe2\x80\xa6");
            return;
        }
        if (e)
            nb_text_add(out, e);
        else
            nb_text_bytes(out, s, n);
        s += n;
    }
}

void nb_html_add(nb_text *out, const char *s)
{
    nb_html_add_short(out, s, INT_MAX);
}

void nb_base64_add(nb_text *out, const uint8_t *bytes, size_t n)
{
    static const char digit[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < n; i += 3) {
        const uint32_t a = bytes[i], b = i + 1 < n ? bytes[i + 1] : 0, c = i + 2 < n ? bytes[i + 2] : 0;
        const uint32_t v = a << 16 | b << 8 | c;
        const char four[] = {digit[v >> 18], digit[v >> 12 & 63], i + 1 < n ? digit[v >> 6 & 63] : '=',
                             i + 2 < n ? digit[v & 63] : '='};
        nb_text_bytes(out, four, sizeof four);
    }
}
