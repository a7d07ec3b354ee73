/* svg_plane.h - what drawings share: their frame, axes with round numbers, coordinates. */
#ifndef NB_REPORT_SVG_PLANE_H
#define NB_REPORT_SVG_PLANE_H

#include "base/textbuf.h"

#include <stdbool.h>

enum { SVG_WIDTH = 360, SVG_LEFT = 46, SVG_RIGHT = 352, SVG_TOP = 22, SVG_FLOOR = 152, SVG_HEIGHT = 190 };

/* The part of the numbers that is shown. */
typedef struct {
    double x0, x1, y0, y1;
    double x_step, y_step; /* between numbers on the axes */
} svg_plane;

void svg_begin(nb_text *out, const char *title, int32_t height);
void svg_end(nb_text *out);
/* anchor: "start", "middle", "end". */
void svg_word(nb_text *out, double x, double y, const char *anchor, const char *kind, const char *text, int32_t most);
/* Turned, to be read from below; it begins there. */
void svg_word_up(nb_text *out, double x, double y, const char *kind, const char *text, int32_t most);

/* v in few letters: "12.3k", "0.0451". */
const char *svg_number(double v, char *buf, size_t size);

/* Nothing yet: every number that is shown widens it. */
svg_plane svg_plane_empty(void);
void svg_plane_hold_x(svg_plane *p, double x);
void svg_plane_hold_y(svg_plane *p, double y);
/* Steps; whole_x: only whole numbers are on that axis. Of equal ends there is room around; y ends at steps. */
void svg_plane_settle(svg_plane *p, bool whole_x);
double svg_x(const svg_plane *p, double x);
double svg_y(const svg_plane *p, double y);
/* Lines across, numbers and the title of x. */
void svg_axes(nb_text *out, const svg_plane *p, const char *x_title);
/* Coloured names, in a line below all. */
void svg_legend(nb_text *out, double y, const char *const *series, int32_t n);

#endif
