/* registry.h - kinds of things that a config or a command names: layers, blocks, data sets, augmentations, optimizers,
 * schedules, range methods.
 *
 * Each kind is a list that ends with NULL, made from a .def file with one line per thing, of pointers to constant structs
 * that begin with NB_ENTRY. Where there are no keys (exporters, name maps, commands) they begin with a name at least, and
 * only nb_entry_at and nb_entry_bind (extend/keys.h) are not for them. */
#ifndef NIBBLE_REGISTRY_H
#define NIBBLE_REGISTRY_H

#include <nibble/config.h>

#ifdef __cplusplus
extern "C" {
#endif

/* keys: its own config keys beside those that all of its kind have, {0}-terminated, bound into attr_size bytes; or NULL.
 * examples: config snippets, NULL-terminated, which help prints and tests try; or NULL. */
#define NB_ENTRY                                                                                                       \
    const char *name, *help;                                                                                           \
    const nb_key *keys;                                                                                                \
    size_t attr_size;                                                                                                  \
    const char *const *examples

typedef struct {
    NB_ENTRY;
} nb_entry;

/* What there is; the structs are for who adds to a list (extend/). Each ends with NULL. */
typedef struct nb_op nb_op;
typedef struct nb_block nb_block;
typedef struct nb_dataset nb_dataset;
typedef struct nb_optimizer nb_optimizer;
typedef struct nb_schedule nb_schedule;
typedef struct nb_format nb_format;
typedef struct nb_range nb_range;
typedef struct nb_learning nb_learning;
typedef struct nb_rounding nb_rounding;
typedef struct nb_post_step nb_post_step;
extern NB_API const nb_op *const nb_layers[]; /* all of layers/layers.def, and so on */
extern NB_API const nb_block *const nb_blocks[];
extern NB_API const nb_dataset *const nb_datasets[];
extern NB_API const nb_optimizer *const nb_optimizers[];
extern NB_API const nb_schedule *const nb_schedules[];
extern NB_API const nb_format *const nb_formats[];
extern NB_API const nb_range *const nb_ranges[];
extern NB_API const nb_learning *const nb_learnings[];
extern NB_API const nb_rounding *const nb_roundings[];
extern NB_API const nb_post_step *const nb_post_steps[];

/* What a quantizer is made of: four lists, and the key under which `quant` names one of each: "format", "range", "learn",
 * "rounding". */
typedef enum {
    NB_METHOD_FORMAT,
    NB_METHOD_RANGE,
    NB_METHOD_LEARNING,
    NB_METHOD_ROUNDING,
    NB_METHOD_KINDS
} nb_method_kind;
NB_API const void *nb_method_list(nb_method_kind kind);
NB_API const char *nb_method_key(nb_method_kind kind);
/* Does the format of this name say how many bits a code has, so that the key `bits` does not? */
NB_API bool nb_format_says_bits(const char *name);
/* For labels: the format, or the learning that chooses levels, where codes are not the uniform ones that their bits say
 * ("block", "codebook"); "" where they are, and where the format says its bits. format and learn may be NULL. */
NB_API const char *nb_codes_name(const char *format, const char *learn);

/* list: nb_layers, nb_optimizers, ... */
NB_API const void *nb_registry_find(const void *list, const char *name); /* NULL when there is none */
NB_API int32_t nb_registry_index(const void *list, const char *name);    /* -1 when there is none */
/* How many there are, at most max. */
NB_API int32_t nb_registry_names(const void *list, const char **names, int32_t max);
NB_API const char *nb_registry_text(const void *list, char *buf, size_t size); /* "text, c, onnx"; returns buf */
NB_API nb_entry nb_entry_at(const void *list, int32_t i);                      /* name NULL: the end */

#ifdef __cplusplus
}
#endif
#endif
