/* signals.h - what a command does when it is asked to end: by default it ends, with a sentence and without leaving
 * temporary files; a long one asks to be told instead, saves, and ends itself. */
#ifndef NB_CLI_SIGNALS_H
#define NB_CLI_SIGNALS_H

#include <signal.h>

/* For every command. What was ignored when the process began (nohup) stays ignored. */
void cli_signals_init(void);

typedef enum {
    CLI_AGAIN_ENDS,  /* after the first, another one ends the process at once */
    CLI_AGAIN_WAITS, /* there is something to clean up, and it does not take long */
} cli_again;

/* From now on SIGINT, SIGTERM, SIGHUP and SIGXCPU only set what is returned, and a reader of standard output that went
 * away is an error of printf, not a signal. Signals that come within a second of the first are part of it: `timeout`
 * sends its one to the process and to the group, a closing terminal sends SIGHUP from two sides. */
const volatile sig_atomic_t *cli_signals_ask(cli_again again);

/* From now on SIGTERM, which then comes from mpirun, ends without a sentence. */
void cli_signals_of_ranks(void);

/* Around a fork: no handler of ours may run in the child. */
void cli_signals_hold(sigset_t *before);
void cli_signals_release(const sigset_t *before);
void cli_signals_reset_child(const sigset_t *before); /* to what a program that is started expects */

#endif
