/* fblas.c - the one user of OpenBLAS; without it (BLAS=none) there is no width, and nobody calls the rest. */
#include "kernels/float/fblas.h"

#include "base/cpu.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

/* ---- known products ---- */

enum { ROW_MAJOR = 101, AS_IS = 111, TRANSPOSED = 112 }; /* of every CBLAS */

/* Beyond 10^6 products OpenBLAS uses other kernels than below it, and sizes that nothing divides reach the kernels for
 * what is left over. Values are small integers, so every sum is exact in any order. */
enum { M = 133, N = 95, K = 101, SMALL = 17 };

typedef struct {
    float a[M * K], b[K * N], c[M * N];
} known_product;

static float value(int32_t i)
{
    return (float)(i * 7 % 13 - 6);
}

/* The forms in use: y = x w^T, dx = dy w, dw = dy^T x. */
static bool product_is_right(known_product *p, nb_fblas_sgemm *sgemm, int32_t m, int32_t n, int32_t k, bool ta, bool tb)
{
    for (int32_t i = 0; i < m * k; i++)
        p->a[i] = value(i);
    for (int32_t i = 0; i < k * n; i++)
        p->b[i] = value(i + 5);
    for (int32_t i = 0; i < m * n; i++)
        p->c[i] = value(i + 3);
    sgemm(ROW_MAJOR, ta ? TRANSPOSED : AS_IS, tb ? TRANSPOSED : AS_IS, m, n, k, 2.0f, p->a, ta ? m : k, p->b,
          tb ? k : n, 1.0f, p->c, n);
    for (int32_t i = 0; i < m; i++)
        for (int32_t j = 0; j < n; j++) {
            float sum = 0.0f;
            for (int32_t l = 0; l < k; l++)
                sum += p->a[ta ? l * m + i : i * k + l] * p->b[tb ? j * k + l : l * n + j];
            if (p->c[i * n + j] != 2.0f * sum + value(i * n + j + 3))
                return false;
        }
    return true;
}

bool nb_fblas_is_right(nb_fblas_sgemm *sgemm)
{
    static known_product p;
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    bool right = true;
    pthread_mutex_lock(&lock);
    for (int32_t form = 0; form < 3; form++) {
        right = right && product_is_right(&p, sgemm, M, N, K, form == 2, form == 0);
        right = right && product_is_right(&p, sgemm, SMALL, SMALL + 2, SMALL - 4, form == 2, form == 0);
    }
    pthread_mutex_unlock(&lock);
    return right;
}

/* ---- how wide its kernels are ---- */

enum { EVERY_PROCESSOR = 4 };

/* By the name of its kernels, which is a fact of the build and the processor: a measured speed would be another one
 * from run to run, and with it the bytes of a checkpoint. Names not known count as what every processor has. */
static int32_t width_of(const char *core)
{
    static const char *const wide[] = {"SkylakeX", "Cooperlake", "SapphireRapids", NULL};
    static const char *const middle[] = {"Haswell", "Zen", NULL};
    for (int32_t i = 0; wide[i]; i++)
        if (strcmp(core, wide[i]) == 0)
            return 16;
    for (int32_t i = 0; middle[i]; i++)
        if (strcmp(core, middle[i]) == 0)
            return 8;
    return EVERY_PROCESSOR;
}

const char *nb_fblas_core_for(const char *core, uint32_t have)
{
    return width_of(core) > EVERY_PROCESSOR ? NULL
           : have & NB_CPU_AVX512           ? "SkylakeX"
           : have & NB_CPU_AVX2             ? "Haswell"
                                            : NULL;
}

#ifdef NB_BLAS

#    include <cblas.h>

static struct {
    char name[160], complaint[400];
    int32_t width;
} blas;

static void sgemm(const int order, const int form_a, const int form_b, const int m, const int n, const int k,
                  const float alpha, const float *a, const int lda, const float *b, const int ldb, const float beta,
                  float *c, const int ldc)
{
    cblas_sgemm((CBLAS_ORDER)order, (CBLAS_TRANSPOSE)form_a, (CBLAS_TRANSPOSE)form_b, m, n, k, alpha, a, lda, b, ldb,
                beta, c, ldc);
}

/* A flavour without threads does not lock the list of its buffers (unless it was built with USE_LOCKING, which nothing
 * tells): two products at the same time may get the same one, and be wrong. Seen as other bytes in one run of twenty. */
