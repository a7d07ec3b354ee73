/* cli.h - what the commands share: parsed arguments, exit codes, help.
 *
 * A command is one file cmd_<name>.c plus one line in commands.def. Only this folder prints or exits. Results go to
 * stdout, progress and the one sentence of an error to stderr. Exit codes: 0 ok, 1 the work failed, 2 wrong usage or
 * config. */
#ifndef NB_CLI_CLI_H
#define NB_CLI_CLI_H

#include "base/quantity.h"

#include <nibble/nibble.h>

typedef struct {
    const char *name; /* "--json"; an alias follows a comma: "--output,-o" */
    const char *arg;  /* name of its value for help, or NULL: a flag */
    const char *help;
} cli_option;

typedef struct cli cli;

/* What an argument is that may be a run folder instead: see meant_file.h. */
typedef enum {
    CLI_FILE,   /* a run folder means nothing */
    CLI_CONFIG, /* the run's config */
    CLI_MODEL,  /* the run's result, integers where there are any */
    CLI_FLOATS  /* the run's training checkpoint */
} cli_meant;

typedef struct {
    const char *name;
    const char *usage;                 /* arguments, without options: "FILE IMAGE.png..." */
    const char *help;                  /* one line */
    const char *more;                  /* paragraphs for --help, or NULL */
    const char *(*listed)(int32_t at); /* names to print below `more`, up to NULL; or NULL */
    const cli_option *options;         /* ends with {0}; beside --help */
    int32_t min_args, max_args;
    cli_meant first; /* what arg[0] is */
    bool ranks;      /* mpirun may start it several times, for one work */
    nb_status (*run)(cli *c);
} cli_command;

struct cli {
    nb_ctx *ctx;
    const cli_command *command;
    const char *const *arg; /* positional arguments */
    int32_t n_args;
    const char *const *set; /* KEY=VALUE of every --set, in order */
    int32_t n_sets;
    bool shares;        /* graphs that it opens are shared with other ranks */
    bool together;      /* all ranks are in this command, and divide its evaluations */
    const char **value; /* by place in command->options; a flag that was given is "" */
};

extern const cli_command *const cli_commands[]; /* ends with NULL */

/* Parses argv[2..] for the command and runs it; returns the exit code. */
int cli_run(nb_ctx *ctx, const cli_command *command, int argc, char **argv);
/* The library's remarks go to stderr, or nowhere. */
void cli_log(nb_ctx *ctx, bool on);
void cli_overview(void);
void cli_help(const cli_command *command);

/* Is it a key of a section, which somebody took for an option? */
bool cli_is_key(const char *name);
/* The value of an option; NULL when it was not given. */
const char *cli_value(const cli *c, const char *option);
/* A whole number of 1..max; without the option the default, or max if less. */
nb_status cli_count(cli *c, const char *option, int32_t dflt, int32_t max, int32_t *v);
/* --images: at most as many as there are; asking for more is said and takes all, as the default does. */
nb_status cli_images_count(cli *c, int32_t dflt, int32_t there_are, const char *kind, int32_t *v);
/* "40KiB" of units; without the option *v stays. */
nb_status cli_amount(cli *c, const char *option, const nb_unit *units, int64_t *v);
bool cli_flag(const cli *c, const char *option);
/* Wrong usage: the sentence, with status NB_E_CONFIG. */
nb_status cli_usage(cli *c, const char *fmt, ...) NB_PRINTF(2, 3);

#define CLI_JSON                                                                                                       \
    {                                                                                                                  \
        "--json", NULL, "print one JSON object instead of a table"                                                     \
    }
#define CLI_CSV                                                                                                        \
    {                                                                                                                  \
        "--csv", NULL, "print the table as CSV, numbers in full"                                                       \
    }
#define CLI_SET                                                                                                        \
    {                                                                                                                  \
        "--set", "KEY=VALUE", "override a key of the config; may be repeated"                                          \
    }
#define CLI_THREADS                                                                                                    \
    {                                                                                                                  \
        "--threads", "N", "use N threads (default: OMP_NUM_THREADS, or all processors)"                                \
    }
#define CLI_REFERENCE                                                                                                  \
    {                                                                                                                  \
        "--reference", NULL, "run node by node, without fused steps: the same results, slower, in more memory"         \
    }

#endif
