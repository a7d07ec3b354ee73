/* temporaries.h - the names of the temporary files of this process, for a signal that ends it. */
#ifndef NB_BASE_TEMPORARIES_H
#define NB_BASE_TEMPORARIES_H

#include <stdint.h>

/* Notes a name before its file is made; returns its slot, or -1 when there is no room (the file is then left behind by
 * a process that a signal ends, which is no error). */
int32_t nb_temporary_note(const char *path);
/* After the file was renamed or removed; -1 is fine. */
void nb_temporary_forget(int32_t slot);
/* Removes the files of all names noted. May be called in a signal handler. */
void nb_temporaries_remove(void);

#endif
