/* report_config.c - what it was made by. */
#include "report/report.h"

void nb_section_config(const nb_report *r, nb_page *p)
{
    if (!r->config || !*r->config)
        return;
    nb_page_section(p, "config", "Config");
    nb_page_folded(p, "the config, all keys", r->config);
}
