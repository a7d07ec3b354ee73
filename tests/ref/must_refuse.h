/* must_refuse.h - networks that must be config errors; after cmocka.h. */
#ifndef NB_REF_MUST_REFUSE_H
#define NB_REF_MUST_REFUSE_H

#include "ref/street.h"

#include <string.h>

/* What opening it gave must be a config error that says this; closes it. */
static inline void must_refuse(nb_status st, ref_street *s, const char *says)
{
    if (st != NB_E_CONFIG || !strstr(nb_ctx_error(s->ctx), says))
        fail_msg("got %d, %s; must be refused: %s", (int)st, nb_ctx_error(s->ctx), says);
    ref_street_close(s);
}

#endif
