#!/usr/bin/env python3
"""make_golden.py - numbers from PyTorch that tests/unit/test_golden.c compares with. Run it in this folder; needs torch.

Layers are computed in double and stored as float; activations are stored NHWC and weights OHWI, as Nibble keeps them.
A file holds several cases: tensors "<case>.x", "<case>.y", ... and in the metadata "<case>.layer", the layer as a config names it.
train.safetensors: a network, its initial parameters, 20 batches and the loss of each of 20 float steps.
"""
import json
import struct

import numpy as np
import torch
import torch.nn.functional as F

CODES = {np.dtype(np.float32): "F32", np.dtype(np.int32): "I32", np.dtype(np.uint8): "U8"}


def save(path, tensors, meta):
    """safetensors by hand: length, JSON, bytes; wide types first, so that everything is aligned."""
    header, blob = {"__metadata__": meta}, b""
    for name, a in sorted(tensors.items(), key=lambda t: (-t[1].dtype.itemsize, t[0])):
        raw = np.ascontiguousarray(a).tobytes()
        header[name] = {"dtype": CODES[a.dtype], "shape": list(a.shape), "data_offsets": [len(blob), len(blob) + len(raw)]}
        blob += raw
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    assert 8 + len(text) + len(blob) < 50000, (path, len(blob))
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + blob)


def f32(t):
    return t.detach().numpy().astype(np.float32)


def nhwc(t):
    return f32(t.permute(0, 2, 3, 1) if t.dim() == 4 else t)


def leaf(*shape, scale=1.0, shift=0.0):
    """Random double values that floats hold exactly: what Nibble reads is what PyTorch computed with."""
    t = (torch.randn(*shape, dtype=torch.float64) * scale + shift).to(torch.float32).to(torch.float64)
    return t.requires_grad_()


class Cases:
    """Collects cases of one file: inputs and their gradients by Nibble's name of the leaf."""

    def __init__(self, path):
        self.path, self.n, self.tensors, self.meta = path, 0, {}, {}

    def add(self, layer, inputs, y, extra=(), dy=None):
        """inputs: name -> tensor; names x, x1, x2 are activations. extra: name -> tensor stored as it is."""
        dy = leaf(*y.shape).detach() if dy is None else dy
        grads = torch.autograd.grad(y, list(inputs.values()), dy)
        p = f"{self.n}."
        self.meta[p + "layer"] = layer
        for (name, t), g in zip(inputs.items(), grads):
            self.tensors[p + name] = nhwc(t)
            self.tensors[p + "d." + name] = nhwc(g)
        self.tensors[p + "y"], self.tensors[p + "dy"] = nhwc(y), nhwc(dy)
        for name, t in dict(extra).items():
            self.tensors[p + name] = t if isinstance(t, np.ndarray) else f32(t)
        self.n += 1

    def close(self):
        save(self.path, self.tensors, self.meta)


