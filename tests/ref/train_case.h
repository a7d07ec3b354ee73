/* train_case.h - a whole experiment for tests of training: 96 synthetic images, a network of a few hundred parameters.
 */
#ifndef NB_TESTS_TRAIN_CASE_H
#define NB_TESTS_TRAIN_CASE_H

#include "data_fixture.h"

#include <nibble/extend/op.h>
#include <nibble/train.h>

/* All but the `train` section. */
extern const char train_case_head[];

typedef struct {
    nb_ctx *ctx;
    char *out; /* run folder */
    nb_config *cfg;
    nb_experiment exp;
    nb_train_plan *plan;
    char *text;
    nb_data *train, *test;
    nb_train_result result;
    int32_t steps_seen, epochs_seen; /* by the callbacks, over all runs */
    int32_t stop_after;              /* steps of one run; 0 = never */
    int32_t n_steps;                 /* of the run under way */
    int32_t n_eval;                  /* test images that are evaluated */
    bool starve;                     /* from the first step to the last of every epoch no allocation succeeds */
    /* Given to the trainer and to train_case_graph; ud is the train_case. */
    nb_status (*before_quant)(void *ud, nb_graph *g);
    nb_status (*teach)(void *ud, const uint8_t *pixels, int32_t n, int32_t whole,
                       float *logits); /* given to the trainer */
    uint64_t teacher_hash;
    int32_t entries[2]; /* for it to count: float graphs, quantized ones */
    volatile sig_atomic_t stop;
    nb_epoch_report last;
} train_case;

/* text: the whole config. out must exist. The caller closes, after a failure too. */
nb_status train_case_open(train_case *t, nb_ctx *ctx, const char *out, const char *text);
void train_case_close(train_case *t);
/* Float graphs are evaluated in float, quantized ones by the engine, on n_eval test images (32). */
nb_status train_case_run(train_case *t, bool resume);
/* Trains rest, below train_case_head (or a whole config that begins with "data:"), in the new folder `name`; with stop_after
 * interrupted after every so many steps and resumed each time, as by new processes. t: as it was at the end, closed by the caller. */
void train_case_pieces(train_case *t, data_fixture *f, const char *name, const char *rest, int32_t stop_after);
/* The same on 1 and 4 threads, and on 2 with stops after every 5 steps: all files of the list, up to NULL, have the same bytes. */
void train_case_repeats(data_fixture *f, const char *rest, const char *const *files);

/* A frozen graph of the experiment, for training. */
nb_status train_case_graph(train_case *t, bool quant, const nb_params_source *from, nb_graph **out);

#endif
