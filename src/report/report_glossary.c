/* report_glossary.c - the words of the page for who does not know them, folded. */
#include "report/report.h"

#include "report/html.h"

static const struct {
    const char *word, *meaning;
} words[] = {
    {"nibble", "half a byte, 4 bits; the program that made this page"},
    {"W4A8",
     "weights of 4 bits, values between layers (activations) of 8; first and last layer keep 8 unless told otherwise"},
    {"code, grid",
     "the integer that stands for a number, and the numbers that there are codes for: equal steps of one scale"},
    {"quantizer", "the place where numbers are rounded to codes: of a layer's weights, or of what it puts out"},
    {"QAT",
     "quantization-aware training: with the rounding in place. Calibration finds scales only and trains nothing"},
    {"integers",
     "the network as it is deployed: no float in it. Its probabilities are those of its int32 sums times their scale"},
    {"accumulator bits", "the narrowest signed integer that provably holds every sum of the layer"},
    {"multiply-accumulate, MAC", "one product of a weight and a value, added to a sum"},
    {"loss",
     "cross entropy: the mean of -ln(probability of the right class); \"loss, more\": beyond the float network's"},
    {"divergence, nats",
     "Kullback-Leibler divergence of the answers' probabilities from the float network's, natural "
     "logarithm, mean over images. 0: the same answers. It needs no labels, so it sees changes that are too "
     "small for accuracy; beside the loss it is small where it is a hundredth of it"},
    {"on alone, off alone",
     "one quantizer is on and all others are off (what it costs by itself); it is off and all others on (what "
     "would be won without it)"},
    {"negligible",
     "of all costs of quantizers less than a hundredth; of mean errors less than 0.02 standard deviations"},
    {"dB", "signal to noise: 10 log10(squares of the values / squares of the errors); 6 dB more halve the error; "
           "infinite: there is none. cumulative: with "
           "the errors of all layers before"},
    {"\302\261", "one standard error: other images of the same kind would give another figure, by about so much"},
    {"minmax, ema, mse, percentile, aciq",
     "how a range is found: from smallest to largest, that smoothed over batches, with least "
     "squared error, without the outermost, or from the shape of the distribution"},
    {"bias_correct, equalize, absorb, reestimate_bn",
     "steps on a network that is not training: take the mean error of each channel out of its bias; make channels of "
     "neighbouring layers alike; move what is always there into biases; find the statistics of batch norms again"},
    {"ranges anew", "with ranges found again on training images, as nibble quantize finds them"},
    {"relu", "what is below 0 becomes 0"},
    {"flash, RAM", "memory of a device for constants, and for values while it runs; 1 kB is 1000 bytes"},
};

void nb_section_glossary(const nb_report *r, nb_page *p)
{
    if (!r->model)
        return;
    nb_page_section(p, "words", "Words");
    nb_page_raw(p, "<details><summary>what the words of this page mean</summary><dl>\n");
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        nb_page_raw(p, "<dt>");
        nb_html_add(&p->body, words[i].word);
        nb_page_raw(p, "</dt><dd>");
        nb_html_add(&p->body, words[i].meaning);
        nb_page_raw(p, "</dd>\n");
    }
    nb_page_raw(p, "</dl></details>\n");
}
