/* verify_all.c - one integer model, every implementation of it: the engine on each instruction set and on several
 * threads, the exported C as compilers here translate it, ONNX Runtime.
 *
 * The engine's scalar kernels on one thread say what is right. Everything runs one after the other, so that the times
 * can be compared: processor time where one thread works, else time on the clock. */
#include "cli/verify_all.h"
#include "cli/open_model.h"
#include "cli/output.h"

#include "base/check.h"
#include "base/cpu.h"
#include "base/measure.h"
#include "base/numtext.h"
#include "base/parallel.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH = 1, DEFAULT_IMAGES = 1000, DEFAULT_SECONDS = 600, MAX_SECONDS = 1000000 };

#define ALLOWED_TOP1 0.001 /* of the images, where an implementation rounds otherwise */

/* ---- counting ---- */

nb_check_row *verify_add(verify_job *j, nb_check_kind kind, const char *name)
{
    nb_check_row *r = &j->row[j->n_rows < VERIFY_MAX_ROWS ? j->n_rows++ : VERIFY_MAX_ROWS - 1];
    *r = (nb_check_row){.kind = kind, .seconds = -1};
    snprintf(r->name, sizeof r->name, "%s", name);
    cli_progress_text(&j->progress, name);
    return r;
}

void verify_count(const verify_job *j, const int32_t *got, nb_check_row *r)
{
    const int32_t classes = j->m->classes;
    for (int32_t i = 0; i < j->n; i++, got += classes) {
        const int32_t *want = j->want + (int64_t)i * classes;
        for (int32_t k = 0; k < classes; k++) {
            double d = fabs((double)got[k] - (double)want[k]);
            r->differ += d > 0;
            r->largest = fmax(r->largest, d);
        }
        r->same_top1 += nb_argmax_int(got, classes) == nb_argmax_int(want, classes);
    }
}

/* Float sums of exact codes are rounded: that much is no difference. */
void verify_count_floats(const verify_job *j, const float *got, nb_check_row *r)
{
    const int32_t classes = j->m->classes;
    for (int32_t i = 0; i < j->n; i++, got += classes) {
        const int32_t *want = j->want + (int64_t)i * classes;
        double low = want[0], high = want[0];
        for (int32_t k = 1; k < classes; k++) {
            low = fmin(low, want[k]);
            high = fmax(high, want[k]);
        }
        for (int32_t k = 0; k < classes; k++) {
            double d = fabs((double)got[k] - (double)want[k]);
            r->differ += !(d <= fmax(0.5, 1e-5 * (high - low)));
            r->largest = !(d <= r->largest) ? d : r->largest;
        }
        r->same_top1 += want[nb_argmax_float(got, classes)] == (int32_t)high;
    }
}

/* ---- the engine ---- */

static void put_logits(const nb_intmodel *m, const void *out, int32_t *logits)
{
    const nb_etensor *t = &m->e.tensors[nb_intmodel_output(m)];
    for (int32_t k = 0; k < m->classes; k++)
        logits[k] = t->type == NB_EI_S32  ? ((const int32_t *)out)[k]
                    : t->type == NB_EI_S8 ? ((const int8_t *)out)[k] - t->zero
                                          : ((const uint8_t *)out)[k] - t->zero;
}

/* All images on the instruction set and threads that are set; the model is read from its file, which packs it. */
static nb_status run_engine(verify_job *j, int32_t *logits, double *seconds)
{
    nb_ctx *ctx = j->c->ctx;
    char path[OUTSIDE_PATH_BYTES];
    nb_intmodel *m;
    outside_path(j->o, "model.int.safetensors", path);
    NB_TRY(nb_intmodel_load(ctx, path, &m));
    void *arena = nb_alloc(ctx, nb_intmodel_arena_bytes(m));
    nb_status st = arena ? NB_OK : NB_E_NOMEM;
    const bool one = nb_threads() == 1;
    *seconds = 0;
    for (int32_t i = 0; st == NB_OK && i < j->n; i++) {
        const uint8_t *pixels = j->pixels + (size_t)i * j->image_bytes;
        const double start = one ? nb_process_seconds() : nb_now();
        const void *out = one ? nb_engine_run(&m->e, arena, pixels) : nb_intmodel_run(m, arena, pixels);
        *seconds += (one ? nb_process_seconds() : nb_now()) - start;
        put_logits(m, out, logits + (int64_t)i * m->classes);
        st = outside_check(j->o);
    }
    *seconds /= j->n;
    nb_free(ctx, arena);
    nb_intmodel_free(ctx, m);
    return st;
}

