/* ref_activation.c - see ref_activation.h. */
#include "ref/ref_activation.h"

#include <math.h>
#include <string.h>

bool ref_activation(const char *name, double x, double a, double b, double *y)
{
    const double below = expm1(x), normal = 0.5 * erfc(-x / sqrt(2)), most = 87;
    const double power = exp(fmin(fmax(a * log(fmax(fabs(x), 1e-30)), -most), most));
    const struct {
        const char *name;
        double value;
    } all[] = {
        {"sigmoid", 1 / (1 + exp(-x))},
        {"tanh", tanh(x)},
        {"hardsigmoid", fmin(fmax(a * x + b, 0), 1)},
        {"hardswish", x * fmin(fmax(x + 3, 0), 6) / 6},
        {"silu", x / (1 + exp(-a * x))},
        {"gelu", x * normal},
        {"gelu_tanh", 0.5 * x * (1 + tanh(sqrt(2 / 3.14159265358979323846) * (x + 0.044715 * pow(x, 3))))},
        {"leakyrelu", x > 0 ? x : a * x},
        {"prelu", x > 0 ? x : a * x},
        {"elu", x > 0 ? x : a * below},
        {"celu", x > 0 ? x : a * expm1(x / a)},
        {"selu", b * (x > 0 ? x : a * below)},
        {"softplus", fmax(x, 0) + log1p(exp(-fabs(x)))},
        {"mish", x * tanh(fmax(x, 0) + log1p(exp(-fabs(x))))},
        {"erf", erf(x)},
        {"softsign", x / (1 + fabs(x))},
        {"abs", fabs(x)},
        {"clip", fmin(fmax(x, a), b)},
        {"exp", exp(fmin(fmax(x, -most), most))},
        {"log", log(fmax(x, a))},
        {"pow", a == 2            ? fmin(x * x, 1e36)
                : x >= 0          ? power
                : a != floor(a)   ? 0
                : fmod(a, 2) == 0 ? power
                                  : -power},
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (strcmp(all[i].name, name) == 0) {
            *y = all[i].value;
            return true;
        }
    return false;
}
