/* signals.c - one handler for the whole tool.
 *
 * All threads but the first block all signals (parallel.c, loader.c), so the handler interrupts the one that works, and
 * what it removes nobody writes any more. */
#include "cli/signals.h"

#include "base/measure.h"
#include "base/temporaries.h"

#include <stdbool.h>
#include <string.h>
#include <unistd.h>

typedef struct {
    int number;
    const char *name;
    bool can_ask; /* somebody wants this process to end, but can wait until it has saved */
} ending;

static const ending endings[] = {
    {SIGINT, "SIGINT", true},    {SIGTERM, "SIGTERM", true},  {SIGHUP, "SIGHUP", true},
    {SIGXCPU, "SIGXCPU", true},  {SIGQUIT, "SIGQUIT", false}, {SIGUSR1, "SIGUSR1", false},
    {SIGUSR2, "SIGUSR2", false}, {SIGALRM, "SIGALRM", false}, {SIGPIPE, NULL, false},
};
enum { ENDINGS = sizeof endings / sizeof *endings };

#define ONE_MOMENT 1.0 /* seconds */

static volatile sig_atomic_t asked, asks, again_ends, of_ranks;
static double asked_at; /* the handler's own */

static void say(const char *text)
{
    ssize_t n = write(STDERR_FILENO, text, strlen(text)); /* there is nobody to tell when it fails */
    (void)n;
}

/* The sentence, no temporary files, and then the end that the signal has by default, so that a shell sees it. */
static void end_by(const ending *e)
{
    nb_temporaries_remove();
    const bool by_mpirun =
        of_ranks && e->number == SIGTERM; /* as it does with all once one has failed, which has said why */
    if (e->name && !by_mpirun) {          /* a broken pipe is how `| head` says it has enough */
        say("nibble: ended by ");
        say(e->name);
        say(asked ? " before it had saved\n" : "; no file is left half written\n");
    }
    struct sigaction a = {.sa_handler = SIG_DFL};
    sigset_t one;
    sigemptyset(&a.sa_mask);
    sigaction(e->number, &a, NULL);
    sigemptyset(&one);
    sigaddset(&one, e->number);
    raise(e->number);
    pthread_sigmask(SIG_UNBLOCK, &one, NULL);
}

static void on_signal(int number)
{
    const ending *e = endings;
    while (e->number != number)
        e++;
    if (!asks || !e->can_ask) {
        end_by(e);
        return;
    }
    if (!asked) {
        asked_at = nb_now();
        asked = 1;
    } else if (again_ends && nb_now() - asked_at > ONE_MOMENT) {
        end_by(e);
    }
}

static void ignore(int number)
{
    struct sigaction a = {.sa_handler = SIG_IGN};
    sigemptyset(&a.sa_mask);
    sigaction(number, &a, NULL);
}

void cli_signals_init(void)
{
    struct sigaction a = {.sa_handler = on_signal, .sa_flags = SA_RESTART}, old;
    sigfillset(&a.sa_mask);
    for (int i = 0; i < ENDINGS; i++)
        if (sigaction(endings[i].number, NULL, &old) == 0 && old.sa_handler != SIG_IGN)
            sigaction(endings[i].number, &a, NULL);
    ignore(SIGXFSZ); /* a write beyond the limit then fails as any other does, with a sentence */
}

const volatile sig_atomic_t *cli_signals_ask(cli_again again)
{
    again_ends = again == CLI_AGAIN_ENDS;
    asks = 1;
    ignore(SIGPIPE);
    return &asked;
}

void cli_signals_of_ranks(void)
{
    of_ranks = 1;
}

void cli_signals_hold(sigset_t *before)
{
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, before);
}

void cli_signals_release(const sigset_t *before)
{
    pthread_sigmask(SIG_SETMASK, before, NULL);
}

/* Handlers go with exec; what is ignored would stay ignored, and a compiler behind a pipe expects otherwise. */
void cli_signals_reset_child(const sigset_t *before)
{
    struct sigaction a = {.sa_handler = SIG_DFL};
    sigemptyset(&a.sa_mask);
    for (int i = 0; i < ENDINGS; i++)
        sigaction(endings[i].number, &a, NULL);
    sigaction(SIGXFSZ, &a, NULL);
    pthread_sigmask(SIG_SETMASK, before, NULL);
}
