/* file_kind.h - what a file is that was given where another kind is wanted, by its content. */
#ifndef NB_BASE_FILE_KIND_H
#define NB_BASE_FILE_KIND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { NB_FILE_KIND_BYTES = 900 };
/* "a PyTorch file; in Python: ... makes one of it" into buf: what it is, and the line that converts it or the command
 * that takes it. name: the file's. Returns buf, or NULL when it is nothing known. */
const char *nb_file_kind(const char *name, const uint8_t *bytes, size_t len, char *buf, size_t size);
/* Does this word stand in them? */
bool nb_bytes_hold(const uint8_t *bytes, size_t len, const char *word);
/* Is it of a kind: "onnx", "safetensors"? */
bool nb_file_is(const uint8_t *bytes, size_t len, const char *kind);

#endif
