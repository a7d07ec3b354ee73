"""PyTorch's side of experiments/speed/run.sh: training steps of one network, one variant per process.

usage: torch_step.py NETWORK VARIANT BATCH STEPS THREADS     prints: name, median ms per step, peak resident MiB of the process
NETWORK: resnet20 (configs/cifar10-resnet20.yaml), mobilenetv2 (configs/cifar10-mobilenetv2.yaml), wide (wide.yaml here)
VARIANT: float | float-nchw | bf16 | compiled | compiled-bf16 | qat | qat-nchw | pt2e     all but -nchw in channels_last
Random data in memory, SGD with momentum. qat is eager torch.ao.quantization, W8A8, weights per channel; pt2e is torchao's successor of it on
the exported graph, with its x86 quantizer; bf16 is autocast; compiled is torch.compile (its compilation is not timed).
"""
import resource
import sys
import time
import warnings

import torch
import torch.ao.quantization as tq
from torch import nn

warnings.filterwarnings("ignore")


class Block(nn.Module):
    """The basic residual block."""

    def __init__(self, cin, cout, stride):
        super().__init__()
        self.c1 = nn.Conv2d(cin, cout, 3, stride, 1, bias=False)
        self.b1, self.r1 = nn.BatchNorm2d(cout), nn.ReLU()
        self.c2 = nn.Conv2d(cout, cout, 3, 1, 1, bias=False)
        self.b2, self.r2 = nn.BatchNorm2d(cout), nn.ReLU()
        self.add = torch.ao.nn.quantized.FloatFunctional()
        same = stride == 1 and cin == cout
        self.short = None if same else nn.Sequential(nn.Conv2d(cin, cout, 1, stride, bias=False), nn.BatchNorm2d(cout))

    def forward(self, x):
        y = self.b2(self.c2(self.r1(self.b1(self.c1(x)))))
        return self.r2(self.add.add(y, x if self.short is None else self.short(x)))

    def fuse(self):
        tq.fuse_modules_qat(self, [["c1", "b1", "r1"], ["c2", "b2"]], inplace=True)
        if self.short is not None:
            tq.fuse_modules_qat(self.short, ["0", "1"], inplace=True)


