/* exporters.c - the table of exporters. */
#include <nibble/export.h>

#include <string.h>

#define NB_EXPORTER(name) extern const nb_exporter nb_exporter_##name;
#include "export/exporters.def"
#undef NB_EXPORTER
#define NB_EXPORTER(name) &nb_exporter_##name,
const nb_exporter *const nb_exporters[] = {
#include "export/exporters.def"
    NULL};
#undef NB_EXPORTER

const nb_exporter *nb_exporter_find(const char *name)
{
    for (const nb_exporter *const *e = nb_exporters; *e; e++)
        if (strcmp((*e)->name, name) == 0)
            return *e;
    return NULL;
}
