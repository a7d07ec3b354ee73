/* page.c - see page.h. Nothing in a page depends on the clock, so equal data give equal bytes. */
#include "report/page.h"

#include "report/html.h"

#include "base/check.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char page_style[] =
    "*{box-sizing:border-box}html{color-scheme:light dark}\n"
    "body{margin:0 auto;padding:12px 16px 60px;max-width:1180px;background:var(--bg);color:var(--ink);"
    "font:15px/1.5 system-ui,sans-serif;overflow-wrap:anywhere}\n"
    "h1{font-size:22px;margin:8px 0}h2{font-size:18px;margin:34px 0 8px;border-bottom:1px solid var(--line)}\n"
    "nav a{display:inline-block;margin:0 12px 4px 0}a{color:var(--f1)}p,dl{margin:8px 0;max-width:78ch}\n"
    /* a shadow where there is more to the right, which the table's own end covers */
    ".wide{overflow-x:auto;margin:8px 0 16px;background:"
    "linear-gradient(to left,var(--bg) 40%,transparent) right/36px 100% no-repeat local,"
    "linear-gradient(to left,var(--line),transparent) right/12px 100% no-repeat scroll}\n"
    "table{border-collapse:separate;border-spacing:0;font-size:13px}\n"
    "th,td{padding:3px 9px;text-align:left;border-bottom:1px solid var(--line);white-space:nowrap;"
    "unicode-bidi:isolate;overflow-wrap:normal}\n"
    "th{color:var(--soft);font-weight:600;white-space:normal;vertical-align:bottom}"
    "th.g{border-bottom:2px solid var(--soft)}thead tr:not(:last-child) th:not(.g){border-bottom:0}\n"
    ".k{position:sticky;left:0;background:var(--bg)}"
    ".r{text-align:right;font-variant-numeric:tabular-nums}tfoot td{font-weight:600}\n"
    ".figs{display:grid;gap:18px;grid-template-columns:repeat(auto-fill,minmax(min(100%,340px),1fr));margin:10px 0}"
    ".figs figure:only-child{grid-column:1/-1}\n"
    "figure{margin:0;max-width:560px;min-width:0}figure svg{display:block;width:100%;height:auto}"
    "figcaption{font-weight:600}.note{color:var(--soft);font-size:13px;max-width:100ch}\n"
    ".cards{display:grid;gap:10px;grid-template-columns:repeat(auto-fit,minmax(min(100%,130px),1fr));margin:12px 0;"
    "max-width:none}\n"
    ".cards div{border:1px solid var(--line);border-radius:6px;padding:8px 10px;display:flex;flex-direction:column;"
    "justify-content:space-between}.cards dt{color:var(--soft);"
    "font-size:13px}.cards dd{margin:0;font-size:18px;font-weight:600;white-space:nowrap}\n"
    ".verdict{font-size:18px}.lack{border-left:3px solid var(--f2);padding-left:10px}\n"
    ".pics{display:grid;grid-template-columns:repeat(auto-fill,minmax(104px,1fr));gap:12px;margin:10px 0}"
    ".pics figure{font-size:12px}"
    ".pics img{width:96px;height:96px;object-fit:contain;image-rendering:pixelated;background:var(--line)}\n"
    "pre{overflow-x:auto;font-size:12px;border:1px solid var(--line);padding:8px;max-height:420px}\n"
    "summary{cursor:pointer;color:var(--f1)}.up{float:right;font-size:13px;font-weight:400}"
    "dt{font-weight:600}dl dd{margin:0 0 6px}\n"
    "@media(max-width:600px){th,td{padding:3px 5px}table{font-size:12px}.k{white-space:normal;min-width:48px;"
    "max-width:34vw}}@media print{nav{display:none}}\n";

nb_status nb_page_open(nb_ctx *ctx, nb_page *p)
{
    *p = (nb_page){.ctx = ctx};
    nb_text_init(ctx, &p->body);
    nb_text_init(ctx, &p->links);
    return nb_arena_create(ctx, &p->arena);
}

void nb_page_close(nb_page *p)
{
    if (!p->ctx)
        return;
    nb_text_free(&p->body);
    nb_text_free(&p->links);
    nb_arena_free(p->arena);
    *p = (nb_page){0};
}

bool nb_page_ok(nb_page *p, nb_status st)
{
    if (p->st == NB_OK)
        p->st = st;
    return p->st == NB_OK;
}

nb_status nb_page_print(nb_page *p, const char *title, char **out)
{
    nb_text t;
    if (p->st != NB_OK)
        return p->st;
    if (p->body.st != NB_OK)
        return p->body.st;
    nb_text_init(p->ctx, &t);
    nb_text_add(&t, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
                    "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n"
                    "<meta name=\"color-scheme\" content=\"light dark\">\n"
                    "<link rel=\"icon\" href=\"data:,\">\n<title>"); /* or the browser asks a server for one */
    nb_html_add(&t, title);
    nb_text_printf(&t, "</title>\n<style>\n%s%s</style>\n</head>\n<body>\n<h1>", nb_svg_style, page_style);
    nb_html_add(&t, title);
    nb_text_printf(&t, "</h1>\n<nav>%s</nav>\n<main>\n%s%s</main>\n</body>\n</html>\n", p->links.s ? p->links.s : "",
                   p->body.s ? p->body.s : "", p->open ? "</section>\n" : "");
    return nb_text_take(&t, out);
}

