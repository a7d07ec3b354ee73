/* gather.h - what a report shows, out of a run folder, a file or a sweep's folder.
 *
 * What is missing or damaged is noted in the report (nb_report_lacks) and the rest gathered; only what keeps everything from
 * going on (no memory, Ctrl-C, wrong usage) is a failure. */
#ifndef NB_CLI_GATHER_H
#define NB_CLI_GATHER_H

#include "cli/analyze_networks.h"
#include "cli/open_model.h"
#include "cli/progress.h"
#include "cli/verify_all.h"

#include "report/report.h"

typedef struct {
    cli *c;
    nb_report r;
    cli_progress progress;
    char file[CLI_PATH_BYTES]; /* of the model */
    char kind[CLI_BITS_BYTES + 16];
    cli_model model, trained; /* trained: what the integers were lowered from, where it is another file */
    nb_answers said;
    analyze_networks networks;
    nb_analysis analysis;
    nb_probe_score with[ANALYZE_STEPS];
    int32_t *indices; /* of the images that are analysed */
    nb_verify_report proof;
    verify_job *checks;
} gathering;

/* Of a failure: notes it as the reason why `what` is missing, if things can go on without it. */
nb_status gather_without(gathering *g, const char *what, nb_status st);
/* Text of <folder>/<name> into the report's arena; NULL and noted: it cannot be read. */
nb_status gather_text(gathering *g, const char *folder, const char *name, const char **out);

/* g is zeroed but for c by the caller, and closed by it after a failure too. */
nb_status gather_run(gathering *g, const char *path);
nb_status gather_sweep(gathering *g, const char *folder);
void gather_close(gathering *g);

/* For gather_run: what quantization costs; that the integers are what was trained. */
nb_status gather_analysis(gathering *g);
nb_status gather_proofs(gathering *g);

#endif
