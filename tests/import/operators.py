"""operators.py - libonnx-testdata's operator tests, each as a small network through `nibble import`, against ONNX Runtime.

usage: operators.py NIBBLE FOLDER [PATTERN...]     needs onnx and onnxruntime, and Debian's libonnx-testdata (or ONNX_TESTDATA)
Which tests, in which form, and why: operator_tests.txt. Exits with 1 when a result is off by more than 1e-5, a refusal does not
name its node, fewer than 85 % import, or a test has no line.
"""
import fnmatch
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper
from safetensors.numpy import load_file

HERE = Path(__file__).parent
DATA = Path(os.environ.get("ONNX_TESTDATA", "/usr/share/libonnx-testdata/data"))
FOLDERS = ("node", "pytorch-converted", "pytorch-operator", "simple")
IMAGES, CLASSES, MEAN, STD, SHARE = 16, 4, 0.4, 0.3, 0.85
FLOATS = (onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE, onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16)
NEEDS_AXES = {"ReduceMean", "ReduceSum", "ReduceMax", "Squeeze", "Unsqueeze", "Slice"}


GONE = {"broadcast", "consumed_inputs", "is_test", "spatial"}  # of opsets before 9


onnxruntime.set_default_logger_severity(3)


class Left(Exception):
    """The network could not be built: the list is wrong."""


def read_list():
    """[(form, folder, patterns, reason)] in the order of the file."""
    lines = []
    for n, line in enumerate((HERE / "operator_tests.txt").read_text().splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        words, _, reason = line.partition(" : ")
        form, folder, *patterns = words.split()
        if folder not in FOLDERS or not patterns or not reason:
            sys.exit(f"operator_tests.txt:{n}: must be FORM FOLDER PATTERN... : reason")
        lines.append((form, folder, patterns, reason))
    return lines


def matches(name, patterns):
    return any(fnmatch.fnmatchcase(name, p) for p in patterns if p[0] != "!") and not any(fnmatch.fnmatchcase(name, p[1:]) for p in patterns if p[0] == "!")


def forms_of(lines, folder, name, only=None):
    forms = [form for form, f, patterns, _ in lines if f == folder and form not in ("out", "near") and matches(name, patterns)]
    if only:
        return [form for form, f, patterns, _ in lines if f == folder and form == only and matches(name, patterns)]
    return forms or ["out" for form, f, patterns, _ in lines if f == folder and form == "out" and matches(name, patterns)][:1]


def read_test(folder):
    model = onnx.load(folder / "model.onnx")
    initial = {i.name for i in model.graph.initializer}
    inputs = [v for v in model.graph.input if v.name not in initial]
    sets = sorted(folder.glob("test_data_set_*"))
    values = {}
    for k, v in enumerate(inputs):
        at = sets[0] / f"input_{k}.pb"
        if at.exists() and v.type.HasField("tensor_type"):
            values[v.name] = onnx.TensorProto.FromString(at.read_bytes())
    return model, inputs, values


class Net:
    """A network around the nodes of a test."""

    def __init__(self, model, seed):
        self.rng, self.opset = np.random.default_rng(seed), max(9, model.opset_import[0].version)
        self.nodes, self.constants, self.n = [], list(model.graph.initializer), 0
        self.batch = "N"
        self.inner = [onnx.NodeProto.FromString(n.SerializeToString()) for n in model.graph.node]
        for n in self.inner:
            for a in [a for a in n.attribute if a.name in GONE]:
                n.attribute.remove(a)

    def constant(self, value, name=None):
        self.n += name is None
        name = name or f"net_k{self.n}"
        self.constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def add(self, op, inputs, output=None, **attributes):
        self.n += 1
        output = output or f"net_v{self.n}"
        self.nodes.append(helper.make_node(op, inputs, [output], name=f"{op}_{self.n}", **attributes))
        return output

    def with_axes(self, op, x, axes, output=None):
        if self.opset >= 13:
            return self.add(op, [x, self.constant(np.array(axes, np.int64))], output)
        return self.add(op, [x], output, axes=axes)

    def source(self, name, shape, positive):
        """[N, ...shape] from the images, under the name of a test's input."""
        c = shape[0] if shape else 1
        w = self.rng.uniform(1, 3, (c, 1, 1, 1)) * (1 if positive else self.rng.choice([-1, 1], (c, 1, 1, 1)))
        b = self.rng.uniform(0.5, 1, c) + 4.1 if positive else self.rng.normal(size=c)
        whole = self.constant(w.astype(np.float32)), self.constant(b.astype(np.float32))
        y = self.add("Conv", ["image", *whole], name if len(shape) == 3 else None)
        if len(shape) == 2:
            self.with_axes("Squeeze", y, [2], name)
        elif len(shape) < 2:
            self.add("Flatten", [y], name, axis=1)

    def finish(self, outputs):
        parts = []
        for name, count in outputs:
            w = self.rng.normal(size=(CLASSES, count)).astype(np.float32) / np.float32(count**0.5)
            flat = self.add("Flatten", [name], axis=1)
            parts.append(self.add("Gemm", [flat, self.constant(w), self.constant(self.rng.normal(size=CLASSES).astype(np.float32))], transB=1))
        return parts[0] if len(parts) == 1 else self.add("Sum", parts)

    def model(self, x_shape, output, nodes):
        image = helper.make_tensor_value_info("image", 1, [self.batch, 1, *x_shape])
        y = helper.make_tensor_value_info(output, 1, None)
        graph = helper.make_graph(nodes, "net", [image], [y], self.constants)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=8)


