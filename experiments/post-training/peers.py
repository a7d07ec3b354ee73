"""peers.py - post-training quantization by other tools, of the same float weights on the same calibration images; for README.md's table.

usage: peers.py NIBBLE CHECKPOINT DATA OUT.csv [TOOL...]       TOOL: ort, aimet (default: all that import)

CHECKPOINT is a sweep's float start (runs/starts/cifar10-resnet20-.../last.safetensors), exported as ONNX by `nibble export`; images are the 1,024
that `nibble quantize` takes for seeds 1, 2, 3 (their order is drawn again here). ort: onnxruntime's quantize_static, QDQ, min-max,
after its quant_pre_process. aimet: batch norms folded, cross-layer equalization, AdaRound, ranges by min-max or MSE as its
QuantizationSimModel does by default. All are evaluated on all test images, in the runtime's own arithmetic (aimet: simulated).
Needs numpy, onnx, onnxruntime; aimet-onnx for aimet. Prints a row per tool, bits, granularity and seed, also into OUT.csv.
"""
import csv
import gzip
import importlib.util
import logging
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort

SEEDS, IMAGES, BATCH, ITERATIONS, MASK = (1, 2, 3), 1024, 100, 10000, (1 << 64) - 1


# ---- the calibration images of `nibble quantize`: a shuffle of all training images by Philox 4x32-10 (src/base/rng.c) ----


def mix(a, b):
    def finalize(x):
        x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 & MASK
        x = (x ^ x >> 27) * 0x94D049BB133111EB & MASK
        return x ^ x >> 31

    return finalize(finalize(a + 0x9E3779B97F4A7C15 & MASK) + b & MASK)


def hash_text(text):
    h = 0xCBF29CE484222325
    for byte in text.encode():
        h = (h ^ byte) * 0x100000001B3 & MASK
    return h


def philox_words(key, count):
    """The first `count` 32-bit words of a stream (stream number 0)."""
    blocks = np.arange((count + 3) // 4, dtype=np.uint64)
    low32, shift = np.uint64(0xFFFFFFFF), np.uint64(32)
    c0, c1 = blocks & low32, blocks >> shift
    c2, c3 = np.zeros_like(blocks), np.zeros_like(blocks)
    k0, k1 = key & 0xFFFFFFFF, key >> 32
    for _ in range(10):
        p0, p1 = np.uint64(0xD2511F53) * c0, np.uint64(0xCD9E8D57) * c2
        c0, c1, c2, c3 = p1 >> shift ^ c1 ^ np.uint64(k0), p1 & low32, p0 >> shift ^ c3 ^ np.uint64(k1), p0 & low32
        k0, k1 = k0 + 0x9E3779B9 & 0xFFFFFFFF, k1 + 0xBB67AE85 & 0xFFFFFFFF
    return np.stack([c0, c1, c2, c3], 1).reshape(-1)


def sample(count, seed):
    words = iter(philox_words(mix(seed, hash_text("validation")), 2 * count).tolist())

    def below(n):
        product = next(words) * n
        if product & 0xFFFFFFFF < n:
            while product & 0xFFFFFFFF < (1 << 32) % n:
                product = next(words) * n
        return product >> 32

    order = list(range(count))
    for i in range(count - 1, 0, -1):
        k = below(i + 1)
        order[i], order[k] = order[k], order[i]
    return order[:IMAGES]


# ---- data, network, accuracy ----


def read_cifar(folder, names):
    parts = []
    for name in names:
        path = Path(folder) / f"{name}.bin"
        raw = path.read_bytes() if path.exists() else gzip.decompress(path.with_suffix(".bin.gz").read_bytes())
        parts.append(np.frombuffer(raw, np.uint8).reshape(-1, 3073))
    rows = np.concatenate(parts)
    return rows[:, 1:].reshape(-1, 3, 32, 32), rows[:, 0].astype(np.int64)


def normalised(pixels, network):
    about = {p.key: np.array([float(v) for v in p.value.split()], np.float32).reshape(1, -1, 1, 1) for p in network.metadata_props}
    return (pixels.astype(np.float32) / 255 - about["mean"]) / about["std"]


def accuracy(session, images, labels):
    name = session.get_inputs()[0].name
    right = 0
    for at in range(0, len(images), BATCH):
        logits = session.run(None, {name: images[at : at + BATCH]})[0]
        right += int((logits.reshape(len(logits), -1).argmax(1) == labels[at : at + BATCH]).sum())
    return 100 * right / len(images)


def session_of(path):
    return ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])


