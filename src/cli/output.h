/* output.h - results on stdout: tables for people, one JSON object for scripts. */
#ifndef NB_CLI_OUTPUT_H
#define NB_CLI_OUTPUT_H

#include "cli/cli.h"

#include "report/table.h"

#include <cJSON.h>

/* Prints t and frees it. */
nb_status cli_table_print(nb_ctx *ctx, nb_table *t);
nb_status cli_table_print_as(nb_ctx *ctx, nb_table *t, nb_table_format format);
/* The number of the table that --table names; -1 without it. */
nb_status cli_table_asked_for(cli *c, const char *const *names, int32_t n, int32_t *out);
/* The rows of t as o's array `name`; frees t. */
nb_status cli_json_table(nb_ctx *ctx, cJSON *o, const char *name, nb_table *t);
/* What --format says; text without it. */
#define CLI_TABLE_FORMAT                                                                                               \
    {                                                                                                                  \
        "--format", "FORMAT", "of the tables: text (default), csv, json or markdown"                                   \
    }
nb_status cli_table_format(cli *c, nb_table_format *out);
/* Prints o as one line and deletes it. A NULL object is NB_E_NOMEM. */
nb_status cli_json_print(nb_ctx *ctx, cJSON *o);
/* Both: o with the rows of t as its last member. Deletes o and frees t. */
nb_status cli_json_print_table(nb_ctx *ctx, cJSON *o, const char *name, nb_table *t);

/* Of a result that is simulated: why there are no integers, and what small floats lost. why: as in nb_graph_facts. */
const char *cli_metric_percent(const nb_eval *e); /* heading of a column: "accuracy %", "AUC %" */
void cli_say_simulated(const nb_eval *e, const char *why);
void cli_json_simulated(cJSON *o, const nb_eval *e);

#endif
