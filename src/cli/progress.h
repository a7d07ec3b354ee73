/* progress.h - what training shows while it runs: a line that rewrites itself on a terminal, never longer than it is
 * wide, and a table with a line per epoch everywhere. */
#ifndef NB_CLI_PROGRESS_H
#define NB_CLI_PROGRESS_H

#include "cli/cli.h"

typedef struct {
    bool tty, quiet, titled;
    double shown_at; /* of the progress line; it is drawn ten times a second at most */
    int32_t width;   /* of what stands there now */
} cli_progress;

void cli_progress_init(cli_progress *p, bool quiet);
void cli_progress_step(cli_progress *p, const nb_progress *r);
void cli_progress_epoch(cli_progress *p, const nb_epoch_report *r);
/* What is being done, in work without steps to count. */
void cli_progress_text(cli_progress *p, const char *text);
/* Of work that knows how much of it is done, 0..1; since: nb_now() when it began. */
void cli_progress_share(cli_progress *p, const char *text, double share, double since);
/* Removes the line, so that something else can be printed. */
void cli_progress_clear(cli_progress *p);
/* "1:05" or "2:03:20" into buf. */
const char *cli_duration(double seconds, char *buf, size_t len);

#endif
