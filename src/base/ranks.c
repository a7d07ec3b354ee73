/* ranks.c - other processes by MPI; in builds without (MPI=0) there are none.
 *
 * Every wait is a loop that asks whether the message has come, lets other threads and processes run, and gives up after
 * NB_RANKS_TIMEOUT seconds (60): MPI itself would wait for ever, and spin. Whoever gives up calls the roll, so that the
 * sentence can name who is missing. A rank that dies is noticed by mpirun, which ends the others.
 *
 * Ranks end on a communicator of their own: one that fails while others wait for its next piece is told from one that
 * fails as they do. */
#include "base/ranks.h"

#include "base/check.h"

#include <stdlib.h>
#include <string.h>

static int32_t number_in(const char *name, int32_t otherwise)
{
    const char *text = getenv(name);
    return text && *text ? (int32_t)strtol(text, NULL, 10) : otherwise;
}

/* Open MPI says how many; MPICH's Hydra and Slurm as well; others only, by PMIx, that there are some. */
bool nb_ranks_called(void)
{
    return number_in("OMPI_COMM_WORLD_SIZE", number_in("PMI_SIZE", getenv("PMIX_RANK") ? 2 : 1)) > 1;
}

int32_t nb_ranks_calling(void)
{
    return number_in("OMPI_COMM_WORLD_RANK", number_in("PMI_RANK", number_in("PMIX_RANK", 0)));
}

bool nb_ranks_says_so(const char *entry)
{
    static const char *const names[] = {"OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK", "PMI_SIZE", "PMI_RANK",
                                        "PMIX_RANK"};
    const size_t len = strcspn(entry, "=");
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strlen(names[i]) == len && strncmp(entry, names[i], len) == 0)
            return true;
    return false;
}

#ifndef NB_MPI

nb_status nb_ranks_start(nb_ctx *ctx, nb_ranks_lost_fn lost)
{
    (void)lost;
    return nb_ranks_called() ? nb_fail(ctx, NB_E_UNSUPPORTED,
                                       "this nibble was built without MPI and knows no ranks: it cannot be "
                                       "started by mpirun; build it where libopenmpi-dev or libmpich-dev is")
                             : NB_OK;
}

int32_t nb_rank(void)
{
    return 0;
}

int32_t nb_ranks(void)
{
    return 1;
}

const char *nb_ranks_host(int32_t rank)
{
    (void)rank;
    return "";
}

const char *nb_ranks_runtime(void)
{
    return "no";
}

void nb_ranks_share(const nb_piece *piece, int32_t n)
{
    (void)piece;
    (void)n;
}

void nb_ranks_begin(int32_t message, const nb_piece *piece, int32_t n)
{
    (void)message;
    (void)piece;
    (void)n;
}

void nb_ranks_complete(int32_t message, const nb_piece *piece, int32_t n)
{
    (void)message;
    (void)piece;
    (void)n;
}

void nb_ranks_poke(void) {}

nb_ranks_spent nb_ranks_cost(void)
{
    return (nb_ranks_spent){0};
}

nb_ranks_end_how nb_ranks_end(int *code, bool *abort)
{
    *abort = false;
    return *code ? NB_END_SAY : NB_END_QUIET;
}

void nb_ranks_leave(void) {}

void nb_ranks_abort(int code)
{
    (void)code;
}

#else

#    include "base/measure.h"

#    include <mpi.h>
#    include <stdio.h>
#    include <time.h>
#    include <unistd.h>

enum { TIMEOUT = 60, ROLL_SECONDS = 1, END_SECONDS = 2, MOST_BYTES = 1 << 30 /* of one message */ };

/* Bytes that one rank has for each other, and where they begin. */
typedef struct {
    int count[NB_MAX_RANKS], at[NB_MAX_RANKS];
} lot;

/* One exchange. */
typedef struct {
    MPI_Request request;
    bool under_way;
    lot from;
    unsigned char *out, *in; /* packed pieces: this rank's, everybody's */
    size_t out_room, in_room;
} exchange;

