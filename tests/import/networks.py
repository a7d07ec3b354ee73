"""networks.py - PyTorch networks for the round trips: written the usual way, weights and statistics disturbed from a seed."""
import torch
from torch import nn
from torch.nn import functional as F


class Basic(nn.Module):
    def __init__(self, i, o, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(i, o, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(o)
        self.conv2 = nn.Conv2d(o, o, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(o)
        self.downsample = None
        if stride != 1 or i != o:
            self.downsample = nn.Sequential(nn.Conv2d(i, o, 1, stride, bias=False), nn.BatchNorm2d(o))

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(y + (self.downsample(x) if self.downsample else x))


class ResNet(nn.Module):
    """The basic-block ResNet for small images: widths and blocks per stage."""

    def __init__(self, widths=(16, 32, 64), blocks=3, channels=3, classes=10):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, widths[0], 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(widths[0])
        i = widths[0]
        for s, o in enumerate(widths):
            layers = []
            for b in range(blocks):
                layers.append(Basic(i, o, 2 if s and not b else 1))
                i = o
            setattr(self, f"layer{s + 1}", nn.Sequential(*layers))
        self.stages = len(widths)
        self.fc = nn.Linear(i, classes)

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        for s in range(self.stages):
            x = getattr(self, f"layer{s + 1}")(x)
        x = F.adaptive_avg_pool2d(x, 1)
        return self.fc(torch.flatten(x, 1))


def unit(i, o, k, stride=1, groups=1):
    return nn.Sequential(nn.Conv2d(i, o, k, stride, k // 2, groups=groups, bias=False), nn.BatchNorm2d(o), nn.ReLU6())


class InvertedResidual(nn.Module):
    def __init__(self, i, o, stride, expand):
        super().__init__()
        layers = [unit(i, i * expand, 1)] if expand > 1 else []
        layers += [unit(i * expand, i * expand, 3, stride, i * expand), nn.Conv2d(i * expand, o, 1, bias=False), nn.BatchNorm2d(o)]
        self.conv = nn.Sequential(*layers)
        self.add = stride == 1 and i == o

    def forward(self, x):
        return x + self.conv(x) if self.add else self.conv(x)


class MobileNetV2(nn.Module):
    """torchvision's names, fewer and narrower blocks."""

    def __init__(self, classes=10):
        super().__init__()
        layers, i = [unit(3, 8, 3)], 8
        for expand, o, repeat, stride in ((1, 8, 1, 1), (6, 12, 2, 2), (6, 16, 2, 2)):
            for b in range(repeat):
                layers.append(InvertedResidual(i, o, stride if b == 0 else 1, expand))
                i = o
        layers.append(unit(i, 40, 1))
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(40, classes))

    def forward(self, x):
        return self.classifier(self.features(x).mean([2, 3]))


class Mixed(nn.Module):
    """Concat, both pools, odd sizes, grouped and dilated convolutions, a fully connected layer behind a flattened image."""

    def __init__(self, classes=7):
        super().__init__()
        self.stem = nn.Conv2d(1, 6, 3, 2, 1)
        self.left = nn.Conv2d(6, 6, 3, padding=2, dilation=2, groups=3)
        self.right = nn.Conv2d(6, 4, 1)
        self.bn = nn.BatchNorm2d(10)
        self.down = nn.Conv2d(10, 10, 3, padding=1, groups=10)
        self.hidden = nn.Linear(10 * 3 * 5, 24)
        self.head = nn.Linear(24, classes)

    def forward(self, x):
        x = F.relu(self.stem(x))
        x = F.max_pool2d(x, 3, 1, 1)
        x = torch.cat([self.left(x), self.right(x)], 1)
        x = F.relu(self.bn(x))
        x = F.avg_pool2d(x, 3, 2)
        x = torch.clamp(self.down(x), 0, 4)
        x = F.dropout(x.view(x.size(0), -1), 0.1, self.training)
        return self.head(F.relu(self.hidden(x)))


class Chain(nn.Sequential):
    """Only numbers for names; BatchNorm1d behind the flatten."""

    def __init__(self, classes=10):
        super().__init__(nn.Conv2d(3, 8, 5, 2, 2), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 8, 3, 2, 1),
                         nn.ReLU(), nn.Flatten(), nn.BatchNorm1d(8 * 4 * 4), nn.Linear(8 * 4 * 4, 16, bias=False), nn.ReLU(),
                         nn.Linear(16, classes))


class Uneven(nn.Module):
    """Normalisation first, windows whose rows and columns differ in every way, pools that pad or reach over the edge, a matrix with
    a bias of its own."""

    def __init__(self, classes=10):
        super().__init__()
        self.first = nn.BatchNorm2d(3)
        self.row = nn.Conv2d(3, 8, (1, 3), padding=(0, 1))
        self.column = nn.Conv2d(8, 8, (5, 2), stride=(2, 1), padding=(2, 1), dilation=(1, 2), groups=4)
        self.norm = nn.BatchNorm2d(8, eps=1e-3)
        self.weight = nn.Parameter(torch.randn(8, classes))
        self.bias = nn.Parameter(torch.randn(classes))

    def forward(self, x):
        x = F.relu(self.row(self.first(x)))
        x = self.column(x)
        x = F.relu(self.norm(F.max_pool2d(x, (3, 2), (2, 2), (1, 0), ceil_mode=True)))
        x = F.avg_pool2d(x, 3, 1, 1) + F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)
        x = F.avg_pool2d(x, (2, 3), 2, ceil_mode=True)
        return torch.matmul(x.mean((2, 3)), self.weight) + self.bias


def ResNet8():
    """MLPerf Tiny, image classification."""
    return ResNet(blocks=1)


class DSCNN(nn.Module):
    """MLPerf Tiny, keyword spotting: 49 frames of 10 coefficients."""

    def __init__(self, classes=12, width=64):
        super().__init__()
        layers = [nn.ZeroPad2d((1, 1, 4, 5)), nn.Conv2d(1, width, (10, 4), 2), nn.BatchNorm2d(width), nn.ReLU(), nn.Dropout(0.2)]
        for _ in range(4):
            for conv in (nn.Conv2d(width, width, 3, padding=1, groups=width), nn.Conv2d(width, width, 1)):
                layers += [conv, nn.BatchNorm2d(width), nn.ReLU()]
        self.features = nn.Sequential(*layers, nn.Dropout(0.4), nn.AvgPool2d((25, 5)))
        self.fc = nn.Linear(width, classes)

    def forward(self, x):
        return self.fc(torch.flatten(self.features(x), 1))


class MobileNetV1(nn.Sequential):
    """MLPerf Tiny, visual wake words: a quarter of the width."""

    def __init__(self, classes=2):
        def bn_relu(conv):
            return nn.Sequential(conv, nn.BatchNorm2d(conv.out_channels), nn.ReLU())

        layers, i = [bn_relu(nn.Conv2d(3, 8, 3, 2, 1, bias=False))], 8
        for o, stride in ((16, 1), (32, 2), (32, 1), (64, 2), (64, 1), (128, 2), *[(128, 1)] * 5, (256, 2), (256, 1)):
            layers += [bn_relu(nn.Conv2d(i, i, 3, stride, 1, groups=i, bias=False)), bn_relu(nn.Conv2d(i, o, 1, bias=False))]
            i = o
        super().__init__(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(i, classes))


class AutoEncoder(nn.Sequential):
    """MLPerf Tiny, anomaly detection: 5 frames of 128 bands."""

    def __init__(self):
        widths, layers = (640, 128, 128, 128, 128, 8, 128, 128, 128, 128), []
        for i, o in zip(widths, widths[1:]):
            layers += [nn.Linear(i, o), nn.BatchNorm1d(o), nn.ReLU()]
        super().__init__(*layers, nn.Linear(128, 640))


class OptionA(nn.Module):
    """The shortcut without parameters of He et al. 2015: every second pixel, and channels of zeros."""

    def __init__(self, i, o):
        super().__init__()
        self.more = (o - i) // 2

    def forward(self, x):
        return F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.more, self.more))


