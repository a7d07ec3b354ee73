/* exporters.c - the table of exporters. */
#include <nibble/export.h>
#include <nibble/registry.h>

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
    return nb_registry_find(nb_exporters, name);
}