static nb_status verify_engine_on(verify_job *j, const char *level, int32_t threads)
{
    char name[64];
    snprintf(name, sizeof name, "engine %s, %d thread%s", level, threads, nb_plural(threads));
    nb_check_row *r = verify_add(j, NB_CHECK_EXACT, name);
    nb_set_threads(threads);
    NB_TRY(run_engine(j, j->got, &r->seconds));
    verify_count(j, j->got, r);
    return NB_OK;
}

/* Levels of NB_CPU that differ on this processor; several threads unless this build has none (OMP=0). */
static nb_status verify_engine(verify_job *j)
{
    const int32_t before = nb_threads();
    nb_set_threads(before > 1 ? before : 2);
    const int32_t several = nb_threads();
    const char *level;
    uint32_t bits, have = nb_cpu_features();
    nb_status st = NB_OK;
    double unused;
    nb_cpu_limit(0);
    nb_set_threads(1);
    st = run_engine(j, j->want, &unused);
    for (int32_t i = 0; st == NB_OK && (level = nb_cpu_level_name(i)); i++) {
        if (!nb_cpu_level(level, &bits) || !nb_cpu_level_counts(i, have))
            continue;
        nb_cpu_limit(bits);
        st = verify_engine_on(j, level, 1);
        if (st == NB_OK && several > 1)
            st = verify_engine_on(j, level, several);
    }
    nb_cpu_limit(UINT32_MAX);
    nb_set_threads(before);
    return st;
}

/* ---- results ---- */

static nb_status print(const verify_job *j)
{
    nb_table *t;
    NB_TRY(nb_table_of_checks(j->c->ctx, j->row, j->n_rows, j->n, &t));
    if (!cli_flag(j->c, "--json")) {
        NB_TRY(cli_table_print(j->c->ctx, t));
        printf("\nagainst the engine's scalar kernels, in units of a logit; processor time on one thread, else time on "
               "the clock\n");
        return NB_OK;
    }
    cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "file", j->c->arg[0]);
    cJSON_AddNumberToObject(o, "images", j->n);
    cJSON_AddNumberToObject(o, "classes", j->m->classes);
    return cli_json_print_table(j->c->ctx, o, "implementations", t);
}

static nb_status judge(const verify_job *j)
{
    const char *path = j->c->arg[0];
    for (int32_t i = 0; i < j->n_rows; i++) {
        const nb_check_row *r = &j->row[i];
        if (r->kind == NB_CHECK_BROKEN)
            return nb_fail(j->c->ctx, NB_E_RANGE, "%s: %s: %s", path, r->name, r->note);
        if (r->kind == NB_CHECK_EXACT && r->differ)
            return nb_fail(j->c->ctx, NB_E_RANGE,
                           "%s: %s: %" PRId64 " of %" PRId64 " logits are not the engine's; integers must be equal",
                           path, r->name, r->differ, (int64_t)j->n * j->m->classes);
        if (r->kind == NB_CHECK_ROUNDED && j->n - r->same_top1 > ALLOWED_TOP1 * j->n)
            return nb_fail(j->c->ctx, NB_E_RANGE,
                           "%s: %s: another first choice on %d of %d images; more than %g %% is not rounding", path,
                           r->name, j->n - r->same_top1, j->n, 100 * ALLOWED_TOP1);
    }
    return NB_OK;
}

/* ---- all of it ---- */