def ResNet20A():
    """ResNet-20 as published for CIFAR-10."""
    network = ResNet()
    for stage in (network.layer2, network.layer3):
        block = stage[0]
        block.downsample = OptionA(block.conv1.in_channels, block.conv1.out_channels)
    return network


def disturbed(network, seed):
    """Evaluation mode, with statistics and affine parameters as after training: none of them 0 or 1, gammas of both signs."""
    g = torch.Generator().manual_seed(seed)
    for m in network.modules():
        if isinstance(m, (nn.BatchNorm1d, nn.BatchNorm2d)):
            n = m.num_features
            m.running_mean.copy_(0.3 * torch.randn(n, generator=g))
            m.running_var.copy_(0.5 + torch.rand(n, generator=g))
            m.weight.data.copy_((0.4 + 0.6 * torch.rand(n, generator=g)) * torch.where(torch.rand(n, generator=g) < 0.1, -1.0, 1.0))
            m.bias.data.copy_(0.2 * torch.randn(n, generator=g))
        elif isinstance(m, (nn.Conv2d, nn.Linear)):
            fan = m.weight[0].numel()
            m.weight.data.copy_(torch.randn(m.weight.shape, generator=g) * (2 / fan) ** 0.5)
            if m.bias is not None:
                m.bias.data.copy_(0.1 * torch.randn(m.bias.shape, generator=g))
    return network.eval()


