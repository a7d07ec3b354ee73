/* import_onnx.h - the ONNX half of `nibble import`. */
#ifndef NB_CLI_IMPORT_ONNX_H
#define NB_CLI_IMPORT_ONNX_H

#include "cli/open_experiment.h"

/* By its name. */
bool cli_is_onnx(const char *path);
/* The model of the first argument as OUT.yaml and OUT.safetensors; e is closed by the caller. */
nb_status cli_import_onnx(cli *c, cli_experiment *e);
/* A float checkpoint that has not been trained here. */
nb_status cli_import_save(cli *c, const nb_graph *g, const char *config, const char *path);

#endif
