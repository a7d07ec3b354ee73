/* analyze_networks.h - what `nibble analyze` compares: the network as quantized, its float reference, the same with a step
 * more. */
#ifndef NB_CLI_ANALYZE_NETWORKS_H
#define NB_CLI_ANALYZE_NETWORKS_H

#include "cli/meant_file.h"
#include "cli/open_experiment.h"
#include "cli/post_steps.h"

#include "analysis/analyze.h"

typedef struct {
    cli *c;
    const char *file; /* what is analysed, as it is named in messages */
    char meant[CLI_PATH_BYTES], meant_from[CLI_PATH_BYTES];
    cli_experiment e;
    nb_checkpoint *weights;     /* that are quantized */
    nb_checkpoint *floats;      /* of the float network, where it is another file; NULL: weights' own */
    bool anew;                  /* ranges are found here, as `nibble quantize` does; else they are the checkpoint's */
    int32_t n_ranges;           /* images for that */
    cli_post_steps steps, more; /* of the config; one more that is tried */
    bool bare;                  /* without any, for once */
    bool only_listed_steps;     /* by the caller: none are recommended, as in training */
    nb_graph *twin, *reference; /* the probe's: simulated, node by node; reference NULL: twin's own values unrounded */
    nb_probe *probe;
    nb_intmodel *integers; /* NULL: it is simulated */
    char ranges[256];      /* nb_quant_ranges_text */
} analyze_networks;

/* Opens FILE [--from CKPT] of the command, its training images, and all networks. *a is zeroed but for c by the caller, and closed by
 * it after a failure too. */
nb_status analyze_open(analyze_networks *a);
void analyze_close(analyze_networks *a);
/* Were its weights trained with rounding? Else steps, if any, are all that was done to them. */
bool analyze_was_trained(const analyze_networks *a);

/* The float network that is rounded, frozen for training in batches of at most that many images: its gradients can be asked
 * for. nb_graph_free. */
nb_status analyze_open_floats(const analyze_networks *a, int32_t batch, nb_graph **out);

/* The network with this step done to the weights as well (NULL: without any step), and ranges found anew, beside the same float
 * one: adds to *score. *done false: there is no such step, the network has had it, or it changes nothing here (NULL: it
 * has had none). */
nb_status analyze_with_step(analyze_networks *a, const char *step, const nb_images *images, nb_probe_score *score,
                            bool *done);

/* The same with the i-th of the steps that may help a network as a whole, and what that is called: "ranges anew with equalize",
 * "quantized without steps". */
enum { ANALYZE_STEPS = 6, ANALYZE_NAME = 96 };
nb_status analyze_try_step(analyze_networks *a, int32_t i, const nb_images *images, nb_probe_score *score,
                           char name[ANALYZE_NAME], bool *done);

#endif
