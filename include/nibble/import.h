/* import.h - weights and networks from elsewhere: safetensors by name map, float ONNX models. */
#ifndef NIBBLE_IMPORT_H
#define NIBBLE_IMPORT_H

#include <nibble/graph.h>

#ifdef __cplusplus
extern "C" {
#endif

/* How somebody else names the parameters of a kind of network. One file per map in src/import/, listed in maps.def; the
 * text is what one would write into a mapping file (src/import/name_map.h has the rules). */
typedef struct nb_name_map {
    const char *name, *help, *text;
} nb_name_map;
extern NB_API const nb_name_map *const nb_name_maps[]; /* ends with NULL */

/* One tensor of the file and where it goes. */
typedef struct {
    const char *theirs, *ours;           /* names; NULL on one side: nobody takes it, nobody gives it */
    const char *their_shape, *our_shape; /* "16x3x3x3", or NULL */
    const char *note;                    /* "left out" and the like, or "" */
} nb_import_row;

/* What became of a file: strings live until nb_import_report_free, names of ours as long as the graph. */
typedef struct {
    const char *map; /* the map that was used */
    nb_import_row *rows;
    int32_t n;
    struct nb_arena *arena;
} nb_import_report;
NB_API void nb_import_report_free(nb_import_report *r); /* a zeroed struct is fine */

typedef struct {
    const char *map; /* a built-in map or the path of a mapping file; NULL: the built-in one that knows all names */
    const char *map_text; /* a mapping file's content; map is then its name in messages. NULL: map is looked up */
    float bn_eps;         /* of the network the weights were trained in; 0: 1e-5, PyTorch's default */
} nb_import_options;

/* Copies the float tensors of a safetensors file (F32, F16, BF16, F64) into the leaves of g, a float graph that is not
 * frozen: weights OIHW -> OHWI, columns of a layer behind a flatten CHW -> HWC. Every leaf must get a tensor of its
 * shape and every tensor but num_batches_tracked must go somewhere: else NB_E_FORMAT with the names. What was found is
 * in *report then too; the caller frees it in any case. options may be NULL. */
NB_API nb_status nb_import_weights(nb_graph *g, const char *path, const nb_import_options *options,
                                   nb_import_report *report);
/* The same from memory; name stands in messages. */
NB_API nb_status nb_import_weights_parse(nb_graph *g, const char *name, const uint8_t *bytes, size_t len,
                                         const nb_import_options *options, nb_import_report *report);

#ifdef __cplusplus
}
#endif
#endif
