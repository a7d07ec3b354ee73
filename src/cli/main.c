/* main.c - nibble: finds the command and runs it. */
#include "cli/build_info.h"
#include "cli/cli.h"
#include "cli/signals.h"
#include "cli/start.h"

#include "base/cpu.h"

#include <stdio.h>
#include <string.h>

enum { MAX_COMMANDS = 64 };

static int unknown_command(const char *name)
{
    const char *names[MAX_COMMANDS];
    const int32_t n = nb_registry_names(cli_commands, names, MAX_COMMANDS);
    if (*name == '-') {
        fprintf(stderr, "nibble: %s: options follow the command: nibble COMMAND [ARGUMENTS] [OPTIONS]\n", name);
        return 2;
    }
    fprintf(stderr, "nibble: %s: unknown command%s; `nibble help` lists them\n", name,
            nb_did_you_mean(name, names, n).text);
    return 2;
}

static int help(const char *name)
{
    if (name && !strcmp(name, "help"))
        name = NULL;
    const cli_command *command = name ? nb_registry_find(cli_commands, name) : NULL;
    if (name && !command)
        return unknown_command(name);
    if (command)
        cli_help(command);
    else
        cli_overview();
    return 0;
}

/* What to know about this build on this machine; the Makefile reads the second line and the last. */
static int version(void)
{
    printf("nibble %s\n", NB_VERSION);
    cli_print_build();
    cli_print_variants();
    printf("NB_CPU:");
    for (int32_t i = 0; nb_cpu_level_name(i); i++)
        if (nb_cpu_level_counts(i, nb_cpu_features()))
            printf(" %s", nb_cpu_level_name(i));
    printf("\n");
    return 0;
}

static int dispatch(int argc, char **argv)
{
    if (argc < 2 || !strcmp(argv[1], "help") || !strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))
        return help(argc > 2 ? argv[2] : NULL);
    if (!strcmp(argv[1], "--version") || !strcmp(argv[1], "-V") || !strcmp(argv[1], "version"))
        return version();
    const cli_command *command = nb_registry_find(cli_commands, argv[1]);
    if (!command)
        return unknown_command(argv[1]);
    nb_ctx *ctx = nb_ctx_create();
    if (!ctx) {
        fprintf(stderr, "nibble: out of memory\n");
        return 1;
    }
    int code = cli_run(ctx, command, argc, argv);
    nb_ctx_destroy(ctx);
    return code;
}

int main(int argc, char **argv)
{
    cli_start(argv);
    cli_signals_init();
    int code = dispatch(argc, argv);
    if ((fflush(stdout) != 0 || ferror(stdout)) && !code) { /* a full disk behind > must not look like success */
        fprintf(stderr, "nibble: standard output could not be written\n");
        return 1;
    }
    return code;
}
