/* bench_kernels.c - every kernel beside what one thread of this machine can do at most: the roofline model. The roof of
 * a kernel is the lower of two: what its units can multiply, and its products per byte times the bytes per second of
 * the memory its operands lie in. */
#include "cli/bench_kernels.h"
#include "cli/build_info.h"

#include "base/check.h"
#include "base/cpu.h"
#include "bench/kbench.h"
#include "kernels/float/fblas.h"
#include "report/table.h"

#include <stdio.h>

typedef struct {
    cli *c;
    nb_peaks peaks;
    int32_t rounds;
    bool json;
    nb_table *all; /* of --json: one row per kernel and shape */
} kernels;

/* The share of the roof in percent, 0 when the peak is not known. */
static double conv_share(const kernels *k, const nb_kbench_result *r)
{
    const double by_unit = k->peaks.macs[r->unit] / r->work, by_memory = r->macs / r->bytes * k->peaks.cache;
    const double roof = by_unit < by_memory ? by_unit : by_memory;
    return k->peaks.macs[r->unit] > 0 ? 100 * r->macs / r->seconds / roof : 0;
}

static nb_status print(cli *c, nb_table *t, bool json)
{
    char *text = NULL;
    nb_status st = json ? nb_table_print_json(t, &text) : nb_table_print(t, &text);
    if (st == NB_OK)
        fputs(text, stdout);
    nb_free(c->ctx, text);
    return st;
}

static void json_row(kernels *k, const char *kernel, const char *shape, const char *method)
{
    nb_table_row(k->all);
    nb_table_add_text(k->all, kernel);
    nb_table_add_text(k->all, shape);
    nb_table_add_text(k->all, method);
}

static void json_numbers(kernels *k, double gmacs, double gbs, double intensity, double share)
{
    nb_table_add_real(k->all, gmacs, 2);
    nb_table_add_real(k->all, gbs, 2);
    nb_table_add_real(k->all, intensity, 3);
    nb_table_add_real(k->all, share, 1);
}

static void json_columns(kernels *k)
{
    nb_table_column(k->all, "kernel", "", NB_LEFT);
    nb_table_column(k->all, "shape", "", NB_LEFT);
    nb_table_column(k->all, "method", "", NB_LEFT);
    nb_table_column(k->all, "gmacs", "", NB_RIGHT);
    nb_table_column(k->all, "gbs", "", NB_RIGHT);
    nb_table_column(k->all, "macs_per_byte", "", NB_RIGHT);
    nb_table_column(k->all, "share", "", NB_RIGHT);
}

static void report_peaks(kernels *k)
{
    static const char *const unit[NB_PEAK_UNITS] = {"float", "pairs", "quads"};
    const nb_peaks *p = &k->peaks;
    if (!k->json) {
        cli_print_build();
        cli_print_variants();
        printf("one thread, %s; peaks measured here: float %.1f, 16-bit pairs %.1f, byte quads %.1f GMAC/s;"
               " cache %.0f, memory %.1f GB/s\n\n",
               nb_cpu_name(), 1e-9 * p->macs[NB_PEAK_FLOAT], 1e-9 * p->macs[NB_PEAK_PAIRS],
               1e-9 * p->macs[NB_PEAK_QUADS], 1e-9 * p->cache, 1e-9 * p->memory);
        return;
    }
    for (int32_t i = 0; i < NB_PEAK_UNITS; i++) {
        json_row(k, "peak", "registers", unit[i]);
        json_numbers(k, 1e-9 * p->macs[i], 0, 0, 100);
    }
    json_row(k, "peak", "cache", "memory");
    json_numbers(k, 0, 1e-9 * p->cache, 0, 100);
    json_row(k, "peak", "memory", "memory");
    json_numbers(k, 0, 1e-9 * p->memory, 0, 100);
}

static void conv_cell(kernels *k, nb_table *t, const char *shape, int32_t pass, const nb_kbench_result *r)
{
    if (k->json && r->seconds > 0) {
        json_row(k, nb_kbench_pass_name[pass], shape, r->method);
        json_numbers(k, 1e-9 * r->macs / r->seconds, 1e-9 * r->bytes / r->seconds, r->macs / r->bytes,
                     conv_share(k, r));
    }
    if (k->json)
        return;
    if (r->seconds == 0) {
        nb_table_add_blank(t);
        return;
    }
    char text[64];
    const double share = conv_share(k, r), gmacs = 1e-9 * r->macs / r->seconds;
    if (share > 0)
        snprintf(text, sizeof text, "%.1f%s %3.0f %%", gmacs, r->work < 1 ? " w" : "", share);
    else
        snprintf(text, sizeof text, "%.1f", gmacs);
    nb_table_add_text(t, text);
}

static nb_status report_convs(kernels *k, nb_table *t)
{
    nb_table_column(t, "shape", "GMAC/s and share of the roof", NB_LEFT);
    for (int32_t i = 0; i < NB_KBENCH_PASSES; i++)
        nb_table_column(t, nb_kbench_pass_name[i], nb_kbench_pass_name[i], NB_RIGHT);
    for (const nb_kbench_shape *s = nb_kbench_shapes; s->name; s++) {
        nb_kbench_result r[NB_KBENCH_PASSES];
        NB_TRY(nb_kbench_conv(k->c->ctx, &s->geom, k->rounds, r));
        if (!k->json) {
            nb_table_row(t);
            nb_table_add_text(t, s->name);
        }
        for (int32_t pass = 0; pass < NB_KBENCH_PASSES; pass++)
            conv_cell(k, t, s->name, pass, &r[pass]);
    }
    if (k->json)
        return NB_OK;
    NB_TRY(print(k->c, t, false));
    puts("w: Winograd's tiles make 0.25 (forward) or 0.44 (gradients) of the products; the share counts those\n");
    return NB_OK;
}

