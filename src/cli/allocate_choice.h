/* allocate_choice.h - what `nibble allocate` chooses between: every quantizer's widths, what each costs and loses. */
#ifndef NB_CLI_ALLOCATE_CHOICE_H
#define NB_CLI_ALLOCATE_CHOICE_H

#include "cli/analyze_networks.h"

#include "analysis/allocate.h"
#include "analysis/hessian.h"
#include "analysis/sensitivity.h"
#include "base/arena.h"

#include <nibble/export.h>

enum { ALLOCATE_WIDTHS = 7, ALLOCATE_VECTORS = 64 /* of the estimate of a trace */ };

/* A quantizer. */
typedef struct {
    const char *layer;
    int32_t site;
    bool weights;
    const char *fixed; /* why its width is no part of the choice; NULL: it is */
    int32_t was;       /* bits it has in the config */
    int32_t n;         /* widths, ascending; 1 where it is fixed */
    int32_t bits[ALLOCATE_WIDTHS];
    double
        loss[ALLOCATE_WIDTHS]; /* divergence of the network in which it alone is on, nats per image; or the estimate */
    nb_hessian_row curvature;  /* n 0: its losses are measured */
    int64_t flash[ALLOCATE_WIDTHS], ram[ALLOCATE_WIDTHS]; /* beside the network with the widest widths; whole network */
    int64_t macs;                                         /* of a layer with weights, per image */
    int32_t reads;                                        /* cell of what that layer reads; -1: none */
    int32_t pick;
} allocate_cell;

typedef enum { ALLOCATE_FLASH, ALLOCATE_MACS } allocate_unit;
typedef enum { ALLOCATE_MEASURED, ALLOCATE_HESSIAN } allocate_sensitivity;

typedef struct {
    analyze_networks *of;
    allocate_unit unit;
    allocate_sensitivity by; /* where losses of weights come from */
    int64_t budget;          /* of that unit */
    int64_t ram;             /* INT64_MAX: as much as there is */
    int32_t widths[ALLOCATE_WIDTHS], n_widths;
    nb_arena *arena;
    allocate_cell *cell;
    int32_t n_cells;
    nb_export_size widest; /* with the widest widths */
    nb_export_size size;   /* of the choice */
    nb_alloc_class *problem;
    nb_alloc_option *options; /* [n_cells][ALLOCATE_WIDTHS] */
    int32_t *index;           /* [n_cells][ALLOCATE_WIDTHS]: which width an option is */
    int32_t *picks;
} allocate_choice;

/* of is open; unit, ram and widths are set. Fails where there is nothing to choose, or no integers. */
nb_status allocate_find(allocate_choice *a);
/* Flash and RAM of every choice: one network built and lowered for each. */
nb_status allocate_measure_sizes(allocate_choice *a, const nb_watch *watch);
/* Losses of every choice: first what is measured, then, by the Hessian, those of weights. */
nb_status allocate_measure_losses(allocate_choice *a, const nb_images *images, const nb_watch *watch);
/* The best choice for a->budget into the cells, and its size; one sentence names the smallest that is possible. */
nb_status allocate_solve(allocate_choice *a);
/* The best for another budget: picks of all cells into pick, NULL: they are not wanted. */
nb_status allocate_solve_for(const allocate_choice *a, int64_t budget, nb_allocation *out);
/* What cells cost as they are picked, in a->unit, and lose. */
int64_t allocate_cost(const allocate_choice *a);
double allocate_loss(const allocate_choice *a);
/* The network with the picked widths, and the one of the config. */
nb_status allocate_measure_whole(allocate_choice *a, const nb_images *images, nb_probe_score *chosen,
                                 nb_probe_score *before);
/* The config with the picked widths and no `out`, as YAML. nb_free. */
nb_status allocate_config(const allocate_choice *a, char **out);

#endif
