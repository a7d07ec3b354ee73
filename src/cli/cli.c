/* cli.c - arguments by table: options of the command and --help, help from the same tables. */
#include "cli/cli.h"

#include "cli/meant_file.h"
#include "cli/rank_voice.h"

#include "base/check.h"
#include "base/cpu.h"
#include "base/parallel.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define NB_COMMAND(x) extern const cli_command cli_command_##x;
#include "cli/commands.def"
#undef NB_COMMAND
#define NB_COMMAND(x) &cli_command_##x,
const cli_command *const cli_commands[] = {
#include "cli/commands.def"
    NULL};
#undef NB_COMMAND

static const cli_option help_option = {"--help,-h", NULL, "this text"};

enum { MAX_OPTIONS = 32, MAX_THREADS = 1024 };

static int exit_code(nb_status st)
{
    return st == NB_OK ? 0 : st == NB_E_CONFIG || st == NB_E_SHAPE ? 2 : 1;
}

nb_status cli_usage(cli *c, const char *fmt, ...)
{
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return nb_fail(c->ctx, NB_E_CONFIG, "%s; see `nibble %s --help`", text, c->command->name);
}

/* "--output,-o" is called by either name. len: of the word before '='. */
static bool is_called(const cli_option *o, const char *word, size_t len)
{
    size_t first = strcspn(o->name, ",");
    if (len == first && !strncmp(o->name, word, len))
        return true;
    return o->name[first] == ',' && strlen(o->name + first + 1) == len && !strncmp(o->name + first + 1, word, len);
}

static int32_t count_options(const cli_command *m)
{
    int32_t n = 0;
    while (m->options && m->options[n].name)
        n++;
    return n;
}

static bool has_option(const cli_command *m, const char *name)
{
    for (int32_t k = 0; k < count_options(m); k++)
        if (is_called(&m->options[k], name, strlen(name)))
            return true;
    return false;
}

static nb_status unknown_option(cli *c, const char *word, size_t len)
{
    char shown[64], text[MAX_OPTIONS][32];
    const char *names[MAX_OPTIONS];
    int32_t n = 0;
    snprintf(shown, sizeof shown, "%.*s", (int)len, word);
    for (; n < count_options(c->command) && n < MAX_OPTIONS; n++) {
        const char *name = c->command->options[n].name;
        snprintf(text[n], sizeof text[n], "%.*s", (int)strcspn(name, ","), name);
        names[n] = text[n];
    }
    if (has_option(c->command, "--set") && cli_is_key(shown + strspn(shown, "-")))
        return cli_usage(c, "%s: unknown option; a key of the config is changed by --set, see `nibble keys %s`", shown,
                         shown + strspn(shown, "-"));
    return cli_usage(c, "%s: unknown option%s", shown, nb_did_you_mean(shown, names, n).text);
}

typedef struct {
    const char **arg, **set; /* being filled; room for argc each */
    bool help;
} parsing;

/* One option at argv[*i]; moves *i to the last word it took. */
static nb_status parse_option(cli *c, parsing *p, int argc, char **argv, int *i)
{
    const char *word = argv[*i];
    size_t len = strncmp(word, "--", 2) == 0 ? strcspn(word, "=") : strlen(word);
    if (is_called(&help_option, word, len)) {
        p->help = true;
        return NB_OK;
    }
    for (int32_t k = 0; k < count_options(c->command); k++) {
        const cli_option *o = &c->command->options[k];
        if (!is_called(o, word, len))
            continue;
        const char *value = word[len] == '=' ? word + len + 1 : NULL;
        if (!o->arg && value)
            return cli_usage(c, "%.*s: takes no value", (int)len, word);
        if (o->arg && !value) {
            if (*i + 1 == argc)
                return cli_usage(c, "%s: needs a value: %s", word, o->arg);
            value = argv[++*i];
        }
        c->value[k] = o->arg ? value : "";
        if (!strcmp(o->name, "--set"))
            p->set[c->n_sets++] = value;
        return NB_OK;
    }
    return unknown_option(c, word, len);
}

