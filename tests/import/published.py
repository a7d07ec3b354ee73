"""published.py - networks as their owners have them, with random weights, through `nibble import`: logits against PyTorch's, 8-bit
integers after training against those of ONNX Runtime's quantize_static of the same file, exported C against the engine.

usage: published.py NIBBLE FOLDER [NAME...]       needs torch, torchvision, timm, onnx, onnxruntime, safetensors; onnxscript for the new exporter
Batch norms get the statistics of random images, so that values have the ranges of a trained network. SQNR: of the logits, in dB,
over the images that the ranges are from, against PyTorch's floats. ORT: QDQ, per channel, min-max, on the file that its
quant_pre_process makes. Exits with 1 when logits are off by more than 1e-4 of their spread, our SQNR is lower, C differs, or a network
that must be refused is not.
"""
import importlib.util
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import load_file
from torch import nn

import networks

warnings.filterwarnings("ignore")
torch.set_num_threads(2)
nibble, work = str(Path(sys.argv[1]).resolve()), Path(sys.argv[2]).resolve()
TOLERANCE, SEED = 1e-4, 5
# Of ties and of what min-max leaves to chance: a network whose two sets of ranges are the same is not ours or theirs to this number.
SLACK_DB = 0


def torchvision(name, **options):
    import torchvision.models

    return getattr(torchvision.models, name)(weights=None, **options)


def timm(name):
    import timm

    return timm.create_model(name, pretrained=False)


# name: network, shape of an image (rows, columns, channels) or of a vector, images, exporters
NETWORKS = {
    "resnet8": (networks.ResNet8, (32, 32, 3), 64, "old new"),
    "dscnn": (networks.DSCNN, (49, 10, 1), 64, "old new"),
    "mobilenet_v1_025": (networks.MobileNetV1, (96, 96, 3), 16, "old new"),
    "autoencoder": (networks.AutoEncoder, (640,), 64, "old new"),
    "resnet20_a": (networks.ResNet20A, (32, 32, 3), 64, "old new"),
    "squeezenet1_1": (lambda: torchvision("squeezenet1_1"), (224, 224, 3), 8, "old new"),
    "mobilenet_v3_small": (lambda: torchvision("mobilenet_v3_small"), (224, 224, 3), 8, "old new"),
    "shufflenet_v2_x1_0": (lambda: torchvision("shufflenet_v2_x1_0"), (224, 224, 3), 8, "old new"),
    "regnet_y_400mf": (lambda: torchvision("regnet_y_400mf"), (224, 224, 3), 8, "old new"),
    "ghostnet_100": (lambda: timm("ghostnet_100"), (224, 224, 3), 8, "old new"),
    "efficientnet_b0": (lambda: torchvision("efficientnet_b0"), (224, 224, 3), 8, "old new"),
    "googlenet": (lambda: torchvision("googlenet", aux_logits=True, init_weights=False), (224, 224, 3), 8, "old"),
    "inception_v3": (lambda: torchvision("inception_v3", aux_logits=True, init_weights=False), (299, 299, 3), 4, "old"),
}
REFUSED = {  # the operator that its message must name
    "convnext_tiny": (lambda: torchvision("convnext_tiny"), "LayerNormalization"),
    "vit_tiny_patch16_224": (lambda: timm("vit_tiny_patch16_224"), ""),
}


def run(*args, fails=False):
    p = subprocess.run([nibble, *map(str, args)], capture_output=True, text=True, cwd=work)
    if (p.returncode != 0) != fails:
        raise RuntimeError(f"nibble {args[0]}: exit {p.returncode}: {(p.stderr or p.stdout).strip()[-600:]}")
    return p.stdout + p.stderr


