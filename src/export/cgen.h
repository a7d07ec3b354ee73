/* cgen.h - the C exporter's parts: what is known of the program to be written, and who writes which piece.
 *
 * Texts are C as it would be with the prefix "net": "net_" and "NET_" at the beginning of a word become the program's.
 * What does not depend on the network lies in c/ as C that compiles; make turns the pieces into cgen_text_*. */
#ifndef NB_EXPORT_CGEN_H
#define NB_EXPORT_CGEN_H

#include <nibble/export.h>

#include "base/textbuf.h"

#include <stdbool.h>

enum {
    CGEN_IN_LOGITS = -1 /* cgen.offset: the tensor is not in the arena but the caller's array of logits */
};

#define CGEN_HELIUM  "defined(__ARM_FEATURE_MVE) && (__ARM_FEATURE_MVE & 1)"
#define CGEN_WINDOWS CGEN_HELIUM " && defined(__GNUC__)" /* where the functions of cgen_window.c are compiled */

typedef struct {
    const char *from, *to;
} cgen_sub;

typedef struct {
    nb_ctx *ctx;
    const nb_intmodel *m;
    const char *prefix; /* a C identifier */
    nb_text out;        /* the source file */
    int64_t *offset;    /* [n_tensors] bytes in the arena */
    int64_t *scratch;   /* [n_steps] offset of unpacked weight rows; meaningful where cgen_scratch_bytes > 0 */
    size_t ram, live;   /* bytes of the arena; the largest simultaneous live set, which no plan can beat */
    int32_t busiest;    /* the step that has it */
    size_t flash;       /* bytes of constants */
    int32_t *same;      /* [n_steps] the earlier step that has the same function, or the step itself */
} cgen;

/* ---- cgen_text.c: writing, and the helper functions every program shares ---- */
/* subs: further replacements, the first that fits applies; they end with NULL, and NULL is fine. */
void cgen_add(cgen *g, const char *text, const cgen_sub *subs);
void cgen_helper(cgen *g, const char *text); /* and a blank line */
void cgen_printf(cgen *g, const char *fmt, ...) NB_PRINTF(2, 3);
void cgen_helpers(cgen *g);
/* s as a string of C, and of C++: whatever bytes are in it, it ends where it should. */
void cgen_string(cgen *g, const char *s);

/* ---- c/, by scripts/c_strings.awk ---- */
extern const char cgen_text_close[], cgen_text_close_high[];                    /* net_rescale.c */
extern const char cgen_text_unpack2[], cgen_text_unpack4[], cgen_text_levels[]; /* net_unpack.c */
extern const char cgen_text_offsets[], cgen_text_blocks[];                      /* net_unpack.c */
extern const char cgen_text_step[], cgen_text_helper[], cgen_text_simd[];       /* net_macros.h */
extern const char cgen_text_load_u8[], cgen_text_less_zero[];                   /* net_macros.h */
extern const char cgen_text_dot1[], cgen_text_dot2[];                           /* net_dot.c */
extern const char cgen_text_window[], cgen_text_closew[];                       /* net_window.c */
extern const char cgen_text_dotw2[], cgen_text_dotw4[], cgen_text_dotw8[];      /* net_window.c */
extern const char cgen_text_declarations[];                                     /* net_program.h */
extern const char cgen_text_arena[], cgen_text_argmax[];                        /* net_program.c */
extern const char cgen_text_features[], cgen_text_features_declared[];          /* net_features.c, net_program.h */
extern const char cgen_text_score[], cgen_text_score_declared[];                /* net_score.c, net_program.h */
extern const char cgen_text_test_image[], cgen_text_selftest[];                 /* net_program.c */

/* ---- cgen_plan.c ---- */
/* Offsets, RAM and its bound. Weights that are not bytes are unpacked a row or two at a time into scratch, and the
 * windows of two pixels copied there. */
nb_status cgen_plan(cgen *g);
size_t cgen_scratch_bytes(const nb_intmodel *m, int32_t step);
/* Is a convolution's weight one byte of flash, used where it lies? Others are codes of cgen_width bits, or indices. */
bool cgen_in_bytes(const nb_intmodel *m, int32_t step);
int32_t cgen_width(const nb_intmodel *m, int32_t step);  /* 2, 4 or 8; of an index 1..8, of a mantissa 2..7 */
bool cgen_has_table(const nb_intmodel *m, int32_t step); /* do its indices refer to levels, or lows? */
bool cgen_depthwise(const nb_geom *g);
int64_t cgen_row(const nb_geom *g); /* weights of one output channel */

/* ---- cgen_data.c ---- */
/* A convolution's bias [oc] for inputs taken as (code - zero), padding skipped or real zeros: the engine's holds
 * -zero * sum(w), this one does not. Fails where a partial sum of that form could leave 32 bits. */
nb_status cgen_real_bias(nb_ctx *ctx, const nb_intmodel *m, int32_t step, int32_t *bias);
nb_status cgen_data(cgen *g);                  /* constant arrays of all steps */
size_t cgen_flash_bytes(const nb_intmodel *m); /* what they take */

/* ---- cgen_steps.c, cgen_conv.c ---- */
const char *cgen_type(int32_t etype); /* "uint8_t", "int8_t", "int32_t" */
nb_status cgen_functions(cgen *g);    /* one function per distinct step; sets same */
void cgen_conv(cgen *g, int32_t step);
/* y[at] from accumulator `acc` of channel c. */
void cgen_store(cgen *g, int32_t step, const char *indent, const char *at, const char *acc, const char *c);
bool cgen_high(const nb_estep *s);    /* does a convolution's rescale need the upper half of its products alone? */
bool cgen_pairs(const nb_geom *geom); /* does it use the dot product of two pixels? */
nb_geom cgen_view(const nb_geom *g);  /* a 1x1 convolution without stride and padding sees the image as one row */
void cgen_calls(cgen *g);             /* the body of run() */

/* ---- cgen_take.c ---- */
void cgen_take(cgen *g, int32_t step);                                     /* the function */
size_t cgen_index_bytes(const nb_intmodel *m, int32_t step, int32_t axis); /* of constant indices */
void cgen_index_data(cgen *g, int32_t step);
void cgen_index_sizes(cgen *g, int32_t step);     /* " + sizeof(...)" of each */
void cgen_index_arguments(cgen *g, int32_t step); /* for the call */

/* ---- cgen_window.c ---- */
bool cgen_windowed(const nb_intmodel *m, int32_t step); /* is a step another function on Helium? */
int64_t cgen_window_bias(const nb_intmodel *m, int32_t step,
                         int32_t c); /* what channel c's bias has more in that one */
void cgen_window_helpers(cgen *g);
void cgen_window_body(cgen *g, int32_t step); /* without braces */

#endif
