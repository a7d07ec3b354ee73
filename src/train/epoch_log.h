/* epoch_log.h - a CSV in the run folder that grows by some lines every epoch; each begins with phase and epoch, 1-based. */
#ifndef NB_TRAIN_EPOCH_LOG_H
#define NB_TRAIN_EPOCH_LOG_H

#include <nibble/train.h>

#include "base/textbuf.h"

typedef struct {
    const char *path, *head; /* head: the first line, with its newline */
    int32_t phase, epoch;    /* 0-based */
    nb_status (*add)(void *ud,
                     nb_text *text); /* the lines of this epoch, each begun with nb_epoch_log_line; NULL: none */
    void *ud;
} nb_epoch_log;

/* Makes the file: lines of earlier epochs as they are there, then those of this one. Where there are none and no file, none
 * is made. The file is of what add says and those lines alone, so a training that was interrupted ends in the same bytes;
 * lines that are lost stay lost. */
nb_status nb_epoch_log_write(nb_ctx *ctx, const nb_epoch_log *log);
/* Begins a line: "PHASE,EPOCH,NAME". */
void nb_epoch_log_line(nb_text *t, int32_t phase, int32_t epoch, const char *name);

#endif