def later_axes(net, rank):
    """Axes of the test's nodes count one more: the images stand before them."""
    for n in net.inner:
        for a in n.attribute:
            if a.name == "axis" and a.i >= 0:
                a.i += 1
            elif a.name == "axes":
                a.ints[:] = [v + (v >= 0) for v in a.ints]
            elif a.name == "perm":
                a.ints[:] = [0, *[v + 1 for v in a.ints]]
        names = {a.name for a in n.attribute}
        if n.op_type == "Transpose" and "perm" not in names:
            n.attribute.append(helper.make_attribute("perm", [0, *range(rank, 0, -1)]))
        if n.op_type in ("Concat", "Split") and "axis" not in names:
            n.attribute.append(helper.make_attribute("axis", 1))
        at = {"Slice": 3}.get(n.op_type, 1 if n.op_type in NEEDS_AXES else None)
        if n.op_type == "Slice" and len(n.input) == 3:
            starts = next(c for c in net.constants if c.name == n.input[1])
            n.input.append(net.constant(np.arange(numpy_helper.to_array(starts).size, dtype=np.int64)))
        if at and len(n.input) > at:
            c = next(c for c in net.constants if c.name == n.input[at])
            axes = numpy_helper.to_array(c)
            n.input[at] = net.constant(axes + (axes >= 0).astype(axes.dtype))


def shapes_of(net, nodes, x_shape, names):
    """[(name, values of one image)] by ONNX Runtime; a test that fixes its batch gets one image at a time."""
    try:
        return shapes_for(net, nodes, x_shape, names, 2)
    except Left:
        net.batch = 1
        return shapes_for(net, nodes, x_shape, names, 1)


def shapes_for(net, nodes, x_shape, names, batch):
    m = net.model(x_shape, names[0], nodes)
    del m.graph.output[:]
    m.graph.output.extend(helper.make_tensor_value_info(n, 1, None) for n in names)
    try:
        session = onnxruntime.InferenceSession(m.SerializeToString(), providers=["CPUExecutionProvider"])
        got = session.run(names, {"image": np.zeros((batch, 1, *x_shape), np.float32)})
    except Exception as e:
        raise Left(f"ONNX Runtime: {str(e)[:200]}") from e
    if any(g.shape[0] != batch for g in got):
        raise Left("mixes the images of a batch")
    return [(n, int(g[0].size)) for n, g in zip(names, got)]