def keras(path, rng, classes=10):
    """A file as tf2onnx writes it from Keras: images [N, height, width, channels], a Transpose before and after each layer that
    wants them otherwise, biases and activations in between, a flattened image of [height, width, channels], float16 weights."""
    import numpy as np
    from onnx import TensorProto, helper, numpy_helper, save

    nodes, constants = [], []

    def constant(v, dtype=np.float32):
        constants.append(numpy_helper.from_array(np.asarray(v, dtype), f"k{len(constants)}"))
        return constants[-1].name

    def add(op, *inputs, **attributes):
        nodes.append(helper.make_node(op, list(inputs), [f"v{len(nodes)}"], name=f"{op}_{len(nodes)}", **attributes))
        return nodes[-1].output[0]

    def conv(x, i, o, k=3, group=1):
        w = add("Cast", constant(rng.normal(size=(k, k, i // group, o)) * (2 / (k * k * i // group)) ** 0.5, np.float16), to=1)
        y = add("Conv", add("Transpose", x, perm=[0, 3, 1, 2]), add("Transpose", w, perm=[3, 2, 0, 1]), auto_pad="SAME_UPPER", group=group)
        return add("Relu", add("Add", add("Transpose", y, perm=[0, 2, 3, 1]), constant(rng.normal(size=o) * 0.2)))

    x = conv("image", 3, 8)
    x = add("Transpose", add("MaxPool", add("Transpose", x, perm=[0, 3, 1, 2]), kernel_shape=[4, 4], strides=[4, 4]), perm=[0, 2, 3, 1])
    x = add("Concat", x, conv(x, 8, 8, group=8), axis=3)
    shape = add("Shape", x)
    batch = add("Slice", shape, constant([0], np.int64), constant([1], np.int64))
    one_by_one = add("Add", add("MatMul", x, constant(rng.normal(size=(16, 12)) * 0.3)), constant(rng.normal(size=12) * 0.2))
    dense = add("MatMul", add("Reshape", one_by_one, add("Concat", batch, constant([-1], np.int64), axis=0)), constant(rng.normal(size=(768, 32)) * 0.04))
    pooled = add("Squeeze", add("ReduceMean", add("ReduceMean", x, axes=[1], keepdims=1), axes=[2], keepdims=1), constant([1, 2], np.int64))
    dense = add("Add", dense, add("Gemm", pooled, constant(rng.normal(size=(32, 16))), constant(0.1), alpha=0.5, beta=2.0, transB=1))
    add("Softmax", add("MatMul", add("Relu", dense), constant(rng.normal(size=(32, classes)))))
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 32, 32, 3])
    logits = helper.make_tensor_value_info(nodes[-1].output[0], TensorProto.FLOAT, ["N", classes])
    save(helper.make_model(helper.make_graph(nodes, "keras", [image], [logits], constants), opset_imports=[helper.make_opsetid("", 15)], ir_version=8), path)
    return nodes[-1].input[0]
