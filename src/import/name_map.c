/* name_map.c - the text of a map to rules, and patterns against names. */
#include "import/name_map.h"

#include "base/arena.h"
#include "base/check.h"

#include <inttypes.h>
#include <string.h>

enum { MAX_DIGITS = 9 }; /* of a number in a name: fits an int64_t with room to add */

#define NB_NAME_MAP(x) extern const nb_name_map nb_name_map_##x;
#include "import/maps.def"
#undef NB_NAME_MAP
#define NB_NAME_MAP(x) &nb_name_map_##x,
const nb_name_map *const nb_name_maps[] = {
#include "import/maps.def"
    NULL};
#undef NB_NAME_MAP

/* ---- patterns ---- */

/* A hole "{}", "{+1}" or "{-2}" at s: its length and what it adds; 0 if there is none. */
static size_t hole_at(const char *s, int64_t *add)
{
    size_t n = 1;
    *add = 0;
    if (s[0] != '{')
        return 0;
    if (s[n] == '+' || s[n] == '-') {
        bool minus = s[n++] == '-';
        size_t digits = strspn(s + n, "0123456789");
        if (digits == 0 || digits > 3)
            return 0;
        for (size_t i = 0; i < digits; i++)
            *add = 10 * *add + (s[n + i] - '0');
        *add = minus ? -*add : *add;
        n += digits;
    }
    return s[n] == '}' ? n + 1 : 0;
}

bool nb_map_match(const char *p, const char *text, size_t len, nb_map_holes *h)
{
    const char *end = text + len;
    int64_t add;
    *h = (nb_map_holes){0};
    while (*p) {
        size_t hole = hole_at(p, &add);
        if (hole) {
            int64_t v = 0;
            size_t digits = 0;
            for (; text < end && *text >= '0' && *text <= '9' && digits <= MAX_DIGITS; digits++)
                v = 10 * v + (*text++ - '0');
            if (digits == 0 || digits > MAX_DIGITS || h->n == NB_MAP_NUMBERS)
                return false;
            h->number[h->n++] = v;
            p += hole;
        } else if (*p == '*') { /* one at most: what follows it is as long as it is */
            size_t after = strlen(++p);
            if ((size_t)(end - text) < after)
                return false;
            h->rest = text;
            h->rest_len = (size_t)(end - text) - after;
            text += h->rest_len;
        } else {
            if (text == end || *p++ != *text++)
                return false;
        }
    }
    return text == end;
}

bool nb_map_fill(const char *p, const nb_map_holes *h, char *buf, size_t len)
{
    size_t at = 0;
    int64_t add;
    for (int32_t number = 0; *p;) {
        char digits[24];
        const char *piece = p;
        size_t hole = hole_at(p, &add), n = 1;
        if (hole) {
            n = (size_t)snprintf(digits, sizeof digits, "%" PRId64, h->number[number++] + add);
            piece = digits;
        } else if (*p == '*') {
            piece = h->rest;
            n = h->rest_len;
        }
        if (n >= len - at)
            return false;
        memcpy(buf + at, piece, n);
        at += n;
        p += hole ? hole : 1;
    }
    buf[at] = '\0';
    return true;
}

/* ---- text ---- */

typedef struct {
    nb_ctx *ctx;
    nb_arena *arena;
    nb_map *map;
    int32_t line;
} reader;

static nb_status bad_line(const reader *r, const char *what, const char *text)
{
    return nb_fail(r->ctx, NB_E_CONFIG, "%s:%d: %.80s: %s", r->map->name, r->line, text, what);
}

/* Counts the holes of one side; stars on the left stand behind everything that could be ambiguous, so one must do. */
static nb_status check_side(const reader *r, const char *side, int32_t *numbers, int32_t *stars)
{
    *numbers = *stars = 0;
    for (const char *p = side; *p;) {
        int64_t add;
        size_t hole = hole_at(p, &add);
        if ((*p == '{' && !hole) || *p == '}')
            return bad_line(r, "braces are {}, {+1} or {-1}", side);
        if ((unsigned char)*p <= ' ')
            return bad_line(r, "a name has no blanks (`THEIRS -> OURS`, or a module of theirs alone)", side);
        *numbers += hole > 0;
        *stars += *p == '*';
        p += hole ? hole : 1;
    }
    if (*numbers > NB_MAP_NUMBERS || *stars > 1)
        return bad_line(r, "at most 6 {} and one *", side);
    return NB_OK;
}