def build_data(form, model, inputs, values, seed):
    """The images run through the test."""
    net = Net(model, seed)
    shapes = {v.name: tuple(values[v.name].dims) for v in inputs}
    data = [v.name for v in inputs[: len(inputs) if form == "two" else 1]]
    for v in inputs:
        if v.name not in data:
            t = numpy_helper.to_array(values[v.name])
            net.constant(t, v.name)
    lifted = form in ("lift", "two", "positive")
    turned = form == "rows" and any(n.op_type == "Gemm" and any(a.name == "transA" and a.i for a in n.attribute) for n in net.inner)
    size = (1, 1)
    for name in data:
        shape = shapes[name] if lifted else (shapes[name][:1] if turned else shapes[name][1:])
        if len(shape) > 3:
            shape = shape[1:]
        size = (shape[1] if len(shape) == 3 else 1, shape[-1] if len(shape) > 1 else 1)
        net.source(f"{name}_rows" if turned else name, shape, form == "positive")
        if turned:
            net.add("Transpose", [f"{name}_rows"], name, perm=[1, 0])
    for c in [c for c in net.constants if any(n.op_type == "PRelu" and c.name == n.input[1] for n in net.inner)]:
        if len(c.dims) == 1 and form in ("image", "signal"):  # before opset 7 it meant the channels
            c.dims.extend([1] * (len(shapes[data[0]]) - 2))
    if lifted:
        later_axes(net, len(shapes[data[0]]))
    nodes = net.nodes + net.inner
    outputs = [v.name for v in model.graph.output][: 1 if net.inner[-1].op_type in ("MaxPool", "Dropout") else None]
    if form == "end":
        return net.model(size, outputs[0], nodes), size
    counted = shapes_of(net, nodes, size, outputs)
    net.nodes = []
    last = net.finish(counted)
    return net.model(size, last, nodes + net.nodes), size


