/* sweep_words.h - the commands that make a run of a sweep and judge it. */
#ifndef NB_CLI_SWEEP_WORDS_H
#define NB_CLI_SWEEP_WORDS_H

#include "cli/sweep_jobs.h"

enum { SWEEP_MAX_WORDS = 2 * 1024 + 32 };

typedef struct {
    const char *set[SWEEP_MAX_WORDS / 2];
    char seed[32], out[CLI_PATH_BYTES + 8], init[CLI_PATH_BYTES + 8];
    int32_t n;
} sweep_sets;

typedef struct {
    const char *word[SWEEP_MAX_WORDS];
    int32_t n;
    sweep_sets sets;
    char from[CLI_PATH_BYTES], folder[CLI_PATH_BYTES], log[CLI_PATH_BYTES], answer[CLI_PATH_BYTES];
} sweep_words;

void sweep_words_add(sweep_words *w, const char *word);
/* The command that makes the run. again: --resume, --force or NULL. */
nb_status sweep_words_making(const sweep_jobs *j, int32_t run, const char *again, sweep_words *w);
/* The command that says how good it is. */
void sweep_words_judging(sweep_words *w);

#endif
