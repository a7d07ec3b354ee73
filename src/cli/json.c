/* json.c - printing JSON. cJSON builders return NULL without memory and then ignore what is added, so one check at the
 * end would miss a member; on systems that overcommit that does not happen before the process is stopped anyway. */
#include "cli/json.h"

#include <stdio.h>

nb_status cli_json_print(cli *c, cJSON *o)
{
    char *text = o ? cJSON_PrintUnformatted(o) : NULL;
    cJSON_Delete(o);
    if (!text)
        return nb_fail(c->ctx, NB_E_NOMEM, "out of memory");
    printf("%s\n", text);
    cJSON_free(text);
    return NB_OK;
}
