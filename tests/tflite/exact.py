"""exact.py - a TensorFlow Lite file computed as it says, with one rounding, half up, for each operator: what its kernels would give if they rounded
as the engine does. An oracle for the file, where LiteRT's kernels have roundings of their own. Slow: plain numpy.
"""
import math

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType

NUDGE = 2.0**-18  # more than scales, which are floats, leave of a tie; less than any other fraction that occurs


def half_up(v):
    return np.floor(v + 0.5 + NUDGE)


def mean_of(total, n, ratio):
    """A sum over n of what it is to be scaled by, half up after the engine's multiplier: which way halves go depends on where that lies to 1 / n."""
    ratio = 1 if abs(ratio - 1) < 1e-6 else ratio
    mantissa, exponent = math.frexp(ratio / n)
    mult, shift = round(mantissa * 2**31), 31 - exponent
    if not 1 <= shift <= 62:
        return half_up(total * (ratio / n)).astype(np.int64)
    return (total * mult + (1 << shift - 1)) >> shift


def windows(x, kh, kw, stride, dilation, pads, fill):
    """[n, oh, ow, kh, kw, c]"""
    x = np.pad(x, ((0, 0), pads[0], pads[1], (0, 0)), constant_values=fill)
    span = [(kh - 1) * dilation[0] + 1, (kw - 1) * dilation[1] + 1]
    v = np.lib.stride_tricks.sliding_window_view(x, span, axis=(1, 2))
    v = v[:, :: stride[0], :: stride[1], :, :: dilation[0], :: dilation[1]]
    return v.transpose(0, 1, 2, 4, 5, 3)


def sides(size, k, stride, dilation, same):
    missing = (-(-size // stride) - 1) * stride + (k - 1) * dilation + 1 - size if same else 0
    return max(missing, 0) // 2, max(missing, 0) - max(missing, 0) // 2


class Net:
    def __init__(self, path, options_of):
        self.it = Interpreter(path, experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES)
        self.it.allocate_tensors()
        self.tensors = {t["index"]: t for t in self.it.get_tensor_details()}
        self.ops = self.it._get_ops_details()
        self.options = options_of(path)

    def grid(self, t):
        q = self.tensors[t]["quantization_parameters"]
        return q["scales"].astype(np.float64), int(q["zero_points"][0]) if len(q["zero_points"]) else 0

    def constant(self, t):
        v = self.it.get_tensor(t)
        return v.astype(np.int64)

    def close(self, v, t, activation=0):
        """Real numbers, in units of t's scale, to codes."""
        (scale,), zero = self.grid(t)
        v = half_up(v) + zero
        if activation:
            v = np.maximum(v, zero)
        if activation == 3:
            v = np.minimum(v, zero + np.round(np.float32(6) / np.float32(scale)))
        info = np.iinfo(self.tensors[t]["dtype"])
        return np.clip(v, info.min, info.max).astype(np.int64)

    def conv(self, name, x, ins, out, o):
        (sx,), zx = self.grid(ins[0])
        sw, _ = self.grid(ins[1])
        (sy,), _ = self.grid(out)
        w, bias = self.constant(ins[1]), self.constant(ins[2])
        if name == "FULLY_CONNECTED":
            return self.close(((x - zx).reshape(len(x), -1) @ w.T + bias) * (sx * sw / sy), out, o[0])
        deep = name == "DEPTHWISE_CONV_2D"
        kh, kw = w.shape[1:3]
        stride, act, dil = (o[2], o[1]), o[4 if deep else 3], (o[6], o[5]) if deep else (o[5], o[4])
        pads = [sides(x.shape[1 + a], (kh, kw)[a], stride[a], dil[a], o[0] == 0) for a in (0, 1)]
        v = windows(x - zx, kh, kw, stride, dil, pads, 0)
        if deep:
            acc = np.einsum("nhwklc,klcm->nhwcm", v, w[0].reshape(kh, kw, x.shape[3], -1)).reshape(*v.shape[:3], -1)
            if (w == 1).all() and not bias.any():
                return self.close(mean_of(acc, kh * kw, sx * sw[0] / sy * kh * kw), out, act)
        else:
            g = x.shape[3] // w.shape[3]
            acc = np.concatenate(
                [
                    np.einsum("nhwklc,oklc->nhwo", v[..., i * w.shape[3] : (i + 1) * w.shape[3]], np.split(w, g)[i])
                    for i in range(g)
                ],
                axis=3,
            )
        return self.close((acc + bias) * (sx * sw / sy), out, act)

    def pool(self, name, x, out, o):
        kh, kw, stride = o[4], o[3], (o[2], o[1])
        pads = [sides(x.shape[1 + a], (kh, kw)[a], stride[a], 1, o[0] == 0) for a in (0, 1)]
        if name == "MAX_POOL_2D":
            v = windows(x, kh, kw, stride, (1, 1), pads, -128).max(axis=(3, 4))
        else:
            _, zero = self.grid(out)
            count = windows(np.ones_like(x), kh, kw, stride, (1, 1), pads, 0).sum(axis=(3, 4))
            total = windows(x - zero, kh, kw, stride, (1, 1), pads, 0).sum(axis=(3, 4))
            v = np.empty_like(total)
            for n in np.unique(count):
                v[count == n] = mean_of(total[count == n], int(n), 1)
            return self.close(v, out, o[5])
        _, zero = self.grid(out)
        return self.close(v - zero, out, o[5])

    def run(self, x):
        value = {self.it.get_input_details()[0]["index"]: x.astype(np.int64)}
        for op, o in zip(self.ops, self.options):
            name, ins, out = op["op_name"], [int(i) for i in op["inputs"]], int(op["outputs"][0])
            a = [value[i] if i in value else self.constant(i) for i in ins]
            real = [(a[k] - self.grid(i)[1]) * self.grid(i)[0][0] if len(self.grid(i)[0]) == 1 else None for k, i in enumerate(ins)]
            unit = self.grid(out)[0][0] if len(self.grid(out)[0]) else 1
            if name in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"):
                y = self.conv(name, a[0], ins, out, o)
            elif name in ("MAX_POOL_2D", "AVERAGE_POOL_2D"):
                y = self.pool(name, a[0], out, o)
            elif name == "ADD" and real[0] is None:
                y = a[0] + a[1]
            elif name == "ADD":
                y = self.close((real[0] + real[1]) / unit, out, o[0])
            elif name == "SUB":
                y = self.close((real[0] - real[1]) / unit, out, o[0])
            elif name == "MUL":
                y = self.close(real[0] * real[1] / unit, out, o[0])
            elif name == "MEAN":
                total = (a[0] - self.grid(ins[0])[1]).sum(axis=(1, 2))
                y = self.close(mean_of(total, a[0].shape[1] * a[0].shape[2], self.grid(ins[0])[0][0] / unit), out)
            elif name == "QUANTIZE":
                y = self.close(real[0] / unit, out)
            elif name == "CONCATENATION":
                y = np.concatenate(a, axis=3)
            elif name in ("MAXIMUM", "MINIMUM"):
                y = (np.maximum if name == "MAXIMUM" else np.minimum)(a[0], a[1])
            elif name == "RESHAPE":
                y = a[0].reshape(len(x), *a[1][1:])
            elif name in ("PAD", "PADV2"):
                y = np.pad(a[0], a[1], constant_values=a[2][0] if len(a) > 2 else self.grid(out)[1])
            elif name == "CAST":
                y = a[0]
            elif name == "GATHER":
                y = np.take(a[0], a[1], axis=o[0])
            else:
                raise ValueError(name)
            value[out] = y
        return value[self.it.get_output_details()[0]["index"]]
