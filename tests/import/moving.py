"""moving.py - networks that move values: option-A shortcuts, channel shuffle, and small U-Nets that go up again in each way."""
import torch
from torch import nn
from torch.nn import functional as F

import networks


class Zeros(nn.Module):
    """The shortcut of published CIFAR ResNets: every other pixel, and channels of zeros."""

    def __init__(self, more):
        super().__init__()
        self.more = more

    def forward(self, x):
        return F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.more // 2, self.more // 2))


class BasicA(networks.Basic):
    def __init__(self, i, o, stride):
        super().__init__(i, o, stride)
        self.downsample = Zeros(o - i) if stride != 1 or i != o else None


class ResNetA(networks.ResNet):
    def __init__(self, **keys):
        kept, networks.Basic = networks.Basic, BasicA
        super().__init__(**keys)
        networks.Basic = kept


def channel_shuffle(x, groups):
    """torchvision's."""
    n, c, h, w = x.size()
    x = x.view(n, groups, c // groups, h, w)
    x = torch.transpose(x, 1, 2).contiguous()
    return x.view(n, c, h, w)


class ShuffleUnit(nn.Module):
    def __init__(self, i, o, stride):
        super().__init__()
        half = o // 2
        self.stride = stride
        self.branch1 = nn.Sequential()
        if stride > 1:
            self.branch1 = nn.Sequential(nn.Conv2d(i, i, 3, stride, 1, groups=i, bias=False), nn.BatchNorm2d(i), nn.Conv2d(i, half, 1, bias=False), nn.BatchNorm2d(half), nn.ReLU())
        first = i if stride > 1 else half
        self.branch2 = nn.Sequential(nn.Conv2d(first, half, 1, bias=False), nn.BatchNorm2d(half), nn.ReLU(), nn.Conv2d(half, half, 3, stride, 1, groups=half, bias=False), nn.BatchNorm2d(half),
                                     nn.Conv2d(half, half, 1, bias=False), nn.BatchNorm2d(half), nn.ReLU())

    def forward(self, x):
        if self.stride == 1:
            a, b = x.chunk(2, dim=1)
            x = torch.cat((a, self.branch2(b)), dim=1)
        else:
            x = torch.cat((self.branch1(x), self.branch2(x)), dim=1)
        return channel_shuffle(x, 2)


class ShuffleNet(nn.Module):
    def __init__(self, classes=10):
        super().__init__()
        self.stem = nn.Conv2d(3, 12, 3, 2, 1)
        self.units = nn.Sequential(ShuffleUnit(12, 24, 2), ShuffleUnit(24, 24, 1), ShuffleUnit(24, 24, 1))
        self.fc = nn.Linear(24, classes)

    def forward(self, x):
        return self.fc(self.units(F.relu(self.stem(x))).mean([2, 3]))


class UNet(nn.Module):
    """up: "nearest", "bilinear", "corners" or "transposed"."""

    def __init__(self, up, classes=10):
        super().__init__()
        self.up = up
        self.a = nn.Conv2d(3, 8, 3, 2, 1)
        self.b = nn.Conv2d(8, 12, 3, 2, 1)
        self.c = nn.Conv2d(12, 12, 3)
        self.t1 = nn.ConvTranspose2d(12, 8, 2, 2) if up == "transposed" else nn.Conv2d(12, 8, 1)
        self.t2 = nn.ConvTranspose2d(16, 8, (3, 4), (2, 2), 1, (1, 0), groups=2) if up == "transposed" else nn.Conv2d(16, 8, 1)
        self.fc = nn.Linear(8, classes)

    def larger(self, x, layer):
        if self.up == "transposed":
            return layer(x)
        if self.up == "nearest":
            return layer(F.interpolate(x, scale_factor=2))
        return layer(F.interpolate(x, size=[2 * n for n in x.shape[2:]], mode="bilinear", align_corners=self.up == "corners"))

    def forward(self, x):
        a = F.relu(self.a(x))
        b = F.relu(self.b(a))
        c = F.relu(self.c(F.pad(b, (1, 1, 1, 1), mode="reflect")))
        x = torch.cat([F.relu(self.larger(c, self.t1)), a], 1)
        x = F.relu(self.larger(x, self.t2))
        return self.fc(x.mean([2, 3]))
