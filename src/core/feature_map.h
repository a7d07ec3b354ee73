/* feature_map.h - the map of features (nibble/features.h) as text, for the metadata of both kinds of checkpoint. */
#ifndef NB_CORE_FEATURE_MAP_H
#define NB_CORE_FEATURE_MAP_H

#include <nibble/features.h>

#include "base/arena.h"
#include "base/textbuf.h"

/* "float32 ZERO STEP N CENTER... GAIN...", with blanks between; numbers read back exactly. */
void nb_features_print(nb_text *t, const nb_features *f);
/* Of samples of `values` numbers in c channels. *out is NULL when the text cannot be right; NB_E_NOMEM alone is an error.
 * The locale must be C (base/numtext.h). */
nb_status nb_features_parse(nb_arena *arena, const char *text, int64_t values, int32_t c, const nb_features **out);
/* A copy in arena; NULL: out of memory, or f is NULL. */
const nb_features *nb_features_copy(nb_arena *arena, const nb_features *f);

#endif
