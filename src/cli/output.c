/* output.c - printing. cJSON's builders return NULL without memory and ignore what is added after; the end of the
 * process is near then anyway, so one check at the end must do. */
#include "cli/output.h"

#include "base/check.h"

#include <stdio.h>
#include <string.h>

nb_status cli_table_print_as(nb_ctx *ctx, nb_table *t, nb_table_format format)
{
    char *text = NULL;
    nb_status st = nb_table_print_as(t, format, &text);
    if (st == NB_OK)
        fputs(text, stdout);
    nb_free(ctx, text);
    nb_table_free(t);
    return st;
}

nb_status cli_table_print(nb_ctx *ctx, nb_table *t)
{
    return cli_table_print_as(ctx, t, NB_TABLE_TEXT);
}

nb_status cli_table_asked_for(cli *c, const char *const *names, int32_t n, int32_t *out)
{
    const char *want = cli_value(c, "--table");
    char all[200];
    int32_t len = 0;
    *out = -1;
    for (int32_t i = 0; i < n; i++) {
        if (want && strcmp(want, names[i]) == 0)
            *out = i;
        len += snprintf(all + len, sizeof all - (size_t)len, "%s%s", i == 0 ? "" : i < n - 1 ? ", " : " or ", names[i]);
        NB_ASSERT((size_t)len < sizeof all);
    }
    if (!want || *out >= 0)
        return NB_OK;
    return cli_usage(c, "--table: %s: must be %s%s", want, all, nb_did_you_mean(want, names, n).text);
}

nb_status cli_json_table(nb_ctx *ctx, cJSON *o, const char *name, nb_table *t)
{
    char *text = NULL;
    nb_status st = nb_table_print_json(t, &text);
    cJSON *rows = st == NB_OK ? cJSON_Parse(text) : NULL; /* printed again without its line breaks */
    if (st == NB_OK && !rows)
        st = nb_fail(ctx, NB_E_NOMEM, "out of memory");
    if (rows)
        cJSON_AddItemToObject(o, name, rows);
    nb_free(ctx, text);
    nb_table_free(t);
    return st;
}

nb_status cli_table_format(cli *c, nb_table_format *out)
{
    static const char *const names[] = {
        [NB_TABLE_TEXT] = "text", [NB_TABLE_CSV] = "csv", [NB_TABLE_JSON] = "json", [NB_TABLE_MARKDOWN] = "markdown"};
    enum { N = sizeof names / sizeof *names };
    const char *want = cli_value(c, "--format");
    for (int32_t i = 0; i < N; i++)
        if (!want || strcmp(want, names[i]) == 0) {
            *out = (nb_table_format)i;
            return NB_OK;
        }
    return cli_usage(c, "--format: %s: must be text, csv, json or markdown%s", want,
                     nb_did_you_mean(want, names, N).text);
}

nb_status cli_json_print(nb_ctx *ctx, cJSON *o)
{
    char *text = o ? cJSON_PrintUnformatted(o) : NULL;
    cJSON_Delete(o);
    if (!text)
        return nb_fail(ctx, NB_E_NOMEM, "out of memory");
    printf("%s\n", text);
    cJSON_free(text);
    return NB_OK;
}

const char *cli_metric_percent(const nb_eval *e)
{
    const char *metric = e->metric ? e->metric : "";
    return strcmp(metric, "AUC") == 0 ? "AUC %" : strcmp(metric, "explained") == 0 ? "explained %" : "accuracy %";
}

void cli_say_simulated(const nb_eval *e, const char *why)
{
    if (!e->simulated)
        return;
    printf("no integers   %s\n", why);
    if (e->any_lost)
        printf(
            "lost          of weights %.2f %% are beyond the largest level, %.2f %% became 0; of activations %.2f %%, "
            "%.2f %%\n",
            100 * e->weights.over, 100 * e->weights.under, 100 * e->activations.over, 100 * e->activations.under);
}

void cli_json_simulated(cJSON *o, const nb_eval *e)
{
    cJSON_AddBoolToObject(o, "simulated", e->simulated);
    if (!e->any_lost)
        return;
    cJSON_AddNumberToObject(o, "weights_over", e->weights.over);
    cJSON_AddNumberToObject(o, "weights_under", e->weights.under);
    cJSON_AddNumberToObject(o, "activations_over", e->activations.over);
    cJSON_AddNumberToObject(o, "activations_under", e->activations.under);
}

nb_status cli_json_print_table(nb_ctx *ctx, cJSON *o, const char *name, nb_table *t)
{
    const nb_status st = cli_json_table(ctx, o, name, t);
    if (st == NB_OK)
        return cli_json_print(ctx, o);
    cJSON_Delete(o);
    return st;
}
