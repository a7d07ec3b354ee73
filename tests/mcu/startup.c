/* startup.c - the least a Cortex-M needs to reach main(): a vector table, .data and .bss. */
#include <stdint.h>
#include <string.h>

extern uint32_t data_from[], data_start[], data_end[], bss_start[], bss_end[], stack_top[];
int main(void);
void mcu_exit(int code);

static void reset(void)
{
#if defined(__ARM_FEATURE_MVE)
    *(volatile uint32_t *)0xE000ED88u |= 0xFu << 20; /* CPACR: vector unit on */
    __asm__ volatile("dsb\n isb");
#endif
    for (uint32_t *to = data_start, *from = data_from; to < data_end;)
        *to++ = *from++;
    for (uint32_t *to = bss_start; to < bss_end;)
        *to++ = 0;
    mcu_exit(main());
}

static void fault(void)
{
    mcu_exit(99);
}

__attribute__((section(".vectors"), used)) static void (*const vectors[16])(void) = {(void (*)(void))stack_top,
                                                                                     reset,
                                                                                     fault,
                                                                                     fault,
                                                                                     fault,
                                                                                     fault,
                                                                                     fault,
                                                                                     fault,
                                                                                     fault,
                                                                                     fault,
                                                                                     fault,
                                                                                     fault,
                                                                                     fault,
                                                                                     fault,
                                                                                     fault,
                                                                                     fault};

/* gcc may call these by itself. */
void *memset(void *to, int v, size_t n)
{
    unsigned char *p = to;
    while (n--)
        *p++ = (unsigned char)v;
    return to;
}

void *memcpy(void *restrict to, const void *restrict from, size_t n)
{
    unsigned char *p = to;
    const unsigned char *q = from;
    while (n--)
        *p++ = *q++;
    return to;
}