class ConvNorm(nn.Sequential):
    """Convolution, batch norm and, unless linear, relu6."""

    def __init__(self, cin, cout, kernel, stride=1, groups=1, linear=False):
        layers = [nn.Conv2d(cin, cout, kernel, stride, kernel // 2, groups=groups, bias=False), nn.BatchNorm2d(cout)]
        super().__init__(*layers, *([] if linear else [nn.ReLU6()]))

    def fuse(self):
        tq.fuse_modules_qat(self, ["0", "1"], inplace=True)  # relu6 has no fused form: its output is quantized after it


class InvRes(nn.Module):
    """The inverted residual block."""

    def __init__(self, cin, cout, expand, stride):
        super().__init__()
        mid = cin * expand
        head = [ConvNorm(cin, mid, 1)] if expand > 1 else []
        self.conv = nn.Sequential(*head, ConvNorm(mid, mid, 3, stride, mid), ConvNorm(mid, cout, 1, linear=True))
        self.add = torch.ao.nn.quantized.FloatFunctional() if stride == 1 and cin == cout else None

    def forward(self, x):
        y = self.conv(x)
        return y if self.add is None else self.add.add(x, y)

    def fuse(self):
        for part in self.conv:
            part.fuse()


class Network(nn.Module):
    """Stem, blocks, head, pool, linear; stubs are for QAT."""

    def __init__(self, stem, blocks, head, width, pool=None):
        super().__init__()
        self.quant, self.dequant = tq.QuantStub(), tq.DeQuantStub()
        self.stem, self.blocks, self.head = stem, nn.Sequential(*blocks), head
        self.pool, self.fc = pool or nn.AdaptiveAvgPool2d(1), nn.Linear(width, 10)

    def forward(self, x):
        x = self.head(self.blocks(self.stem(self.quant(x))))
        return self.dequant(self.fc(torch.flatten(self.pool(x), 1)))

    def for_qat(self):
        self.train()
        for part in [self.stem, self.head, *self.blocks]:
            if hasattr(part, "fuse"):
                part.fuse()
        self.qconfig = tq.get_default_qat_qconfig("fbgemm")
        return tq.prepare_qat(self, inplace=True)


class Stem(nn.Sequential):
    """conv-bn-relu, fused to one module."""

    def fuse(self):
        tq.fuse_modules_qat(self, ["0", "1", "2"], inplace=True)


def resnet20():
    blocks, width = [], 16
    for stage in range(3):
        for k in range(3):
            blocks.append(Block(width, 16 << stage, 2 if stage and k == 0 else 1))
            width = 16 << stage
    return Network(Stem(nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU()), blocks, nn.Identity(), 64)


def mobilenetv2():
    blocks, width = [], 16
    table = [(1, 8, 1, 1), (6, 16, 2, 1), (6, 16, 3, 2), (6, 32, 4, 2), (6, 48, 3, 1), (6, 80, 3, 2), (6, 160, 1, 1)]
    for expand, channels, repeat, stride in table:
        for k in range(repeat):
            blocks.append(InvRes(width, channels, expand, stride if k == 0 else 1))
            width = channels
    return Network(ConvNorm(3, 16, 3), blocks, ConvNorm(width, 1280, 1), 1280)


def wide():
    def block(cin, cout, kernel=3, stride=1):
        return Stem(nn.Conv2d(cin, cout, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(cout), nn.ReLU())

    blocks = [block(128, 128), block(128, 256, stride=2), block(256, 256), block(256, 512, stride=2), block(512, 512), block(512, 1024, 1)]
    hidden = nn.Sequential(nn.Flatten(), nn.Linear(50176, 1024), nn.ReLU())
    return Network(block(3, 128), blocks, nn.Identity(), 1024, hidden)


def for_pt2e(model, batch, side):
    from torchao.quantization.pt2e import move_exported_model_to_train
    from torchao.quantization.pt2e.quantize_pt2e import prepare_qat_pt2e
    from torchao.quantization.pt2e.quantizer import x86_inductor_quantizer as x86

    x = torch.randn(batch, 3, side, side).contiguous(memory_format=torch.channels_last)
    graph = torch.export.export(model.train().to(memory_format=torch.channels_last), (x,)).module()
    quantizer = x86.X86InductorQuantizer()
    quantizer.set_global(x86.get_default_x86_inductor_quantization_config(is_qat=True))
    return move_exported_model_to_train(prepare_qat_pt2e(graph, quantizer))


def main():
    network, variant = sys.argv[1:3]
    batch, steps, threads = (int(a) for a in sys.argv[3:6])
    torch.set_num_threads(threads)
    model = {"resnet20": resnet20, "mobilenetv2": mobilenetv2, "wide": wide}[network]()
    side = 28 if network == "wide" else 32
    if variant.startswith("qat"):
        model = model.for_qat()
    layout = torch.contiguous_format if variant.endswith("nchw") else torch.channels_last
    model = for_pt2e(model, batch, side) if variant == "pt2e" else model.train().to(memory_format=layout)
    optimizer = torch.optim.SGD(model.parameters(), 0.1, 0.9, weight_decay=1e-4)
    if variant.startswith("compiled"):
        model = torch.compile(model)
    x = torch.randn(batch, 3, side, side).contiguous(memory_format=layout)
    y = torch.randint(0, 10, (batch,))
    times = []
    for _ in range(steps + 2):
        start = time.perf_counter()
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=variant.endswith("bf16")):
            loss = nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        times.append(time.perf_counter() - start)
    times = sorted(times[2:])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"torch {variant},{1e3 * times[len(times) // 2]:.2f},{peak:.0f}", flush=True)


if __name__ == "__main__":
    main()
