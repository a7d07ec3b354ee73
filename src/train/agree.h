/* agree.h - ranks that do one work must be the same program with the same config and data. */
#ifndef NB_TRAIN_AGREE_H
#define NB_TRAIN_AGREE_H

#include <nibble/train.h>

/* Something of which all must have the same: "another config" says that one has not. */
typedef struct {
    const char *what;
    uint64_t hash;
} nb_agreed;
enum { NB_MOST_AGREED = 8 };
/* Fails on all ranks alike when one of them has something else than rank 0 of these n (in the same order on all ranks), or is
 * another program or on a processor with other kernels. undone: ends the sentence, "no step was made". */
nb_status nb_ranks_agree_on(nb_ctx *ctx, const nb_agreed *mine, int32_t n, const char *undone);
/* Of a data set; see nb_data_fingerprint. */
uint64_t nb_fingerprint_hash(const nb_fingerprint *f);

/* Fails on all ranks alike when one of them has something else than rank 0: build, processor, config, data, the checkpoint
 * that is resumed (NULL: none is). One rank alone agrees with itself. */
nb_status nb_ranks_agree(nb_ctx *ctx, const nb_train_job *job, const nb_fingerprint data[2], const nb_checkpoint *from);

/* Does anybody ask to stop? All ranks get the same answer. */
bool nb_ranks_any(bool mine);
/* Nobody goes on before rank 0 is here, and has written what it writes. */
void nb_ranks_follow(void);

#endif
