/* temporaries.c - a fixed table of names, because a signal handler may neither allocate nor wait for a lock.
 *
 * It is the process's, as its signals are: several contexts, and threads of the program that uses the library, share
 * it. A slot is taken by compare and exchange; its name is complete before it becomes USED, so whoever sees USED may
 * read it. */
#include "base/temporaries.h"

#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

enum { SLOTS = 16, NAME_BYTES = 4096 };
enum { FREE, FILLING, USED };

static struct {
    atomic_int state;
    char name[NAME_BYTES];
} table[SLOTS];

int32_t nb_temporary_note(const char *path)
{
    size_t bytes = strlen(path) + 1;
    for (int32_t i = 0; i < SLOTS && bytes <= NAME_BYTES; i++) {
        int expected = FREE;
        if (!atomic_compare_exchange_strong(&table[i].state, &expected, FILLING))
            continue;
        memcpy(table[i].name, path, bytes);
        atomic_store(&table[i].state, USED);
        return i;
    }
    return -1;
}

void nb_temporary_forget(int32_t slot)
{
    if (slot >= 0)
        atomic_store(&table[slot].state, FREE);
}

void nb_temporaries_remove(void)
{
    for (int32_t i = 0; i < SLOTS; i++)
        if (atomic_load(&table[i].state) == USED)
            unlink(table[i].name);
}
