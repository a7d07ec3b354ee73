"""activations.py - networks with activations other than relu, as modules and written out, and arithmetic with constants."""
import math

import torch
from torch import nn
from torch.nn import functional as F


class Inverted(nn.Module):
    """MobileNetV3's block without its squeeze."""

    def __init__(self, i, o, stride, act):
        super().__init__()
        self.expand = nn.Sequential(nn.Conv2d(i, 3 * i, 1, bias=False), nn.BatchNorm2d(3 * i), act())
        self.deep = nn.Sequential(nn.Conv2d(3 * i, 3 * i, 3, stride, 1, groups=3 * i, bias=False), nn.BatchNorm2d(3 * i), act())
        self.project = nn.Sequential(nn.Conv2d(3 * i, o, 1, bias=False), nn.BatchNorm2d(o))
        self.add = stride == 1 and i == o

    def forward(self, x):
        y = self.project(self.deep(self.expand(x)))
        return x + y if self.add else y


class Mobile(nn.Module):
    def __init__(self, act, classes=10):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 12, 3, 2, 1, bias=False), nn.BatchNorm2d(12), act())
        self.blocks = nn.Sequential(Inverted(12, 12, 1, act), Inverted(12, 20, 2, act), Inverted(20, 20, 1, act))
        self.head = nn.Sequential(nn.Linear(20, 32), act(), nn.Linear(32, classes))

    def forward(self, x):
        return self.head(self.blocks(self.stem(x)).mean((2, 3)))


class Written(nn.Module):
    """Activations as formulas, the image's normalisation inside, factors and offsets between layers."""

    def __init__(self, classes=10):
        super().__init__()
        self.a, self.b, self.c, self.d = nn.Conv2d(3, 8, 3, 2, 1), nn.Conv2d(8, 8, 3, 1, 1), nn.Conv2d(8, 16, 3, 2, 1), nn.Conv2d(16, 16, 1)
        self.slope, self.scale = nn.PReLU(16), nn.Parameter(torch.randn(16, 1, 1))
        self.fc = nn.Linear(16, classes)
        self.register_buffer("mean", torch.tensor([0.4, 0.5, 0.6]).reshape(1, 3, 1, 1))

    def forward(self, x):
        x = self.a((x - self.mean) / 0.25)
        x = x * F.relu6(x + 3) / 6
        x = self.b(x * torch.sigmoid(x))
        x = self.c(0.5 * x * (1 + torch.erf(x / math.sqrt(2))))
        x = self.d(self.slope(x) * self.scale + 0.5)
        return self.fc(F.adaptive_avg_pool2d(2 * torch.tanh(F.leaky_relu(x, 0.2)) - 1, 1).flatten(1))


NETWORKS = {
    "hardswish": lambda: Mobile(nn.Hardswish),
    "silu": lambda: Mobile(nn.SiLU),
    "gelu": lambda: Mobile(nn.GELU),
    "prelu": lambda: Mobile(nn.PReLU),
    "elu": lambda: Mobile(nn.ELU),
    "written": Written,
}
