/* semihosting.h - what a program on the (emulated) microcontroller asks the debugger for: an end, and text. */
#ifndef NB_TESTS_MCU_SEMIHOSTING_H
#define NB_TESTS_MCU_SEMIHOSTING_H

#include <stdint.h>

void mcu_exit(int code);
void mcu_put(const char *text);
void mcu_put_number(uint32_t v);

#endif
