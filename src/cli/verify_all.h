/* verify_all.h - every implementation of one integer model beside the engine's scalar kernels. */
#ifndef NB_CLI_VERIFY_ALL_H
#define NB_CLI_VERIFY_ALL_H

#include "cli/outside_program.h"
#include "cli/progress.h"

#include "report/tables.h"

/* The `--all` of `nibble verify`: opens c->arg[0], runs everything, prints the table, fails when something differs. */
nb_status verify_all(cli *c);

/* ---- for the files it consists of ---- */

enum { VERIFY_MAX_ROWS = 64 };

typedef struct {
    cli *c;
    const nb_intmodel *m;
    outside *o;
    const uint8_t *pixels; /* [n][image_bytes], also the file "images.bin" */
    size_t image_bytes;
    int32_t n;
    int32_t *want, *got; /* [n][classes]: of the scalar kernels, and room */
    double seconds;      /* each compiler and program may take so long */
    const char *python;  /* --python, or NULL */
    cli_progress progress;
    nb_check_row row[VERIFY_MAX_ROWS];
    int32_t n_rows;
} verify_job;

/* A new row; past the last the last is used again. */
nb_check_row *verify_add(verify_job *j, nb_check_kind kind, const char *name);
/* Counts got [n][classes] against j->want: integers, and floats in units of a logit. */
void verify_count(const verify_job *j, const int32_t *got, nb_check_row *r);
void verify_count_floats(const verify_job *j, const float *got, nb_check_row *r);

/* Fills in j->row on the first j->n images; j->c, j->m, j->n, j->progress are given. What differs is in the rows. */
nb_status verify_implementations(verify_job *j, const nb_data *data);

/* The exported C, compiled here. */
nb_status verify_compiled(verify_job *j);
/* The exported ONNX model in ONNX Runtime. */
nb_status verify_onnx(verify_job *j);

#endif
