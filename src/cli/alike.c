/* alike.c - see alike.h. */
#include "cli/alike.h"

#include "base/check.h"
#include "base/files.h"
#include "base/ranks.h"
#include "base/rng.h"
#include "train/agree.h"

/* --threads and where a rank's files lie are its own. */
static uint64_t hash_words(const cli *c)
{
    uint64_t h = 1;
    for (int32_t i = 0; c->command->options[i].name; i++)
        if (c->value[i] && c->value[i] != cli_value(c, "--threads"))
            h = nb_mix(h, nb_mix((uint64_t)i, nb_hash_text(c->value[i])));
    for (int32_t i = 0; i < c->n_sets; i++)
        h = nb_mix(h, nb_hash_text(c->set[i]));
    return h;
}

static nb_status hash_file(nb_ctx *ctx, const char *path, uint64_t *hash)
{
    uint8_t *bytes;
    size_t len;
    NB_TRY(nb_file_read(ctx, path, (size_t)1 << 40, &bytes, &len));
    *hash = nb_hash_bytes(bytes, len);
    nb_free(ctx, bytes);
    return NB_OK;
}

nb_status cli_ranks_alike(cli *c, const cli_alike *a)
{
    nb_agreed mine[] = {{"another command line", 0},
                        {"another file", 0},
                        {"another config", 0},
                        {"other training images", 0},
                        {"other images", 0}};
    nb_fingerprint f;
    if (nb_ranks() == 1)
        return NB_OK;
    mine[0].hash = hash_words(c);
    if (a->file)
        NB_TRY(hash_file(c->ctx, a->file, &mine[1].hash));
    mine[2].hash = a->config;
    for (int32_t i = 0; i < 2; i++)
        if (a->data[i]) {
            NB_TRY(nb_data_fingerprint(c->ctx, a->data[i], &f));
            mine[3 + i].hash = nb_fingerprint_hash(&f);
        }
    NB_TRY(nb_ranks_agree_on(c->ctx, mine, sizeof mine / sizeof *mine, "nothing was done"));
    c->together = true;
    return NB_OK;
}
