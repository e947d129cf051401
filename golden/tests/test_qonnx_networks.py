# SPDX-License-Identifier: Apache-2.0
"""Whole QONNX networks against the package qonnx, every tensor and every bit: the project's own, networks drawn at
random in all widths, and networks that Brevitas exports."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from assay import vectors
from assay.golden import GoldenError, Graph
from assay.golden.importers import onnx as importer
from assay.golden.layers import mlas
from assay.golden.tests.float32 import float32, fraction
from assay.golden.tests.onnx_files import QONNX, OnnxFile, check, onnxruntime, qonnx

IMAGES = 30


def same_bits(graph: Graph, data: bytes, x: np.ndarray, but: tuple[str, ...] = ()) -> int:
    """Hold every tensor of a graph to qonnx; gives how many values were compared."""
    theirs, ours = qonnx(data, graph).trace(x), graph.trace(x)
    assert set(ours) == set(theirs)
    makers = {name: node.kind for node in graph.nodes for name in node.outputs}
    for name, array in theirs.items():
        assert (ours[name].dtype, ours[name].shape) == (array.dtype, array.shape), name
        if makers.get(name) in but:
            np.testing.assert_allclose(ours[name], array, rtol=2.0**-20, atol=0)
        else:
            assert ours[name].tobytes() == np.ascontiguousarray(array).tobytes(), (name, makers.get(name))
    return sum(array.size for array in theirs.values())


@pytest.mark.parametrize("name", ["digits_w2a2", "digits_mixed"])
def test_digits(name):
    _, images, _ = vectors.digits(name)
    data = vectors.path(f"digits/{name}.onnx").read_bytes()
    x = images[:IMAGES].transpose(0, 3, 1, 2).astype(np.float32)
    assert same_bits(importer.loads(data), data, x) > 500_000


class Drawn:
    """A network drawn at random: a stem, a residual block, two branches and a classifier."""

    def __init__(self, seed: int, opset: int, version: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.file = OnnxFile(opset, version)
        self.power = bool(seed % 3 == 0)  # scales that are powers of two
        self.node = self.file.node

    def scale(self, shape=()) -> np.ndarray:
        scale = np.exp(self.rng.uniform(-5, 0, shape)).astype(np.float32)
        return np.exp2(np.round(np.log2(scale))).astype(np.float32) if self.power else scale

    def weight(self, *shape: int, axis: int = 0) -> str:
        values = self.rng.standard_normal(shape).astype(np.float32)
        per_channel = [1] * len(shape)
        if self.rng.random() < 0.5:
            per_channel[axis] = shape[axis]
        scale = self.scale(per_channel)
        if self.rng.random() < 0.25:
            return self.node("BipolarQuant", values, scale, domain=QONNX)
        bits = int(self.rng.choice([1, 2, 3, 4, 8, 12]))
        return self.file.quant(values, bits, scale, narrow=int(self.rng.integers(2)))

    def act(self, x: str, channels: int = 1) -> str:
        mode = str(self.rng.choice(["ROUND", "FLOOR", "CEIL", "UP", "DOWN", "HALF_UP", "HALF_DOWN"]))
        signed, bits = int(self.rng.integers(2)), int(self.rng.choice([2, 3, 4, 6, 8, 16]))
        zero = float(self.rng.choice([0, 0, 0, 3, 2 ** (bits - 1)]))
        scale = self.scale((1, channels, 1, 1) if channels > 1 and self.rng.random() < 0.3 else ())
        return self.file.quant(x, bits, scale, zero, signed=signed, mode=mode)

    def conv(self, x: str, inputs: int, outputs: int, size: int = 3, group: int = 1, **attributes) -> str:
        bias = [self.rng.standard_normal(outputs).astype(np.float32)] if self.rng.random() < 0.5 else []
        weight = self.weight(outputs, inputs // group, size, size)
        return self.node("Conv", x, weight, *bias, pads=[size // 2] * 4, group=group, **attributes)

    def norm(self, x: str, channels: int) -> str:
        numbers = [self.rng.standard_normal(channels).astype(np.float32) for _ in range(3)]
        return self.node(
            "BatchNormalization", x, *numbers, self.rng.uniform(0.1, 2, channels).astype(np.float32)
        )

    def build(self) -> OnnxFile:
        x = self.act(self.file.input((1, 3, 12, 12)))
        x = self.act(self.node("Relu", self.norm(self.conv(x, 3, 8), 8)), 8)
        y = self.act(self.node("PRelu", self.conv(x, 8, 8, group=8), self.scale((8, 1, 1))))
        x = self.act(self.node("Add", self.act(self.conv(y, 8, 8)), x))
        x = self.node("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
        x = self.act(self.node("LeakyRelu", self.conv(x, 8, 16, group=2), alpha=0.125), 16)
        average = self.node("AveragePool", x, kernel_shape=[2, 2], strides=[1, 1], pads=[0, 0, 1, 1])
        numbers = [self.scale(), np.float32(0), np.float32(10)]
        if self.file.qonnx_version == 2:
            numbers += [numbers[0] * np.float32(4), np.float32(6)]
            extra = {"signed": 1, "narrow": 0}
        else:
            numbers, extra = [*numbers, np.float32(8)], {}
        cut = self.node("Trunc", average, *numbers, domain=QONNX, rounding_mode="FLOOR", **extra)
        squeezed = self.node("Sigmoid", self.node("GlobalAveragePool", x))
        gated = self.act(self.node("Mul", x, self.act(squeezed)))
        steps = np.sort(self.rng.standard_normal((16, 7)).astype(np.float32), axis=1)
        counted = self.node(
            "MultiThreshold", gated, steps, domain=QONNX, out_scale=0.25, out_bias=-0.5, out_dtype="UINT3"
        )
        x = self.node("Concat", cut, counted, axis=1)
        x = self.act(self.node("Clip", x, np.float32(-1.5), np.float32(2.5)))
        x = self.act(self.node("Tanh", self.node("Div", x, self.scale())))
        x = self.node("Flatten", self.node("MaxPool", x, kernel_shape=[3, 3], strides=[3, 3]))
        x = self.act(self.node("MatMul", x, self.weight(128, 40, axis=1)))
        x = self.act(self.node("Gemm", x, self.weight(20, 40), self.scale((20,)), transB=1))
        self.node("Gemm", self.node("Sub", x, self.scale((20,))), self.weight(20, 10, axis=1))
        return self.file


@pytest.mark.parametrize("seed", range(24))
def test_networks_drawn_at_random(seed):
    drawn = Drawn(seed, [11, 13, 17, 21][seed % 4], 1 + seed // 4 % 2)
    x = drawn.rng.standard_normal((6, 3, 12, 12)).astype(np.float32) * 3
    check(drawn.build(), drawn.rng, x={"x0": x})


@pytest.mark.parametrize("size, kernel", [((1, 6, 33), (5,)), ((2, 6, 9, 8), (2, 3))])
def test_one_and_two_axes(size, kernel):
    rng = np.random.default_rng(0)
    file = OnnxFile(13)
    x = file.quant(file.input(size), 8, 0.11, 7, signed=0)
    w = file.quant(rng.standard_normal((12, 2, *kernel)).astype(np.float32), 3, 0.21)
    y = file.node("Conv", x, w, group=3, dilations=[2] * len(kernel), strides=[2] * len(kernel))
    y = file.node("BatchNormalization", y, *rng.uniform(0.5, 2, (4, 12)).astype(np.float32))
    y = file.node("MaxPool", file.quant(y, 4, 0.3), kernel_shape=[2] * len(kernel))
    y = file.node("Resize", y, None, np.float32([1, 1, *[2] * len(kernel)]), mode="nearest", nearest_mode="floor",
                  coordinate_transformation_mode="asymmetric")  # fmt: skip
    file.node("ReduceMean", y, axes=[-1])
    check(file, rng)


@pytest.mark.parametrize("opset", [8, 11, 17, 19, 22])
@pytest.mark.parametrize("shape", [(1, 16, 12, 12), (1, 8, 11, 9), (2, 24, 6, 6), (1, 16, 9), (1, 3, 40, 41)])
def test_pools(shape, opset):
    """Orders of sums, and of comparisons, which decide the sign of a zero; 16 channels are a block, 24 are none."""
    rng = np.random.default_rng(opset)
    axes = len(shape) - 2
    for attempt in range(6):
        whole = attempt == 0
        kernel = list(shape[2:]) if whole else rng.integers(1, 5, axes).tolist()
        strides = [1] * axes if whole else rng.integers(1, 4, axes).tolist()
        pads = [0] * 2 * axes if whole else [int(rng.integers(0, k)) for k in kernel * 2]
        file = OnnxFile(opset)
        x = file.quant(file.input(shape), 2, 0.75)
        window = {"kernel_shape": kernel, "strides": strides, "pads": pads}
        dilated = {"dilations": rng.integers(1, 3, axes).tolist()} if attempt == 5 and opset >= 11 else {}
        if not dilated or all(n > (k - 1) * 2 for n, k in zip(shape[2:], kernel, strict=True)):
            file.node("MaxPool", x, **window, **dilated)
        file.node("AveragePool", x, **window)
        if opset >= 10:
            file.node("MaxPool", x, **window, ceil_mode=1)
            file.node("AveragePool", x, **window, ceil_mode=1, count_include_pad=attempt % 2)
        file.node("GlobalAveragePool", x)
        check(file, rng, runs=2)


@pytest.mark.parametrize("axes", [[0], [1], [2], [0, 1], [0, 2], [1, 2], [0, 1, 2]])
def test_signs_of_zeros(axes):
    """Of sums, which start from +0 or from their first value, and of PRelu."""
    file = OnnxFile(13)
    x = file.input((3, 5, 4))
    file.node("ReduceSum", x, np.array(axes))
    file.node("ReduceMean", x, axes=axes)
    file.node("PRelu", x, np.float32([-2, 0, 3, np.inf]))
    file.quant(x, 2, 1)
    zeros = np.full((2, 3, 5, 4), -0.0, np.float32)
    zeros[1] = np.random.default_rng(0).choice([0.0, -0.0], (3, 5, 4))
    check(file, np.random.default_rng(0), x={"x0": zeros})


def test_operators_between_quantisers():
    """Those that QDQ files have, in a session for each node."""
    rng = np.random.default_rng(0)
    file = OnnxFile(17)
    x = file.quant(file.input((2, 8, 5, 7)), 6, 0.11)
    shape = file.node("Concat", file.node("Shape", x, end=2), np.array([-1]), axis=0)
    rows = file.node("Reshape", x, shape)
    file.node("Gather", rows, np.array([0, -1, 3]), axis=2)
    numbers = rng.standard_normal((2, 35)).astype(np.float32)
    file.node("LayerNormalization", rows, *numbers)
    file.node("InstanceNormalization", rows, *numbers[:, :8])
    for axis in (1, 2):
        file.node("Softmax", rows, axis=axis)
    for kind in ("Erf", "Exp", "HardSwish", "Elu", "Softsign"):
        file.node(kind, rows)
    file.node("DepthToSpace", x, blocksize=2, mode="CRD")
    file.node("Pad", x, np.array([0, 0, 2, 1, 0, 0, 4, 3]), mode="reflect")
    file.node("Resize", x, None, np.float32([1, 1, 1.15, 2]), mode="nearest")
    file.node("Resize", x, None, np.float32([1, 1, 1.6, 2]), mode="linear")
    weight = file.quant(rng.standard_normal((8, 4, 3, 2)).astype(np.float32), 4, 0.2)
    file.node("ConvTranspose", x, weight, strides=[2, 1])
    y = file.node("MatMul", rows, rng.standard_normal((35, 9)).astype(np.float32))
    long = file.node(
        "Reshape", x, np.array([1, -1])
    )  # a product of one row, which a packed matrix sums otherwise
    file.node("MatMul", long, rng.standard_normal((560, 5)).astype(np.float32))
    file.node("Gemm", long, rng.standard_normal((560, 5)).astype(np.float32))
    file.node("ConvTranspose", x, rng.standard_normal((8, 4, 3, 2)).astype(np.float32))
    file.node("Where", file.node("Greater", y, np.float32(0)), y, np.float32(-1))
    names = file.node("DynamicQuantizeLinear", y, outputs=3)
    file.node("MatMulInteger", names[0], np.arange(27, dtype=np.uint8).reshape(9, 3), names[2])
    check(file, rng)


@pytest.mark.parametrize("layout, shape, axis", [
    (None, (2, 5), 1), ("NC", (2, 5), 1), (None, (1, 4, 5), 2), ("NCW", (1, 5, 4), 1), (None, (1, 5, 2, 3), 1),
    ("NHWC", (1, 2, 3, 5), 3), ("NCHW", (1, 5, 2, 3), 1),
])  # fmt: skip
@pytest.mark.parametrize("channels", [1, 5])
def test_multi_threshold(channels, layout, shape, axis):
    rng = np.random.default_rng(0)
    assert shape[axis] == 5
    file = OnnxFile(13)
    steps = np.sort(rng.integers(-8, 8, (channels, 15)).astype(np.float32) / 4, axis=1)
    attributes = {"data_layout": layout} if layout else {}
    x = file.quant(file.input(shape), 6, 0.25)  # meets the thresholds exactly
    file.node(
        "MultiThreshold", x, steps, domain=QONNX, out_dtype="INT4", out_scale=0.3, out_bias=-2.1, **attributes
    )
    check(file, rng)


# --- What is exact in any order ---------------------------------------------------------------------------------------


def test_grid():
    assert mlas.grid(np.float32([0, -0.0])) == 127
    assert mlas.grid(np.float32([6, 0, -20])) == 1
    assert mlas.grid(np.float32([0.75, 2.0**20])) == -2
    assert mlas.grid(np.float32([2.0**-149, 1])) == -149
    assert mlas.grid(np.float32([1 + 2.0**-23])) == -23


@pytest.mark.parametrize("exponents", [(0, 0), (-9, 3), (-70, -70)])
def test_sums_at_the_edge(exponents):
    """One unit below 2**24 the order does not matter; from there on nothing is claimed. Python's integers decide."""
    rng = np.random.default_rng(0)
    units = [np.float32(2.0**e) for e in exponents]
    integers = rng.integers(-(2**11), 2**11, (3, 4)), np.full((4, 2), 2**10 - 1)
    integers[0][0] = [4000, -4000, 4000, 4000]
    integers[0][:, 0] |= 1
    sums = int(np.abs(integers[0]).sum(axis=1).max()) * (2**10 - 1)
    left = 2**24 - 1 - sums - 32  # the margin for rounding of the bound
    assert left > 0
    a, b = ((i * u).astype(np.float32) for i, u in zip(integers, units, strict=True))
    bias = np.full((3, 2), left * 2.0 ** sum(exponents), np.float32)
    y = mlas.exact_product(a, b, bias)
    exact = [[int(integers[0][i] @ integers[1][:, j]) + left for j in range(2)] for i in range(3)]
    for i in range(3):
        for j in range(2):
            assert Fraction(float(y[i, j])) == exact[i][j] * Fraction(2) ** sum(exponents)
    over = np.full((3, 2), (left + 40) * 2.0 ** sum(exponents), np.float32)
    assert mlas.exact_product(a, b, over) is None


