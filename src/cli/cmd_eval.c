/* cmd_eval.c - accuracy of a checkpoint on images, in all, by class, and where it is wrong; quantized networks are run by
 * the integer engine. */
#include "cli/alike.h"
#include "cli/compare.h"
#include "cli/logits_file.h"
#include "cli/mirrored.h"
#include "cli/output.h"
#include "cli/overwrite.h"
#include "cli/progress.h"

#include "base/check.h"
#include "base/measure.h"
#include "base/numtext.h"
#include "base/ranks.h"
#include "report/tables.h"

#include <string.h>

enum { BATCH = 64, PAIRS_SHOWN = 20 };

/* Of many tables one can be CSV. */
static const char *const table_options[] = {"--classes", "--confusion", "--mistakes"};
enum { TABLES = sizeof table_options / sizeof *table_options };

typedef struct {
    cli *c;
    cli_model model;
    cli_images images;
    nb_answers said;
    nb_eval e;
    double seconds;
    int32_t mistakes; /* so many at most */
    cli_mirrored mirrored;
    bool reference, mirror; /* mirror: with both views, too */
    char kind[CLI_BITS_BYTES + 16];
} session;

/* ---- running ---- */

static nb_status open_all(session *s)
{
    cli *c = s->c;
    cli_model *m = &s->model;
    int32_t tables = 0;
    for (int32_t i = 0; i < TABLES; i++)
        tables += cli_flag(c, table_options[i]);
    if (cli_flag(c, "--csv") && cli_flag(c, "--json"))
        return cli_usage(c, "--csv and --json: one of the two");
    if (cli_flag(c, "--csv") && tables > 1)
        return cli_usage(c, "--csv is one table: one of --classes, --confusion, --mistakes");
    NB_TRY(cli_count(c, "--mistakes", INT32_MAX, INT32_MAX, &s->mistakes));
    NB_TRY(cli_model_open(c, c->arg[0], BATCH, m));
    NB_TRY(cli_model_need_data(c, m));
    if (tables > 0 && m->info.task != NB_TASK_CLASSES)
        return cli_usage(c, "--classes, --confusion, --mistakes: %s reconstructs its input and names no classes",
                         m->path);
    s->mirror = cli_flag(c, "--mirror");
    if (s->mirror && (!m->integers || m->info.task != NB_TASK_CLASSES))
        return cli_usage(c, "--mirror: %s has no integer logits of classes that could be added", m->path);
    s->reference = cli_flag(c, "--reference");
    if (s->reference && !m->graph)
        return cli_usage(c, "--reference: %s holds integers alone; it takes a training checkpoint", m->path);
    NB_TRY(cli_experiment_split(c, &m->experiment, cli_value(c, "--split"), &s->images));
    if (cli_value(c, "--logits") && nb_rank() == 0)
        NB_TRY(cli_output_check(c, "--logits", cli_value(c, "--logits"), "logits"));
    return cli_ranks_alike(c, &(cli_alike){.file = m->path, .data[1] = s->images.data});
}

/* What is asked for of every image. */
static nb_status alloc_answers(session *s)
{
    cli *c = s->c;
    const size_t n = (size_t)s->images.n, all = n * (size_t)s->model.info.classes;
    const bool file = cli_value(c, "--logits") != NULL, logits = file || cli_flag(c, "--mistakes");
    const bool integers = file && s->model.integers && !s->reference;
    if (!logits && !cli_flag(c, "--classes") && !cli_flag(c, "--confusion"))
        return NB_OK;
    s->said.labels = nb_alloc(c->ctx, n * sizeof(int32_t));
    s->said.answers = nb_alloc(c->ctx, n * sizeof(int32_t));
    s->said.logits = logits ? nb_alloc(c->ctx, all * sizeof(float)) : NULL;
    s->said.integers = integers ? nb_alloc(c->ctx, all * sizeof(int32_t)) : NULL;
    const bool got =
        s->said.labels && s->said.answers && (s->said.logits || !logits) && (s->said.integers || !integers);
    return got ? NB_OK : NB_E_NOMEM;
}

static nb_status evaluate(session *s)
{
    const cli_model *m = &s->model;
    const cli_images *im = &s->images;
    NB_TRY(alloc_answers(s));
    const double start = nb_now();
    if (s->reference)
        NB_TRY(nb_evaluate_graph_shared(m->graph, im->data, im->indices, im->n, &s->e, &s->said));
    else
        NB_TRY(cli_model_evaluate(s->c, m, im, &s->e, &s->said));
    s->seconds = nb_now() - start;
    cli_model_kind(m, s->kind, sizeof s->kind);
    if (cli_value(s->c, "--logits") && nb_rank() == 0)
        NB_TRY(cli_logits_save(s->c, m, im, &s->said, cli_value(s->c, "--logits")));
    cli_compare_warn_dead(m->path, &s->e);
    return s->mirror ? cli_mirrored_evaluate(s->c, m, im, &s->mirrored) : NB_OK;
}

