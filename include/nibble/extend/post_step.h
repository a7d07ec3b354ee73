/* post_step.h - one thing that is done to a network beside training: one file per step in src/post/, listed in steps.def. */
#ifndef NIBBLE_EXTEND_POST_STEP_H
#define NIBBLE_EXTEND_POST_STEP_H

#include <nibble/extend/keys.h>
#include <nibble/post.h>

#ifdef __cplusplus
extern "C" {
#endif

struct nb_post_step {
    NB_ENTRY;
    nb_post_stage stage;
    bool needs_float;    /* run finds in->floats; of steps on the quantized network */
    bool rounds;         /* it chooses codes of weights (nb_post_leave_unrounded) */
    bool moves_weights;  /* of convolutions and linear layers: then there is a copy of them to go back to */
    const char *measure; /* heading of rows' before and after: "ratio of ranges" */
    /* Deterministic for any number of threads. Reports rows as it goes; *summary [NB_POST_SUMMARY] is its one line. */
    nb_status (*run)(const nb_post_input *in, const void *attr, char *summary);
    /* Does it look at images, so that in->n must be 1 or more? NULL: it can do without. */
    bool (*looks)(const void *attr);
    /* Why the step would change nothing in this network, quantized but without values; NULL: it may. NULL: always. */
    const char *(*pointless)(const nb_graph *g);
    /* Why a recommended list leaves the step out of this network: what it gains there is not worth its time. NULL: it is
     * tried. NULL: always. */
    const char *(*needless)(const nb_graph *g);
    /* Can the step not be done to this network, quantized but without values? Then why [size] says which layer is in the
     * way and what would do. NULL: it always can. */
    bool (*refuse)(const nb_graph *g, char *why, size_t size);
};
enum { NB_POST_SUMMARY = 256 };

/* For run() of a step that can take minutes: after each part (a layer, say) it keeps what the part has changed, and asks
 * for it before it does the part. Parts are found only by the same step on the same values, images and config; n floats
 * come back bit for bit. Without a store nothing is kept and nothing found. */
NB_API bool nb_post_recall(const nb_post_input *in, const char *part, float *values, int64_t n);
NB_API nb_status nb_post_keep(const nb_post_input *in, const char *part, const float *values, int64_t n);

/* For run(): passes a row on. */
NB_API void nb_post_say(const nb_post_input *in, const nb_post_step *step, const nb_post_row *row);

#ifdef __cplusplus
}
#endif
#endif
