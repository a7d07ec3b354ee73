"""make_golden.py - the small files from which test_import_golden.c checks the importers without Python: tests/golden/import_*.

usage: python tests/import/make_golden.py [FOLDER]        needs torch, safetensors, onnx
A residual network of PyTorch, disturbed from a seed: its state dict, the same through torch.onnx with batch norms folded and not,
and the logits PyTorch gives for a few images.
"""
import sys
import warnings
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save_file

import networks

warnings.filterwarnings("ignore")
folder = Path(sys.argv[1] if len(sys.argv) > 1 else "tests/golden")
IMAGES, SIDE = 6, 9

network = networks.disturbed(networks.ResNet(widths=(3, 5), blocks=1, channels=3, classes=4), 3)
pixels = np.random.default_rng(3).integers(0, 256, (IMAGES, 3, SIDE, SIDE), dtype=np.uint8)
x = ((torch.tensor(pixels).double() / 255 - 0.5) / 0.25).float()
with torch.no_grad():
    logits = network(x).numpy()
save_file({k: v.numpy() for k, v in network.state_dict().items()}, folder / "import_resnet.safetensors")
save_file({"pixels": np.ascontiguousarray(pixels.transpose(0, 2, 3, 1)), "logits": logits}, folder / "import_expected.safetensors")
for name, mode in (("folded", torch.onnx.TrainingMode.EVAL), ("norms", torch.onnx.TrainingMode.PRESERVE)):
    torch.onnx.export(network, x[:1], folder / f"import_{name}.onnx", dynamo=False, training=mode, input_names=["image"],
                      output_names=["logits"], dynamic_axes={"image": {0: "N"}})
