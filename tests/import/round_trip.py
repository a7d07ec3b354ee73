"""round_trip.py - networks of PyTorch through `nibble import`: our logits against PyTorch's, on the same images.

usage: round_trip.py NIBBLE FOLDER          needs torch, onnx, onnxruntime and safetensors; onnxscript for the new exporter
Exits with 1 when a logit is off by more than 1e-4 of the largest, or something fails.
"""
import importlib.util
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import load_file, save_file

import activations
import moving
import networks

warnings.filterwarnings("ignore")
torch.manual_seed(0)
torch.set_num_threads(2)
nibble, work = sys.argv[1], Path(sys.argv[2])
IMAGES, TOLERANCE = 200, 1e-4
MEAN, STD = [0.4914, 0.4822, 0.4465], [0.247, 0.2435, 0.2616]
failures = []

CIFAR = """data: {name: cifar10, path: %s}
model:
  - input: {mean: [0.4914, 0.4822, 0.4465], std: [0.247, 0.2435, 0.2616]}
"""
RESNET20 = CIFAR + """  - conv2d: {name: stem, out: 16, kernel: 3, pad: 1, bias: no}
  - batchnorm
  - relu
  - resblock: {name: s1, out: 16, repeat: 3}
  - resblock: {name: s2, out: 32, stride: 2, repeat: 3}
  - resblock: {name: s3, out: 64, stride: 2, repeat: 3}
  - avgpool: {global: yes}
  - linear: {name: fc, out: 10}
"""
MOBILE = CIFAR + """  - conv2d: {out: 8, kernel: 3, pad: 1, bias: no}
  - batchnorm
  - relu: {cap: 6}
  - invres: {out: 8, expand: 1}
  - invres: {out: 12, stride: 2, repeat: 2}
  - invres: {out: 16, stride: 2, repeat: 2}
  - conv2d: {out: 40, kernel: 1, bias: no}
  - batchnorm
  - relu: {cap: 6}
  - avgpool: {global: yes}
  - dropout: {p: 0.2}
  - linear: {out: 10}
"""
CHAIN = CIFAR + """  - conv2d: {out: 8, kernel: 5, stride: 2, pad: 2}
  - batchnorm
  - relu
  - maxpool
  - conv2d: {out: 8, kernel: 3, stride: 2, pad: 1}
  - relu
  - flatten
  - batchnorm
  - linear: {out: 16, bias: no}
  - relu
  - linear: {out: 10}
"""
QUANT = """quant:
  weights: {bits: 8}
  activations: {bits: 8}
train:
  batch: 50
  optimizer: {name: sgd}
  phases:
    - {name: qat, epochs: 1, lr: 1.0e-6, quant: on}
"""


def run(*args, fails=False):
    p = subprocess.run([nibble, *map(str, args)], capture_output=True, text=True, cwd=work)
    if (p.returncode != 0) != fails:
        raise RuntimeError(f"nibble {' '.join(map(str, args))}: exit {p.returncode}: {p.stderr.strip()}")
    return p.stdout + p.stderr


def make_cifar(folder, rng):
    """Smooth random images in CIFAR-10's binary layout."""
    folder.mkdir(exist_ok=True)
    (folder / "batches.meta.txt").write_text("".join(f"class{i}\n" for i in range(10)))
    for name in [f"data_batch_{i}.bin" for i in range(1, 6)] + ["test_batch.bin"]:
        small = torch.tensor(rng.uniform(0, 255, (IMAGES, 3, 6, 6)), dtype=torch.float32)
        x = torch.nn.functional.interpolate(small, (32, 32), mode="bicubic").clamp(0, 255).round().to(torch.uint8).numpy()
        labels = rng.integers(0, 10, (IMAGES, 1), dtype=np.uint8)
        (folder / name).write_bytes(np.concatenate([labels, x.reshape(IMAGES, -1)], 1).tobytes())
    return x


def make_idx(folder, rng, h, w, classes):
    """The same for one channel, in IDX files."""
    folder.mkdir(exist_ok=True)
    for split in ("train", "t10k"):
        x = rng.integers(0, 256, (IMAGES, h, w), dtype=np.uint8)
        y = rng.integers(0, classes, IMAGES, dtype=np.uint8)
        head = b"\0\0\x08\x03" + b"".join(v.to_bytes(4, "big") for v in x.shape)
        (folder / f"{split}-images-idx3-ubyte").write_bytes(head + x.tobytes())
        (folder / f"{split}-labels-idx1-ubyte").write_bytes(b"\0\0\x08\x01" + IMAGES.to_bytes(4, "big") + y.tobytes())
    return x[:, None]


def logits_of(network, x, mean, std):
    mean, std = (torch.tensor(v, dtype=torch.float64).view(1, -1, 1, 1) for v in (mean, std))
    with torch.no_grad():
        return network(((torch.tensor(x).double() / 255 - mean) / std).float()).numpy()