static nb_status add_rule(reader *r, char *theirs, char *ours)
{
    int32_t numbers, stars, our_numbers = 0, our_stars = 0;
    NB_TRY(check_side(r, theirs, &numbers, &stars));
    if (ours)
        NB_TRY(check_side(r, ours, &our_numbers, &our_stars));
    if (!*theirs || (ours && !*ours))
        return bad_line(r, "a side is missing: `THEIRS -> OURS`", *theirs ? theirs : "->");
    if (!ours && stars)
        return bad_line(r, "* is for lines with an arrow; in order of execution say {} for numbers", theirs);
    if (our_numbers > numbers || our_stars > stars)
        return bad_line(r, "has more {} or * than the left side", ours);
    nb_map *m = r->map;
    if (m->n == NB_MAP_RULES)
        return bad_line(r, "more than 4096 lines", theirs);
    nb_map_rule *before = m->n ? &m->rules[m->n - 1] : NULL;
    bool same = before && !before->ours && !ours && numbers > 0 && before->n_numbers == numbers &&
                strncmp(before->theirs, theirs, strcspn(theirs, "{") + 1) == 0;
    m->rules[m->n] = (nb_map_rule){.line = r->line, .n_numbers = numbers};
    m->rules[m->n].group = same ? before->group : r->line;
    m->rules[m->n].theirs = nb_arena_strdup(r->arena, theirs);
    m->rules[m->n].ours = ours ? nb_arena_strdup(r->arena, ours) : NULL;
    if (!m->rules[m->n].theirs || (ours && !m->rules[m->n].ours))
        return NB_E_NOMEM;
    m->n++;
    return NB_OK;
}

static char *trim(char *s)
{
    s += strspn(s, " \t\r");
    size_t n = strlen(s);
    while (n && strchr(" \t\r", s[n - 1]))
        s[--n] = '\0';
    return s;
}

static nb_status read_line(reader *r, char *line)
{
    line[strcspn(line, "#")] = '\0';
    line = trim(line);
    if (!*line)
        return NB_OK;
    if (strncmp(line, "layout ", 7) == 0) {
        const char *what = trim(line + 7);
        r->map->ohwi = strcmp(what, "ohwi") == 0;
        if (!r->map->ohwi && strcmp(what, "oihw") != 0)
            return bad_line(r, "layout must be oihw or ohwi", what);
        return NB_OK;
    }
    char *arrow = strstr(line, "->");
    if (!arrow)
        return add_rule(r, line, NULL);
    *arrow = '\0';
    return add_rule(r, trim(line), trim(arrow + 2));
}

static size_t count_lines(const char *text)
{
    size_t n = 1;
    for (; (text = strchr(text, '\n')); text++)
        n++;
    return n;
}

nb_status nb_map_parse(nb_ctx *ctx, nb_arena *arena, const char *name, const char *text, nb_map *out)
{
    nb_map m = {.name = name};
    reader r = {.ctx = ctx, .arena = arena, .map = &m};
    size_t lines = count_lines(text);
    m.rules = nb_arena_array(arena, lines < NB_MAP_RULES ? lines : NB_MAP_RULES, sizeof *m.rules);
    if (!m.rules)
        return NB_E_NOMEM;
    while (*text) {
        char line[NB_MAP_LINE];
        size_t n = strcspn(text, "\n");
        r.line++;
        if (n >= sizeof line)
            return nb_fail(ctx, NB_E_CONFIG, "%s:%d: a line of %zu bytes; at most %d are allowed", name, r.line, n,
                           NB_MAP_LINE - 1);
        memcpy(line, text, n);
        line[n] = '\0';
        NB_TRY(read_line(&r, line));
        text += text[n] ? n + 1 : n;
    }
    if (m.n == 0)
        return nb_fail(ctx, NB_E_CONFIG, "%s: has no line that maps anything", name);
    *out = m;
    return NB_OK;
}

nb_status nb_map_extend(nb_ctx *ctx, nb_arena *arena, const nb_map *own, const char *text, nb_map *out)
{
    nb_map more, m = *own;
    const int32_t behind = own->n ? own->rules[own->n - 1].line : 0; /* groups are in order of their lines */
    NB_TRY(nb_map_parse(ctx, arena, own->name, text, &more));
    m.n += more.n;
    m.rules = nb_arena_array(arena, (size_t)m.n, sizeof *m.rules);
    if (!m.rules)
        return NB_E_NOMEM;
    for (int32_t i = 0; i < own->n; i++)
        m.rules[i] = own->rules[i];
    for (int32_t i = 0; i < more.n; i++) {
        m.rules[own->n + i] = more.rules[i];
        m.rules[own->n + i].line += behind;
        m.rules[own->n + i].group += behind;
    }
    *out = m;
    return NB_OK;
}