static struct {
    nb_ctx *ctx;
    int32_t rank, n; /* n: 0 until started */
    double timeout;
    bool
        met; /* the first exchange waits as long as it takes: before it ranks read their data, which another may read longer */
    nb_ranks_lost_fn lost;
    MPI_Comm work, ends;
    exchange message[NB_MESSAGES + 1]; /* the last one is nb_ranks_share's */
    nb_ranks_spent spent;
    char host[NB_MAX_RANKS][NB_HOST_BYTES];
} all;

int32_t nb_rank(void)
{
    return all.rank;
}

int32_t nb_ranks(void)
{
    return all.n ? all.n : 1;
}

const char *nb_ranks_host(int32_t rank)
{
    return all.host[rank];
}

const char *nb_ranks_runtime(void)
{
    static char text[64];                      /* the same for whoever asks */
    char full[MPI_MAX_LIBRARY_VERSION_STRING]; /* "Open MPI v4.1.4, package: ...", "MPICH Version:      4.0.2 ..." */
    int len;
    MPI_Get_library_version(full, &len);
    const char *version = full + strcspn(full, "0123456789");
    const int name = strncmp(full, "Open MPI", 8) == 0 ? 8 : (int)strcspn(full, " \t\n");
    snprintf(text, sizeof text, "%.*s %.*s", name, full, (int)strspn(version, "0123456789."), version);
    return text;
}

/* ---- waiting ---- */

/* A message between processes of one machine takes microseconds; beyond that somebody else may have the processor, by a sleep:
 * who only yields it to programs of less priority gets it back when their slice is over, milliseconds later. Whoever has
 * waited for long may wait for a hundredth longer. */
static void rest(double waited)
{
    const double some = waited < 2e-3 ? 20e-6 : waited < 1 ? 1e-2 * waited : 1e-2;
    if (waited > 100e-6)
        nanosleep(&(struct timespec){.tv_nsec = (long)(1e9 * some)}, NULL);
}

static bool wait_for(MPI_Request *r, double seconds)
{
    const double start = nb_now();
    for (int done = 0;;) {
        MPI_Test(r, &done, MPI_STATUS_IGNORE);
        const double waited = nb_now() - start;
        if (done)
            return true;
        if (seconds > 0 && waited > seconds)
            return false;
        rest(waited);
    }
}

/* Who else has given up waiting is there; the others are missing. */
static void call_the_roll(bool here[NB_MAX_RANKS])
{
    MPI_Request sent;
    here[all.rank] = true;
    for (int32_t r = 0; r < all.n; r++)
        if (r != all.rank) {
            MPI_Isend(NULL, 0, MPI_BYTE, r, 1, all.ends, &sent);
            MPI_Request_free(&sent);
        }
    for (const double start = nb_now(); nb_now() - start < ROLL_SECONDS; rest(1)) {
        int found;
        MPI_Status from;
        MPI_Iprobe(MPI_ANY_SOURCE, 1, all.ends, &found, &from);
        if (!found)
            continue;
        MPI_Recv(NULL, 0, MPI_BYTE, from.MPI_SOURCE, 1, all.ends, MPI_STATUS_IGNORE);
        here[from.MPI_SOURCE] = true;
    }
}

static void give_up(void)
{
    bool here[NB_MAX_RANKS] = {false};
    char text[256];
    int32_t missing = 0, first = 0;
    call_the_roll(here);
    while (missing < all.n && here[missing])
        missing++;
    while (!here[first])
        first++;
    if (missing < all.n)
        snprintf(text, sizeof text,
                 "rank %d on %s has not answered for %.0f s: the job ends (NB_RANKS_TIMEOUT sets another limit)",
                 missing, all.host[missing], all.timeout);
    else
        snprintf(text, sizeof text, "messages between ranks do not arrive any more, from %s on", all.host[all.rank]);
    if (all.rank == first)
        all.lost(text);
    else
        sleep(1); /* it has the word */
    MPI_Abort(MPI_COMM_WORLD, 1);
}

