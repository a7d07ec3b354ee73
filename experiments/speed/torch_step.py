"""PyTorch's side of experiments/speed/run.sh: one training step of ResNet-20 on 32x32x3, float and eager QAT (W8A8, per channel).

usage: torch_step.py BATCH STEPS THREADS     prints one line per variant: name, median ms per step
Random data in memory, SGD with momentum; the network is configs/cifar10-resnet20.yaml.
"""
import sys
import time
import warnings

import torch
import torch.ao.quantization as tq
from torch import nn

warnings.filterwarnings("ignore")
BATCH, STEPS, THREADS = (int(a) for a in sys.argv[1:4])
torch.set_num_threads(THREADS)


class Block(nn.Module):
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


class ResNet20(nn.Module):
    def __init__(self):
        super().__init__()
        self.quant, self.dequant = tq.QuantStub(), tq.DeQuantStub()
        self.c, self.b, self.r = nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU()
        blocks, width = [], 16
        for stage in range(3):
            for k in range(3):
                blocks.append(Block(width, 16 << stage, 2 if stage and k == 0 else 1))
                width = 16 << stage
        self.blocks, self.pool, self.fc = nn.Sequential(*blocks), nn.AdaptiveAvgPool2d(1), nn.Linear(64, 10)

    def forward(self, x):
        x = self.blocks(self.r(self.b(self.c(self.quant(x)))))
        return self.dequant(self.fc(torch.flatten(self.pool(x), 1)))

    def for_qat(self):
        self.train()
        tq.fuse_modules_qat(self, ["c", "b", "r"], inplace=True)
        for block in self.blocks:
            tq.fuse_modules_qat(block, [["c1", "b1", "r1"], ["c2", "b2"]], inplace=True)
            if block.short is not None:
                tq.fuse_modules_qat(block.short, ["0", "1"], inplace=True)
        self.qconfig = tq.get_default_qat_qconfig("fbgemm")
        return tq.prepare_qat(self, inplace=True)


def measure(name, model, channels_last):
    model.train()
    layout = torch.channels_last if channels_last else torch.contiguous_format
    model = model.to(memory_format=layout)
    x = torch.randn(BATCH, 3, 32, 32).contiguous(memory_format=layout)
    y = torch.randint(0, 10, (BATCH,))
    optimizer = torch.optim.SGD(model.parameters(), 0.1, 0.9, weight_decay=1e-4)
    times = []
    for _ in range(STEPS + 2):
        start = time.perf_counter()
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
        times.append(time.perf_counter() - start)
    times = sorted(times[2:])
    print(f"{name},{1e3 * times[len(times) // 2]:.2f}", flush=True)


print(f"# PyTorch {torch.__version__}", flush=True)
for channels_last in (False, True):
    suffix = "channels_last" if channels_last else "nchw"
    measure(f"torch float {suffix}", ResNet20(), channels_last)
    measure(f"torch QAT W8A8 {suffix}", ResNet20().for_qat(), channels_last)