# ---- tools: each yields (bits, granularity, accuracy) ----


def by_ort(path, calibration, images, labels):
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):
        def __init__(self, name):
            self.batches = iter([{name: calibration[at : at + BATCH]} for at in range(0, len(calibration), BATCH)])

        def get_next(self):
            return next(self.batches, None)

    name = session_of(path).get_inputs()[0].name
    ready, done = path.with_name("ready.onnx"), path.with_name("done.onnx")
    quant_pre_process(str(path), str(ready))
    for per_channel in (False, True):
        quantize_static(str(ready), str(done), Reader(name), quant_format=QuantFormat.QDQ, per_channel=per_channel,
                        activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8)
        yield "W8A8", "channel" if per_channel else "tensor", accuracy(session_of(done), images, labels)


def by_aimet(path, calibration, images, labels):
    """Its recommended flow: equalize (which folds batch norms), AdaRound the weights, then ranges of activations. First and last layer keep
    8-bit weights at W4, as ours do."""
    import aimet_onnx
    logging.disable(logging.WARNING)
    from aimet_onnx.common import quantsim_config
    from aimet_onnx.cross_layer_equalization import equalize_model

    kinds = {4: aimet_onnx.int4, 8: aimet_onnx.int8}
    for weights, acts in ((8, 8), (4, 8), (4, 4)):
        for granularity, config in (("tensor", "default_config.json"), ("channel", "default_config_per_channel.json")):
            model = onnx.load(path)
            equalize_model(model)
            sim = aimet_onnx.QuantizationSimModel(model, param_type=kinds[weights], activation_type=kinds[acts], quant_scheme="tf_enhanced",
                                                  config_file=str(Path(quantsim_config.__file__).with_name(config)))
            layers = [n for n in sim.model.graph().node if n.op_type in ("Conv", "Gemm")]
            for n in (layers[0], layers[-1]):
                sim.qc_quantize_op_dict[n.input[1].removesuffix("_qdq")].set_bitwidth(8)
            for edge in (sim.model.graph().input[0].name, sim.model.graph().output[0].name.removesuffix("_updated")):
                if edge in sim.qc_quantize_op_dict:
                    sim.qc_quantize_op_dict[edge].set_bitwidth(8)
            name = sim.session.get_inputs()[0].name
            batches = [{name: calibration[at : at + 128]} for at in range(0, len(calibration), 128)]
            if weights < 8:
                aimet_onnx.apply_adaround(sim, batches, ITERATIONS)
            sim.compute_encodings(batches)
            yield f"W{weights}A{acts}", granularity, accuracy(sim.session, images, labels)


TOOLS = {"ort": ("onnxruntime", by_ort, SEEDS), "aimet": ("aimet_onnx", by_aimet, SEEDS[:1])}  # AIMET: an hour or more for each seed


def main():
    nibble, checkpoint, data, table, *names = sys.argv[1:]
    names = names or [n for n, (module, _, _) in TOOLS.items() if importlib.util.find_spec(module)]
    train, _ = read_cifar(data, [f"data_batch_{i}" for i in range(1, 6)])
    test, labels = read_cifar(data, ["test_batch"])
    with tempfile.TemporaryDirectory() as work, open(table, "w", newline="") as out:
        path = Path(work) / "float.onnx"
        subprocess.run([nibble, "export", checkpoint, "-o", path], check=True, stdout=subprocess.DEVNULL)
        network = onnx.load(path)
        images = normalised(test, network)
        rows = csv.writer(out)
        rows.writerow(["tool", "bits", "granularity", "seed", "accuracy_percent"])
        print(f"float: {accuracy(session_of(path), images, labels):.2f} %\n\ntool   bits  granularity  seed  accuracy %", flush=True)
        for tool in names:
            for seed in TOOLS[tool][2]:
                calibration = normalised(train[sample(len(train), seed)], network)
                for bits, granularity, value in TOOLS[tool][1](path, calibration, images, labels):
                    print(f"{tool:5}  {bits}  {granularity:11}  {seed:4}  {value:10.2f}", flush=True)
                    rows.writerow([tool, bits, granularity, seed, f"{value:.2f}"])


if __name__ == "__main__":
    main()