/* ---- pieces ---- */

static unsigned char *room_for(unsigned char **buffer, size_t *room, size_t bytes)
{
    if (bytes > *room) {
        nb_free(all.ctx, *buffer);
        *buffer = nb_alloc(all.ctx, bytes);
        *room = *buffer ? bytes : 0;
    }
    if (!*buffer && bytes) {
        all.lost("out of memory for a message to other ranks");
        MPI_Abort(MPI_COMM_WORLD, 1);
    }
    return *buffer;
}

static size_t lay_out(lot *l)
{
    for (int32_t r = 1; r < all.n; r++)
        l->at[r] = l->at[r - 1] + l->count[r - 1];
    return (size_t)l->at[all.n - 1] + (size_t)l->count[all.n - 1];
}

static bool goes_to(const nb_piece *p, int32_t rank)
{
    return p->bytes > 0 && (p->to == 0 || p->to == rank + 1);
}

/* Of pieces for all, what leaves is the same for everybody: it is there once. */
static void pack(exchange *m, const nb_piece *piece, int32_t n, bool same, lot *l)
{
    const int32_t lots = same ? 1 : all.n;
    for (int32_t i = 0; i < n; i++)
        for (int32_t r = 0; r < lots; r++)
            if (piece[i].owner == all.rank && goes_to(&piece[i], r))
                l->count[r] += (int)piece[i].bytes;
    unsigned char *out = room_for(&m->out, &m->out_room, lay_out(l));
    for (int32_t r = 0; r < lots; r++)
        for (int32_t i = 0; i < n; i++)
            if (piece[i].owner == all.rank && goes_to(&piece[i], r)) {
                memcpy(out, piece[i].data, piece[i].bytes);
                out += piece[i].bytes;
            }
}

/* Pieces [0, n), which fit one message. */
static void begin(exchange *m, const nb_piece *piece, int32_t n)
{
    lot to = {{0}, {0}}, *from = &m->from;
    bool same = true;
    const double start = nb_now();
    *from = (lot){{0}, {0}};
    for (int32_t i = 0; i < n; i++) {
        same &= piece[i].to == 0;
        from->count[piece[i].owner] += goes_to(&piece[i], all.rank) ? (int)piece[i].bytes : 0;
    }
    unsigned char *in = room_for(&m->in, &m->in_room, lay_out(from));
    pack(m, piece, n, same, &to);
    if (same)
        MPI_Iallgatherv(m->out, to.count[0], MPI_BYTE, in, from->count, from->at, MPI_BYTE, all.work, &m->request);
    else
        MPI_Ialltoallv(m->out, to.count, to.at, MPI_BYTE, in, from->count, from->at, MPI_BYTE, all.work, &m->request);
    m->under_way = true;
    all.spent.exchanges++;
    all.spent.seconds += nb_now() - start;
}

/* How many bytes came in. */
static int64_t complete(exchange *m, const nb_piece *piece, int32_t n)
{
    const double start = nb_now();
    int64_t bytes = 0;
    if (!wait_for(&m->request, all.met ? all.timeout : 0))
        give_up();
    m->under_way = false;
    all.met = true;
    for (int32_t i = 0; i < n; i++) {
        const int32_t o = piece[i].owner;
        if (!goes_to(&piece[i], all.rank))
            continue;
        if (o != all.rank) {
            memcpy(piece[i].data, m->in + m->from.at[o], piece[i].bytes);
            bytes += (int64_t)piece[i].bytes;
        }
        m->from.at[o] += (int)piece[i].bytes;
    }
    all.spent.bytes += bytes;
    all.spent.seconds += nb_now() - start;
    return bytes;
}

static void share(const nb_piece *piece, int32_t n)
{
    exchange *m = &all.message[NB_MESSAGES];
    begin(m, piece, n);
    complete(m, piece, n);
}

void nb_ranks_begin(int32_t message, const nb_piece *piece, int32_t n)
{
    if (nb_ranks() == 1)
        return;
    begin(&all.message[message], piece, n);
    all.spent.later_exchanges++;
}

