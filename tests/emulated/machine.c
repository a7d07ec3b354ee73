/* machine.c - the C library's part of an emulated machine: memory, guard pages, the serial line, cmocka's loop.
 *
 * Memory is handed out and not taken back: 64 to 192 MB to malloc until the next test, 192 to 512 MB by pages to mmap
 * until nothing is mapped any more. boot.S has mapped all of it; mprotect takes pages away and gives them back. */
#define _GNU_SOURCE
#include <cmocka.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum { PAGE = 4096, PRESENT = 1, SERIAL = 0x3F8, SHUTDOWN = 0x8900 };

extern uint64_t pages[];
extern int main(void);
void run(void);

static uintptr_t next_byte, next_page;
static int n_maps;

static void out(uint16_t port, uint8_t value)
{
    __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static uint8_t in(uint16_t port)
{
    uint8_t value;
    __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

static void print(const char *s)
{
    enum { STATUS = SERIAL + 5, EMPTY = 0x60 };
    for (; *s; s++) {
        out(SERIAL, (uint8_t)*s);
        while ((in(STATUS)&EMPTY) != EMPTY)
            ;
    }
}

static void print_number(int n)
{
    char text[12], *p = text + sizeof text - 1;
    *p = 0;
    do
        *--p = (char)('0' + n % 10);
    while ((n /= 10) > 0);
    print(p);
}

/* Bochs ends when this word is written to its port, byte by byte. */
static _Noreturn void switch_off(void)
{
    for (const char *p = "Shutdown"; *p; p++)
        out(SHUTDOWN, (uint8_t)*p);
    for (;;)
        __asm__ volatile("hlt");
}

void emulated_fail(const char *file, int line)
{
    print("FAILED at ");
    print(file);
    print(":");
    print_number(line);
    print("\n");
    switch_off();
}

int emulated_run(const struct CMUnitTest *tests, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        void *state = NULL;
        next_byte = 64 << 20;
        print("running ");
        print(tests[i].name);
        print("\n");
        tests[i].run(&state);
        print("[       OK ] ");
        print(tests[i].name);
        print("\n");
    }
    return 0;
}

/* Called by boot.S. */
void run(void)
{
    extern const char *nb_cpu_name(void);
    out(SERIAL + 3, 3); /* 8 bits */
    print("processor: ");
    print(nb_cpu_name());
    print("\n");
    if (main() == 0)
        print("all passed\n");
    switch_off();
}

void abort(void)
{
    print("abort\n");
    switch_off();
}

/* Only failed assertions print: the place is in the arguments, the format says what it is. */
FILE *stderr;

int fprintf(FILE *to, const char *format, ...)
{
    (void)to;
    print(format);
    return 0;
}

void *aligned_alloc(size_t alignment, size_t n)
{
    const uintptr_t at = (next_byte + alignment - 1) & ~(uintptr_t)(alignment - 1);
    if (at + n > 192 << 20)
        emulated_fail("out of memory", 0);
    next_byte = at + n;
    return (void *)at;
}

void *malloc(size_t n)
{
    return aligned_alloc(16, n);
}

void *calloc(size_t n, size_t size)
{
    return memset(malloc(n * size), 0, n * size);
}

void free(void *p)
{
    (void)p;
}

int mprotect(void *at, size_t n, int access)
{
    for (uintptr_t p = (uintptr_t)at; p < (uintptr_t)at + n; p += PAGE) {
        pages[p / PAGE] = p | 2 | (access == PROT_NONE ? 0 : PRESENT);
        __asm__ volatile("invlpg (%0)" : : "r"(p) : "memory");
    }
    return 0;
}

void *mmap(void *wish, size_t n, int access, int flags, int fd, off_t offset)
{
    (void)wish, (void)flags, (void)fd, (void)offset;
    if (n_maps++ == 0)
        next_page = 192 << 20;
    void *const at = (void *)next_page;
    next_page += (n + PAGE - 1) / PAGE * PAGE;
    if (next_page > 512 << 20)
        emulated_fail("out of pages", 0);
    mprotect(at, n, access);
    return at;
}

int munmap(void *at, size_t n)
{
    n_maps--;
    return mprotect(at, n, PROT_NONE);
}

long sysconf(int name)
{
    (void)name;
    return PAGE;
}

char *getenv(const char *name)
{
    (void)name;
    return NULL;
}

/* -1 * 1 by a tile of one byte each. */
__attribute__((target("amx-tile,amx-int8"))) static int32_t product_of_tiles(void)
{
    static _Alignas(64) uint8_t shapes[64] = {[0] = 1, [16] = 4, [18] = 4, [20] = 4, [48] = 1, [49] = 1, [50] = 1};
    static const int8_t a[4] = {-1}, b[4] = {1};
    static int32_t sum;
    __asm__ volatile("ldtilecfg %0\n\ttilezero %%tmm0" : : "m"(shapes));
    __asm__ volatile("tileloadd (%0,%2,1), %%tmm1\n\ttileloadd (%1,%2,1), %%tmm2\n\ttdpbssd %%tmm2, %%tmm1, %%tmm0"
                     :
                     : "r"(a), "r"(b), "r"(64L)
                     : "memory");
    __asm__ volatile("tilestored %%tmm0, (%0,%1,1)\n\ttilerelease" : : "r"(&sum), "r"(64L) : "memory");
    return sum;
}

/* arch_prctl, which permits the tiles: unless the emulator cannot multiply with them. */
long syscall(long number, ...)
{
    (void)number;
    if (product_of_tiles() == -1)
        return 0;
    print("note: AMX is not checked: this emulator multiplies signed bytes in tiles as unsigned ones\n");
    return -1;
}

void *memcpy(void *restrict to, const void *restrict from, size_t n)
{
    void *const result = to;
    __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(n) : : "memory");
    return result;
}