def compare(what, checkpoint, want):
    run("eval", checkpoint, "--logits", "logits.safetensors")
    got = load_file(work / "logits.safetensors")["logits"]
    far, largest = np.abs(got - want).max(), np.abs(want).max()
    same = (got.argmax(1) == want.argmax(1)).mean()
    bad = not far <= TOLERANCE * max(1.0, largest) or same < 1
    print(f"{what:44s} largest difference {far:.2e} of logits up to {largest:6.2f}, same top-1 {100 * same:.1f} %{'  BAD' if bad else ''}")
    if bad:
        failures.append(what)


def state_dict(name, network, config, want, dtype=np.float32, options=()):
    tensors = {k: v.numpy() for k, v in network.state_dict().items()}
    save_file({k: v.astype(dtype) if v.dtype == np.float32 else v for k, v in tensors.items()}, work / f"{name}.safetensors")
    (work / f"{name}.yaml").write_text(config + QUANT)
    run("import", f"{name}.safetensors", "--config", f"{name}.yaml", "-o", f"{name}.ckpt.safetensors", *options)
    compare(f"{name}, state dict, {np.dtype(dtype).name}", f"{name}.ckpt.safetensors", want)


def onnx(name, network, x, want, mean, std, data):
    """Through torch.onnx: batch norms folded into convolutions, and kept; one image at a time, and any number."""
    image = torch.tensor(x[:1]).float()
    for form, mode, axes in (("folded", torch.onnx.TrainingMode.EVAL, {"image": {0: "N"}}), ("norms kept", torch.onnx.TrainingMode.PRESERVE, None)):
        file = f"{name}-{form[:4]}"
        torch.onnx.export(network, image, work / f"{file}.onnx", dynamo=False, training=mode, input_names=["image"], dynamic_axes=axes)
        text = [",".join(map(str, v)) for v in (mean, std)]
        run("import", f"{file}.onnx", "-o", file, "--data", data, "--mean", text[0], "--std", text[1])
        compare(f"{name}, ONNX, {form}", f"{file}.safetensors", want)
    if importlib.util.find_spec("onnxscript"):  # PyTorch's default exporter needs it; weights go to a file beside the model
        torch.onnx.export(network, (image,), work / f"{name}-new.onnx", dynamo=True, external_data=True, input_names=["image"], verbose=False)
        assert (work / f"{name}-new.onnx.data").exists()
        run("import", f"{name}-new.onnx", "-o", f"{name}-new", "--data", data, "--mean", text[0], "--std", text[1])
        compare(f"{name}, ONNX, new exporter", f"{name}-new.safetensors", want)
    else:
        print("onnxscript is not there: PyTorch's new exporter is left out")


def keras(x):
    """Channels last, as TensorFlow has them; the logits are what the softmax at the end reads."""
    import onnx as onnx_module
    import onnxruntime

    logits = networks.keras(work / "keras.onnx", np.random.default_rng(11))
    model = onnx_module.load(work / "keras.onnx")
    model.graph.output[0].name = logits
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    images = ((x.transpose(0, 2, 3, 1) / 255 - MEAN) / STD).astype(np.float32)
    text = [",".join(map(str, v)) for v in (MEAN, STD)]
    run("import", "keras.onnx", "-o", "keras", "--data", "{name: cifar10, path: cifar}", "--mean", text[0], "--std", text[1])
    compare("keras, ONNX, channels last", "keras.safetensors", session.run(None, {"image": images})[0])


def back(name, want, x, mean, std):
    """Our float network as ONNX: in ONNX Runtime, and imported again: the same tensors."""
    import onnxruntime

    run("export", f"{name}.safetensors", "--format", "onnx", "-o", "back.onnx")
    session = onnxruntime.InferenceSession(work / "back.onnx", providers=["CPUExecutionProvider"])
    says = session.get_modelmeta().custom_metadata_map  # what a network does to its input first is in its mean and std
    mean, std = (np.array(says[k].split() if k in says else v, float).reshape(1, -1, 1, 1) for k, v in (("mean", mean), ("std", std)))
    far = np.abs(session.run(None, {"image": ((x / 255 - mean) / std).astype(np.float32)})[0] - want).max()
    config = (work / f"{name}.yaml").read_text()
    run("import", "back.onnx", "-o", "back", "--force", "--data", config.split("data: ")[1].split("\n")[0])
    a, b = (load_file(work / f"{f}.safetensors") for f in (name, "back"))
    same = sorted(a) == sorted(b) and all(a[k].tobytes() == b[k].tobytes() for k in a)
    bad = not same or far > TOLERANCE * max(1.0, np.abs(want).max())
    print(f"{name}: exported, in ONNX Runtime off by {far:.2e}; imported again, {'equal' if same else 'other'} tensors{'  BAD' if bad else ''}")
    if bad:
        failures.append(f"{name} back")


