/* agree.h - ranks that train one network must be the same program with the same config and data. */
#ifndef NB_TRAIN_AGREE_H
#define NB_TRAIN_AGREE_H

#include <nibble/train.h>

/* Fails on all ranks alike when one of them has something else than rank 0: build, processor, config, data, the checkpoint
 * that is resumed (NULL: none is). One rank alone agrees with itself. */
nb_status nb_ranks_agree(nb_ctx *ctx, const nb_train_job *job, const nb_fingerprint data[2], const nb_checkpoint *from);

/* Does anybody ask to stop? All ranks get the same answer. */
bool nb_ranks_any(bool mine);
/* Nobody goes on before rank 0 is here, and has written what it writes. */
void nb_ranks_follow(void);

#endif
