"""check.py - what LiteRT makes of exported networks, against the engine's logits (files of tests/onnx/export_networks.c).

usage: check.py DIR      needs numpy and ai-edge-litert
By variant of the export (int8; int4: weights of up to 4 bits are INT4; pixels: int8, and the table of pixels is in the network) and by set of kernels
(exact: the file as exact.py computes it, with the engine's rounding; xnnpack: LiteRT's default; builtin: without XNNPACK; reference): how many logits are
bit-equal, how many images have none that is more than one step off, and how many have the engine's top-1. A step is one of the file's output, or 1/255
of the logits' spread where that is more.
Fails where exact logits of more than one image in twenty are more than a step off (scales are floats, so that a tie may fall the other way), or where fewer than 99.9 % of a trained network's images (no file of random networks has this many) have the same top-1;
99 % with kernels that round products twice, as all but xnnpack's do, and as LiteRT takes for INT4.
"""
import glob
import sys

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from exact import Net

KERNELS = {
    "exact": None,
    "xnnpack": OpResolverType.AUTO,
    "builtin": OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    "reference": OpResolverType.BUILTIN_REF,
}
TRAINED = 1000  # images
MOST = {"exact": 200, "reference": 1000}  # slow ones


def load(path):
    raw = open(path, "rb").read()
    n, c, h, w, k = np.frombuffer(raw, np.int32, 5)
    scale = np.frombuffer(raw, np.float32, 1, 20)[0]
    pixels = np.frombuffer(raw, np.uint8, n * c * h * w, 24).reshape(n, c, h, w).transpose(0, 2, 3, 1)
    return scale, pixels, np.frombuffer(raw, np.float32, n * k, 24 + pixels.size).reshape(n, k)


def table_of(path):
    """Metadata "nibble.pixels": the code of every pixel value, of all channels or of each."""
    model = schema.Model.GetRootAs(open(path, "rb").read(), 0)
    for i in range(model.MetadataLength()):
        m = model.Metadata(i)
        if m.Name() == b"nibble.pixels":
            return model.Buffers(m.Buffer()).DataAsNumpy().view(np.int8).reshape(-1, 256)
    return None


def options_of(path):
    """The values of every operator's options, in the order of the schema."""
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(open(path, "rb").read(), 0))
    return [[getattr(o, f) for f in FIELDS.get(type(o).__name__, ())] for o in (op.builtinOptions for op in model.subgraphs[0].operators)]


WINDOW = ["padding", "strideW", "strideH"]
FIELDS = {
    "Conv2DOptionsT": WINDOW + ["fusedActivationFunction", "dilationWFactor", "dilationHFactor"],
    "DepthwiseConv2DOptionsT": WINDOW + ["depthMultiplier", "fusedActivationFunction", "dilationWFactor", "dilationHFactor"],
    "Pool2DOptionsT": WINDOW + ["filterWidth", "filterHeight", "fusedActivationFunction"],
    "FullyConnectedOptionsT": ["fusedActivationFunction"],
    "GatherOptionsT": ["axis"],
    "AddOptionsT": ["fusedActivationFunction"],
    "MulOptionsT": ["fusedActivationFunction"],
    "SubOptionsT": ["fusedActivationFunction"],
}


def run(path, kernels, pixels):
    table = table_of(path)
    if table is not None:
        channels = np.arange(pixels.shape[3]) if len(table) > 1 else 0
        pixels = table[channels, pixels]
    if kernels == "exact":
        net = Net(path, options_of)
        (scale,), zero = net.grid(net.it.get_output_details()[0]["index"])
        return net.run(pixels), scale, zero
    it = Interpreter(path, experimental_op_resolver_type=KERNELS[kernels], num_threads=1)
    it.allocate_tensors()
    to, of = it.get_input_details()[0], it.get_output_details()[0]
    got = np.empty((len(pixels), of["shape"][-1]), np.int32)
    for i, image in enumerate(pixels):
        it.set_tensor(to["index"], image[None])
        it.invoke()
        got[i] = it.get_tensor(of["index"])[0]
    scale, zero = of["quantization"]
    return got, np.float64(scale), zero


def check(variant, kernels):
    """Prints what LiteRT gave; returns whether any network is wrong."""
    logits = equal = images = within = same = ties = 0
    farthest = 0.0
    bad = []
    for path in sorted(glob.glob(f"{sys.argv[1]}/n*.{variant}.tflite")):
        _, pixels, want = load(path[: -len(f"{variant}.tflite")] + "bin")
        pixels, want = pixels[: MOST.get(kernels)], want[: MOST.get(kernels)]
        got, scale, zero = run(path, kernels, pixels)
        real = (got - zero) * scale
        step = max(scale, (want.max() - want.min()) / 255)
        far = np.abs(real - want).max(axis=1)
        top = want[np.arange(len(want)), got.argmax(axis=1)] == want.max(axis=1)
        logits += got.size
        equal += (got == np.rint(want / scale) + zero).sum()
        images += len(want)
        within += (far <= step * 1.001).sum()
        same += top.sum()
        ties += (~top & ((got == got.max(axis=1, keepdims=True)).sum(axis=1) > 1)).sum()
        farthest = max(farthest, far.max() / step)
        least = 0.999 if kernels == "xnnpack" and variant != "int4" else 0.99
        if kernels == "exact" and (far > step).mean() > 0.05 or top.mean() < least and len(want) >= TRAINED:
            bad.append((path, top.mean(), far.max() / step))
    print(
        f"{variant}, {kernels}: {images} images: {100 * equal / logits:.2f} % of the logits bit-equal, {100 * within / images:.2f} % of the images within a step"
        f" (at most {farthest:.2f} steps), top-1 {100 * same / images:.3f} % ({images - same} others, {ties} of them ties)",
        flush=True,
    )
    for path, top, far in bad[:20]:
        print(f"  {path}: top-1 {100 * top:.2f} %, up to {far:.1f} steps")
    return bool(bad)


# LiteRT's reference kernels do not know the version of DEPTHWISE_CONV_2D that has INT4.
sys.exit(any([check(v, k) for v in ("int8", "int4", "pixels") for k in KERNELS if (v, k) != ("int4", "reference")]))