def to_integers(name, config, checkpoint):
    """Post-training quantization to W8A8, then both exporters."""
    run("quantize", config, "--from", checkpoint, "--set", f"out=runs/{name}")
    run("verify", f"runs/{name}/model.int.safetensors", "--images", 50)
    run("export", f"runs/{name}/model.int.safetensors", "--format", "c", "-o", f"{name}.c", "--prefix", "net")
    run("export", f"runs/{name}/model.int.safetensors", "--format", "onnx", "-o", f"{name}.int.onnx")
    run("eval", checkpoint, "--logits", "float.safetensors")
    run("eval", f"runs/{name}/model.int.safetensors", "--logits", "int.safetensors")
    a, b = (load_file(work / f"{f}.safetensors")["logits"] for f in ("float", "int"))
    print(f"{name}: W8A8 verified, exported as C and ONNX; same top-1 as float on {100 * (a.argmax(1) == b.argmax(1)).mean():.1f} %")


def identity(name):
    """Our own checkpoint through the identity map: the same tensors; once more: the same bytes."""
    run("import", f"{name}.ckpt.safetensors", "--config", f"{name}.yaml", "--map", "nibble", "-o", "again.safetensors")
    a, b = ((work / f).read_bytes() for f in (f"{name}.ckpt.safetensors", "again.safetensors"))
    print(f"{name}: through the identity map {'equal bytes' if a == b else 'other bytes  BAD'}")
    if a != b:
        failures.append(f"{name} identity")


def main():
    rng = np.random.default_rng(1)
    x = make_cifar(work / "cifar", rng)
    cases = [
        ("resnet20", networks.ResNet(), RESNET20),
        ("mobilenetv2", networks.MobileNetV2(), MOBILE),
        ("chain", networks.Chain(), CHAIN),
    ]
    for seed, (name, network, config) in enumerate(cases):
        networks.disturbed(network, seed)
        want = logits_of(network, x, MEAN, STD)
        state_dict(name, network, config % "cifar", want)
        onnx(name, network, x, want, MEAN, STD, "{name: cifar10, path: cifar}")
        back(f"{name}-norm", want, x, MEAN, STD)
    identity("resnet20")
    half = networks.disturbed(networks.ResNet(), 5).half().float()
    state_dict("resnet20-half", half, RESNET20 % "cifar", logits_of(half, x, MEAN, STD), np.float16)
    odd = make_idx(work / "idx", rng, 13, 23, 7)
    mixed = networks.disturbed(networks.Mixed(), 7)
    want = logits_of(mixed, odd, [0.4], [0.3])
    onnx("mixed", mixed, odd, want, [0.4], [0.3], "{name: idx, path: idx, classes: 7}")
    back("mixed-fold", want, odd, [0.4], [0.3])
    option_a = networks.disturbed(moving.ResNetA(), 11)
    want = logits_of(option_a, x, MEAN, STD)
    state_dict("resnet20a", option_a, RESNET20.replace("stride: 2", "stride: 2, shortcut: zeros") % "cifar", want)
    onnx("resnet20a", option_a, x, want, MEAN, STD, "{name: cifar10, path: cifar}")
    back("resnet20a-norm", want, x, MEAN, STD)
    for seed, (name, network) in enumerate([("shuffle", moving.ShuffleNet()), *((f"unet-{up}", moving.UNet(up)) for up in ("nearest", "bilinear", "corners", "transposed"))], 12):
        networks.disturbed(network, seed)
        want = logits_of(network, x, MEAN, STD)
        onnx(name, network, x, want, MEAN, STD, "{name: cifar10, path: cifar}")
        back(f"{name}-fold", want, x, MEAN, STD)
    for seed, (name, make) in enumerate(activations.NETWORKS.items(), 30):
        network = networks.disturbed(make(), seed)
        want = logits_of(network, x, MEAN, STD)
        onnx(name, network, x, want, MEAN, STD, "{name: cifar10, path: cifar}")
        back(f"{name}-fold", want, x, MEAN, STD)
    uneven = networks.disturbed(networks.Uneven(), 9)
    onnx("uneven", uneven, x, logits_of(uneven, x, MEAN, STD), MEAN, STD, "{name: cifar10, path: cifar}")
    keras(x)
    to_integers("resnet20", "resnet20.yaml", "resnet20.ckpt.safetensors")
    for name in ("resnet20-fold", "mobilenetv2-norm", "mixed-fold", "uneven-norm", "keras", "resnet20a-fold", "unet-bilinear-fold", "unet-transposed-fold", "hardswish-fold", "written-fold"):
        to_integers(name, f"{name}.yaml", f"{name}.safetensors")


if __name__ == "__main__":
    work.mkdir(parents=True, exist_ok=True)
    main()
    print("failed: " + ", ".join(failures) if failures else "all within 1e-4")
    sys.exit(bool(failures))
