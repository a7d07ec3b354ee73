/* on_target.c - runs on the (emulated) microcontroller: the self-test, then every image, each logit against the
 * engine's.
 *
 * Prints "differ D images N instructions I": with qemu's -icount shift=0 one instruction takes one nanosecond of the
 * emulated clock, which SysTick counts. */
#include "images.h"
#include "net.h"

#include <stdint.h>

void mcu_exit(int code);

static int32_t semihosting(int32_t op, const void *arg)
{
    register int32_t r0 __asm__("r0") = op;
    register const void *r1 __asm__("r1") = arg;
    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}

void mcu_exit(int code)
{
    const uint32_t block[2] = {0x20026 /* ADP_Stopped_ApplicationExit */, (uint32_t)code};
    semihosting(0x20 /* SYS_EXIT_EXTENDED */, block);
    for (;;)
        ;
}

static void put(const char *s)
{
    semihosting(0x04 /* SYS_WRITE0 */, s);
}

static void put_number(uint32_t v)
{
    char text[12], *p = text + 11;
    *p = '\0';
    do
        *--p = (char)('0' + v % 10);
    while (v /= 10);
    put(p);
}

#define SYST_CSR (*(volatile uint32_t *)0xE000E010u)
#define SYST_RVR (*(volatile uint32_t *)0xE000E014u)
#define SYST_CVR (*(volatile uint32_t *)0xE000E018u)

static uint8_t pixels[NET_INPUT_BYTES];
static int32_t logits[NET_CLASSES];

int main(void)
{
    uint32_t differ = 0, ticks = 0;
    if (net_selftest(pixels, logits)) {
        put("the self-test fails\n");
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
    put("differ ");
    put_number(differ);
    put(" images ");
    put_number(IMAGES);
    put(" instructions ");
    put_number(ticks / IMAGES * (1000000000u / CLOCK_HZ));
    put("\n");
    return differ != 0;
}
