/* open_model.h - a model of either kind from a file: training checkpoints (float or quantized) and integer checkpoints.
 */
#ifndef NB_CLI_OPEN_MODEL_H
#define NB_CLI_OPEN_MODEL_H

#include "cli/open_experiment.h"

typedef struct {
    const char *path;
    cli_experiment experiment; /* from the file's own config, --set applied; all zero when the file has none */
    nb_checkpoint *checkpoint; /* NULL for an integer checkpoint */
    nb_graph *graph;           /* the network of a training checkpoint, for inference; NULL for an integer checkpoint */
    nb_intmodel
        *integers;  /* the integer checkpoint, or what the quantized graph lowers to; NULL for a float network, and
                              for one that is simulated */
    nb_dsinfo info; /* image size, classes, names */
} cli_model;

/* max_batch: of the graph, at most (nb_model_batch). *m is closed by the caller, after a failure too. */
nb_status cli_model_open(cli *c, const char *path, int32_t max_batch, cli_model *m);
void cli_model_close(cli *c, cli_model *m);
/* NB_E_UNSUPPORTED, with the reason, where there are no integers to `what` ("export"). */
nb_status cli_model_need_integers(cli *c, const cli_model *m, const char *what);
/* NB_E_UNSUPPORTED, with what to say, where nothing says which images it is for. */
nb_status cli_model_need_data(cli *c, const cli_model *m);
/* "integers W4A8" as cli_bits_text says it, "quantized W4A32, simulated", or "float"; into buf. */
const char *cli_model_kind(const cli_model *m, char *buf, size_t len);

/* Accuracy on data, by the integer engine when there are integers, and what it said of each image; all ranks' where they are
 * together (cli.h). */
nb_status cli_model_evaluate(cli *c, const cli_model *m, const cli_images *images, nb_eval *out,
                             const nb_answers *each);
/* How far logits, which a network that reconstructs gave for this image, are away from it. */
nb_status cli_model_error(cli *c, const cli_model *m, const uint8_t *pixels, const float *logits, double *error);
/* Logits [classes] of one image [h, w, c]. */
nb_status cli_model_logits(cli *c, const cli_model *m, const uint8_t *pixels, float *logits);

#endif
