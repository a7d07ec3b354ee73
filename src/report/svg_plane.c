/* svg_plane.c - see svg_plane.h. */
#include "report/svg_plane.h"

#include "report/html.h"

#include <math.h>
#include <stdio.h>

enum { TICKS = 5, WORD = 7 };
static const double TINY = 1e-290; /* as good as 0: steps would be no numbers */

void svg_begin(nb_text *out, const char *title, int32_t height)
{
    nb_text_printf(out, "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" role=\"img\"><title>",
                   SVG_WIDTH, (int)height);
    nb_html_add(out, title);
    nb_text_add(out, "</title>\n");
}

void svg_end(nb_text *out)
{
    nb_text_add(out, "</svg>\n");
}

void svg_word(nb_text *out, double x, double y, const char *anchor, const char *kind, const char *text, int32_t most)
{
    nb_text_printf(out, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\" class=\"%s\">", x, y, anchor, kind);
    nb_html_add_short(out, text, most);
    nb_text_add(out, "</text>\n");
}

void svg_word_up(nb_text *out, double x, double y, const char *kind, const char *text, int32_t most)
{
    nb_text_printf(out, "<text transform=\"translate(%.1f %.1f) rotate(-90)\" class=\"%s\">", x, y, kind);
    nb_html_add_short(out, text, most);
    nb_text_add(out, "</text>\n");
}

svg_plane svg_plane_empty(void)
{
    return (svg_plane){.x0 = HUGE_VAL, .x1 = -HUGE_VAL, .y0 = HUGE_VAL, .y1 = -HUGE_VAL};
}

void svg_plane_hold_x(svg_plane *p, double x)
{
    if (!isfinite(x))
        return;
    p->x0 = fmin(p->x0, x);
    p->x1 = fmax(p->x1, x);
}

void svg_plane_hold_y(svg_plane *p, double y)
{
    if (!isfinite(y))
        return;
    p->y0 = fmin(p->y0, y);
    p->y1 = fmax(p->y1, y);
}

const char *svg_number(double v, char *buf, size_t size)
{
    const double a = fabs(v);
    if (a >= 1e12 || (v != 0 && a < 1e-4))
        snprintf(buf, size, "%.1e", v);
    else if (a >= 1e9)
        snprintf(buf, size, "%.3gG", v / 1e9);
    else if (a >= 1e6)
        snprintf(buf, size, "%.3gM", v / 1e6);
    else if (a >= 1e4)
        snprintf(buf, size, "%.3gk", v / 1e3);
    else
        snprintf(buf, size, a < 1 ? "%.3g" : "%.4g", v);
    return buf;
}

/* 1, 2 or 5 times a power of ten, so that about TICKS of them fit. */
static double round_step(double span)
{
    const double power = pow(10, floor(log10(span / TICKS))), rest = span / TICKS / power;
    return power * (rest <= 1 ? 1 : rest <= 2 ? 2 : rest <= 5 ? 5 : 10);
}

static void settle(double *lo, double *hi, double *step)
{
    if (!(*lo <= *hi)) {
        *lo = 0;
        *hi = 1;
    }
    if (*hi - *lo <= 1e-12 * fmax(fabs(*lo), fabs(*hi)) || *hi - *lo < TINY) {
        const double room = fabs(*lo) < TINY ? 1 : 0.1 * fabs(*lo);
        *lo -= room;
        *hi += room;
    }
    *step = round_step(*hi - *lo);
}

void svg_plane_settle(svg_plane *p, bool whole_x)
{
    settle(&p->x0, &p->x1, &p->x_step);
    settle(&p->y0, &p->y1, &p->y_step);
    p->y0 = p->y_step * floor(p->y0 / p->y_step + 1e-9);
    p->y1 = p->y_step * ceil(p->y1 / p->y_step - 1e-9);
    if (whole_x && p->x_step < 1)
        p->x_step = 1;
}

double svg_x(const svg_plane *p, double x)
{
    return SVG_LEFT + (x - p->x0) / (p->x1 - p->x0) * (SVG_RIGHT - SVG_LEFT);
}

double svg_y(const svg_plane *p, double y)
{
    return SVG_FLOOR - (y - p->y0) / (p->y1 - p->y0) * (SVG_FLOOR - SVG_TOP);
}

/* What is 0 but for rounding is 0. */
static const char *tick(double v, double step, char *buf, size_t size)
{
    return svg_number(fabs(v) < 1e-9 * step ? 0 : v, buf, size);
}

void svg_axes(nb_text *out, const svg_plane *p, const char *x_title)
{
    char text[32];
    for (int32_t i = 0; i < 3 * TICKS; i++) {
        const double v = (ceil(p->y0 / p->y_step - 1e-9) + i) * p->y_step;
        if (v > p->y1 + 1e-9 * p->y_step)
            break;
        nb_text_printf(out, "<path class=\"grid\" d=\"M%d %.1fH%d\"/>\n", SVG_LEFT, svg_y(p, v), SVG_RIGHT);
        svg_word(out, SVG_LEFT - 4, svg_y(p, v) + 3.5, "end", "soft", tick(v, p->y_step, text, sizeof text), 12);
    }
    for (int32_t i = 0; i < 3 * TICKS; i++) {
        const double v = (ceil(p->x0 / p->x_step - 1e-9) + i) * p->x_step;
        if (v > p->x1 + 1e-9 * p->x_step)
            break;
        svg_word(out, svg_x(p, v), SVG_FLOOR + 13, "middle", "soft", tick(v, p->x_step, text, sizeof text), 12);
    }
    svg_word(out, SVG_RIGHT, SVG_FLOOR + 26, "end", "soft", x_title, 48);
}

void svg_legend(nb_text *out, double y, const char *const *series, int32_t n)
{
    double x = SVG_LEFT;
    for (int32_t i = 0; i < n; i++) {
        int32_t letters = 0;
        for (const char *s = series[i]; *s; s++)
            letters++;
        nb_text_printf(out, "<rect class=\"f%d\" x=\"%.1f\" y=\"%.1f\" width=\"9\" height=\"9\"/>\n", (int)i + 1, x,
                       y - 8);
        svg_word(out, x + 12, y, "start", "soft", series[i], 40);
        x += 24 + 0.9 * WORD * letters;
    }
}