static nb_status run_all(verify_job *j)
{
    char path[OUTSIDE_PATH_BYTES];
    outside_path(j->o, "model.int.safetensors", path);
    NB_TRY(nb_intmodel_save(j->c->ctx, j->m, path));
    NB_TRY(outside_write(j->o, "images.bin", j->pixels, (size_t)j->n * j->image_bytes));
    NB_TRY(verify_engine(j));
    NB_TRY(verify_compiled(j));
    NB_TRY(verify_onnx(j));
    cli_progress_clear(&j->progress);
    return NB_OK;
}

static nb_status check_fit(const verify_job *j, const nb_dsinfo *d)
{
    const nb_etensor *in = &j->m->e.tensors[nb_intmodel_input(j->m)];
    if (in->h == d->h && in->w == d->w && in->c == d->c)
        return NB_OK;
    return nb_fail(j->c->ctx, NB_E_SHAPE, "%s: takes images of %dx%dx%d, the data set has %dx%dx%d", j->c->arg[0],
                   in->h, in->w, in->c, d->h, d->w, d->c);
}

/* What is allocated here is freed here, after everything ran. */
static nb_status with_images(verify_job *j, const nb_data *data)
{
    nb_ctx *ctx = j->c->ctx;
    const nb_dsinfo *d = nb_data_info(data);
    const size_t logits = (size_t)j->n * (size_t)j->m->classes * sizeof(int32_t);
    j->image_bytes = (size_t)d->h * (size_t)d->w * (size_t)d->c;
    uint8_t *pixels = nb_alloc(ctx, (size_t)j->n * j->image_bytes);
    j->want = nb_alloc(ctx, logits);
    j->got = nb_alloc(ctx, logits);
    nb_status st = pixels && j->want && j->got ? NB_OK : NB_E_NOMEM;
    for (int32_t i = 0, label; st == NB_OK && i < j->n; i++)
        nb_data_get(data, i, pixels + (size_t)i * j->image_bytes, &label);
    j->pixels = pixels;
    if (st == NB_OK)
        st = nb_data_check(ctx, data);
    if (st == NB_OK)
        st = run_all(j);
    nb_free(ctx, j->got);
    nb_free(ctx, j->want);
    nb_free(ctx, pixels);
    return st;
}

nb_status verify_implementations(verify_job *j, const nb_data *data)
{
    cli *c = j->c;
    outside o = {0};
    int32_t seconds;
    NB_TRY(cli_count(c, "--timeout", DEFAULT_SECONDS, MAX_SECONDS, &seconds));
    NB_TRY(check_fit(j, nb_data_info(data)));
    j->python = cli_value(c, "--python");
    j->seconds = seconds;
    j->o = &o;
    nb_status st = outside_open(c, &o);
    if (st == NB_OK)
        st = with_images(j, data);
    outside_close(&o);
    return st;
}

static nb_status with_model(verify_job *j, cli_model *m)
{
    cli *c = j->c;
    cli_images images;
    NB_TRY(cli_model_open(c, c->arg[0], BATCH, m));
    NB_TRY(cli_model_need_integers(c, m, "verify"));
    NB_TRY(cli_model_need_data(c, m));
    NB_TRY(cli_experiment_split(c, &m->experiment, "test", &images));
    NB_TRY(cli_images_count(c, DEFAULT_IMAGES, images.n, "test", &j->n));
    j->m = m->integers;
    NB_TRY(verify_implementations(j, images.data));
    NB_TRY(print(j));
    return judge(j);
}

nb_status verify_all(cli *c)
{
    cli_model m = {0};
    verify_job *j = nb_alloc(c->ctx, sizeof *j);
    if (!j)
        return NB_E_NOMEM;
    j->c = c;
    cli_progress_init(&j->progress, false);
    nb_status st = with_model(j, &m);
    cli_progress_clear(&j->progress); /* after a failure */
    cli_model_close(c, &m);
    nb_free(c->ctx, j);
    return st;
}
