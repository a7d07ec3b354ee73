/* on_target.c - runs on the (emulated) microcontroller: the self-test, then every image, each logit against the
 * engine's.
 *
 * Prints "differ D images N instructions I": with qemu's -icount shift=0 one instruction takes one nanosecond of the
 * emulated clock, which SysTick counts. */
#include "images.h"
#include "net.h"
#include "semihosting.h"

#include <stdint.h>

#define SYST_CSR (*(volatile uint32_t *)0xE000E010u)
#define SYST_RVR (*(volatile uint32_t *)0xE000E014u)
#define SYST_CVR (*(volatile uint32_t *)0xE000E018u)

static uint8_t pixels[NET_INPUT_BYTES];
static int32_t logits[NET_CLASSES];

int main(void)
{
    uint32_t differ = 0, ticks = 0;
    if (net_selftest(pixels, logits)) {
        mcu_put("the self-test fails\n");
        return 1;
    }
    SYST_RVR = 0xffffff;
    SYST_CSR = 5; /* on, processor clock, no interrupt */
    for (int32_t i = 0; i < IMAGES; i++) {
        SYST_CVR = 0;
        net_run(images[i], logits);
        ticks += (0xffffffu - SYST_CVR) & 0xffffffu;
        for (int32_t k = 0; k < NET_CLASSES; k++)
            differ += logits[k] != expected[i][k];
    }
    mcu_put("differ ");
    mcu_put_number(differ);
    mcu_put(" images ");
    mcu_put_number(IMAGES);
    mcu_put(" instructions ");
    mcu_put_number(ticks / IMAGES * (1000000000u / CLOCK_HZ));
    mcu_put("\n");
    return differ != 0;
}