static bool is_safe(void)
{
#    ifdef NB_SERIAL
    return true;
#    else
    return openblas_get_parallel() != OPENBLAS_SEQUENTIAL;
#    endif
}

static void look(void)
{
    char version[64] = "OpenBLAS";
    const char *config = openblas_get_config(); /* "OpenBLAS 0.3.21 NO_LAPACKE ..." */
    const char *end = strncmp(config, "OpenBLAS ", 9) == 0 ? strchr(config + 9, ' ') : NULL;
    if (end)
        snprintf(version, sizeof version, "%.*s", (int)(end - config), config);
    const char *core = openblas_get_corename();
    if (!is_safe()) {
        snprintf(blas.name, sizeof blas.name, "%s (%s), not used: it is the flavour without threads", version, core);
        snprintf(blas.complaint, sizeof blas.complaint,
                 "%s is the flavour without threads, whose products may not run side by side, so wide layers use "
                 "Nibble's own "
                 "kernels: install the one with threads (Debian: libopenblas0-pthread)",
                 version);
        return;
    }
    snprintf(blas.name, sizeof blas.name, "%s (%s)", version, core);
    nb_fblas_begin();
    const bool right = nb_fblas_is_right(sgemm);
    nb_fblas_end();
    if (right) {
        blas.width = width_of(core);
        return;
    }
    snprintf(
        blas.complaint, sizeof blas.complaint,
        "%s computes wrong products on this processor, so wide layers use Nibble's own kernels: update OpenBLAS, or "
        "set OPENBLAS_CORETYPE to an older core (Haswell) before the start",
        blas.name);
    snprintf(blas.name, sizeof blas.name, "%s (%s), not used: its products are wrong", version, core);
}

static void look_once(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, look);
}

int32_t nb_fblas_width(void)
{
    look_once();
    return blas.width;
}

const char *nb_fblas_name(void)
{
    look_once();
    return blas.name;
}

const char *nb_fblas_better_core(void)
{
    return nb_fblas_core_for(openblas_get_corename(), nb_cpu_features());
}

const char *nb_fblas_complaint(void)
{
    look_once();
    return *blas.complaint ? blas.complaint : NULL;
}

/* Loops of ours that multiply, and the host's number of threads. */
static struct {
    pthread_mutex_t lock;
    int32_t loops;
    int threads;
} use = {.lock = PTHREAD_MUTEX_INITIALIZER};

void nb_fblas_begin(void)
{
    pthread_mutex_lock(&use.lock);
    if (use.loops++ == 0) {
        use.threads = openblas_get_num_threads();
        if (use.threads != 1)
            openblas_set_num_threads(1);
    }
    pthread_mutex_unlock(&use.lock);
}

void nb_fblas_end(void)
{
    pthread_mutex_lock(&use.lock);
    if (--use.loops == 0 && use.threads != 1)
        openblas_set_num_threads(use.threads);
    pthread_mutex_unlock(&use.lock);
}

void nb_fblas_product(int32_t m, int32_t n, int32_t k, float alpha, nb_fblas_matrix a, nb_fblas_matrix b, float beta,
                      float *c, ptrdiff_t ldc)
{
    sgemm(ROW_MAJOR, a.form == NB_FBLAS_TRANSPOSED ? TRANSPOSED : AS_IS,
          b.form == NB_FBLAS_TRANSPOSED ? TRANSPOSED : AS_IS, m, n, k, alpha, a.data, (int)a.ld, b.data, (int)b.ld,
          beta, c, (int)ldc);
}

#else

int32_t nb_fblas_width(void)
{
    return 0;
}

const char *nb_fblas_name(void)
{
    return "none";
}

const char *nb_fblas_complaint(void)
{
    return NULL;
}

const char *nb_fblas_better_core(void)
{
    return NULL;
}

void nb_fblas_begin(void) {}

void nb_fblas_end(void) {}

void nb_fblas_product(int32_t m, int32_t n, int32_t k, float alpha, nb_fblas_matrix a, nb_fblas_matrix b, float beta,
                      float *c, ptrdiff_t ldc)
{
    (void)m, (void)n, (void)k, (void)alpha, (void)a, (void)b, (void)beta, (void)c, (void)ldc;
}

#endif
