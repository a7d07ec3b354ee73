/* table_profile.h - a profile as tables. Each function gives one that the caller frees, and that must not outlive the
 * profile's formats, whose names head columns. */
#ifndef NB_REPORT_TABLE_PROFILE_H
#define NB_REPORT_TABLE_PROFILE_H

#include "analysis/profile.h"
#include "report/table.h"

/* A row per tensor, or per channel of each. */
nb_status nb_table_of_statistics(const nb_profile *p, nb_table **out);
nb_status nb_table_of_channels(const nb_profile *p, nb_table **out);
/* A row per tensor: dB of every format at its best, measured and predicted. */
nb_status nb_table_of_sqnr(const nb_profile *p, nb_table **out);
/* A row per tensor, format, range and number of scales; then, if channels were asked for, one per channel. */
nb_status nb_table_of_errors(const nb_profile *p, nb_table **out);
/* A row per code: how many values went there. */
nb_status nb_table_of_codes(const nb_profile *p, nb_table **out);
/* A row per format, range and number of scales: sums over all weights, over all activations, and the worst tensor. */
nb_status nb_table_of_network(const nb_profile *p, nb_table **out);
nb_status nb_table_of_proposals(const nb_profile *p, nb_table **out);

/* How values are spread over the codes of a few bits, as a line of blocks; into buf [NB_SPARK_BYTES]. */
enum { NB_SPARK_CELLS = 16, NB_SPARK_BYTES = 3 * NB_SPARK_CELLS + 1 };
const char *nb_profile_spark(const nb_profile *p, const nb_profile_tensor *t, char *buf);

#endif