def test_nothing_is_claimed_of_sums_that_round():
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((2, 5, 5)).astype(np.float32)
    assert mlas.exact_product(a, b) is None
    assert mlas.exact_product(np.float32([[np.inf]]), np.float32([[1]])) is None
    assert (
        mlas.exact_product(np.float32([[2.0**-100]]), np.float32([[2.0**-100]])) is None
    )  # below float32's least
    tiny = mlas.exact_product(np.float32([[2.0**-100]]), np.float32([[-(2.0**-49)]]))
    assert tiny[0, 0] == np.float32(-(2.0**-149))
    # A sum that rounds: the plain product is one float32 rounding of the fraction only in some order.
    one = mlas.product(np.float32([[1, 2.0**-24, 2.0**-24]]), np.float32([[1], [1], [1]]), 256)
    assert fraction(one[0, 0]) == float32(float32(1 + Fraction(1, 2**24)) + Fraction(1, 2**24)) == 1


def test_powers_of_two_do_not_depend_on_threads():
    """qonnx as it stands, its sessions on all of the machine's cores, gives the same bits."""
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is missing: pip install onnxruntime")
    pytest.importorskip("qonnx", reason="qonnx is missing: pip install qonnx")
    from qonnx.core import onnx_exec

    class AllThreads:
        @staticmethod
        def InferenceSession(content):
            import onnx

            model = onnx.ModelProto.FromString(content)
            model.ir_version = 10
            return runtime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])

    drawn = Drawn(0, 13, 2)
    assert drawn.power
    x = drawn.act(drawn.file.input((1, 16, 20, 20)))
    drawn.act(drawn.conv(x, 16, 32))
    data = drawn.file.bytes()
    graph = importer.loads(data)
    values = drawn.rng.standard_normal((4, 16, 20, 20)).astype(np.float32)
    model = qonnx(data, graph)._model
    for row in range(4):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(onnx_exec, "rt", AllThreads)
            theirs = onnx_exec.execute_onnx(model, {"x0": values[row : row + 1]}, True)
        for name, array in graph.trace(values[row : row + 1]).items():
            assert array.tobytes() == theirs[name].tobytes(), name