static nb_status parse(cli *c, parsing *p, int argc, char **argv)
{
    bool options = true;
    for (int i = 2; i < argc; i++) {
        if (options && !strcmp(argv[i], "--"))
            options = false;
        else if (options && argv[i][0] == '-' && argv[i][1])
            NB_TRY(parse_option(c, p, argc, argv, &i));
        else
            p->arg[c->n_args++] = argv[i];
    }
    if (p->help)
        return NB_OK;
    for (int32_t i = 0; i < c->n_args; i++)
        if (!*c->arg[i])
            return cli_usage(c, "an argument is empty: nibble %s %s", c->command->name, c->command->usage);
    if (c->n_args < c->command->min_args)
        return cli_usage(c, "missing argument: nibble %s %s", c->command->name, c->command->usage);
    if (c->n_args > c->command->max_args)
        return cli_usage(c, "%s: one argument too many: nibble %s %s", c->arg[c->command->max_args], c->command->name,
                         c->command->usage);
    return NB_OK;
}

static nb_status unknown_cpu(cli *c, const char *cpu)
{
    enum { MAX_LEVELS = 16 };
    const char *names[MAX_LEVELS];
    char all[256] = "";
    size_t at = 0;
    int32_t n = 0;
    for (; n < MAX_LEVELS && nb_cpu_level_name(n) && at < sizeof all; n++) {
        names[n] = nb_cpu_level_name(n);
        at += (size_t)snprintf(all + at, sizeof all - at, "%s%s", n ? ", " : "", names[n]);
    }
    return nb_fail(c->ctx, NB_E_CONFIG, "NB_CPU=%s: must be %s%s", cpu, all, nb_did_you_mean(cpu, names, n).text);
}

/* The settings that hold for the whole process: the processor mask and threads. */
static nb_status settle(cli *c)
{
    const char *cpu = getenv("NB_CPU"), *threads = cli_value(c, "--threads");
    uint32_t bits;
    if (cpu && *cpu && !nb_cpu_level(cpu, &bits))
        return unknown_cpu(c, cpu);
    if (!threads)
        return NB_OK;
    char *end;
    long v = strtol(threads, &end, 10);
    if (end == threads || *end || v < 1 || v > MAX_THREADS)
        return cli_usage(c, "--threads: %s: must be in 1..%d", threads, MAX_THREADS);
    nb_set_threads((int32_t)v);
    return NB_OK;
}

static void print_log(void *ud, const char *line)
{
    (void)ud;
    fprintf(stderr, "nibble: %s\n", line);
}

void cli_log(nb_ctx *ctx, bool on)
{
    nb_ctx_set_log(ctx, on ? print_log : NULL, NULL);
}

int cli_run(nb_ctx *ctx, const cli_command *command, int argc, char **argv)
{
    size_t words = (size_t)argc * sizeof(char *);
    parsing p = {.arg = nb_alloc(ctx, words), .set = nb_alloc(ctx, words)};
    cli c = {.ctx = ctx, .command = command, .arg = p.arg, .set = p.set};
    c.value = nb_alloc(ctx, ((size_t)count_options(command) + 1) * sizeof(char *));
    cli_log(ctx, true);
    nb_status st = cli_ranks_begin(&c);
    if (st == NB_OK)
        st = p.arg && p.set && c.value ? parse(&c, &p, argc, argv) : NB_E_NOMEM;
    if (st == NB_OK && p.help) {
        cli_help(command);
    } else {
        char meant[CLI_PATH_BYTES];
        st = st == NB_OK ? settle(&c) : st;
        if (st == NB_OK && command->first != CLI_FILE && c.n_args > 0)
            st = cli_meant_file(&c, p.arg[0], command->first, meant, &p.arg[0]);
        st = st == NB_OK ? command->run(&c) : st;
    }
    const int code = cli_ranks_end(ctx, exit_code(st));
    nb_free(ctx, p.arg);
    nb_free(ctx, p.set);
    nb_free(ctx, c.value);
    return code;
}

