/* init_file.h - the key `init`: the checkpoint to start from, "PATH", or "PATH#HASH" for the one with these tensors.
 *
 * `import` writes a config and a checkpoint; the hash is how the config knows its own. It is of the tensors alone: what
 * else a checkpoint says (its config, accuracies) changes no number of a network that starts from it. */
#ifndef NB_TRAIN_INIT_FILE_H
#define NB_TRAIN_INIT_FILE_H

#include <nibble/train.h>

enum { NB_INIT_HASH_BYTES = 18 }; /* "#", 16 digits, NUL */

/* "#HASH" of the parameters and buffers, as a checkpoint of this graph holds them. */
void nb_init_hash_text(const nb_graph *g, char *text);
/* The length of the path that init begins with. */
size_t nb_init_path_bytes(const char *init);
/* Opens the checkpoint that init names; fails when it has a hash, and that of another. */
nb_status nb_init_open(nb_ctx *ctx, const nb_experiment *e, nb_checkpoint **out);
/* The same for a checkpoint that is open: does it have the tensors that init asks for? */
nb_status nb_init_check(nb_ctx *ctx, const nb_experiment *e, const nb_checkpoint *c);

#endif
