/* lock.h - one writer per folder: a lock that the kernel gives back when its holder ends, however it ends. */
#ifndef NB_BASE_LOCK_H
#define NB_BASE_LOCK_H

#include <nibble/context.h>

/* Zeroed: not held. */
typedef struct {
    nb_ctx *ctx;
    char *path; /* of the lock file; NULL: not held */
    int fd;
    int32_t temporary; /* a signal that ends the process removes the file: temporaries.h */
} nb_lock;

/* Takes the lock of a folder that exists, for this process: the file `.nibble.lock` in it, whose text says who holds it
 * since when. When another process holds it, tries for wait_ms and then fails with a sentence that says who (NB_E_IO).
 * On a file system without locks this is logged and everybody gets it. */
nb_status nb_lock_take(nb_ctx *ctx, const char *folder, int32_t wait_ms, nb_lock *l);
/* Fails when another process holds the lock of the folder; changes nothing on disk, takes nothing. Not while this
 * process holds it. */
nb_status nb_lock_check(nb_ctx *ctx, const char *folder);
/* rename() of the locked folder, with the lock. 0 or errno. */
int nb_lock_rename(nb_lock *l, const char *folder, const char *to);
/* Removes the file and gives the lock back; a lock that is not held is fine. */
void nb_lock_release(nb_lock *l);

#endif
