/* json.h - one JSON object on stdout, for scripts. */
#ifndef NB_CLI_JSON_H
#define NB_CLI_JSON_H

#include "cli/cli.h"

#include <cJSON.h>

/* Prints o as one line and deletes it. A NULL object, or one that lost a member for want of memory, is NB_E_NOMEM. */
nb_status cli_json_print(cli *c, cJSON *o);

#endif
