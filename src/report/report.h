/* report.h - what a run, a sweep or a file came to, as one page. Data are gathered elsewhere; what could not be had is named.
 *
 * A section is one file report_<name>.c and one line in report_sections.def; it writes nothing where there is nothing of its
 * kind, and never fails for what is missing. */
#ifndef NB_REPORT_REPORT_H
#define NB_REPORT_REPORT_H

#include <nibble/export.h>

#include "analysis/analyze.h"
#include "report/csv.h"
#include "report/page.h"
#include "report/table_analyze.h"
#include "report/tables.h"

enum { NB_REPORT_LACKS = 32, NB_REPORT_STEPS = 5 };

/* Something that should be there, and why it is not. */
typedef struct {
    const char *what, *why;
} nb_report_lack;

/* A run of a sweep. */
typedef struct {
    const char *name, *network;
    double accuracy; /* NaN: unknown */
    double bytes;    /* of its parameters as deployed; NaN: unknown */
    bool allocated;  /* `nibble allocate` chose its bits */
} nb_report_run;

/* The float network of the analysis beside the quantized one, image by image: on all that the accuracy is of. */
typedef struct {
    int32_t n, right;           /* the float one is right on */
    int32_t lost, won, changed; /* right in it alone, in the quantized one alone; answered otherwise */
} nb_report_rounding;

typedef struct {
    nb_arena *arena;     /* what belongs to the report; the rest is who gathered it's */
    const char *title;   /* the path that was given */
    const char *version; /* of the program; NULL: unknown */
    nb_report_lack lack[NB_REPORT_LACKS];
    int32_t n_lacks;
    const char *config; /* its text; NULL: unknown */
    const char *data;   /* name of the data set; NULL: unknown */
    char date[16];      /* of the network's file; "": unknown */
    int32_t validation; /* training images that were held out to choose the epoch by; < 0: unknown */

    /* the network; model is NULL where there is none (a sweep, a damaged run) */
    const char *model, *kind,
        *simulated;        /* its file, "integers W4A8", why there are no integers (NULL or "": there are) */
    const nb_graph *graph; /* of a training checkpoint */
    const nb_intmodel *integers;
    nb_layer_rows layers;
    nb_export_size exported; /* macs 0: unknown */
    int64_t engine_bytes;    /* 0: unknown */

    nb_csv metrics, timing, ranges;
    double before;   /* accuracy of the float network that it was made from; < 0: unknown */
    bool calibrated; /* it is that network rounded, and was not trained after it */

    /* what it says of the test images; n 0: unknown */
    nb_eval eval;
    nb_answered said;
    const nb_data *images;

    const nb_analysis *analysis; /* NULL: there is none */
    const char *float_is;        /* what its float network is, */
    const char *float_name;      /* the same in a few words, */
    bool float_is_other;         /* and whether it has weights of its own (--from) */
    bool trained_since;  /* those of the quantized one are trained further: what lies between is not all rounding */
    bool as_config_says; /* the model is float, and the quantized network what its config would make of it */
    nb_report_rounding rounding; /* n 0: unknown */
    nb_network_row
        step[NB_REPORT_STEPS]; /* that network with steps (analyze_try_step), on the images of the analysis */
    int32_t n_steps;

    const nb_verify_report *proof; /* layer by layer; NULL: not compared */
    int32_t n_proofs;
    const nb_check_row *check; /* implementations of the integers */
    int32_t n_checks, check_images;

    nb_csv runs, cells; /* of a sweep */
    const nb_report_run *run;
    int32_t n_runs;
} nb_report;

/* Notes that `what` is missing. why is copied. */
nb_status nb_report_lacks(nb_report *r, const char *what, const char *why);

/* The whole page; page is open and empty. */
void nb_report_write(const nb_report *r, nb_page *page);

/* ---- for sections ---- */

#define NB_SECTION(name) void nb_section_##name(const nb_report *r, nb_page *p);
#include "report/report_sections.def"
#undef NB_SECTION

/* "fmnist-cnn: integers W4A8 on fashion-mnist", in the arena of the page. */
const char *nb_report_title(nb_page *p, const nb_report *r);
/* Epochs of its training that had quantizers, or had none. */
int32_t nb_report_epochs(const nb_report *r, bool quantized);
/* "c1 weights" in the arena of the page; "" without memory. */
const char *nb_report_quantizer(nb_page *p, const nb_analysis_site *s);
/* Can the float network be measured by, with a part of the quantized one in it? Weights that were trained with rounding may be
 * none without it, and those of another network do not fit in: then it, or it with all weights or all outputs rounded, is
 * clearly worse than the quantized network. Divergence from it says nothing then; the loss of the quantized one does. */
bool nb_report_float_is_sound(const nb_analysis *a);
/* How far from right a network of the analysis is, an image: divergence from the float one, or loss where that is unsound. */
double nb_report_distance(const nb_analysis *a, const nb_probe_score *s);
/* What a quantizer costs by that: on alone; where the float network is unsound, what the quantized one loses by it, >= 0. */
double nb_report_cost(const nb_analysis *a, const nb_analysis_site *s);
/* Something that was tried on the quantized network. */
typedef struct {
    const char *text; /* "c1 weights with 6 bits", "bias_correct, ranges anew" */
    const nb_probe_score *network;
    int64_t bytes; /* of flash that it takes more */
} nb_report_trial;
/* All of them, in the arena of the page, those first that bring the network nearest to the float one; NULL: no memory. None
 * where that is unsound: ranges of remedies are found on its values. */
const nb_report_trial *nb_report_trials(nb_page *p, const nb_report *r, int32_t *n);
/* Class i by its name, else its number; in the arena of the page. */
const char *nb_report_class(nb_page *p, const nb_report *r, int32_t i);
/* [classes][classes] of classes by answers, in the arena of the page; NULL: no memory. */
int32_t *nb_report_confusion(nb_page *p, const nb_answered *a);

#endif
