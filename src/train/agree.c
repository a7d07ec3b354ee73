/* agree.c - see agree.h. What is compared is hashes; of the program the file's own, as other instructions or another order of
 * sums would part the ranks' networks after some steps. */
#include "train/agree.h"

#include "base/check.h"
#include "base/cpu.h"
#include "base/files.h"
#include "base/ranks.h"
#include "base/rng.h"
#include "kernels/float/fblas.h"

#include <string.h>

enum { PROGRAM, PROCESSOR, OWN };

/* 0 where programs have no file to look at. */
static uint64_t hash_program(nb_ctx *ctx)
{
    uint8_t *bytes;
    size_t len;
    if (nb_file_read(ctx, "/proc/self/exe", (size_t)1 << 32, &bytes, &len) != NB_OK)
        return 0;
    const uint64_t hash = nb_hash_bytes(bytes, len);
    nb_free(ctx, bytes);
    return hash;
}

uint64_t nb_fingerprint_hash(const nb_fingerprint *f)
{
    return nb_mix((uint64_t)f->count, nb_mix(f->labels, f->pixels));
}

static uint64_t hash_checkpoint(const nb_checkpoint *c)
{
    if (!c)
        return 0;
    const uint64_t place = nb_mix((uint64_t)c->at.epochs_done, (uint64_t)c->at.step);
    return nb_mix(nb_mix(place, nb_hash_text(c->metrics)), nb_hash_text(c->config)) | 1;
}

nb_status nb_ranks_agree_on(nb_ctx *ctx, const nb_agreed *mine, int32_t n, const char *undone)
{
    static const char *const own[OWN] = {
        [PROGRAM] = "another nibble (its file differs)",
        [PROCESSOR] = "other kernels (NB_CPU and OPENBLAS_CORETYPE set the least that all machines have)",
    };
    uint64_t hash[NB_MAX_RANKS][OWN + NB_MOST_AGREED] = {{0}}, *h = hash[nb_rank()];
    nb_piece piece[NB_MAX_RANKS];
    NB_ASSERT(n <= NB_MOST_AGREED);
    if (nb_ranks() == 1)
        return NB_OK;
    h[PROGRAM] = hash_program(ctx);
    h[PROCESSOR] = nb_mix(nb_hash_text(nb_cpu_name()), nb_hash_text(nb_fblas_name()));
    for (int32_t k = 0; k < n; k++)
        h[OWN + k] = mine[k].hash;
    for (int32_t r = 0; r < nb_ranks(); r++)
        piece[r] = (nb_piece){hash[r], sizeof hash[r], r, 0};
    nb_ranks_share(piece, nb_ranks());
    for (int32_t r = 1; r < nb_ranks(); r++)
        for (int32_t k = 0; k < OWN + n; k++)
            if (hash[r][k] != hash[0][k])
                return nb_fail(ctx, NB_E_CONFIG, "rank %d on %s has %s than rank 0 on %s: %s", r, nb_ranks_host(r),
                               k < OWN ? own[k] : mine[k - OWN].what, nb_ranks_host(0), undone);
    return NB_OK;
}

nb_status nb_ranks_agree(nb_ctx *ctx, const nb_train_job *job, const nb_fingerprint data[2], const nb_checkpoint *from)
{
    const nb_agreed mine[] = {
        {"another config", nb_hash_text(job->config_text)},
        {"other training images", nb_fingerprint_hash(&data[0])},
        {"other test images", nb_fingerprint_hash(&data[1])},
        {"another checkpoint to go on from, or none,", hash_checkpoint(from)},
    };
    return nb_ranks_agree_on(ctx, mine, sizeof mine / sizeof *mine, "no step was made");
}

bool nb_ranks_any(bool mine)
{
    uint8_t asks[NB_MAX_RANKS] = {0};
    nb_piece piece[NB_MAX_RANKS];
    bool any = false;
    asks[nb_rank()] = mine;
    for (int32_t r = 0; r < nb_ranks(); r++)
        piece[r] = (nb_piece){&asks[r], 1, r, 0};
    nb_ranks_share(piece, nb_ranks());
    for (int32_t r = 0; r < nb_ranks(); r++)
        any |= asks[r];
    return any;
}

void nb_ranks_follow(void)
{
    uint8_t here = 1;
    nb_ranks_share(&(nb_piece){&here, 1, 0, 0}, 1);
}
