/* import_onnx.h - the ONNX half of `nibble import`. */
#ifndef NB_CLI_IMPORT_ONNX_H
#define NB_CLI_IMPORT_ONNX_H

#include <nibble/import.h>

#include "cli/open_experiment.h"

/* By its name. */
bool cli_is_onnx(const char *path);
/* The model of the first argument as OUT.yaml and OUT.safetensors; e is closed by the caller. */
nb_status cli_import_onnx(cli *c, cli_experiment *e);
/* --input, "3x224x224"; it is not given: *out is NULL. */
nb_status cli_input_size(cli *c, nb_onnx_size *size, const nb_onnx_size **out);
/* A data section that no data can make right is an error; one whose files are not there need not be. */
bool cli_data_is_wrong(const cli_experiment *e, nb_status st);
/* A quantized one as an integer checkpoint, OUT; its images have so many channels. */
nb_status cli_import_integers(cli *c, int32_t channels);
/* "0.5" or "0.5,0.4,0.4" into v[0..channels). */
nb_status cli_number_list(cli *c, const char *option, int32_t channels, double low, double most, float *v);
/* A float checkpoint that has not been trained here. */
nb_status cli_import_save(cli *c, const nb_graph *g, const char *config, const char *path);

#endif