def images(shape, count, rng):
    """Smooth noise, so that means over windows differ: u8, channels last."""
    if len(shape) == 1:
        return rng.integers(0, 256, (count, *shape), dtype=np.uint8)
    h, w, c = shape
    coarse = torch.tensor(rng.uniform(0, 255, (count, c, max(2, h // 8), max(2, w // 8))), dtype=torch.float32)
    x = torch.nn.functional.interpolate(coarse, (h, w), mode="bicubic") + torch.tensor(rng.normal(0, 25, (count, c, h, w)), dtype=torch.float32)
    return x.clamp(0, 255).round().to(torch.uint8).numpy().transpose(0, 2, 3, 1)


def as_input(x):
    """What the network is given: pixels of -1..1, channels first."""
    x = x.astype(np.float32) / 255 / np.float32(0.5) - np.float32(1)
    return np.ascontiguousarray(x.transpose(0, 3, 1, 2)) if x.ndim == 4 else x


def settle(network, x):
    """Affine parameters of any kind, and the statistics of these images."""
    g = torch.Generator().manual_seed(SEED)
    for m in network.modules():
        if isinstance(m, (nn.BatchNorm1d, nn.BatchNorm2d)):
            m.weight.data.copy_(0.5 + torch.rand(m.num_features, generator=g))
            m.bias.data.copy_(0.3 * torch.randn(m.num_features, generator=g))
            m.momentum = None
            m.reset_running_stats()
            m.train()
        elif isinstance(m, nn.Dropout):
            m.eval()
    with torch.no_grad():
        network(torch.tensor(as_input(x)))
    return network.eval()


def to_onnx(network, x, path, new):
    image = torch.tensor(as_input(x[:1]))
    if new:
        torch.onnx.export(network, (image,), path, dynamo=True, external_data=True, input_names=["image"], verbose=False)
    else:
        torch.onnx.export(network, image, path, dynamo=False, input_names=["image"])


def sqnr(want, got):
    noise = float(((want - got) ** 2).sum())
    return 10 * np.log10(float((want**2).sum()) / noise) if noise else float("inf")


def ort_logits(path, x):
    """quantize_static of the file, on these images, and what it makes of them."""
    import onnxruntime
    from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):
        def __init__(self):
            self.rest = iter([{"image": x[i : i + 1]} for i in range(len(x))])

        def get_next(self):
            return next(self.rest, None)

    ready, done = path.with_suffix(".ready.onnx"), path.with_suffix(".ort.onnx")
    quant_pre_process(str(path), str(ready), skip_symbolic_shape=True)
    quantize_static(str(ready), str(done), Reader(), quant_format=QuantFormat.QDQ, per_channel=True, activation_type=QuantType.QUInt8,
                    weight_type=QuantType.QInt8, calibrate_method=CalibrationMethod.MinMax)
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.x64quantprecision", "1")
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(done), options, providers=["CPUExecutionProvider"])
    return np.concatenate([session.run(None, {"image": x[i : i + 1]})[0] for i in range(len(x))])


DRIVER = r"""
#include "net.h"
#include <stdio.h>
static uint8_t pixels[NET_INPUT_BYTES];
static int32_t logits[NET_CLASSES];
int main(void)
{
    while (fread(pixels, 1, sizeof pixels, stdin) == sizeof pixels) {
        net_run(pixels, logits);
        if (fwrite(logits, sizeof logits, 1, stdout) != 1)
            return 1;
    }
    return 0;
}
"""


def c_differs(name, integers, x, want):
    """Logits in which the exported program differs from the engine, on the first two images."""
    folder = work / f"{name}.c.d"
    folder.mkdir(exist_ok=True)
    run("export", integers, "--format", "c", "-o", folder / "net.c", "--prefix", "net")
    (folder / "main.c").write_text(DRIVER)
    subprocess.run(["gcc", "-O2", "-o", "net", "net.c", "main.c"], cwd=folder, check=True)
    out = subprocess.run([folder / "net"], input=x[:2].tobytes(), capture_output=True, check=True).stdout
    header = (folder / "net.h").read_text()
    scale = np.float32(header.split("NET_LOGIT_SCALE")[1].split("((float)")[1].split(")")[0])
    got = np.frombuffer(out, np.int32).reshape(2, -1)
    return int((np.rint(want[:2] / scale).astype(np.int64) != got).sum())


def one(name):
    make, shape, count, exporters = NETWORKS[name]
    torch.manual_seed(SEED)
    rng = np.random.default_rng(SEED)
    x = images(shape, count, rng)
    network = settle(make(), x)
    with torch.no_grad():
        want = np.concatenate([network(torch.tensor(as_input(x[i : i + 8]))).numpy() for i in range(0, count, 8)])
    data = work / f"{name}.data"
    data.mkdir(exist_ok=True)
    for split in ("train", "test"):
        np.save(data / f"x_{split}.npy", x)
        np.save(data / f"y_{split}.npy", want.argmax(1).astype(np.int64))  # what the steps of `quantize` are measured by
    parameters = sum(p.numel() for p in network.parameters())
    bad = False
    for exporter in exporters.split():
        if exporter == "new" and not importlib.util.find_spec("onnxscript"):
            continue
        case, row = f"{name}-{exporter}", [name, exporter, f"{parameters:,}"]
        try:
            to_onnx(network, x, work / f"{case}.onnx", exporter == "new")
            run("import", f"{case}.onnx", "-o", case, "--force", "--data", f"{{name: npy, path: {name}.data, classes: {want.shape[1]}}}",
                "--mean", "0.5", "--std", "0.5")
            run("eval", f"{case}.safetensors", "--logits", "logits.safetensors")
            got = load_file(work / "logits.safetensors")["logits"].reshape(want.shape)
            error = float(np.abs(got - want).max() / (want.max() - want.min()))
            bad |= not error <= TOLERANCE
            row.append(f"{error:.1e}{'' if error <= TOLERANCE else ' BAD'}")
            if exporter == exporters.split()[0]:
                run("quantize", f"{case}.yaml", "--from", f"{case}.safetensors", "-o", f"{case}.run", "--force", "--images", count,
                    "--set", "quant.activations.range=minmax")
                integers = work / f"{case}.run" / "model.int.safetensors"
                run("eval", integers, "--logits", "int.safetensors")
                ours = load_file(work / "int.safetensors")["logits"].reshape(want.shape)
                theirs = ort_logits(work / f"{case}.onnx", as_input(x))
                a, b = sqnr(want, ours), sqnr(want, theirs)
                differs = c_differs(name, integers, x, ours)
                bad |= a < b - SLACK_DB or differs != 0
                row += [f"{a:.1f}{'' if a >= b - SLACK_DB else ' BAD'}", f"{b:.1f}", "equal" if not differs else f"{differs} DIFFER"]
        except Exception as e:  # the next network is another matter
            bad = True
            row.append("FAILED: " + " ".join(str(e).split())[:300])
        show(row)
    return bad


def refused(name):
    make, operator = REFUSED[name]
    torch.manual_seed(SEED)
    network = make().eval()
    path = work / f"{name}.onnx"
    torch.onnx.export(network, torch.zeros(1, 3, 224, 224), path, dynamo=False, input_names=["image"])
    said = run("import", path.name, "-o", name, "--data", "{name: synth}", fails=True).strip().split("\n")[-1]
    named = "node '" in said and f"({operator}" in said
    print(f"{name}: refused{'' if named else '  BAD'}: {said[:220]}", flush=True)
    return not named


def show(row):
    widths = (20, 9, 11, 12, 12, 9, 8)
    left = (0, 1)
    cells = [str(v).ljust(w) if i in left else str(v).rjust(w) for i, (v, w) in enumerate(zip(row, widths))]
    print(" ".join(cells).rstrip(), flush=True)


def main():
    names = sys.argv[3:] or [*NETWORKS, *REFUSED]
    show(["network", "exporter", "parameters", "logits off", "SQNR", "of ORT", "C"])
    bad = [name for name in names if (one if name in NETWORKS else refused)(name)]
    print("failed: " + ", ".join(bad) if bad else "all as they must be")
    return bool(bad)


if __name__ == "__main__":
    work.mkdir(parents=True, exist_ok=True)
    sys.exit(main())