void *memset(void *to, int value, size_t n)
{
    void *const result = to;
    __asm__ volatile("rep stosb" : "+D"(to), "+c"(n) : "a"(value) : "memory");
    return result;
}

int memcmp(const void *a, const void *b, size_t n)
{
    const uint8_t *p = a, *q = b;
    for (size_t i = 0; i < n; i++)
        if (p[i] != q[i])
            return p[i] < q[i] ? -1 : 1;
    return 0;
}

size_t strlen(const char *s)
{
    size_t n = 0;
    while (s[n])
        n++;
    return n;
}

int strcmp(const char *a, const char *b)
{
    while (*a && *a == *b)
        a++, b++;
    return (uint8_t)*a - (uint8_t)*b;
}

double sqrt(double x)
{
    __asm__("sqrtsd %0, %0" : "+x"(x));
    return x;
}

/* Random numbers need these two; the units of old for them (fcos, fyl2x) never come to an end in Bochs. */
double cos(double x)
{
    const double turn = 6.283185307179586;
    const double r = x - turn * (double)(int64_t)(x / turn + (x < 0 ? -0.5 : 0.5)), r2 = r * r;
    double term = 1, sum = 1;
    for (int k = 1; k < 14; k++) {
        term *= -r2 / ((2 * k - 1) * (2 * k));
        sum += term;
    }
    return sum;
}

double log(double x) /* x > 0 and normal: 2 atanh((m - 1) / (m + 1)) + e ln 2 */
{
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    const int e = (int)(bits >> 52) - 1023;
    bits = (bits & 0xfffffffffffffu) | 0x3ff0000000000000u;
    memcpy(&x, &bits, sizeof bits);
    const double t = (x - 1) / (x + 1), t2 = t * t;
    double power = t, sum = t;
    for (int k = 3; k < 30; k += 2) {
        power *= t2;
        sum += power / k;
    }
    return 2 * sum + e * 0.6931471805599453;
}

double fmax(double a, double b)
{
    return a > b ? a : b;
}

float nearbyintf(float x)
{
    __asm__("roundss $4, %0, %0" : "+x"(x)); /* 4: as MXCSR says */
    return x;
}
