/* build_info.h - what this build runs on this machine with: threads, BLAS, ONNX, MPI, instruction set. */
#ifndef NB_CLI_BUILD_INFO_H
#define NB_CLI_BUILD_INFO_H

/* "threads: 2 (OpenMP 4.5, libgomp), kernels: avx512+vnni, BLAS: OpenBLAS 0.3.21 (Haswell), ONNX: yes, MPI: Open MPI 4.1.4" */
void cli_print_build(void);

/* "variants: float convolution avx512, integer convolution vnni, ...": the best of each family of kernels. */
void cli_print_variants(void);

#endif
