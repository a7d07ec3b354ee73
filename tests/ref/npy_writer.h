/* npy_writer.h - files as numpy.save writes them, for tests. */
#ifndef NB_TESTS_NPY_WRITER_H
#define NB_TESTS_NPY_WRITER_H

#include <stddef.h>

/* Version 1.0, C order. descr: "<f4"; shape: "3, 2" or "3,". */
void npy_write(const char *path, const char *descr, const char *shape, const void *data, size_t bytes);
/* The header's dictionary as given, in a file of that version, 1..3, and the bytes behind it. */
void npy_write_raw(const char *path, int version, const char *dictionary, const void *data, size_t bytes);

#endif
