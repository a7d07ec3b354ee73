/* rank_voice.c - all ranks print alike, so what rank 0 prints is kept and the rest goes nowhere, but for the sentence of a
 * rank that fails where others do not. */
#define _DEFAULT_SOURCE /* dup is there, fdopen with it */
#include "cli/rank_voice.h"

#include "cli/signals.h"

#include "base/check.h"
#include "base/ranks.h"

#include <stdio.h>
#include <unistd.h>

static FILE *voice; /* stderr as it was; NULL: it still is */

static void say(const char *host, const char *sentence)
{
    FILE *f = voice ? voice : stderr;
    fflush(stdout);
    fprintf(f, "nibble: %s%s%s\n", host, *host ? ": " : "", sentence);
    fflush(f);
}

static void lost(const char *sentence)
{
    say("", sentence);
}

static bool fall_silent(void)
{
    const int fd = dup(STDERR_FILENO);
    voice = fd < 0 ? NULL : fdopen(fd, "w");
    return voice && freopen("/dev/null", "w", stdout) && freopen("/dev/null", "w", stderr);
}

nb_status cli_ranks_begin(cli *c)
{
    NB_TRY(nb_ranks_start(c->ctx, lost));
    if (nb_ranks() > 1)
        cli_signals_of_ranks();
    if (nb_rank() > 0 && !fall_silent())
        return nb_fail(c->ctx, NB_E_IO, "/dev/null cannot be written");
    if (nb_ranks_called() && !c->command->ranks)
        return cli_usage(c, "%s is one process's work: start it without mpirun", c->command->name);
    return NB_OK;
}

int cli_ranks_end(nb_ctx *ctx, int code)
{
    bool abort;
    const int32_t rank = nb_rank();
    const bool alone = nb_ranks() == 1;
    const nb_ranks_end_how how = nb_ranks_end(&code, &abort);
    if (alone && code && nb_ranks_calling() == 0)
        say("", nb_ctx_error(ctx));
    else if (alone && code)
        sleep(1); /* they could not meet: rank 0 speaks before mpirun ends it with this one */
    else if (!alone && how != NB_END_QUIET)
        say(how == NB_END_SAY_HOST ? nb_ranks_host(rank) : "", nb_ctx_error(ctx));
    if (abort)
        nb_ranks_abort(code);
    nb_ranks_leave();
    return code;
}
