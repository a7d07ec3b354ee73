/* open_experiment.h - an experiment's config and data, opened for a command. */
#ifndef NB_CLI_OPEN_EXPERIMENT_H
#define NB_CLI_OPEN_EXPERIMENT_H

#include "cli/cli.h"

enum { CLI_WHY_BYTES = 320 };

typedef struct {
    nb_config *config;
    nb_experiment exp;
    char *text;                  /* canonical, overrides applied */
    char *out;                   /* the run folder: `out:`, or runs/<name of the config file> */
    nb_data *train, *test;       /* NULL until opened */
    const nb_features *features; /* set before that, of a network that is there: what its samples are; NULL: measured */
    int32_t *order;              /* with a validation split: a permutation of the training images, validation last */
    int32_t n_train, n_validation;
    char simulated[CLI_WHY_BYTES]; /* why its quantized network is simulated; "": it is not, or not known to be */
    bool stored; /* the config is a checkpoint's, as it stands there: what is wrong with it is damage */
} cli_experiment;

/* From a file, or from text (then name stands in messages), with the command's --set applied. *e is zeroed by the
 * caller, and closed by it after a failure too. */
nb_status cli_experiment_load(cli *c, const char *path, cli_experiment *e);
typedef struct {
    const char *option, *set; /* "--steps [equalize]", as it was given, is "quant.steps=[equalize]" */
} cli_said;
/* From a file, with options that stand for overrides behind those; a fault in one is told in the option's words. */
nb_status cli_experiment_load_said(cli *c, const char *path, const cli_said *said, int32_t n, cli_experiment *e);
nb_status cli_experiment_parse(cli *c, const char *name, const char *text, cli_experiment *e);
/* Opens what is not open yet: the split "test", and "train" with its validation split. */
nb_status cli_experiment_open_test(cli *c, cli_experiment *e);
nb_status cli_experiment_open_train(cli *c, cli_experiment *e);
void cli_experiment_close(cli *c, cli_experiment *e);

/* By its name: NAME.yaml or .yml. */
bool cli_is_config(const char *path);

/* Takes down whether g, its quantized network, is simulated. */
void cli_experiment_note(cli_experiment *e, const nb_graph *g);

/* The images that --split asks for. */
typedef struct {
    const char *name; /* "test", "validation" or "train" */
    const nb_data *data;
    const int32_t *indices; /* NULL: 0..n-1 */
    int32_t n;
} cli_images;
/* The number that image i of them has in the data set. */
static inline int32_t cli_image_index(const cli_images *images, int32_t i)
{
    return images->indices ? images->indices[i] : i;
}
nb_status cli_experiment_split(cli *c, cli_experiment *e, const char *split, cli_images *out);

/* "W4A8" as the config's quant section says, "W4A8 block" where codes are not at equal distances, with what differs from it
 * ("W4A8, 3 layers at W8", "W4A4 throughout" when
 * first and last layer do not keep 8 bits, "W4A32, simulated" once that was noted), or "float"; into buf. */
enum { CLI_BITS_BYTES = 160 };
const char *cli_bits_text(const cli_experiment *e, bool quant, char buf[CLI_BITS_BYTES]);
/* The same, of a phase: with the bits of its own in front. */
const char *cli_phase_bits(const cli_experiment *e, const nb_phase_keys *k, char buf[CLI_BITS_BYTES]);

#endif