/* Both sides of the choice between our kernels and OpenBLAS, and what was chosen. */
static nb_status report_wide(kernels *k, nb_table *t)
{
    nb_table_column(t, "layer", "GMAC/s, own kernels | OpenBLAS", NB_LEFT);
    for (int32_t i = 0; i < NB_KBENCH_WIDE_PASSES; i++)
        nb_table_column(t, nb_kbench_pass_name[i], nb_kbench_pass_name[i], NB_RIGHT);
    nb_table_column(t, "ratio", "all three", NB_RIGHT);
    nb_table_column(t, "chosen", "chosen", NB_LEFT);
    for (const nb_kbench_wide *s = nb_kbench_wides; s->name; s++) {
        nb_kbench_wide_result r;
        double own = 0, blas = 0;
        char text[64];
        NB_TRY(nb_kbench_run_wide(k->c->ctx, s, k->rounds, &r));
        nb_table_row(t);
        nb_table_add_text(t, s->name);
        for (int32_t i = 0; i < NB_KBENCH_WIDE_PASSES; i++) {
            own += r.own[i];
            blas += r.blas[i];
            snprintf(text, sizeof text, "%.1f | %.1f", 1e-9 * r.macs / r.own[i], 1e-9 * r.macs / r.blas[i]);
            nb_table_add_text(t, text);
            if (!k->json)
                continue;
            for (int32_t by_blas = 0; by_blas < 2; by_blas++) {
                const double seconds = by_blas ? r.blas[i] : r.own[i];
                json_row(k, nb_kbench_pass_name[i], s->name, by_blas ? "openblas" : "float");
                json_numbers(k, 1e-9 * r.macs / seconds, 0, 0, 0);
            }
        }
        snprintf(text, sizeof text, "%.2fx", own / blas);
        nb_table_add_text(t, text);
        nb_table_add_text(t, r.blas_wins ? "OpenBLAS" : "own");
    }
    if (k->json)
        return NB_OK;
    printf("wide float layers, whole batches, packing included; %s\n\n", nb_fblas_name());
    NB_TRY(print(k->c, t, false));
    puts("");
    return NB_OK;
}

/* What a sweep waits for. A fifth is what the clock of a shared machine is worth. */
static const char *bound_of(const nb_kbench_speed *s, double share)
{
    return share >= 70 ? "memory" : s->memory > 0.8 * s->cache ? "instructions" : "both";
}

static nb_status report_sweeps(kernels *k, nb_table *t)
{
    enum { MAX_SWEEPS = 32 };
    nb_kbench_speed speed[MAX_SWEEPS];
    nb_table_column(t, "sweep", "sweep", NB_LEFT);
    nb_table_column(t, "what", "what", NB_LEFT);
    nb_table_column(t, "values", "10^9 values/s", NB_RIGHT);
    nb_table_column(t, "gbs", "GB/s", NB_RIGHT);
    nb_table_column(t, "share", "of memory's", NB_RIGHT);
    nb_table_column(t, "cached", "in cache", NB_RIGHT);
    nb_table_column(t, "bound", "bound by", NB_LEFT);
    NB_TRY(nb_kbench_run_sweeps(k->c->ctx, k->rounds, speed));
    for (int32_t i = 0; nb_kbench_sweeps[i].name; i++) {
        const nb_kbench_sweep *s = &nb_kbench_sweeps[i];
        const double rate = speed[i].memory * s->bytes, share = 100 * rate / k->peaks.memory;
        if (k->json) {
            json_row(k, s->name, s->what, "memory");
            json_numbers(k, 0, 1e-9 * rate, 0, share);
            continue;
        }
        char percent[32];
        snprintf(percent, sizeof percent, "%.0f %%", share);
        nb_table_row(t);
        nb_table_add_text(t, s->name);
        nb_table_add_text(t, s->what);
        nb_table_add_real(t, 1e-9 * speed[i].memory, 2);
        nb_table_add_real(t, 1e-9 * rate, 1);
        nb_table_add_text(t, percent);
        nb_table_add_real(t, 1e-9 * speed[i].cache, 2);
        nb_table_add_text(t, bound_of(&speed[i], share));
    }
    if (k->json)
        return NB_OK;
    NB_TRY(print(k->c, t, false));
    puts("in cache: 10^9 values/s of a tensor of 8 KiB; a sweep that is little faster there is bound by its "
         "instructions");
    return NB_OK;
}

nb_status cli_bench_kernels(cli *c, int32_t rounds)
{
    kernels k = {.c = c, .rounds = rounds, .json = cli_flag(c, "--json")};
    nb_table *convs = NULL, *wide = NULL, *sweeps = NULL;
    nb_status st = nb_peaks_measure(c->ctx, rounds, &k.peaks);
    if (st == NB_OK)
        st = nb_table_create(c->ctx, &k.all);
    if (st == NB_OK)
        st = nb_table_create(c->ctx, &convs);
    if (st == NB_OK)
        st = nb_table_create(c->ctx, &wide);
    if (st == NB_OK)
        st = nb_table_create(c->ctx, &sweeps);
    if (st == NB_OK) {
        json_columns(&k);
        report_peaks(&k);
        st = report_convs(&k, convs);
    }
    if (st == NB_OK && nb_fblas_width() > 0)
        st = report_wide(&k, wide);
    if (st == NB_OK)
        st = report_sweeps(&k, sweeps);
    if (st == NB_OK && k.json)
        st = print(c, k.all, true);
    nb_table_free(sweeps);
    nb_table_free(wide);
    nb_table_free(convs);
    nb_table_free(k.all);
    return st;
}
