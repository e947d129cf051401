# SPDX-License-Identifier: Apache-2.0
"""Integer networks: fused layers joined by tensor names, executed exactly.

A layer is what an accelerator does in one job: convolution, scaler and bias, residual addition, ReLU, max
pooling, quantiser. A dense layer is a convolution whose kernel covers the whole map. Tensors are int64 NHWC
arrays and keep four dimensions throughout; a tensor's name is the one it has in the model file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

from assay.golden import table
from assay.golden.compare import Comparison, compare_traces, trace_of
from assay.golden.errors import ConfigurationError, GoldenError
from assay.golden.formats import IntFormat
from assay.golden.operators import (
    MAX_SHIFT,
    ROUNDINGS,
    conv2d,
    conv2d_output_size,
    max_pool,
    quantise,
    scale_bias,
)
from assay.golden.precision import Format, parse, unknown_name
from assay.golden.table import short

__all__ = ["MULTIPLIER", "Layer", "Network", "Origin", "Pool", "Residual"]

# The scaler's multiplier, per output channel and for the residual: signed 16 bit (BARVINN's scaler has one
# too).
MULTIPLIER = IntFormat(16, signed=True)


class Pool(NamedTuple):
    """Max pooling without padding: (rows, columns) of the window and of the stride."""

    window: tuple[int, int]
    stride: tuple[int, int]


@dataclass(frozen=True)
class Residual:
    """A second tensor added to the scaled accumulator: (r * multiplier) << shift.

    Attributes:
        tensor: name of a tensor of the same rows, columns and channels as the layer's convolution gives.
        format: that tensor's format.
        multiplier: signed 16 bit.
        shift: left shift, 0 to 31.

    Raises:
        ConfigurationError: multiplier or shift out of range.
    """

    tensor: str
    format: IntFormat
    multiplier: int
    shift: int = 0

    def __post_init__(self) -> None:
        if not _is_whole(self.multiplier) or not MULTIPLIER.contains(self.multiplier):
            raise ConfigurationError(
                f"residual {self.tensor}: multiplier is {self.multiplier!r}, "
                f"but must be a whole number from {MULTIPLIER.min} to {MULTIPLIER.max}"
            )
        if not _is_whole(self.shift) or not 0 <= self.shift <= 31:
            raise ConfigurationError(
                f"residual {self.tensor}: shift is {self.shift!r}, but must be a whole number from 0 to 31"
            )


@dataclass(frozen=True, eq=False)
class Layer:
    """One fused layer, in this order of operations:

        acc = convolution(input, weight)                            exact
        v   = acc * multiplier + bias                               per output channel
        v   = v + ((r * residual.multiplier) << residual.shift)     if there is a residual
        v   = max(v, 0)                                             if `relu`
        v   = maximum of each window of v                           if `pool`
        y   = quantise(v, shift, output_format, rounding, saturate)

    Arrays given are copied to int64 and made read-only, so a layer can be shared.

    Attributes:
        name: of the layer, unique in its network.
        input, output: names of tensors.
        weight: integers `[K, fH, fW, C / groups]` within `weight_format`.
        input_format, output_format: formats of the two tensors.
        multiplier: integers `[K]`, signed 16 bit.
        bias: integers `[K]`, in units of acc * multiplier (added after the multiplication).
        shift: right shift of the quantiser, 0 to 62.
        stride: (rows, columns).
        padding: zero rows and columns at (top, left, bottom, right).
        groups: 1, or C for a depthwise layer: channel k of the output reads channel k of the input alone, and K is C.
            Average pooling is one with weights of 1; a kernel of 1x1 with weight 1 makes a layer of what stands alone:
            an addition, a pooling, a quantiser.
        residual, pool: None, or what to add and how to pool.
        rounding: "truncate" or "half_up"; see `golden.operators.quantise`.
        saturate: clamp to `output_format`, or else keep the low bits.

    Raises:
        ConfigurationError: a value out of its range; the message names the layer, the value and the range.
    """

    name: str
    input: str
    output: str
    weight: np.ndarray
    weight_format: IntFormat
    input_format: IntFormat
    output_format: IntFormat
    multiplier: np.ndarray
    bias: np.ndarray
    shift: int
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    groups: int = 1
    residual: Residual | None = None
    relu: bool = False
    pool: Pool | None = None
    rounding: str = "half_up"
    saturate: bool = True

    def __post_init__(self) -> None:
        where = f"layer {self.name}"
        for attribute, rank in (("weight", 4), ("multiplier", 1), ("bias", 1)):
            values = np.asarray(getattr(self, attribute))
            if values.dtype.kind not in "iu" or values.ndim != rank or values.size == 0:
                raise ConfigurationError(
                    f"{where}: {attribute} is {values.dtype} {list(values.shape)}, "
                    f"but must hold integers in {rank} dimension{'s' if rank > 1 else ''}, none of them empty"
                )
            values = values.astype(np.int64)
            values.setflags(write=False)
            object.__setattr__(self, attribute, values)
        for attribute, allowed in (("weight", self.weight_format), ("multiplier", MULTIPLIER)):
            values = getattr(self, attribute)
            if not allowed.contains(values):
                raise ConfigurationError(
                    f"{where}: {attribute} spans {values.min()} to {values.max()}, "
                    f"but {allowed} allows {allowed.min} to {allowed.max}"
                )
        for attribute in ("multiplier", "bias"):
            if len(getattr(self, attribute)) != len(self.weight):
                raise ConfigurationError(
                    f"{where}: {attribute} has {len(getattr(self, attribute))} values, "
                    f"but the weight has {len(self.weight)} output channels"
                )
        if not _is_whole(self.groups) or (
            self.groups != 1 and (self.weight.shape[3], self.groups) != (1, len(self.weight))
        ):
            raise ConfigurationError(
                f"{where}: groups is {self.groups!r} for a weight of {list(self.weight.shape)}, but must be 1, "
                f"or as many as output channels that read one input channel each"
            )
        if not _is_whole(self.shift) or not 0 <= self.shift <= MAX_SHIFT:
            raise ConfigurationError(
                f"{where}: shift is {self.shift!r}, but must be a whole number from 0 to {MAX_SHIFT}"
            )
        if self.rounding not in ROUNDINGS:
            raise ConfigurationError(
                f"{where}: rounding is {self.rounding!r}, but must be one of {', '.join(ROUNDINGS)}"
            )
        if self.pool is not None:
            object.__setattr__(self, "pool", Pool(*self.pool))

    @property
    def kernel(self) -> tuple[int, int]:
        """(fH, fW)."""
        return self.weight.shape[1], self.weight.shape[2]

    @property
    def input_channels(self) -> int:
        """C, channels of the input tensor."""
        return self.weight.shape[3] * self.groups

    @property
    def output_channels(self) -> int:
        """K, channels of the output tensor."""
        return self.weight.shape[0]

    @property
    def accumulator_range(self) -> tuple[np.ndarray, np.ndarray]:
        """Least and greatest accumulator of each output channel over every possible input: two int64 `[K]`.

        The bound is attained where the kernel lies inside the map; with zero padding, zero must be (and, in
        every `IntFormat`, is) a possible input, so the border stays within it.
        """
        weight = self.weight.reshape(self.output_channels, -1)
        positive, negative = np.maximum(weight, 0).sum(axis=1), np.minimum(weight, 0).sum(axis=1)
        low, high = self.input_format.min, self.input_format.max
        return positive * low + negative * high, positive * high + negative * low

    @property
    def accumulator_bits(self) -> int:
        """Width of the smallest signed register that holds every possible accumulator of this layer."""
        low, high = self.accumulator_range
        return (
            max((-int(low.min()) - 1).bit_length() if low.min() < 0 else 0, int(high.max()).bit_length()) + 1
        )

    def convolution_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """Rows and columns before pooling, for an input map of `size` (H, W)."""
        return conv2d_output_size(size, self.kernel, self.stride, self.padding)

    def output_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """Rows and columns of the output tensor, for an input map of `size` (H, W)."""
        size = self.convolution_size(size)
        return size if self.pool is None else conv2d_output_size(size, *self.pool)

    def accumulate(self, x: np.ndarray) -> np.ndarray:
        """The convolution alone: integers `[N, H, W, C]` -> int64 `[N, oH, oW, K]`, before scaler and
        pooling."""
        return conv2d(x, self.weight, self.stride, self.padding, self.groups)

    def post_process(self, acc: np.ndarray, residual: np.ndarray | None = None) -> np.ndarray:
        """Everything after the convolution: scaler, bias, residual, ReLU, pooling, quantiser.

        Args:
            acc: integers `[N, oH, oW, K]`, from `accumulate`.
            residual: integers of `acc`'s shape, for a layer with a residual; None otherwise.

        Returns:
            int64 `[N, pH, pW, K]`, the pooled size, within `output_format`.

        Raises:
            GoldenError: a residual is missing, superfluous or of another shape.
        """
        v = scale_bias(acc, self.multiplier, self.bias)
        if (residual is None) != (self.residual is None):
            raise GoldenError(
                f"layer {self.name} takes {'no' if self.residual is None else 'a'} residual, "
                f"but was given {'none' if residual is None else 'one'}"
            )
        if self.residual is not None:
            residual = np.asarray(residual)
            if residual.shape != v.shape:
                raise GoldenError(
                    f"layer {self.name}: residual has shape {list(residual.shape)}, "
                    f"but must be {list(v.shape)}"
                )
            v += scale_bias(residual, self.residual.multiplier, 0) << self.residual.shift
        if self.relu:
            v = np.maximum(v, 0)
        if self.pool is not None:
            v = max_pool(v, *self.pool)
        target = self.output_format
        return quantise(v, self.shift, target.bits, target.signed, self.rounding, self.saturate)

    def run(self, x: np.ndarray, residual: np.ndarray | None = None) -> np.ndarray:
        """The whole layer: `post_process(accumulate(x), residual)`."""
        return self.post_process(self.accumulate(x), residual)


@dataclass(frozen=True, eq=False)
class Origin:
    """Which values of a model file a network's tensor stands for: real = scale * (n - zero).

    Attributes:
        scale, zero: as above.
        offset: where the file holds integers, they are n + offset.
        size: (H, W, C).
        index: int64 of the file's shape without its batch axis: where each element lies in `[H, W, C]`.
    """

    scale: float
    zero: float
    offset: int
    size: tuple[int, int, int]
    index: np.ndarray

    def integers(self, values: np.ndarray) -> np.ndarray:
        """The file's values `[N, *index.shape]`, real (float) or integers, as int64 `[N, H, W, C]`.

        Raises:
            GoldenError: another shape.
        """
        values = np.asarray(values)
        if values.shape[1:] != self.index.shape:
            raise GoldenError(
                f"values have shape {list(values.shape)}, but must be [N, {', '.join(map(str, self.index.shape))}]"
            )
        if values.dtype.kind == "f":
            values = np.rint(values.astype(np.float64) / self.scale + self.zero)
        else:
            values = values.astype(np.int64) - self.offset
        made = np.empty((len(values), self.index.size), np.int64)
        made[:, self.index.ravel()] = values.reshape(len(values), -1)
        return made.reshape(-1, *self.size)


@dataclass(frozen=True, eq=False)
class Network:
    """An ordered list of layers; each reads the network's input or tensors that earlier layers made.

    Attributes:
        name: of the network.
        input: name of its input tensor.
        input_shape: (H, W, C) of that tensor.
        layers: in order of execution; the last one makes the network's output.
        host: what of the model file comes after that and is left to the host, such as "Softmax 'probabilities'".
        origins: tensor name -> what its values are in the graph, of a network that was lowered from one.
        graph: that `golden.Graph`, or None.
        shapes: tensor name -> (H, W, C), the input included (derived).
        formats: tensor name -> IntFormat, the input included (derived).

    Raises:
        ConfigurationError: no layers, a name used twice, a tensor read before it is made, or a layer whose
            channels, formats or residual shape disagree with the tensors it reads.
    """

    name: str
    input: str
    input_shape: tuple[int, int, int]
    layers: tuple[Layer, ...]
    host: tuple[str, ...] = ()
    origins: Mapping[str, Origin] = field(default_factory=dict, repr=False)
    graph: Any = field(default=None, repr=False)
    shapes: dict[str, tuple[int, int, int]] = field(init=False, repr=False)
    formats: dict[str, IntFormat] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "layers", tuple(self.layers))
        object.__setattr__(self, "input_shape", tuple(int(n) for n in self.input_shape))
        if not self.layers:
            raise ConfigurationError(f"network {self.name} has 0 layers, but must have 1 or more")
        if len(self.input_shape) != 3 or min(self.input_shape) < 1:
            raise ConfigurationError(
                f"network {self.name}: input shape is {self.input_shape}, "
                f"but must be (H, W, C), each 1 or more"
            )
        readers = [layer for layer in self.layers if layer.input == self.input]
        if not readers:
            raise ConfigurationError(f"network {self.name}: no layer reads its input tensor {self.input!r}")
        object.__setattr__(self, "shapes", {self.input: self.input_shape})
        object.__setattr__(self, "formats", {self.input: readers[0].input_format})
        names: set[str] = set()
        for layer in self.layers:
            if layer.name in names:
                raise ConfigurationError(f"network {self.name}: two layers are named {layer.name!r}")
            names.add(layer.name)
            self._join(layer)

    def _join(self, layer: Layer) -> None:
        """Check a layer against the tensors before it, and add the tensor it makes."""
        where = f"network {self.name}, layer {layer.name}"
        self._check_read(where, layer.input, layer.input_format)
        height, width, channels = self.shapes[layer.input]
        if channels != layer.input_channels:
            raise ConfigurationError(
                f"{where}: tensor {layer.input!r} has {channels} channels, "
                f"but the weight takes {layer.input_channels}"
            )
        try:
            made = (*layer.convolution_size((height, width)), layer.output_channels)
            size = layer.output_size((height, width))
        except ConfigurationError as error:
            raise ConfigurationError(f"{where}: {error}") from None
        if layer.residual is not None:
            tensor = layer.residual.tensor
            self._check_read(where, tensor, layer.residual.format)
            if self.shapes[tensor] != made:
                raise ConfigurationError(
                    f"{where}: residual {tensor!r} is {self.shapes[tensor]}, but the convolution gives {made}"
                )
        if layer.output in self.shapes:
            raise ConfigurationError(f"{where}: tensor {layer.output!r} is made twice")
        self.shapes[layer.output] = (*size, layer.output_channels)
        self.formats[layer.output] = layer.output_format

    def _check_read(self, where: str, tensor: str, read_as: IntFormat) -> None:
        if tensor not in self.shapes:
            raise ConfigurationError(f"{where}: tensor {tensor!r} is read before any layer makes it")
        if self.formats[tensor] != read_as:
            raise ConfigurationError(
                f"{where}: tensor {tensor!r} is read as {read_as}, but made as {self.formats[tensor]}"
            )

    @property
    def input_format(self) -> IntFormat:
        """Format of the input tensor."""
        return self.formats[self.input]

    @property
    def output(self) -> str:
        """Name of the output tensor, the one the last layer makes."""
        return self.layers[-1].output

    @property
    def inputs(self) -> tuple[str, ...]:
        """`input` alone, under the name a `Graph` has for its inputs."""
        return (self.input,)

    @property
    def outputs(self) -> tuple[str, ...]:
        """`output` alone, likewise."""
        return (self.output,)

    @property
    def quantisations(self) -> dict[str, Any]:
        """Empty: what one step of a tensor stands for is not known, as in a `Graph` without quantisations."""
        return {}

    def macs(self, layer: Layer) -> int:
        """Multiplications of one image in `layer`, zero padding counted as if it were data."""
        height, width, _ = self.shapes[layer.input]
        out_h, out_w = layer.convolution_size((height, width))
        return out_h * out_w * layer.weight.size

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Run the network.

        Args:
            x: integers `[N, H, W, C]` within `input_format`, any integer dtype.

        Returns:
            int64 `[N, H, W, K]` of the output tensor; a classifier's logits are `[N, 1, 1, classes]`.

        Raises:
            GoldenError: `x` has another shape, is not of integers, or leaves the input's range.
        """
        return self.trace(x)[self.output]

    def trace(self, x: np.ndarray, given: Mapping[str, np.ndarray] | None = None) -> dict[str, np.ndarray]:
        """Run the network and keep every tensor, in order of execution, the input first.

        Args and errors as for `predict`.

        Args:
            given: tensors by name that layers read instead of those that layers before them make: so each layer stands
                alone, and what one does otherwise does not reach the next.

        Returns:
            tensor name -> int64 `[N, H, W, C]`.
        """
        tensors = {self.input: self.checked_input(x)}
        read = {**tensors, **(given or {})}
        for layer in self.layers:
            residual = None if layer.residual is None else read[layer.residual.tensor]
            tensors[layer.output] = layer.run(read[layer.input], residual)
            read.setdefault(layer.output, tensors[layer.output])
        return tensors

    def integers(self, tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The model file's tensors as this network's integers, in NHWC order, those that are tensors of both.

        Args:
            tensors: name -> real values (float) or the file's own integers, in its own order of axes, as the trace of
                `golden.load(file)` or of a framework's runtime gives them.

        Returns:
            tensor name -> int64 `[N, H, W, C]`, in order of execution.

        Raises:
            GoldenError: a tensor of another shape.
        """
        made = {}
        for name in self.shapes:
            if name in tensors and name in self.origins:
                made[name] = self.origins[name].integers(tensors[name])
        return made

    def compare(self, x: np.ndarray, reference: Mapping[str, np.ndarray] | Any) -> Comparison:
        """Trace the network and hold every tensor against a reference's.

        Args:
            x: this network's integers, as for `predict`; or the input of the model file that it was lowered from, real
                or of the file's own dtype. The reference is then that model (its `Graph`, or one of `golden.runtimes`)
                or its tensors by name, and is compared as this network's integers. A network, and what runs one and
                has it as its attribute `golden`, always takes this network's integers.
            reference: tensor name -> array (names it lacks are not compared), or a model with `trace`.

        Raises:
            GoldenError: as for `predict`, or nothing that this network computes could be compared.
        """
        theirs = trace_of(reference, x)
        if self._is_the_files(np.asarray(x), reference):
            theirs = self.integers(theirs)
            if self.input not in theirs:
                raise GoldenError(
                    f"the reference has no tensor {self.input!r}, which is network {self.name}'s input"
                )
            x = theirs[self.input]
        return compare_traces(self.trace(x), theirs, self.inputs)

    def _is_the_files(self, x: np.ndarray, reference: Any) -> bool:
        """Whether `x` is an input of the model file, not of this network: real, or of the file's own dtype for a
        reference that is no engine of integer networks."""
        if x.dtype.kind == "f" or self.graph is None:
            return x.dtype.kind == "f"
        if isinstance(getattr(reference, "golden", reference), Network):
            return False
        return x.dtype == self.graph.tensors[self.graph.inputs[0]].dtype

    def with_precision(self, precision: Mapping[str, str | Format]) -> Network:
        """A network whose named layers quantise to other formats; this one stays as it is.

        The layer's quantiser gets the format, so that one rounding leads there from the accumulator, and the layers
        that read the tensor read it as that; multipliers, biases, shifts and weights stay. It still is a network that
        an accelerator can run.

        Args:
            precision: name of a layer, or of the tensor it makes -> format. An `IntFormat` ("s4") keeps the layer's
                rounding and saturation. An `ApFixed` gives them: without fraction bits, as a tensor's step stays;
                TRN truncates and RND rounds half up, WRAP keeps the low bits and SAT saturates.

        Raises:
            ConfigurationError: an unknown name, the network's input, a layer named twice, or another ap_fixed.
        """
        makers = {name: i for i, layer in enumerate(self.layers) for name in (layer.output, layer.name)}
        layers = list(self.layers)
        changed: dict[str, IntFormat] = {}
        for given, text in precision.items():
            if given == self.input and given not in makers:
                raise ConfigurationError(
                    f"network {self.name}: {given!r} is the input, whose values are given as they are, but precision "
                    f"is that of a layer"
                )
            if given not in makers:
                raise unknown_name(f"network {self.name}", given, makers)
            layer = layers[makers[given]]
            if layer.output in changed:
                raise ConfigurationError(
                    f"network {self.name}: the precision of layer {layer.name!r} is given twice"
                )
            layers[makers[given]] = made = _requantised(layer, parse(text))
            changed[layer.output] = made.output_format
        return replace(self, layers=tuple(_reading(layer, changed) for layer in layers))

    def checked_input(self, x: np.ndarray) -> np.ndarray:
        """`x` as int64; errors as for `predict`."""
        x = np.asarray(x)
        if x.ndim != 4 or x.shape[1:] != self.input_shape:
            expected = ", ".join(str(n) for n in self.input_shape)
            raise GoldenError(
                f"input has shape {list(x.shape)}, but network {self.name} takes [N, {expected}]"
            )
        if x.dtype.kind not in "iu":
            raise GoldenError(f"input has dtype {x.dtype}, but network {self.name} takes integers")
        target = self.input_format
        if not target.contains(x):
            raise GoldenError(
                f"input spans {x.min()} to {x.max()}, but network {self.name} takes {target}, "
                f"{target.min} to {target.max}"
            )
        return x.astype(np.int64)

    def summary(self) -> str:
        """A table of the layers: formats, shapes, operations, work and accumulator width. Ends without
        newline."""
        header = ("layer", "input", "formats", "kernel", "after it", "output", "MACs", "acc")
        rows = [header]
        for layer in self.layers:
            steps = ["depthwise"] if layer.groups > 1 else []
            steps += [f"+ {short(layer.residual.tensor)}"] if layer.residual else []
            steps += ["relu"] if layer.relu else []
            steps += [f"pool {_by(layer.pool.window)}/{_by(layer.pool.stride)}"] if layer.pool else []
            rows.append(
                (
                    short(layer.name),
                    f"{short(layer.input)} {_by(self.shapes[layer.input])}",
                    f"{layer.weight_format} x {layer.input_format} -> {layer.output_format}",
                    f"{_by(layer.kernel)}/{_by(layer.stride)} pad {','.join(map(str, layer.padding))}",
                    " ".join(steps) or "-",
                    f"{short(layer.output)} {_by(self.shapes[layer.output])}",
                    f"{self.macs(layer):,}",
                    f"{layer.accumulator_bits} b",
                )
            )
        lines = table.lines(rows)
        weights = sum(layer.weight.size for layer in self.layers)
        macs = sum(self.macs(layer) for layer in self.layers)
        lines.insert(
            0, f"network {self.name}: {len(self.layers)} layers, {weights:,} weights, {macs:,} MACs an image"
        )
        lines += [f"left to the host: {what}" for what in self.host]
        return "\n".join(lines)


def _requantised(layer: Layer, target: Format) -> Layer:
    if isinstance(target, IntFormat):
        return replace(layer, output_format=target)
    rounding = {"TRN": "truncate", "RND": "half_up"}.get(target.quantisation)
    if target.fraction or rounding is None or target.overflow not in ("WRAP", "SAT") or target.saturated:
        raise ConfigurationError(
            f"layer {layer.name}: precision is {target}, but must have no fraction bits, rounding TRN or RND, and "
            f"overflow WRAP or SAT, as in 'ap_fixed<4,4,RND,SAT>'"
        )
    return replace(
        layer,
        output_format=IntFormat(target.width, target.signed),
        rounding=rounding,
        saturate=target.overflow == "SAT",
    )


def _reading(layer: Layer, formats: Mapping[str, IntFormat]) -> Layer:
    """The layer, reading tensors in these formats."""
    residual = layer.residual
    if residual is not None:
        residual = replace(residual, format=formats.get(residual.tensor, residual.format))
    return replace(layer, input_format=formats.get(layer.input, layer.input_format), residual=residual)


def _by(sizes: tuple[int, ...]) -> str:
    return "x".join(str(size) for size in sizes)


def _is_whole(value: object) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)