/* Of all images. */
static double mirrored_share(const session *s)
{
    return (double)s->mirrored.correct / (s->images.n ? s->images.n : 1);
}

/* ---- tables ---- */

static nb_answered answered(const session *s)
{
    return (nb_answered){.n = s->images.n,
                         .classes = s->model.info.classes,
                         .labels = s->said.labels,
                         .answers = s->said.answers,
                         .logits = s->said.logits,
                         .class_names = s->model.info.class_names};
}

static nb_status table_of_classes(const session *s, nb_table **out)
{
    const nb_answered a = answered(s);
    return nb_table_of_classes(s->c->ctx, &a, out);
}

/* For people a matrix, where it is not too wide, or the worst of it. */
static nb_status table_of_confusion(const session *s, nb_table **out)
{
    const nb_answered a = answered(s);
    if (cli_flag(s->c, "--json") || cli_flag(s->c, "--csv"))
        return nb_table_of_pairs(s->c->ctx, &a, NB_ALL_PAIRS, out);
    return a.classes <= NB_MATRIX_CLASSES ? nb_table_of_confusion(s->c->ctx, &a, out)
                                          : nb_table_of_pairs(s->c->ctx, &a, PAIRS_SHOWN, out);
}

static nb_status table_of_mistakes(const session *s, nb_table **out)
{
    nb_ctx *ctx = s->c->ctx;
    const nb_answered a = answered(s);
    nb_mistake *rows = NULL;
    int32_t n;
    NB_TRY(nb_mistakes_find(ctx, &a, s->mistakes, &rows, &n));
    const size_t room = (size_t)(n ? n : 1);
    const char **names = nb_alloc(ctx, room * sizeof *names);
    int32_t *indices = nb_alloc(ctx, room * sizeof *indices);
    nb_status st = names && indices ? NB_OK : NB_E_NOMEM;
    for (int32_t i = 0; st == NB_OK && i < n; i++) {
        indices[i] = cli_image_index(&s->images, rows[i].at);
        names[i] = nb_data_image_name(s->images.data, indices[i]);
    }
    if (st == NB_OK) /* all have names or none has */
        st = nb_table_of_mistakes(ctx, &a, rows, n, n > 0 && names[0] ? names : NULL, indices, out);
    nb_free(ctx, indices);
    nb_free(ctx, names);
    nb_free(ctx, rows);
    return st;
}

static nb_status (*const table_of[TABLES])(const session *, nb_table **) = {table_of_classes, table_of_confusion,
                                                                            table_of_mistakes};

static nb_status table_of_summary(const session *s, nb_table **out)
{
    nb_table *t;
    NB_TRY(nb_table_create(s->c->ctx, &t));
    nb_table_column(t, "file", "file", NB_LEFT);
    nb_table_column(t, "kind", "kind", NB_LEFT);
    nb_table_column(t, "split", "split", NB_LEFT);
    nb_table_column(t, "images", "images", NB_RIGHT);
    nb_table_column(t, "correct", "correct", NB_RIGHT);
    nb_table_column(t, s->e.metric, s->e.metric, NB_RIGHT);
    nb_table_column(t, "loss", "loss", NB_RIGHT);
    nb_table_column(t, "simulated", "simulated", NB_RIGHT);
    nb_table_row(t);
    nb_table_add_text(t, s->model.path);
    nb_table_add_text(t, s->kind);
    nb_table_add_text(t, s->images.name);
    nb_table_add_int(t, s->e.n);
    nb_table_add_int(t, s->e.correct);
    nb_table_add_real(t, s->e.accuracy, 4);
    nb_table_add_real(t, s->e.loss, 4);
    nb_table_add_int(t, s->e.simulated);
    *out = t;
    return NB_OK;
}

/* ---- printing ---- */

static nb_status print_json(const session *s)
{
    cJSON *o = cJSON_CreateObject();
    nb_status st = NB_OK;
    cJSON_AddStringToObject(o, "file", s->model.path);
    cJSON_AddStringToObject(o, "kind", s->kind);
    cli_json_simulated(o, &s->e);
    cJSON_AddStringToObject(o, "split", s->images.name);
    cJSON_AddNumberToObject(o, "images", s->e.n);
    if (s->model.info.task == NB_TASK_CLASSES)
        cJSON_AddNumberToObject(o, "correct", s->e.correct);
    cJSON_AddStringToObject(o, "metric", s->e.metric);
    cJSON_AddNumberToObject(o, s->e.metric, s->e.accuracy);
    cJSON_AddNumberToObject(o, "loss", s->e.loss);
    if (s->mirror) {
        cJSON_AddNumberToObject(o, "mirrored_correct", s->mirrored.correct);
        cJSON_AddNumberToObject(o, "mirrored_accuracy", mirrored_share(s));
        cJSON_AddNumberToObject(o, "mirrored_loss", s->mirrored.loss);
    }
    cJSON_AddNumberToObject(o, "seconds", s->seconds);
    for (int32_t i = 0; st == NB_OK && i < TABLES; i++) {
        nb_table *t;
        if (!cli_flag(s->c, table_options[i]))
            continue;
        st = table_of[i](s, &t);
        if (st == NB_OK)
            st = cli_json_table(s->c->ctx, o, table_options[i] + strlen("--"), t);
    }
    if (st == NB_OK)
        return cli_json_print(s->c->ctx, o);
    cJSON_Delete(o);
    return st;
}

