/* semihosting.c - calls to the debugger by a breakpoint, as Arm defines them. */
#include "semihosting.h"

#include <stdio.h>

static int32_t call(int32_t op, const void *arg)
{
    register int32_t r0 __asm__("r0") = op;
    register const void *r1 __asm__("r1") = arg;
    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}

void mcu_exit(int code)
{
    const uint32_t block[2] = {0x20026 /* ADP_Stopped_ApplicationExit */, (uint32_t)code};
    call(0x20 /* SYS_EXIT_EXTENDED */, block);
    for (;;)
        ;
}

void mcu_put(const char *text)
{
    call(0x04 /* SYS_WRITE0 */, text);
}

void mcu_put_number(uint32_t v)
{
    char text[12], *p = text + 11;
    *p = '\0';
    do
        *--p = (char)('0' + v % 10);
    while (v /= 10);
    mcu_put(p);
}

/* As much of it as tests/prop/test_exported_c.c needs: its texts have no arguments. */
int printf(const char *restrict text, ...)
{
    mcu_put(text);
    return 0;
}