void nb_ranks_complete(int32_t message, const nb_piece *piece, int32_t n)
{
    if (nb_ranks() > 1)
        all.spent.later_bytes += complete(&all.message[message], piece, n);
}

/* Any call lets all messages go on. */
void nb_ranks_poke(void)
{
    int done;
    for (int32_t i = 0; i < NB_MESSAGES; i++)
        if (all.message[i].under_way) {
            MPI_Request_get_status(all.message[i].request, &done, MPI_STATUS_IGNORE);
            return;
        }
}

nb_ranks_spent nb_ranks_cost(void)
{
    return all.spent;
}

void nb_ranks_share(const nb_piece *piece, int32_t n)
{
    int32_t first = 0;
    size_t bytes = 0;
    if (nb_ranks() == 1)
        return;
    for (int32_t i = 0; i < n; i++) {
        NB_ASSERT(piece[i].bytes <= MOST_BYTES && piece[i].owner >= 0 && piece[i].owner < all.n);
        if (bytes + piece[i].bytes > MOST_BYTES) {
            share(piece + first, i - first);
            first = i;
            bytes = 0;
        }
        bytes += piece[i].bytes;
    }
    share(piece + first, n - first);
}

/* ---- beginning and end ---- */

nb_status nb_ranks_start(nb_ctx *ctx, nb_ranks_lost_fn lost)
{
    int provided, n, rank;
    if (!nb_ranks_called() || all.n)
        return NB_OK;
    if (MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &provided) != MPI_SUCCESS || provided < MPI_THREAD_FUNNELED)
        return nb_fail(ctx, NB_E_IO, "%s could not be started beside threads", nb_ranks_runtime());
    MPI_Comm_size(MPI_COMM_WORLD, &n);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_dup(MPI_COMM_WORLD, &all.work);
    MPI_Comm_dup(MPI_COMM_WORLD, &all.ends);
    if (n > NB_MAX_RANKS)
        return nb_fail(ctx, NB_E_CONFIG, "mpirun -n %d: at most %d ranks can work together", n, NB_MAX_RANKS);
    all.ctx = ctx;
    all.rank = rank;
    all.n = n;
    all.timeout = number_in("NB_RANKS_TIMEOUT", TIMEOUT);
    all.lost = lost;
    char host[NB_HOST_BYTES] = "";
    gethostname(host, sizeof host - 1);
    MPI_Allgather(host, NB_HOST_BYTES, MPI_CHAR, all.host, NB_HOST_BYTES, MPI_CHAR, all.work);
    return NB_OK;
}

void nb_ranks_leave(void)
{
    if (all.n == 0)
        return;
    for (int32_t i = 0; i <= NB_MESSAGES; i++) {
        nb_free(all.ctx, all.message[i].in);
        nb_free(all.ctx, all.message[i].out);
        all.message[i] = (exchange){.in_room = 0};
    }
    all.n = 0;
    MPI_Finalize();
}

nb_ranks_end_how nb_ranks_end(int *code, bool *abort)
{
    int each[NB_MAX_RANKS], first = -1, alike = 1;
    const int32_t rank = all.rank, n = all.n;
    MPI_Request r;
    *abort = false;
    if (n == 0)
        return *code ? NB_END_SAY : NB_END_QUIET;
    MPI_Iallgather(code, 1, MPI_INT, each, 1, MPI_INT, all.ends, &r);
    if (!wait_for(&r, *code ? END_SECONDS : 0)) {
        *abort = true;
        return NB_END_SAY_HOST;
    }
    for (int32_t i = n; i-- > 0;) {
        first = each[i] ? i : first;
        alike &= each[i] == *code;
        *code = each[i] > *code ? each[i] : *code;
    }
    if (first < 0 || rank != first)
        return NB_END_QUIET;
    return alike ? NB_END_SAY : NB_END_SAY_HOST;
}

void nb_ranks_abort(int code)
{
    MPI_Abort(MPI_COMM_WORLD, code);
}

#endif