static nb_status print_csv(const session *s)
{
    nb_status (*which)(const session *, nb_table **) = table_of_summary;
    nb_table *t;
    for (int32_t i = 0; i < TABLES; i++)
        if (cli_flag(s->c, table_options[i]))
            which = table_of[i];
    NB_TRY(which(s, &t));
    return cli_table_print_as(s->c->ctx, t, NB_TABLE_CSV);
}

static const char *title_of(const session *s, int32_t table)
{
    static const char *const title[] = {"by class", "a row for what images are, a column for what the network says",
                                        "the mistakes it is surest of"};
    return table == 1 && s->model.info.classes > NB_MATRIX_CLASSES ? "what is most often taken for what" : title[table];
}

static nb_status print_text(const session *s)
{
    printf("%s: %s on %d %s image%s: %s %.2f %%, loss %.4f (%.0f images/s)\n", s->model.path, s->kind, s->e.n,
           s->images.name, nb_plural(s->e.n), s->e.metric, nb_percent(s->e.accuracy), s->e.loss,
           (double)s->e.n / (s->seconds > 1e-9 ? s->seconds : 1e-9));
    cli_say_simulated(&s->e, s->model.experiment.simulated);
    if (s->mirror)
        printf("with the integer logits of the mirror image added, at twice the work: accuracy %.2f %%, loss %.4f\n",
               nb_percent(mirrored_share(s)), s->mirrored.loss);
    for (int32_t i = 0; i < TABLES; i++) {
        nb_table *t;
        if (!cli_flag(s->c, table_options[i]))
            continue;
        NB_TRY(table_of[i](s, &t));
        printf("\n%s\n\n", title_of(s, i));
        NB_TRY(cli_table_print(s->c->ctx, t));
    }
    return NB_OK;
}

static nb_status run(cli *c)
{
    session s = {.c = c};
    nb_status st = open_all(&s);
    if (st == NB_OK)
        st = evaluate(&s);
    if (st == NB_OK)
        st = cli_flag(c, "--json") ? print_json(&s) : cli_flag(c, "--csv") ? print_csv(&s) : print_text(&s);
    nb_free(c->ctx, s.said.integers);
    nb_free(c->ctx, s.said.logits);
    nb_free(c->ctx, s.said.answers);
    nb_free(c->ctx, s.said.labels);
    cli_model_close(c, &s.model);
    return st;
}

static const cli_option options[] = {
    {"--split", "NAME", "test (default), validation or train"},
    {"--reference", NULL, "by the network that was trained, node by node: what the engine is checked against"},
    {"--mirror", NULL,
     "also accuracy and loss with the logits of every image's mirror image: the mean of both, of integers"},
    {"--classes", NULL, "also accuracy by class, and what each class is most often taken for"},
    {"--confusion", NULL, "also the confusion matrix: what images are and what the network says, every class"},
    {"--mistakes", "N", "also the N wrong answers that it is surest of, with the names of the images"},
    {"--logits", "FILE", "also write every image's integers, logits and label, and the names, as safetensors"},
    CLI_SET,
    CLI_THREADS,
    CLI_JSON,
    CLI_CSV,
    {0}};

const cli_command cli_command_eval = {
    .name = "eval",
    .usage = "FILE",
    .help = "accuracy and loss of a checkpoint on its test images, by class, and its mistakes",
    .more =
        "FILE is a training checkpoint (last.safetensors, best.safetensors) or an integer one "
        "(model.int.safetensors).\n"
        "A quantized network is lowered and run by the integer engine: the accuracy is the one that ships. One that\n"
        "cannot be integers is simulated in floats, and the line says so.\n"
        "The data set is the one in the file's config; --set data.path=DIR says where it lies on this machine.\n"
        "--csv prints the one table that is asked for, or the line of the result. --confusion is a matrix up to 20\n"
        "classes, else the 20 pairs that are confused most often; with --csv and --json every pair that occurs.\n"
        "--logits writes a row for every image in the order of the split: tensors integers [images, classes] and "
        "scale\n"
        "[1] (of integers; logit = scale * integer), logits [images, classes], labels [images], indices [images] (in "
        "the\n"
        "data set), and as JSON lists in bytes class_names and image_names, where there are names.\n"
        "`mpirun -n 4 nibble eval FILE` divides the images among four processes; the numbers are those of one.\n",
    .options = options,
    .min_args = 1,
    .max_args = 1,
    .first = CLI_MODEL,
    .ranks = true,
    .run = run,
};
