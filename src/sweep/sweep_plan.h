/* sweep_plan.h - many runs from one file: which there are, and what they come to.
 *
 * A sweep file names a config, or each table its own, and tables of what changes in it. A cell of a table is a row, a column and a way to make
 * the network (`how`), once per seed: a run, which is an ordinary run folder that `nibble train` or `nibble quantize`
 * makes, with a list of --set values. Equal runs of several tables are one. A plan runs nothing: the command does. */
#ifndef NB_SWEEP_SWEEP_PLAN_H
#define NB_SWEEP_SWEEP_PLAN_H

#include <nibble/config.h>

#include "base/arena.h"
#include "report/table.h"

typedef enum {
    NB_SWEEP_START,     /* trained once per seed, what others begin with */
    NB_SWEEP_REFERENCE, /* what accuracies are compared with */
    NB_SWEEP_CELL
} nb_sweep_purpose;

/* What became of a run. */
typedef enum { NB_SWEEP_MISSING, NB_SWEEP_DONE, NB_SWEEP_FAILED } nb_sweep_state;

typedef struct {
    nb_sweep_purpose purpose;
    const char *below;  /* `out`, or for a start the folder that several sweeps share (`starts`) */
    const char *name;   /* folder below that: "start/seed1", "ranges/trained-W4A4-mse-seed1" */
    const char *config; /* path of the experiment, as the command can open it */
    uint64_t seed;
    bool quantize;          /* by `quantize --from` the start's checkpoint, else by `train` */
    int32_t start;          /* the run whose network it begins with; -1: none */
    const char *const *set; /* KEY=VALUE, without seed, out and init */
    int32_t n_sets;
    bool wanted; /* false: only when two cells turn out to be close */
    /* results, filled by who runs it */
    nb_sweep_state state;
    double accuracy;
    char metric[16]; /* what accuracy is: "accuracy", "AUC", "explained" (nb_eval); "": as the first */
    char kind[128];  /* what it is of, as `eval` says it: "integers W4A8", "float", "quantized W4A32, simulated" */
} nb_sweep_run;

/* All runs of one cell. */
typedef struct {
    int32_t table, row, column, how; /* places in the table's lists */
    int32_t *run;                    /* [n_all_seeds of the table] */
    bool more;                       /* close to another: counts with all seeds, else with n_seeds */
} nb_sweep_cell;

typedef struct {
    const char *name;
    const char **row, **column, **how;
    int32_t n_rows, n_columns, n_hows;
    const uint64_t *seed; /* n_seeds, and then those that only close cells get */
    int32_t n_seeds, n_all_seeds;
    double within;      /* points of accuracy; cells of a row that are closer get all seeds. 0: none do */
    int32_t *reference; /* run per seed; NULL: there is none */
    bool more;          /* of a cell: the reference, too, counts with all seeds */
} nb_sweep_table;

typedef struct {
    nb_ctx *ctx;
    nb_arena *arena;
    nb_config *config; /* the sweep file: names and places are its */
    const char *out;
    nb_sweep_run *run;
    nb_sweep_cell *cell;
    nb_sweep_table *table;
    int32_t n_runs, n_cells, n_tables;
} nb_sweep;

/* Reads a sweep file; a fault is named with file, line and key. */
nb_status nb_sweep_open(nb_ctx *ctx, const char *path, nb_sweep **out);
void nb_sweep_close(nb_sweep *s); /* NULL is fine */
/* Wants more seeds of cells that are closer to another of their row than the table says; how many cells that are. All
 * runs that are wanted so far are done or have failed. */
int32_t nb_sweep_want_more(nb_sweep *s);

/* ---- results ---- */

/* Of the runs of a cell, or of the reference, that are done. */
typedef struct {
    int32_t n, wanted, failed;
    double mean, spread; /* sample standard deviation; 0 for one */
    const char *by;      /* "integers", "float", "simulation"; "" when n is 0 */
} nb_sweep_stats;
nb_sweep_stats nb_sweep_stats_of(const nb_sweep *s, const int32_t *runs, int32_t n);
const nb_sweep_cell *nb_sweep_cell_at(const nb_sweep *s, int32_t table, int32_t how, int32_t row, int32_t column);

/* What the accuracies are: one for all runs, which are of one data set and one task; "accuracy" while none is done. */
const char *nb_sweep_metric(const nb_sweep *s);
/* Rows by columns of one table and one way to make it, for people: "93.24 +-0.08". */
nb_status nb_sweep_grid(const nb_sweep *s, int32_t table, int32_t how, nb_table **out);
/* One row per cell, and one per run, for programs. */
nb_status nb_sweep_cells(const nb_sweep *s, nb_table **out);
nb_status nb_sweep_runs(const nb_sweep *s, nb_table **out);

#endif