# --- Brevitas ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("weights, acts", [(1, 1), (1, 2), (2, 2), (4, 4)])
def test_brevitas(tmp_path, weights, acts):
    """A convolutional network with batch normalisation, pooling and a residual, exported by Brevitas."""
    why = "Brevitas is missing: pip install brevitas onnxoptimizer torch"
    brevitas = pytest.importorskip("brevitas.nn", reason=why)
    pytest.importorskip("onnxoptimizer", reason=why)
    import torch
    from brevitas.export import export_qonnx
    from brevitas.quant import SignedBinaryActPerTensorConst, SignedBinaryWeightPerTensorConst

    torch.manual_seed(weights)
    weight = (
        {"weight_bit_width": weights} if weights > 1 else {"weight_quant": SignedBinaryWeightPerTensorConst}
    )
    act = {"bit_width": acts} if acts > 1 else {"act_quant": SignedBinaryActPerTensorConst}

    class Net(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = brevitas.QuantIdentity(bit_width=8)
            self.convs = torch.nn.ModuleList(
                brevitas.QuantConv2d(n, 8, 3, padding=1, bias=False, **weight) for n in (3, 8)
            )
            self.norms = torch.nn.ModuleList(torch.nn.BatchNorm2d(8) for _ in range(2))
            self.acts = torch.nn.ModuleList(brevitas.QuantIdentity(**act) for _ in range(3))
            self.dense = brevitas.QuantLinear(8 * 4 * 4, 10, bias=True, weight_bit_width=4)

        def forward(self, x):
            x = self.acts[0](self.norms[0](self.convs[0](self.first(x))))
            x = self.acts[1](x + self.acts[1](self.norms[1](self.convs[1](x))))
            x = self.acts[2](torch.nn.functional.max_pool2d(x, 2))
            return self.dense(x.view(x.shape[0], -1))

    net = Net().train()
    for _ in range(4):
        net(torch.randn(8, 3, 8, 8))
    path: Path = tmp_path / "net.onnx"
    export_qonnx(net.eval(), args=torch.randn(1, 3, 8, 8), export_path=str(path), dynamo=False)
    data = path.read_bytes()
    graph = importer.loads(data)
    assert isinstance(graph, Graph)
    assert {"Quant", "BatchNormalization"} <= {node.kind for node in graph.nodes}
    x = np.random.default_rng(0).standard_normal((10, 3, 8, 8)).astype(np.float32)
    assert same_bits(graph, data, x) > 10_000


def test_onnxruntime_refuses_what_it_does_not_know():
    """The wrong runtime is one sentence, too."""
    file = OnnxFile(13)
    file.quant(file.input((1, 3)), 4, 0.5)
    data = file.bytes()
    with pytest.raises(GoldenError, match="onnxruntime refuses the model"):
        onnxruntime(data, importer.loads(data))
