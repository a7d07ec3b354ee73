/* table_analyze.h - an analysis as tables: networks, layers, quantizers, what would help. As in tables.h the caller frees. */
#ifndef NB_REPORT_TABLE_ANALYZE_H
#define NB_REPORT_TABLE_ANALYZE_H

#include "report/table.h"

#include "analysis/analyze.h"

/* One network beside the float one. */
typedef struct {
    const char *name;
    const nb_probe_score *score; /* NULL: accuracy and loss are all there is */
    double accuracy, loss;       /* then */
} nb_network_row;
nb_status nb_table_of_networks(nb_ctx *ctx, const nb_network_row *rows, int32_t n, nb_table **out);

/* The worst first; most: rows at most, 0: all. */
nb_status nb_table_of_blame(nb_ctx *ctx, const nb_analysis *a, int32_t most, nb_table **out);
nb_status nb_table_of_quantizers(nb_ctx *ctx, const nb_analysis *a, int32_t most, nb_table **out);
/* The most biased first. */
nb_status nb_table_of_biases(nb_ctx *ctx, const nb_analysis *a, int32_t most, nb_table **out);
/* The whole network and the quantizer by itself, with each remedy, in the order of the analysis. */
nb_status nb_table_of_remedies(nb_ctx *ctx, const nb_analysis *a, nb_table **out);

/* Bytes of packed weights that it takes beyond what is there; values between layers take a byte each at any width. */
int64_t nb_remedy_bytes(const nb_analysis *a, const nb_analysis_remedy *r);
/* "c1 weights", "c1 output" into buf. */
const char *nb_quantizer_title(const nb_analysis_site *s, char *buf, size_t size);

#endif
