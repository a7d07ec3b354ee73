/* ranks.h - the only place that knows of other processes: those that mpirun starts to train one network together. Whoever
 * was started alone is rank 0 of 1, and so is everybody in a build without MPI; that costs nothing.
 *
 * There is one exchange. What ranks give each other are pieces of memory, each with an owner; how many, of which size and
 * whose follows from sizes alone, so that all ranks ask for the same. Nothing is added up on the way: sums are made by who
 * receives the pieces, in their order, and are the same bits for any number of ranks. Called by one thread. */
#ifndef NB_BASE_RANKS_H
#define NB_BASE_RANKS_H

#include <nibble/context.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { NB_MAX_RANKS = 1024, NB_HOST_BYTES = 64 };

typedef struct {
    void *data;
    size_t bytes;
    int32_t owner; /* the rank that has it */
    int32_t to;    /* who wants it: 1 + a rank; 0: all do */
} nb_piece;

/* The job has lost a rank and ends when this returns. */
typedef void (*nb_ranks_lost_fn)(const char *sentence);

/* Was this process started as one of several? Asks the environment alone. */
bool nb_ranks_called(void);
/* Its number among them, as the environment has it: for who has not started. */
int32_t nb_ranks_calling(void);
/* Is NAME=VALUE of the environment one of those that say so? A process that is started without them is alone. */
bool nb_ranks_says_so(const char *entry);
/* Meets the others. lost: who is told, once, when one of them does not answer any more. */
nb_status nb_ranks_start(nb_ctx *ctx, nb_ranks_lost_fn lost);
/* This process's number, 0 before nb_ranks_start; of how many. */
int32_t nb_rank(void);
int32_t nb_ranks(void);
/* The machine a rank runs on. */
const char *nb_ranks_host(int32_t rank);
/* "Open MPI 4.1.4"; "no MPI". */
const char *nb_ranks_runtime(void);

/* Every rank has all of the n pieces that it wants when it returns. */
void nb_ranks_share(const nb_piece *piece, int32_t n);
/* The same in two halves, between which something else is done, exchanges too. All ranks begin the same ones in the same order.
 * What leaves may change once begun; what comes in is there when the end returns. message: 0..NB_MESSAGES - 1, one that is not
 * under way. Of pieces of at most NB_MESSAGE_BYTES together. */
enum { NB_MESSAGES = 4, NB_MESSAGE_BYTES = 1 << 28 };
void nb_ranks_begin(int32_t message, const nb_piece *piece, int32_t n);
void nb_ranks_complete(int32_t message, const nb_piece *piece, int32_t n);
/* Lets what is under way go on, now and then: nobody else does. */
void nb_ranks_poke(void);

/* What that has cost this rank so far. */
typedef struct {
    int64_t exchanges, bytes;             /* bytes: that came in */
    int64_t later_exchanges, later_bytes; /* of these, of nb_ranks_begin */
    double seconds;                       /* from asking until all was here: other ranks' lateness included */
} nb_ranks_spent;
nb_ranks_spent nb_ranks_cost(void);

typedef enum { NB_END_QUIET, NB_END_SAY, NB_END_SAY_HOST } nb_ranks_end_how;
/* This rank is through, with an exit code. Which of the ranks has to say why it failed: where all failed alike, rank 0; the
 * first that did, and on which host, where others did not. *code becomes the job's. When others are still at work and cannot
 * end by themselves, nb_ranks_abort must follow what is said. */
nb_ranks_end_how nb_ranks_end(int *code, bool *abort);
/* The last call, when that is said: mpirun ends everybody with the first that exits. */
void nb_ranks_leave(void);
/* Ends all ranks at once. */
void nb_ranks_abort(int code);

#endif