def folded_shapes(net, names):
    graph = helper.make_graph(net.inner, "fold", [], [onnx.ValueInfoProto(name=n) for n in names], net.constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", net.opset)], ir_version=8)
    try:
        session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        return [v.shape for v in session.run(names, {})]
    except Exception as e:
        raise Left(f"ONNX Runtime: {str(e)[:200]}") from e


def build_constant(model, inputs, values, seed):
    """The test's result is the weights of a linear layer, from one feature to as many as it has values."""
    net = Net(model, seed)
    for v in inputs:
        values[v.name].name = v.name
        values[v.name].data_type = v.type.tensor_type.elem_type
        net.constants.append(values[v.name])
    x = net.add("Flatten", [net.add("GlobalAveragePool", ["image"])], axis=1)
    w = None
    for v in model.graph.output:
        flat = net.add("Reshape", [v.name, net.constant(np.array([1, -1], np.int64))])
        flat = net.add("Cast", [flat], to=1)
        w = flat if w is None else net.add("Concat", [w, flat], axis=1)
    count = sum(int(np.prod(v)) for v in folded_shapes(net, [v.name for v in model.graph.output]))
    y = net.finish([(net.add("MatMul", [x, w]), count)])
    return net.model((4, 4), y, net.inner + net.nodes), (4, 4)


def write_images(work, size, classes):
    rng = np.random.default_rng(3)
    x = rng.integers(0, 256, (IMAGES, *size), dtype=np.uint8)
    for split in ("train", "t10k"):
        head = b"\0\0\x08\x03" + b"".join(v.to_bytes(4, "big") for v in x.shape)
        (work / f"{split}-images-idx3-ubyte").write_bytes(head + x.tobytes())
        (work / f"{split}-labels-idx1-ubyte").write_bytes(b"\0\0\x08\x01" + IMAGES.to_bytes(4, "big") + bytes(IMAGES))
    return x[:, None]


def softmax(v, log):
    v = v - v.max(1, keepdims=True)
    e = np.exp(v) / np.exp(v).sum(1, keepdims=True)
    return np.log(e) if log else e


def run_one(nibble, work, model, size, end, coarse):
    """(result, text): "equal", "near" where the list says that more is not to be had, "refused", or "BAD"."""
    onnx.save(model, work / "t.onnx")
    try:
        session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        probe = session.run(None, {"image": np.zeros((1, 1, *size), np.float32)})[0]
    except Exception as e:
        raise Left(f"ONNX Runtime: {str(e)[:200]}") from e
    if probe.ndim != 2:
        raise Left("no logits")
    x = write_images(work, size, probe.shape[1])
    images = ((x / np.float64(255) - MEAN) / STD).astype(np.float32)
    step = model.graph.input[0].type.tensor_type.shape.dim[0].dim_value or len(images)
    want = np.concatenate([session.run(None, {"image": images[i : i + step]})[0] for i in range(0, len(images), step)])
    data = f"{{name: idx, path: {work}, classes: {max(2, probe.shape[1])}}}"
    for f in ("t.yaml", "t.safetensors", "l.safetensors"):
        (work / f).unlink(missing_ok=True)
    p = subprocess.run([nibble, "import", "t.onnx", "-o", "t", "--data", data, "--mean", str(MEAN), "--std", str(STD)], capture_output=True, text=True, cwd=work)
    if p.returncode != 0:
        named = any(f"({op})" in p.stderr for op in {n.op_type for n in model.graph.node})
        return ("refused" if named else "BAD"), p.stderr.strip().split("\n")[-1]
    p = subprocess.run([nibble, "eval", "t.safetensors", "--logits", "l.safetensors"], capture_output=True, text=True, cwd=work)
    if p.returncode != 0:
        return "BAD", "imported, but eval: " + p.stderr.strip()
    got = load_file(work / "l.safetensors")["logits"]
    if end:
        got = softmax(got, end == "LogSoftmax")
    far = np.abs(got - want).max() / max(1.0, np.abs(want).max())
    return ("equal" if far <= 1e-5 else "near" if coarse and far <= 1e-3 else "BAD"), f"off by {far:.1e}"


def main():
    nibble, work, only = sys.argv[1], Path(sys.argv[2]).resolve(), sys.argv[3:]
    if not (DATA / "node").exists():
        print("libonnx-testdata is not there: the operator tests are left out")
        return 0
    work.mkdir(parents=True, exist_ok=True)
    lines, counts, bad, listed = read_list(), {"equal": 0, "near": 0, "refused": 0, "BAD": 0}, 0, 0
    out = 0
    for folder in FOLDERS:
        for test in sorted((DATA / folder).glob("test_*")):
            name = test.name[5:]
            forms = forms_of(lines, folder, name)
            if not forms:
                print(f"operator_tests.txt has no line for {folder} {name}")
                bad += 1
            out += forms == ["out"]
            for form in forms:
                if form == "out" or (only and not matches(name, only)):
                    continue
                listed += 1
                try:
                    model, inputs, values = read_test(test)
                    seed = sum(map(ord, name))
                    net, size = build_constant(model, inputs, values, seed) if form == "constant" else build_data(form, model, inputs, values, seed)
                    result, text = run_one(nibble, work, net, size, model.graph.node[-1].op_type if form == "end" else None, forms_of(lines, folder, name, "near"))
                except Left as e:
                    result, text = "BAD", f"is listed, but: {e}"
                counts[result] += 1
                if result != "equal" or only:
                    print(f"{result:8s}{form:9s}{name}: {text}")
    total = max(1, listed)
    print(f"operator tests: {listed} listed, {counts['equal']} import and match to 1e-5 ({100 * counts['equal'] / total:.1f} %), "
          f"{counts['near']} more coarsely, {counts['refused']} refused by name, {counts['BAD']} bad; {out} are out")
    return int(bad + counts["BAD"] > 0 or (not only and counts["equal"] < SHARE * total))


if __name__ == "__main__":
    sys.exit(main())
