/* report_proofs.c - what was compared with what, and came out equal or not. */
#include "report/report.h"

void nb_section_proofs(const nb_report *r, nb_page *p)
{
    nb_table *t;
    if (r->n_proofs == 0 && r->n_checks == 0)
        return;
    nb_page_section(p, "proofs", "Proofs");
    if (r->n_proofs > 0 && nb_page_ok(p, nb_table_of_verify(p->ctx, r->proof->rows, r->n_proofs, &t))) {
        nb_page_say(
            p,
            "The integers beside the same quantized network as training computes it, in floats, on the first %d test "
            "images: the same first choice on %d. This shows what making integers of it changed, not "
            "what quantization costs.",
            r->proof->images, r->proof->same_top1);
        nb_page_table(
            p, "verify",
            "How many outputs of each layer differ. Each layer fed with the codes of training: by rounding (a "
            "tie, which either side may round up), by anything else (faults), and by how many codes at most; "
            "running: each side with its own codes from the pixels on",
            t);
    }
    if (r->n_checks > 0 && nb_page_ok(p, nb_table_of_checks(p->ctx, r->check, r->n_checks, r->check_images, &t)))
        nb_page_table(p, "implementations",
                      "Every implementation of the integers against the engine's scalar kernels, in "
                      "units of a logit",
                      t);
}
