"""The other runtimes' side of experiments/speed/run_infer.sh: integer inference of ResNet-20 on 32x32x3, W8A8, weights per channel.

usage: infer_peers.py ROUNDS [TFLITE]     prints one line per runtime, batch and number of threads: name,batch,threads,median ms (1 thread: processor time)
A Python with numpy, onnx, onnxruntime and torch; OpenVINO takes part when it is installed, LiteRT on TFLITE, our own export. Random weights and pixels, in
memory; calibration on random data. All contenders take turns, so that a busy machine hits them alike.
"""
import importlib.util
import os
import sys
import tempfile
import time
import warnings

import numpy as np
import onnx
import onnxruntime as ort
import torch
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

warnings.filterwarnings("ignore")
ROUNDS = int(sys.argv[1])
BATCHES, THREADS = (1, 128), (1, 2)
RNG = np.random.default_rng(1)
PIXELS = {b: RNG.random((b, 3, 32, 32), dtype=np.float32) for b in BATCHES}


class Net:
    """The network as float ONNX, batch norm folded; the batch is fixed because every runtime plans better for that."""

    def __init__(self, batch):
        self.nodes, self.inits, self.batch = [], [], batch
        y = self.conv("input", 3, 16, 3, 1, relu=True)
        width = 16
        for stage in range(3):
            for k in range(3):
                out, stride = 16 << stage, 2 if stage and k == 0 else 1
                z = self.conv(self.conv(y, width, out, 3, stride, relu=True), out, out, 3, 1, relu=False)
                short = self.conv(y, width, out, 1, stride, relu=False) if stride > 1 else y
                y = self.op("Relu", [self.op("Add", [z, short])])
                width = out
        y = self.op("Flatten", [self.op("GlobalAveragePool", [y])])
        y = self.op("Gemm", [y, self.init(RNG.normal(0, 0.1, (64, 10))), self.init(np.zeros(10))], "output")
        graph = helper.make_graph(self.nodes, "resnet20", [self.value("input", [batch, 3, 32, 32])], [self.value("output", [batch, 10])],
                                  self.inits)
        self.model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)

    def value(self, name, shape):
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

    def init(self, array):
        name = f"w{len(self.inits)}"
        self.inits.append(numpy_helper.from_array(array.astype(np.float32), name))
        return name

    def op(self, kind, inputs, name=None, **attributes):
        name = name or f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [name], name=f"n{len(self.nodes)}", **attributes))
        return name

    def conv(self, x, cin, cout, k, stride, relu):
        w = self.init(RNG.normal(0, (2 / (cin * k * k)) ** 0.5, (cout, cin, k, k)))
        y = self.op("Conv", [x, w, self.init(np.zeros(cout))], kernel_shape=[k, k], strides=[stride] * 2, pads=[k // 2] * 4)
        return self.op("Relu", [y]) if relu else y


class Calibration(CalibrationDataReader):
    def __init__(self, batch):
        self.left = [{"input": RNG.random((batch, 3, 32, 32), dtype=np.float32)} for _ in range(4)]

    def get_next(self):
        return self.left.pop() if self.left else None


def quantized_onnx(folder, batch):
    plain, quantized = os.path.join(folder, f"f{batch}.onnx"), os.path.join(folder, f"q{batch}.onnx")
    onnx.save(Net(batch).model, plain)
    quantize_static(plain, quantized, Calibration(batch), quant_format=QuantFormat.QDQ, per_channel=True, activation_type=QuantType.QUInt8,
                    weight_type=QuantType.QInt8)
    return quantized


def ort_runner(path, batch, threads):
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    feed = {"input": PIXELS[batch]}
    return lambda: session.run(None, feed)


def openvino_runner(path, batch, threads):
    import openvino as ov

    core = ov.Core()
    compiled = core.compile_model(path, "CPU", {"INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1, "PERFORMANCE_HINT": "LATENCY"})
    request = compiled.create_infer_request()
    request.set_input_tensor(ov.Tensor(PIXELS[batch], shared_memory=True))
    return request.infer


def openvino_streams_runner(path, batch, threads):
    """Batch as single images, one stream per thread: how OpenVINO itself would serve them."""
    import openvino as ov

    core = ov.Core()
    compiled = core.compile_model(path, "CPU", {"INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": threads})
    queue = ov.AsyncInferQueue(compiled, threads)
    images = [ov.Tensor(PIXELS[batch][i : i + 1].copy()) for i in range(batch)]

    def run():
        for image in images:
            queue.start_async({0: image})
        queue.wait_all()

    return run


def litert_runner(path, batch, threads):
    """LiteRT with XNNPACK, its default, on the file that Nibble exports (int8 codes in NHWC)."""
    from ai_edge_litert.interpreter import Interpreter

    net = Interpreter(path, num_threads=threads)
    at = net.get_input_details()[0]["index"]
    net.resize_tensor_input(at, [batch, 32, 32, 3])
    net.allocate_tensors()
    net.set_tensor(at, RNG.integers(-128, 128, (batch, 32, 32, 3), dtype=np.int8))
    return net.invoke


def torch_runner(model, batch):
    x = torch.from_numpy(PIXELS[batch]).contiguous(memory_format=torch.channels_last)

    def run():
        with torch.inference_mode():
            model(x)

    return run


def torch_model(engine):
    import torch.ao.quantization as tq
    from torch_step import resnet20

    torch.backends.quantized.engine = engine
    model = resnet20().eval().to(memory_format=torch.channels_last)
    tq.fuse_modules(model.stem, ["0", "1", "2"], inplace=True)
    for block in model.blocks:
        tq.fuse_modules(block, [["c1", "b1", "r1"], ["c2", "b2"]], inplace=True)
        if block.short is not None:
            tq.fuse_modules(block.short, ["0", "1"], inplace=True)
    model.qconfig = tq.get_default_qconfig(engine)
    tq.prepare(model, inplace=True)
    with torch.inference_mode():
        model(torch.from_numpy(PIXELS[128]))
    tq.convert(model, inplace=True)
    return model


def contenders(folder):
    """(name, batch, threads, function)"""
    paths = {b: quantized_onnx(folder, b) for b in BATCHES}
    try:
        import openvino  # noqa: F401

        has_openvino = True
    except ImportError:
        has_openvino = False
    for batch in BATCHES:
        for threads in THREADS:
            yield "onnxruntime", batch, threads, ort_runner(paths[batch], batch, threads)
            if has_openvino:
                yield "openvino", batch, threads, openvino_runner(paths[batch], batch, threads)
                if batch > 1:
                    yield "openvino streams", batch, threads, openvino_streams_runner(paths[1], batch, threads)
    if len(sys.argv) > 2 and importlib.util.find_spec("ai_edge_litert"):
        for batch in BATCHES:
            for threads in THREADS:
                yield "litert", batch, threads, litert_runner(sys.argv[2], batch, threads)
    for engine in ("fbgemm", "onednn"):
        model = torch_model(engine)
        for batch in BATCHES:
            for threads in THREADS:
                yield f"torch {engine}", batch, threads, torch_runner(model, batch)


def measure(name, batch, threads, run):
    if name.startswith("torch"):
        torch.set_num_threads(threads)
        torch.backends.quantized.engine = name.split()[1]
    repeat = 20 if batch == 1 else 1
    clock = time.process_time if threads == 1 else time.perf_counter  # as `nibble bench` does: other programs do not count
    start = clock()
    for _ in range(repeat):
        run()
    return (clock() - start) / repeat


def main():
    with tempfile.TemporaryDirectory() as folder:
        everyone = list(contenders(folder))
        times = [[] for _ in everyone]
        for _ in range(ROUNDS + 1):
            for i, who in enumerate(everyone):
                times[i].append(measure(*who))
    for who, t in zip(everyone, times):
        t = sorted(t[1:])
        print(f"{who[0]},{who[1]},{who[2]},{1e3 * t[len(t) // 2]:.4f}", flush=True)


main()