const char *cli_value(const cli *c, const char *option)
{
    for (int32_t k = 0; k < count_options(c->command); k++)
        if (is_called(&c->command->options[k], option, strlen(option)))
            return c->value[k];
    return NULL;
}

nb_status cli_count(cli *c, const char *option, int32_t dflt, int32_t max, int32_t *v)
{
    const char *text = cli_value(c, option);
    *v = dflt < max ? dflt : max;
    if (!text)
        return NB_OK;
    char *end;
    long n = strtol(text, &end, 10);
    if (end == text || *end || n < 1 || n > max)
        return max == INT32_MAX ? cli_usage(c, "%s: %s: must be a whole number from 1 on", option, text)
                                : cli_usage(c, "%s: %s: must be in 1..%d", option, text, max);
    *v = (int32_t)n;
    return NB_OK;
}

nb_status cli_images_count(cli *c, int32_t dflt, int32_t there_are, const char *kind, int32_t *v)
{
    NB_TRY(cli_count(c, "--images", dflt, INT32_MAX, v));
    if (*v > there_are && cli_value(c, "--images"))
        nb_log(c->ctx, "--images %d: there are %d %s images, all are taken", *v, there_are, kind);
    *v = *v < there_are ? *v : there_are;
    return NB_OK;
}

nb_status cli_amount(cli *c, const char *option, const nb_unit *units, int64_t *v)
{
    const char *text = cli_value(c, option);
    char why[NB_QUANTITY_WHY];
    return !text || nb_quantity(text, units, v, why, sizeof why) ? NB_OK
                                                                 : cli_usage(c, "%s: %s: %s", option, text, why);
}

bool cli_flag(const cli *c, const char *option)
{
    return cli_value(c, option) != NULL;
}

void cli_overview(void)
{
    printf("nibble %s - trains quantized convolutional networks and ships the integers\n\n", NB_VERSION);
    printf("usage: nibble COMMAND [ARGUMENTS] [OPTIONS]\n\n");
    for (const cli_command *const *c = cli_commands; *c; c++)
        printf("  %-8s %-22s %s\n", (*c)->name, (*c)->usage, (*c)->help);
    printf("  %-8s %-22s %s\n", "help", "[COMMAND]", "this overview, or one command in detail");
    printf("\nA first run, of seconds:\n"
           "  nibble train configs/synth-tiny.yaml\n"
           "  nibble eval runs/synth-tiny/model.int.safetensors\n"
           "Exit codes: 0 ok, 1 the work failed, 2 wrong usage or config.\n");
}

static void print_option(const cli_option *o)
{
    char text[64];
    size_t first = strcspn(o->name, ",");
    const char *alias = o->name[first] ? o->name + first + 1 : NULL;
    snprintf(text, sizeof text, "%s%s%.*s%s%s", alias ? alias : "", alias ? ", " : "", (int)first, o->name,
             o->arg ? " " : "", o->arg ? o->arg : "");
    printf("  %-22s %s\n", text, o->help);
}

static void print_listed(const cli_command *m)
{
    enum { WIDTH = 110 };
    size_t column = 0;
    for (int32_t i = 0; m->listed && m->listed(i); i++) {
        const size_t len = strlen(m->listed(i));
        if (column + len > WIDTH) {
            putchar('\n');
            column = 0;
        }
        printf("%s%s", column ? " " : "  ", m->listed(i));
        column += len + 1;
    }
    if (column)
        putchar('\n');
}

void cli_help(const cli_command *m)
{
    printf("usage: nibble %s %s [OPTIONS]\n\n%s\n", m->name, m->usage, m->help);
    if (m->more)
        printf("\n%s", m->more);
    print_listed(m);
    printf("\noptions:\n");
    for (int32_t k = 0; k < count_options(m); k++)
        print_option(&m->options[k]);
    print_option(&help_option);
}