void nb_page_section(nb_page *p, const char *id, const char *title)
{
    nb_text_printf(&p->links, "<a href=\"#%s\">", id);
    nb_html_add(&p->links, title);
    nb_text_add(&p->links, "</a>");
    nb_text_printf(&p->body, "%s<section id=\"%s\">\n<h2>", p->open ? "</section>\n" : "", id);
    nb_html_add(&p->body, title);
    nb_text_add(&p->body, "<a class=\"up\" href=\"#\">top</a></h2>\n");
    p->open = true;
}

/* The text in the arena; NULL: no memory, which is kept. */
static const char *format(nb_page *p, const char *fmt, va_list ap) NB_PRINTF(2, 0);
static const char *format(nb_page *p, const char *fmt, va_list ap)
{
    va_list again;
    va_copy(again, ap);
    const int n = vsnprintf(NULL, 0, fmt, ap);
    char *text = n < 0 ? NULL : nb_arena_alloc(p->arena, (size_t)n + 1);
    if (text)
        vsnprintf(text, (size_t)n + 1, fmt, again);
    else
        nb_page_ok(p, NB_E_NOMEM);
    va_end(again);
    return text;
}

static void add_paragraph(nb_page *p, const char *lead, const char *text)
{
    nb_text_printf(&p->body, "<p>%s%s%s", lead ? "<strong>" : "", lead ? lead : "", lead ? ":</strong> " : "");
    nb_html_add(&p->body, text ? text : "");
    nb_text_add(&p->body, "</p>\n");
}

void nb_page_say(nb_page *p, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    add_paragraph(p, NULL, format(p, fmt, ap));
    va_end(ap);
}

void nb_page_point(nb_page *p, const char *lead, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    add_paragraph(p, lead, format(p, fmt, ap));
    va_end(ap);
}

void nb_page_raw(nb_page *p, const char *html)
{
    nb_text_add(&p->body, html);
}

void nb_page_folded(nb_page *p, const char *line, const char *text)
{
    nb_text_add(&p->body, "<details><summary>");
    nb_html_add(&p->body, line);
    nb_text_add(&p->body, "</summary><pre>");
    nb_html_add(&p->body, text);
    nb_text_add(&p->body, "</pre></details>\n");
}

/* csv is freed; svg is copied. */
static void keep(nb_page *p, const char *name, const char *svg, char *csv)
{
    nb_asset *a = nb_arena_alloc(p->arena, sizeof *a);
    if (a) {
        a->name = nb_arena_strdup(p->arena, name);
        a->csv = nb_arena_strdup(p->arena, csv);
        a->svg = svg ? nb_arena_strdup(p->arena, svg) : NULL;
    }
    if (a && a->name && a->csv && (a->svg || !svg)) {
        *(p->last ? &p->last->next : &p->first) = a;
        p->last = a;
    } else
        nb_page_ok(p, NB_E_NOMEM);
    nb_free(p->ctx, csv);
}

void nb_page_table(nb_page *p, const char *name, const char *caption, nb_table *t)
{
    char *html = NULL, *csv = NULL;
    if (nb_page_ok(p, nb_table_print_html(t, caption, &html)) && nb_page_ok(p, nb_table_print_csv(t, &csv))) {
        nb_text_add(&p->body, html);
        keep(p, name, NULL, csv);
    }
    nb_free(p->ctx, html);
    nb_table_free(t);
}

void nb_page_figures(nb_page *p)
{
    nb_text_add(&p->body, "<div class=\"figs\">\n");
}

void nb_page_figures_end(nb_page *p)
{
    nb_text_add(&p->body, "</div>\n");
}

void nb_page_figure(nb_page *p, const char *name, const char *title, const char *note, nb_text *svg, nb_table *numbers)
{
    char *drawing = NULL, *csv = NULL;
    if (nb_page_ok(p, nb_text_take(svg, &drawing)) && nb_page_ok(p, nb_table_print_csv(numbers, &csv))) {
        nb_text_add(&p->body, "<figure><figcaption>");
        nb_html_add(&p->body, title);
        nb_text_printf(&p->body, "</figcaption>\n%s<div class=\"note\">", drawing);
        nb_html_add(&p->body, note ? note : "");
        nb_text_add(&p->body, "</div></figure>\n");
        keep(p, name, drawing, csv);
    }
    nb_free(p->ctx, drawing);
    nb_text_free(svg);
    nb_table_free(numbers);
}
