/* boot.S - from the boot loader to main() in 64 bits, with everything the processor has switched on.
 *
 * GRUB starts `start` in 32-bit protected mode (multiboot 1). The first 512 MB are mapped to themselves by pages of 4 KB,
 * so that tests can take pages away (machine.c). There are no interrupts and no handlers: a fault stops the machine. */
#define MB 512

    .section .text.unlikely, "ax"   /* the linker puts this first: the header must lie in the file's first 8 KB */
    .balign 4
    .long 0x1BADB002, 0, -0x1BADB002

    .bss
    .balign 4096
level4: .skip 4096
level3: .skip 4096
level2: .skip 4096
    .global pages
pages:  .skip MB * 256 * 8
    .balign 64
    .skip 1 << 20
stack_top:

    .data
    .balign 8
gdt:
    .quad 0, 0x00209A0000000000, 0x0000920000000000
gdt_pointer:
    .word . - gdt - 1
    .long gdt

    .text
    .code32
    .global start
start:
    movl $pages, %edi               /* page i at i * 4096, present and writable */
    movl $3, %eax
    movl $(MB * 256), %ecx
1:  movl %eax, (%edi)
    addl $4096, %eax
    addl $8, %edi
    loop 1b
    movl $level2, %edi
    movl $(pages + 3), %eax
    movl $(MB / 2), %ecx
1:  movl %eax, (%edi)
    addl $4096, %eax
    addl $8, %edi
    loop 1b
    movl $(level2 + 3), level3
    movl $(level3 + 3), level4
    movl $level4, %eax
    movl %eax, %cr3
    movl $0x40620, %eax             /* CR4: PAE, FXSR, SIMD exceptions, XSAVE */
    movl %eax, %cr4
    movl $0xC0000080, %ecx          /* EFER: long mode */
    rdmsr
    orl $0x100, %eax
    wrmsr
    movl %cr0, %eax
    andl $~0x4, %eax                /* no emulation of the FPU */
    orl $0x80000002, %eax           /* paging */
    movl %eax, %cr0
    lgdt gdt_pointer
    ljmp $8, $in_64_bits

    .code64
in_64_bits:
    movl $16, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %ss
    movl $stack_top, %esp
    movl $0xD, %eax                 /* XCR0: all state components there are */
    xorl %ecx, %ecx
    cpuid
    xorl %ecx, %ecx
    xsetbv
    call run
1:  hlt
    jmp 1b
    .section .note.GNU-stack, "", @progbits