def conv_cases():
    c = Cases("conv2d.safetensors")
    for n, h, w, ci, co, k, s, p, d, g, bias in [
        (2, 6, 5, 3, 8, 3, 1, 1, 1, 1, True),
        (1, 7, 6, 4, 6, 3, 2, 1, 1, 2, True),
        (2, 5, 5, 5, 9, 1, 1, 0, 1, 1, False),
        (1, 8, 8, 2, 3, 3, 1, 2, 2, 1, True),
        (1, 5, 7, 3, 17, 5, 3, 4, 1, 1, True),
    ]:
        x, wt, b = leaf(n, ci, h, w), leaf(co, ci // g, k, k, scale=0.3), leaf(co)
        y = F.conv2d(x, wt, b if bias else None, s, p, d, g)
        text = f"conv2d: {{out: {co}, kernel: {k}, stride: {s}, pad: {p}, dilation: {d}, groups: {g}, bias: {'yes' if bias else 'no'}}}"
        c.add(text, {"x": x, "weight": wt, **({"bias": b} if bias else {})}, y)
    c.close()

    c = Cases("dwconv2d.safetensors")
    for n, h, w, ci, m, k, s, p in [(2, 6, 5, 5, 1, 3, 1, 1), (1, 7, 7, 3, 2, 3, 2, 1), (1, 6, 6, 16, 1, 5, 1, 2)]:
        x, wt, b = leaf(n, ci, h, w), leaf(ci * m, 1, k, k, scale=0.3), leaf(ci * m)
        y = F.conv2d(x, wt, b, s, p, 1, ci)
        c.add(f"dwconv2d: {{kernel: {k}, stride: {s}, pad: {p}, multiplier: {m}}}", {"x": x, "weight": wt, "bias": b}, y)
    c.close()


def moves_cases():
    """Layers that move values; a transposed convolution is zeros between pixels and a convolution with its kernel turned."""
    torch.manual_seed(13)
    c = Cases("moves.safetensors")
    x = leaf(1, 6, 4, 3)
    c.add("shuffle: {groups: 3}", {"x": x}, F.channel_shuffle(x, 3))
    c.add('slice: {channels: "1::2", rows: ":3"}', {"x": x}, x[:, 1::2, :3])
    c.add("pad: {pad: [1, 2, 3, 0], mode: reflect}", {"x": x}, F.pad(x, (2, 0, 1, 3), mode="reflect"))
    c.add("pad: {pad: [1, 2, 3, 0], mode: edge}", {"x": x}, F.pad(x, (2, 0, 1, 3), mode="replicate"))
    c.add("pad: {pad: [1, 2, 3, 0], mode: wrap}", {"x": x}, F.pad(x, (2, 0, 1, 3), mode="circular"))
    c.add("pad: {channels: [1, 2]}", {"x": x}, F.pad(x, (0, 0, 0, 0, 1, 2)))
    x = leaf(1, 2, 4, 8)  # sizes whose shares are whole 2048ths
    c.add("upsample: {size: [8, 16], mode: bilinear}", {"x": x}, F.interpolate(x, (8, 16), mode="bilinear"))
    c.add("upsample: {size: [7, 15], mode: bilinear, align: corners}", {"x": x}, F.interpolate(x, (7, 15), mode="bilinear", align_corners=True))
    c.add("upsample: {size: [7, 5], align: asymmetric}", {"x": x}, F.interpolate(x, (7, 5), mode="nearest"))
    c.add("upsample: {size: [7, 5]}", {"x": x}, F.interpolate(x, (7, 5), mode="nearest-exact"))
    for h, w, ci, co, k, s, p, op, d, g in [(4, 3, 3, 4, (2, 2), 2, 0, 0, 1, 1), (3, 4, 4, 6, (3, 2), (2, 3), 1, 1, 1, 2), (4, 4, 2, 3, (3, 3), 1, 1, 0, 2, 1)]:
        x, wt, b = leaf(2, ci, h, w), leaf(co, ci // g, *k, scale=0.3), leaf(co)
        turned = wt.flip(2, 3).reshape(g, co // g, ci // g, *k).transpose(1, 2).reshape(ci, co // g, *k)
        y = F.conv_transpose2d(x, turned, b, s, p, op, g, d)
        sh, sw = (s, s) if isinstance(s, int) else s
        high, wide = (d * (n - 1) - p for n in k)
        zeros = f"pad: {{between: [{sh - 1}, {sw - 1}]}}\n"
        c.add(f"{zeros}conv2d: {{out: {co}, kernel: [{k[0]}, {k[1]}], pad: [{high}, {wide}, {high + op}, {wide + op}], dilation: {d}, groups: {g}}}", {"x": x, "weight": wt, "bias": b}, y)
    c.close()


def linear_cases():
    c = Cases("linear.safetensors")
    for n, k, o in [(3, 20, 10), (17, 9, 5)]:
        x, w, b = leaf(n, k), leaf(o, k), leaf(o)
        y = F.linear(x, w, b)
        w4 = w.reshape(o, k, 1, 1)  # OHWI: [out, 1, 1, in]
        y = F.linear(x, w4.reshape(o, k), b)
        c.add(f"linear: {{out: {o}}}", {"x": x, "weight": w4, "bias": b}, y)
    c.close()


def batchnorm_cases():
    c = Cases("batchnorm.safetensors")
    for shape, eps, momentum, train in [
        ((4, 6, 3, 5), 1e-5, 0.1, True),
        ((8, 7), 1e-3, 0.25, True),
        ((3, 4, 5, 2), 1e-5, 0.1, False),
    ]:
        ch = shape[1]
        x, gamma, beta = leaf(*shape, scale=2, shift=1), leaf(ch), leaf(ch)
        mean, var = leaf(ch).detach(), leaf(ch).detach().abs() + 0.5
        var = var.to(torch.float32).to(torch.float64)
        after_mean, after_var = mean.clone(), var.clone()
        y = F.batch_norm(x, after_mean, after_var, gamma, beta, train, momentum, eps)
        extra = {"mean": mean, "var": var, "after.mean": after_mean, "after.var": after_var,
                 "train": np.array([train], np.int32)}
        c.add(f"batchnorm: {{eps: {eps}, momentum: {momentum}}}", {"x": x, "gamma": gamma, "beta": beta}, y, extra)
    c.close()


def simple_cases():
    c = Cases("simple.safetensors")
    x = leaf(2, 5, 4, 3)
    c.add("relu: {}", {"x": x}, F.relu(x))
    x = leaf(2, 5, 4, 3, scale=5)
    c.add("relu: {cap: 6}", {"x": x}, F.relu6(x))
    x = leaf(2, 3, 7, 6)
    c.add("maxpool: {kernel: 2}", {"x": x}, F.max_pool2d(x, 2))
    x = leaf(2, 3, 7, 6)
    c.add("maxpool: {kernel: 3, stride: 2, pad: 1}", {"x": x}, F.max_pool2d(x, 3, 2, 1))
    x = leaf(2, 3, 7, 6)
    c.add("avgpool: {kernel: 3, stride: 2}", {"x": x}, F.avg_pool2d(x, 3, 2))
    x = leaf(2, 3, 7, 6)
    c.add("avgpool: {global: yes}", {"x": x}, F.adaptive_avg_pool2d(x, 1))
    a, b = leaf(2, 3, 4, 5), leaf(2, 3, 4, 5)
    c.add("add: {}", {"x": a, "x1": b}, a + b)
    a, b, d = leaf(2, 3, 4, 5), leaf(2, 1, 4, 5), leaf(2, 4, 4, 5)
    c.add("concat: {}", {"x": a, "x1": b, "x2": d}, torch.cat([a, b, d], 1))
    for classes, smoothing in [(10, 0.0), (7, 0.1)]:
        x, labels = leaf(6, classes, scale=3), torch.randint(classes, (6,))
        loss = F.cross_entropy(x, labels, label_smoothing=smoothing)
        correct = (x.argmax(1) == labels).sum().to(torch.float64).reshape(1)
        y = torch.cat([loss.reshape(1), correct])
        dy = torch.tensor([1.0, 0.0], dtype=torch.float64)
        c.add(f"softmax_xent: {{smoothing: {smoothing}}}", {"x": x}, y, {"labels": labels.numpy().astype(np.int32)}, dy)
    c.close()


def qparams(lo, hi, bits, weights):
    """Scale and zero point in float, as src/quant/qparams.c says."""
    lo, hi = np.float32(min(lo, 0)), np.float32(max(hi, 0))
    if weights:
        qmax = 2 ** (bits - 1) - 1
        return max(-lo, hi) / np.float32(qmax), 0, -qmax, qmax
    qmax = 2**bits - 1
    s = (hi - lo) / np.float32(qmax)
    return s, int(np.rint(-lo / s)), 0, qmax


def fakequant_cases():
    """Forward and straight-through gradient. Ranges are narrower than the data, so that both ends clip."""
    tensors, meta, n = {}, {}, 0
    for bits, weights, channels in [(8, True, 1), (4, True, 1), (2, True, 1), (8, True, 6), (3, True, 6), (8, False, 1), (4, False, 1), (2, False, 1)]:
        x = torch.randn(6, 40).requires_grad_()
        dy = torch.randn(6, 40)
        lows = [np.float32(-(1.2 + 0.1 * i)) for i in range(channels)]
        highs = [np.float32(1.2 + 0.1 * i) if weights else np.float32(1.9) for i in range(channels)]
        q = [qparams(lo, hi, bits, weights) for lo, hi in zip(lows, highs)]
        scale = torch.tensor(np.array([v[0] for v in q], np.float32))
        zero = torch.tensor([v[1] for v in q], dtype=torch.int32)
        if channels == 1:
            y = torch.fake_quantize_per_tensor_affine(x, float(scale[0]), int(zero[0]), q[0][2], q[0][3])
        else:
            y = torch.fake_quantize_per_channel_affine(x, scale, zero, 0, q[0][2], q[0][3])
        (dx,) = torch.autograd.grad(y, x, dy)
        # PyTorch multiplies by 1/s, Nibble divides by s: keep the data away from where that could matter
        steps = x.detach() / (scale[:, None] if channels > 1 else scale[0])
        assert ((steps - steps.floor() - 0.5).abs() > 1e-5).all()
        p = f"{n}."
        meta[p + "fakequant"] = f"{bits} {'weights' if weights else 'activations'} {channels}"
        tensors.update({p + "x": f32(x), p + "dy": f32(dy), p + "y": f32(y), p + "d.x": f32(dx), p + "scale": f32(scale),
                        p + "zero": zero.numpy(), p + "lo": np.array(lows), p + "hi": np.array(highs)})
        n += 1
    save("fakequant.safetensors", tensors, meta)


def learned_step(x, s, zero, lo, hi, n):
    """LSQ (Esser et al. 2020): rounding is passed straight through, the scale's gradient is multiplied by 1/sqrt(n * hi)."""
    g = 1 / np.sqrt(n * hi)
    s = (s - s * g).detach() + s * g
    v = x / s
    code = v.round().detach() + zero
    code = torch.where((code >= lo) & (code <= hi), code + (v - v.detach()), code.clamp(lo, hi))  # clamp() itself passes no gradient at its ends
    return s * (code - zero)


def lsq_cases():
    """Forward, and the gradients of values and scales, in double. Scales are not the range's; both ends clip."""
    torch.manual_seed(7)
    tensors, meta, n = {}, {}, 0
    for bits, weights, channels, asymmetric in [(8, True, 1, 0), (4, True, 1, 0), (2, True, 6, 0), (4, True, 6, 0), (8, False, 1, 1), (4, False, 1, 1), (2, False, 1, 1)]:
        x, dy = leaf(6, 40), leaf(6, 40).detach()
        lo, hi = np.float32(-1.2), np.float32(1.9)
        s0, zero, first, last = qparams(lo, hi, bits, weights)
        scale = torch.tensor([np.float32(s0 * (0.7 + 0.1 * i)) for i in range(channels)], dtype=torch.float64)
        scale.requires_grad_()
        values = 40 if channels > 1 or not weights else 240  # that share a scale; of one image for activations
        y = learned_step(x, scale[:, None] if channels > 1 else scale, zero, first, last, values)
        dx, ds = torch.autograd.grad(y, [x, scale], dy)
        steps = (x / (scale[:, None] if channels > 1 else scale)).detach()
        assert ((steps - steps.floor() - 0.5).abs() > 1e-5).all()
        p = f"{n}."
        meta[p + "lsq"] = f"{bits} {'weights' if weights else 'activations'} {channels}"
        tensors.update({p + "x": f32(x), p + "dy": f32(dy), p + "y": f32(y), p + "d.x": f32(dx), p + "scale": f32(scale),
                        p + "d.scale": f32(ds), p + "zero": np.array([zero] * channels, np.int32),
                        p + "lo": np.array([lo] * channels), p + "hi": np.array([hi] * channels)})
        n += 1
    save("lsq.safetensors", tensors, meta)


def rounded(v):
    return v + (v.round() - v).detach()


def quantized(x, s, z, lo, hi):
    """clamp(round(x / s) + z), as reals; rounding is passed straight through, a clipped code is the end of the grid."""
    code = rounded(x / s) + z
    inside = (code >= lo) & (code <= hi)
    return s * (torch.where(inside, code, code.detach().clamp(lo, hi)) - z), inside


def balanced(p, n, hi):
    """LSQ's factor: the same value, its gradient times 1/sqrt(n * hi)."""
    g = 1 / np.sqrt(n * hi)
    return (p - p * g).detach() + p * g


def by_lsqplus(x, p, zero, lo, hi, n):
    s, b = balanced(p[:, :1], n, hi), balanced(p[:, 1:], n, hi)
    z = torch.zeros_like(s) if lo < 0 else rounded((-b / s).clamp(lo, hi))
    return quantized(x, s, z, lo, hi)[0] + 0 * b


def by_scale_zero(x, p, zero, lo, hi, n):
    return quantized(x, balanced(p[:, :1], n, hi), rounded(p[:, 1:].clamp(lo, hi)), lo, hi)[0]


def by_tqt(x, p, zero, lo, hi, n):
    return quantized(x, torch.exp2(p), zero, lo, hi)[0]


def by_tqt_pow2(x, p, zero, lo, hi, n):
    return quantized(x, torch.exp2(p + (p.ceil() - p).detach()), zero, lo, hi)[0]


def by_pact(x, p, zero, lo, hi, n):
    y, inside = quantized(x, (p / hi).detach(), 0, lo, hi)
    return torch.where(inside, y, p)


def by_ttq(x, p, zero, lo, hi, n):
    """Trained ternary: P, 0 or -N, of weights beyond 0.05 of the largest; a weight's gradient is scaled by its magnitude."""
    p = p / np.sqrt(n) + (p - p / np.sqrt(n)).detach()
    limit = 0.05 * x.abs().max().detach()
    one = 1 + (x - x.detach())  # 1, and the gradient of x
    return torch.where(x > limit, p[:, :1] * one, torch.where(x < -limit, -p[:, 1:] * (2 - one), x - x.detach()))


def by_codebook(x, p, zero, lo, hi, n):
    """The nearest of four entries; weights straight through up to half the mean distance beyond the ends."""
    book = (p / np.sqrt(n) + (p - p / np.sqrt(n)).detach())[0, :4]
    y = book[(x.detach()[..., None] - book.detach()).abs().argmin(-1)]
    half = (book.max() - book.min()).detach() / 6
    inside = (x >= book.min().detach() - half) & (x <= book.max().detach() + half)
    return y + torch.where(inside, x - x.detach(), 0)


def dorefa_cases():
    """DoReFa's weights (the paper's formula, its maximum differentiated) and activations, in double."""
    torch.manual_seed(9)
    tensors, meta, n = {}, {}, 0
    for bits, weights in [(2, True), (4, True), (7, True), (2, False), (5, False)]:
        x, dy = leaf(6, 20), leaf(6, 20).detach()
        steps = 2**bits - 1
        if weights:
            t = torch.tanh(x)
            y = 2 * rounded(steps * (t / t.abs().max() / 2 + 0.5)) / steps - 1
        else:
            x = x.detach().clamp(min=0).requires_grad_()
            y = quantized(x, torch.tensor(1 / steps, dtype=torch.float64), 0, 0, steps)[0]
        p = f"{n}."
        meta[p + "dorefa"] = f"{bits} {'weights' if weights else 'activations'}"
        tensors.update({p + "x": f32(x), p + "dy": f32(dy), p + "y": f32(y), p + "d.x": f32(torch.autograd.grad(y, x, dy)[0])})
        n += 1
    save("dorefa.safetensors", tensors, meta)


def learned_cases():
    """Forward, and the gradients of values and of what is learned, in double. Both ends clip, where there are two."""
    torch.manual_seed(8)
    tensors, meta, n = {}, {}, 0
    cases = [("lsqplus", "uniform", bits, False, 1, [0.8, -0.3]) for bits in (8, 4, 2)]
    cases += [("lsqplus", "uniform", 4, True, 6, [0.9, 0])]
    cases += [("scale_zero", "uniform", bits, False, 1, [0.8, 0.4]) for bits in (8, 4, 2)]
    cases += [("tqt", "uniform", 4, False, 1, [0.8]), ("tqt", "uniform", 2, True, 1, [0.9]), ("tqt", "pow2", 4, True, 6, [0.7])]
    cases += [("pact", "uniform", 4, False, 1, [0.6]), ("pact", "uniform", 2, False, 1, [0.8])]
    cases += [("ttq", "uniform", 2, True, 1, []), ("codebook", "uniform", 2, True, 1, [])]
    for method, form, bits, weights, channels, begin in cases:
        x, dy = leaf(6, 20), leaf(6, 20).detach()
        if method == "pact":
            x = x.detach().clamp(min=0).requires_grad_()
        lo, hi = np.float32(0 if method == "pact" else -1.2), np.float32(1.9)
        s0, zero, first, last = qparams(lo, hi, bits, weights)
        rows = []
        for i in range(channels):
            s, at = s0 * ((begin or [1])[0] + 0.05 * i), (begin or [0])[-1]
            rows.append({"lsqplus": [s, at if not weights else 0], "scale_zero": [s, at * last + 0.3],
                         "tqt": [np.log2(s)], "pact": [s * last], "ttq": [1.27, 0.83],
                         "codebook": [-1.27, 0.11, 0.83, -0.52] + 12 * [0]}[method])  # 127 and 83 hundredths
        p = torch.tensor(np.array(rows, np.float32), dtype=torch.float64).requires_grad_()
        values = 20 if channels > 1 or not weights else 120  # that share a scale; of one image for activations
        rule = {"lsqplus": by_lsqplus, "scale_zero": by_scale_zero, "tqt": by_tqt_pow2 if form == "pow2" else by_tqt, "pact": by_pact, "ttq": by_ttq, "codebook": by_codebook}[method]
        y = rule(x, p, zero, first, last, values)
        dx, dp = torch.autograd.grad(y, [x, p], dy)
        assert (dp[:, 0] != 0).all()
        at = f"{n}."
        meta[at + "learned"] = f"{method} {form} {bits} {'weights' if weights else 'activations'} {channels}"
        tensors.update({at + "x": f32(x), at + "dy": f32(dy), at + "y": f32(y), at + "d.x": f32(dx), at + "param": f32(p), at + "d.param": f32(dp),
                        at + "lo": np.array([lo] * channels), at + "hi": np.array([hi] * channels)})
        n += 1
    save("learned.safetensors", tensors, meta)
def folded_norm_cases():
    """The two-pass fold (Krishnamoorthi 2018): conv(x, q(gamma W / sigma)) sigma / sigma_B + beta - gamma (mu_B - b) / sigma_B, with the running
    sigma a constant and mu_B, sigma_B of the float convolution; frozen: the running ones. Weights clip at both ends."""
    torch.manual_seed(11)
    tensors, meta = {}, {}
    eps, momentum = 1e-3, 0.25
    for k, (layer, bits, per_channel, train, run) in enumerate([
        ("conv2d: {out: 6, kernel: 3, pad: 1}", 4, False, True, lambda x, w, b: F.conv2d(x, w, b, 1, 1)),
        ("conv2d: {out: 6, kernel: 3, stride: 2, bias: no}", 3, True, True, lambda x, w, b: F.conv2d(x, w, b, 2)),
        ("dwconv2d: {kernel: 3, pad: 1, multiplier: 2}", 8, True, True, lambda x, w, b: F.conv2d(x, w, b, 1, 1, 1, 3)),
        ("linear: {out: 6}", 4, False, True, lambda x, w, b: F.linear(x, w.reshape(6, -1), b)),
        ("conv2d: {out: 6, kernel: 3, pad: 1}", 4, False, False, lambda x, w, b: F.conv2d(x, w, b, 1, 1)),
    ]):
        x = leaf(9, 20) if "linear" in layer else leaf(3, 3, 6, 5)
        w = leaf(6, 20, 1, 1, scale=0.3) if "linear" in layer else leaf(6, 1 if "dw" in layer else 3, 3, 3, scale=0.3)
        b = None if "bias: no" in layer else leaf(6, scale=0.5)
        gamma, beta, mean, var = leaf(6, shift=0.5), leaf(6), leaf(6).detach(), leaf(6, scale=0.2, shift=1.5).detach()
        sigma = (var + eps).sqrt()
        folded = w * (gamma / sigma)[:, None, None, None]
        flat, qmax = folded.detach().reshape(6, -1), 2 ** (bits - 1) - 1
        high = (0.8 * (flat.abs().amax(1) if per_channel else flat.abs().max()[None])).to(torch.float32)
        s = (high.numpy() / np.float32(qmax)).astype(np.float64)
        v = folded / torch.tensor(s)[:, None, None, None]
        assert ((v.detach() - v.detach().floor() - 0.5).abs() > 1e-5).all()
        code = torch.where(v.detach().round().abs() <= qmax, v.detach().round() + (v - v.detach()), v.detach().round().clamp(-qmax, qmax))
        z = run(x, code * torch.tensor(s)[:, None, None, None], None)
        y0 = run(x, w, b)
        axes, shape = ([0], (1, 6)) if y0.dim() == 2 else ([0, 2, 3], (1, 6, 1, 1))
        mu, biased = y0.mean(axes), y0.var(axes, unbiased=False)
        mu_b, sigma_b = (mu, (biased + eps).sqrt()) if train else (mean, sigma)
        shift = beta - gamma * (mu_b - (0 if b is None else b)) / sigma_b
        y = z * (sigma / sigma_b).reshape(shape) + shift.reshape(shape)
        dy = leaf(*y.shape).detach()
        inputs = {"x": x, "weight": w, "gamma": gamma, "beta": beta, **({} if b is None else {"bias": b})}
        grads = torch.autograd.grad(y, list(inputs.values()), dy)
        p = f"{k}."
        meta[p + "layer"], meta[p + "weights"] = layer, f"{bits} {6 if per_channel else 1}"
        meta[p + "norm"] = f"batchnorm: {{eps: {eps}, momentum: {momentum}}}"
        for (name, t), g in zip(inputs.items(), grads):
            tensors[p + name], tensors[p + "d." + name] = nhwc(t), nhwc(g)
        unbiased = y0.var(axes, unbiased=True)
        tensors.update({p + "y": nhwc(y), p + "dy": nhwc(dy), p + "high": f32(high), p + "train": np.array([train], np.int32),
                        p + "mean": f32(mean), p + "var": f32(var),
                        p + "after.mean": f32((1 - momentum) * mean + momentum * mu if train else mean),
                        p + "after.var": f32((1 - momentum) * var + momentum * unbiased if train else var)})
    save("folded_norm.safetensors", tensors, meta)


MODEL = """model:
- input: {mean: 0.5, std: 0.25}
- conv2d: {name: c1, out: 8, kernel: 3, pad: 1, bias: no}
- batchnorm: {name: b1}
- relu
- conv2d: {name: c2, out: 12, kernel: 3, pad: 1, stride: 2, bias: no}
- batchnorm: {name: b2}
- relu
- avgpool: {global: yes}
- linear: {name: fc, out: 4}
- softmax_xent
"""


def train_case():
    steps, batch, size, classes = 20, 8, 9, 4
    net = torch.nn.ModuleDict({
        "c1": torch.nn.Conv2d(3, 8, 3, padding=1, bias=False), "b1": torch.nn.BatchNorm2d(8),
        "c2": torch.nn.Conv2d(8, 12, 3, padding=1, stride=2, bias=False), "b2": torch.nn.BatchNorm2d(12),
        "fc": torch.nn.Linear(12, classes)})
    weights = [net["c1"].weight, net["c2"].weight, net["fc"].weight]
    others = [net["b1"].weight, net["b1"].bias, net["b2"].weight, net["b2"].bias, net["fc"].bias]
    tensors = {"c1.weight": f32(net["c1"].weight.permute(0, 2, 3, 1)), "c2.weight": f32(net["c2"].weight.permute(0, 2, 3, 1)),
               "fc.weight": f32(net["fc"].weight.reshape(classes, 1, 1, 12)), "fc.bias": f32(net["fc"].bias)}
    opt = torch.optim.SGD([{"params": weights, "weight_decay": 5e-4}, {"params": others, "weight_decay": 0}],
                          lr=0.1, momentum=0.9, nesterov=True)
    labels = torch.randint(classes, (steps, batch))
    pixels = torch.randint(256, (steps, batch, size, size, 3), dtype=torch.int32)
    stripes = 60 * ((torch.arange(size)[None, :] * (labels.flatten()[:, None] + 1)) % 3 - 1)  # something to learn
    pixels = (pixels + stripes.reshape(steps, batch, size, 1, 1)).clamp(0, 255).to(torch.uint8)
    losses = []
    for s in range(steps):
        x = (pixels[s].to(torch.float32) / 255 - 0.5) / 0.25
        x = F.relu(net["b1"](net["c1"](x.permute(0, 3, 1, 2))))
        x = F.relu(net["b2"](net["c2"](x)))
        loss = F.cross_entropy(net["fc"](x.mean((2, 3))), labels[s])
        opt.zero_grad()
        loss.backward()
        opt.step()
        losses.append(loss.item())
    tensors.update({"losses": np.array(losses, np.float32), "pixels": pixels.numpy(), "labels": labels.numpy().astype(np.int32),
                    "after.fc.weight": f32(net["fc"].weight), "after.b2.var": f32(net["b2"].running_var)})
    save("train.safetensors", tensors, {"model": MODEL, "lr": "0.1", "momentum": "0.9", "weight_decay": "5e-4"})
    print("losses", " ".join(f"{v:.4f}" for v in losses))


def activation_cases():
    torch.manual_seed(31)
    c = Cases("activations.safetensors")
    slope, one = leaf(5), leaf(1)
    for layer, f in {
        "sigmoid: {}": torch.sigmoid,
        "tanh: {}": torch.tanh,
        "hardsigmoid: {}": F.hardsigmoid,
        "hardswish: {}": F.hardswish,
        "silu: {}": F.silu,
        "silu: {alpha: 1.702}": lambda x: x * torch.sigmoid(float(np.float32(1.702)) * x),
        "gelu: {}": F.gelu,
        "gelu_tanh: {}": lambda x: F.gelu(x, approximate="tanh"),
        "leakyrelu: {slope: 0.25}": lambda x: F.leaky_relu(x, 0.25),
        "elu: {alpha: 0.5}": lambda x: F.elu(x, 0.5),
        "celu: {alpha: 0.5}": lambda x: F.celu(x, 0.5),
        "selu: {}": F.selu,
        "softplus: {}": F.softplus,
        "mish: {}": F.mish,
        "softsign: {}": F.softsign,
        "abs: {}": torch.abs,
        "clip: {low: -0.5, high: 2}": lambda x: F.hardtanh(x, -0.5, 2.0),
        "exp: {}": torch.exp,
        "log: {floor: 0.25}": lambda x: x.clamp(min=0.25).log(),
        "pow: {}": torch.square,
        "pow: {power: 3}": lambda x: x**3,
    }.items():
        x = leaf(1, 5, 3, 2, scale=4)
        c.add(layer, {"x": x}, f(x))
    x = leaf(2, 5, 3, 2)
    c.add("prelu: {}", {"x": x, "slope": slope}, F.prelu(x, slope))
    x = leaf(3, 5)
    c.add("prelu: {channels: no}", {"x": x, "slope": one}, F.prelu(x, one))
    c.close()


if __name__ == "__main__":
    torch.manual_seed(2024)
    torch.set_num_threads(1)
    conv_cases()
    linear_cases()
    batchnorm_cases()
    simple_cases()
    fakequant_cases()
    train_case()
    lsq_cases()  # seeds itself: the files above are as they were
    learned_cases()
    dorefa_cases()
    folded_norm_cases()  # as well
    moves_cases()  # as well
    activation_cases()  # as well
