# SPDX-License-Identifier: Apache-2.0
"""Transaction-level golden model of the MVU: registers and memories in, output words out.

`run_job` executes any legal register configuration on any memory contents, word for word as `docs/mvu.md` says;
it is what the scoreboard trusts. The accumulation exists twice: `accumulate_planes` is the definition, pair of bit
planes by pair; `accumulate_values` is the matrix product it amounts to. `run_job` takes the second wherever a
program addresses the same tiles for every pair, and a test holds the two together.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain, repeat
from typing import TypeAlias

import numpy as np

from assay.golden.errors import ConfigurationError
from assay.golden.formats import IntFormat, wrap
from assay.golden.mvu.agu import (
    AddressProgram,
    PaddingGeometry,
    Windows,
    addresses,
    enumerate_windows,
    padded_addresses,
)
from assay.golden.mvu.layout import pack_bits, unpack_bits, values_of_planes, word_bytes
from assay.golden.mvu.parameters import (
    CHANNEL_LOOPS,
    MAX_PRECISION,
    NUM_LOOPS,
    OUTPUT_LOOPS,
    POST_WIDTH,
    RESIDUAL_LOOPS,
    SCALER_WIDTH,
    MvuParameters,
)
from assay.golden.mvu.registers import ERROR_CAUSES, REGISTERS, encode
from assay.golden.operators import quantise

__all__ = [
    "CAUSE_BIT",
    "Configuration",
    "JobResult",
    "Memories",
    "accumulate_planes",
    "accumulate_values",
    "cause_names",
    "check_configuration",
    "config_causes",
    "plane_order",
    "pooled_sums",
    "post_process",
    "read_addresses",
    "run_job",
    "tile_addresses",
]

#: Name of an error cause to its bit in ``mvustatus.cause``.
CAUSE_BIT: dict[str, int] = {name: bit for bit, (name, _) in enumerate(ERROR_CAUSES)}

# Loops of a padded program: the plane-pair loop is the fifth, so outputs end at jumps 0 to 4.
_PADDED_ACC_SELECT = 4

# The output generator counts as wide as its port: a crossbar's target may have a larger memory than the sender. The
# own memory takes the low bits.
_PORT_ADDRESSES = 1 << 16

# Outputs are computed in portions whose operands stay below this many bytes.
_PORTION_BYTES = 64 << 20

Registers: TypeAlias = Mapping[str, Mapping[str, int] | int]
GivenRegisters: TypeAlias = "Registers | Configuration"  #: registers, or what has been read of them already


class Configuration:
    """The registers of one job, read: every field by register and name, and what they mean together.

    Args:
        registers: register name to fields or plain value, as `golden.mvu.registers.encode` takes them;
            registers and fields that are left out are 0, as after reset.

    Raises:
        KeyError: an unknown register or field.
        ConfigurationError: a value that does not fit its field.
    """

    def __init__(self, registers: Registers) -> None:
        words = encode(registers)
        self.fields: dict[str, dict[str, int]] = {
            r.name: r.decode(words.get(r.address, 0)) for r in REGISTERS
        }

    @classmethod
    def of(cls, registers: GivenRegisters) -> Configuration:
        """As the constructor, or a configuration as it is; what is worked out for the last few configurations is kept.
        Nobody may change it."""
        if isinstance(registers, Configuration):
            return registers
        words = encode(registers)
        return cls.kept([words.get(r.address, 0) for r in REGISTERS])

    @classmethod
    def kept(cls, words: Iterable[int]) -> Configuration:
        """As `of`, from the words of all registers."""
        key = tuple(words)
        found = _CONFIGURATIONS.pop(key, None) or cls.of_words(key)
        _CONFIGURATIONS[key] = found  # now the last one
        if len(_CONFIGURATIONS) > _CONFIGURATIONS_KEPT:
            _CONFIGURATIONS.pop(next(iter(_CONFIGURATIONS)), None)  # another thread may have been here
        return found

    @classmethod
    def of_words(cls, words: Sequence[int]) -> Configuration:
        """From the words of the registers, those past the last 0."""
        config = cls.__new__(cls)
        config.fields = {
            r.name: r.decode(word) for r, word in zip(REGISTERS, chain(words, repeat(0)), strict=False)
        }
        return config

    def value(self, register: str) -> int:
        """Value of a register's field called ``value``."""
        return self.fields[register]["value"]

    def program(self, letter: str, loops: int) -> AddressProgram:
        """Address program of generator w, i, s, b, o or r."""
        return AddressProgram(
            self.value(f"mvu{letter}baseptr"),
            tuple(self.value(f"mvu{letter}jump{k}") for k in range(loops)),
            (0, *(self.value(f"mvu{letter}length{k}") for k in range(1, loops))),
        )

    def format(self, operand: str) -> IntFormat:
        """Format of the weight, input, output or residual; the precision must be legal."""
        precision = self.fields["mvuprecision"]
        return IntFormat(precision[operand], bool(precision[f"{operand}_signed"]))

    @property
    def countdown(self) -> int:
        """Multiply clocks of the job."""
        return self.fields["mvucommand"]["countdown"]

    @property
    def multiply_mode(self) -> int:
        """0 to 3."""
        return self.fields["mvucommand"]["multiply_mode"]

    @property
    def padding(self) -> bool:
        """Whether kernel positions outside the map are skipped."""
        return bool(self.fields["mvuconfig1"]["padding"])

    @property
    def geometry(self) -> PaddingGeometry:
        """Geometry of the windows under padding."""
        kernel, stride, shape = (self.fields[name] for name in ("mvukernel", "mvustride", "mvuishape"))
        return PaddingGeometry(
            size=(shape["height"], shape["width"]),
            kernel=(kernel["height"], kernel["width"]),
            padding=(kernel["pad_top"], kernel["pad_left"]),
            stride=(stride["y"], stride["x"]),
            group_stride=(stride["group_y"], stride["group_x"]),
            blocks=kernel["blocks"],
        )

    @property
    def group_outputs(self) -> int:
        """Outputs of a pool group; 1 without max-pool."""
        config = self.fields["mvuconfig1"]
        if not self.fields["mvucommand"]["max_pool"]:
            return 1
        return _iterations(
            self.program("w", NUM_LOOPS).lengths[config["pool_select"] + 1 : config["acc_select"] + 1]
        )

    @property
    def output_clocks(self) -> int:
        """Multiply clocks of an output without padding."""
        return _iterations(
            self.program("w", NUM_LOOPS).lengths[self.fields["mvuconfig1"]["acc_select"] + 1 :]
        )

    @cached_property
    def windows(self) -> Windows:
        """The windows a padded job touches.

        Raises:
            ConfigurationError: an empty window, or input loops that differ from the weight loops: the contract gives
                neither a meaning.
        """
        weights, inputs = self.program("w", NUM_LOOPS), self.program("i", NUM_LOOPS)
        if weights.lengths != inputs.lengths:
            raise ConfigurationError(
                f"padding with input lengths {inputs.lengths[1:]}, but they must be "
                f"the weight lengths {weights.lengths[1:]}"
            )
        return enumerate_windows(self.geometry, weights.lengths, self.countdown)

    @cached_property
    def causes(self) -> int:
        """Why the configuration is illegal, see `config_causes`."""
        return _causes(self)

    def complete_outputs(self) -> np.ndarray:
        """Multiply clocks of each output of the job's complete pool groups, int64 `[groups * group_outputs]`.

        The configuration must have none of the error causes but ``countdown``.
        """
        ended = self.ended_outputs()
        return ended[: len(ended) - len(ended) % self.group_outputs]

    def ended_outputs(self) -> np.ndarray:
        """As `complete_outputs`, with the outputs of the pool group that the countdown leaves incomplete."""
        if not self.padding:
            return np.full(self.countdown // self.output_clocks, self.output_clocks)
        clocks = self.windows.clocks
        return clocks[: int(np.count_nonzero(np.cumsum(clocks) <= self.countdown))]


_CONFIGURATIONS: dict[tuple[int, ...], Configuration] = {}  # by words, the last used at the end
_CONFIGURATIONS_KEPT = 16


@dataclass(frozen=True)
class Memories:
    """Contents of an MVU's memories; depths and lanes are those of its `MvuParameters`.

    Attributes:
        data: uint8 `[data_depth, lanes/8]`.
        weights: uint8 `[weight_depth, lanes*lanes/8]`.
        scaler, bias: int64 `[channel_depth, lanes]`.
    """

    data: np.ndarray
    weights: np.ndarray
    scaler: np.ndarray
    bias: np.ndarray

    @classmethod
    def zeros(cls, params: MvuParameters) -> Memories:
        """Memories of 0, to be written into."""
        channels = (params.channel_depth, params.lanes)
        return cls(
            np.zeros((params.data_depth, word_bytes(params.lanes)), np.uint8),
            np.zeros((params.weight_depth, word_bytes(params.lanes**2)), np.uint8),
            np.zeros(channels, np.int64),
            np.zeros(channels, np.int64),
        )

    def check(self, params: MvuParameters) -> None:
        """Raise `ConfigurationError` unless shapes, dtypes and value ranges are those of `params`."""
        for name, expected in vars(Memories.zeros(params)).items():
            values = getattr(self, name)
            if values.shape != expected.shape or values.dtype != expected.dtype:
                raise ConfigurationError(
                    f"memory {name} is {values.dtype} {list(values.shape)}, "
                    f"but must be {expected.dtype} {list(expected.shape)}"
                )
        for name, bits in (("scaler", SCALER_WIDTH), ("bias", params.bias_width)):
            values, low, high = getattr(self, name), -(1 << (bits - 1)), (1 << (bits - 1)) - 1
            if values.min() < low or values.max() > high:
                raise ConfigurationError(
                    f"memory {name} spans {values.min()} to {values.max()}, but must be from {low} to {high}"
                )


@dataclass(frozen=True)
class JobResult:
    """The result of a job.

    Attributes:
        causes: ``mvustatus.cause`` of the job, bits as in `ERROR_CAUSES`; 0 for a legal job.
        dest: ``mvuobaseptr.dest``, where the words went: 0 the own data memory, else one bit for each MVU.
        address: int64 `[words]`, in order of writing, 16 bits as on the ports; the own memory takes it modulo its size.
        data: uint8 `[words, lanes/8]`.
        data_memory: uint8 `[data_depth, lanes/8]`, the own data memory afterwards (a copy).
        accumulators: int64 `[outputs, lanes]`, of the complete pool groups.
        values: int64 `[groups, lanes]`, the quantised outputs.
        stages: what stands before, between and after these, where that was asked for: what `post_process` keeps, and of
            each multiply clock of the complete outputs `input_address` and `weight_address` int64 `[clocks]` and the
            word read, `input_word` uint8 `[clocks, lanes/8]`; `clocks`: int64 `[outputs]`, those of each output.
    """

    causes: int
    dest: int
    address: np.ndarray
    data: np.ndarray
    data_memory: np.ndarray
    accumulators: np.ndarray
    values: np.ndarray
    stages: Mapping[str, np.ndarray] = field(default_factory=dict)


def plane_order(a: int, w: int) -> list[tuple[int, int]]:
    """Pairs (input plane, weight plane) in the order they are multiplied: falling i + j, in a diagonal falling i."""
    return [
        (i, d - i) for d in range(a + w - 2, -1, -1) for i in range(min(a - 1, d), max(0, d - w + 1) - 1, -1)
    ]


def accumulate_planes(
    x_bits: np.ndarray,
    w_bits: np.ndarray,
    x_format: IntFormat,
    w_format: IntFormat,
    mode: int,
    acc_width: int,
) -> np.ndarray:
    """Accumulate pairs of bit planes as the hardware does: the definition.

    Args:
        x_bits: 0 or 1, `[outputs, pairs, tiles, lanes]`: for each pair of `plane_order`, the input plane's words.
        w_bits: 0 or 1, `[pairs, tiles, lanes (rows), lanes]`: for each pair, the weight plane's words.
        x_format, w_format: formats of inputs and weights.
        mode: multiply mode, 0 to 3.
        acc_width: bits of the accumulator.

    Returns:
        int64 `[outputs, lanes]`, wrapped to `acc_width` bits.
    """
    outputs, _, tiles, lanes = x_bits.shape
    acc = np.zeros((outputs, lanes), np.int64)
    previous = None
    # Counts are integers of at most tiles * lanes: float32 adds them exactly below 2**24, float64 below 2**53.
    dtype = np.float32 if tiles * lanes < 1 << 24 else np.float64
    for pair, (i, j) in enumerate(plane_order(x_format.bits, w_format.bits)):
        if previous is not None and i + j != previous:
            acc = wrap(2 * acc, acc_width, signed=True)
        previous = i + j
        x = x_bits[:, pair].reshape(outputs, tiles * lanes).astype(dtype)
        w = w_bits[pair].transpose(0, 2, 1).reshape(tiles * lanes, lanes).astype(dtype)
        if mode == 2:  # both bits stand for +1 or -1; equal bits make +1
            x, w = 2 * x - 1, 2 * w - 1
        count = (x @ w).astype(np.int64)
        x_is_sign = x_format.signed and i == x_format.bits - 1
        w_is_sign = w_format.signed and j == w_format.bits - 1
        if mode == 0:
            count[:] = 0
        if (x_is_sign != w_is_sign) != (mode == 3):
            np.negative(count, out=count)
        acc = wrap(acc + count, acc_width, signed=True)
    return acc


def accumulate_values(
    x: np.ndarray, w: np.ndarray, x_format: IntFormat, w_format: IntFormat, mode: int, acc_width: int
) -> np.ndarray:
    """Accumulate whole integers: what `accumulate_planes` amounts to when all pairs see the same tiles.

    In mode 2 a value x stands for the sum of +1 or -1 for each plane times the plane's weight, 2x - c, where c is
    the sum of the signed plane weights: 2**bits - 1 unsigned, -1 signed.

    Args:
        x: integers `[outputs, tiles, lanes]` within `x_format`.
        w: integers `[tiles, lanes (rows), lanes]` within `w_format`.
        x_format, w_format, mode, acc_width: as for `accumulate_planes`.

    Returns:
        int64 `[outputs, lanes]`, wrapped to `acc_width` bits.
    """
    outputs, tiles, lanes = x.shape
    if mode == 0:
        return np.zeros((outputs, lanes), np.int64)
    # |x| and |2x - c| are below 2**bits. Below the limits every partial sum is exact in floats; beyond, int64 wraps
    # modulo 2**64, which leaves the sum modulo 2**acc_width as it is.
    bound = tiles * lanes << (x_format.bits + w_format.bits)
    dtype = np.float32 if bound < 1 << 24 else np.float64 if bound < 1 << 53 else np.int64
    x = x.reshape(outputs, tiles * lanes).astype(dtype)
    w = w.transpose(0, 2, 1).reshape(tiles * lanes, lanes).astype(dtype)
    if mode == 2:
        x, w = 2 * x - _plane_weights(x_format), 2 * w - _plane_weights(w_format)
    product = (x @ w).astype(np.int64)
    return wrap(-product if mode == 3 else product, acc_width, signed=True)


def post_process(
    acc: np.ndarray,
    *,
    scaler: np.ndarray,
    bias: np.ndarray,
    bias_shift: int,
    shift: int,
    output: IntFormat,
    round_half_up: bool,
    saturate: bool,
    relu: bool = False,
    group_outputs: int = 1,
    residual: np.ndarray | None = None,
    residual_multiplier: int = 0,
    residual_shift: int = 0,
    stages: dict[str, np.ndarray] | None = None,
) -> np.ndarray:
    """Everything after the accumulator: scaler, bias, residual, ReLU, maximum of a pool group, quantiser.

    Args:
        acc: int64 `[groups * group_outputs, lanes]`.
        scaler, bias: int64 `[groups, lanes]` or what broadcasts to it.
        bias_shift: left shift of the bias, 0 to 15.
        shift: right shift of the quantiser, 0 to 47.
        output: format of the results.
        round_half_up: add half an output step before dropping bits.
        saturate: clamp to `output`, or else keep the low bits.
        relu: max(0, x) before pooling.
        group_outputs: outputs of a pool group.
        residual: None, or int64 of `acc`'s shape.
        residual_multiplier: signed 16 bit.
        residual_shift: left shift of the scaled residual, 0 to 15.
        stages: filled, where given, with copies of what stands between the steps: `scaled`, `biased`, `residual` (the
            scaled one before its shift) and `sum` (after ReLU) int64 `[groups * group_outputs, lanes]`, `pooled` int64
            `[groups, lanes]`.

    Returns:
        int64 `[groups, lanes]` within `output`.
    """
    pooled = pooled_sums(
        acc,
        scaler=scaler,
        bias=bias,
        bias_shift=bias_shift,
        relu=relu,
        group_outputs=group_outputs,
        residual=residual,
        residual_multiplier=residual_multiplier,
        residual_shift=residual_shift,
        stages=stages,
    )
    rounding = "half_up" if round_half_up else "truncate"
    return quantise(pooled, shift, output.bits, output.signed, rounding, saturate)


def pooled_sums(
    acc: np.ndarray,
    *,
    scaler: np.ndarray,
    bias: np.ndarray,
    bias_shift: int,
    relu: bool = False,
    group_outputs: int = 1,
    residual: np.ndarray | None = None,
    residual_multiplier: int = 0,
    residual_shift: int = 0,
    stages: dict[str, np.ndarray] | None = None,
) -> np.ndarray:
    """What the quantiser gets: `post_process` up to the maximum of a pool group, with the arguments of that.

    Returns:
        int64 `[groups, lanes]`, of at most `POST_WIDTH` bits.
    """
    lanes = acc.shape[-1]
    groups = len(acc) // group_outputs

    def keep(name: str, values: np.ndarray) -> None:
        if stages is not None:
            stages[name] = values.reshape(-1, lanes).copy()

    total = acc.reshape(groups, group_outputs, lanes) * _each_group(scaler, groups, lanes)
    keep("scaled", total)
    total += _each_group(bias, groups, lanes) << bias_shift
    keep("biased", total)
    if residual is not None:
        scaled = residual.reshape(total.shape) * residual_multiplier
        keep("residual", scaled)
        total += scaled << residual_shift
    if relu:
        np.maximum(total, 0, out=total)
    keep("sum", total)
    pooled: np.ndarray = total.max(axis=1)
    keep("pooled", pooled)
    return pooled


def config_causes(registers: GivenRegisters) -> int:
    """Why a configuration is illegal: the value of ``mvustatus.cause`` after the job.

    Args:
        registers: register name to fields, see `Configuration`.

    Returns:
        Bits as in `ERROR_CAUSES`, 0 for a legal job. A job with any bit but ``countdown``, or with a countdown of 0,
        does not run. One whose countdown ends inside an output or pool group delivers the groups before.

    Raises:
        ConfigurationError: a padded job beyond what the contract defines, see `Configuration.windows`.
    """
    return Configuration.of(registers).causes


def cause_names(causes: int) -> list[str]:
    """Names of the bits set in `causes`."""
    return [name for bit, (name, _) in enumerate(ERROR_CAUSES) if causes >> bit & 1]


def check_configuration(registers: GivenRegisters) -> None:
    """Raise `ConfigurationError` with the causes' names and meanings when `registers` are illegal."""
    causes = config_causes(registers)
    if causes:
        reasons = [f"{name}: {text}" for bit, (name, text) in enumerate(ERROR_CAUSES) if causes >> bit & 1]
        raise ConfigurationError(f"illegal MVU configuration: {' '.join(reasons)}")


def run_job(
    registers: GivenRegisters,
    memories: Memories,
    params: MvuParameters,
    keep_stages: bool = False,
) -> JobResult:
    """Execute one job.

    All of a job's inputs are taken from `memories` as they are before it, so its outputs must not overlap its
    inputs or residuals: the hardware reads them while it writes.

    Args:
        registers: register name to fields, see `Configuration`.
        memories: contents at the start; not modified.
        params: of the MVU.
        keep_stages: the result holds what stands between the steps, for who explains a difference.

    Returns:
        The words written and the data memory after them. For an illegal job no words, and why.

    Raises:
        ConfigurationError: memories that do not belong to `params`, or a padded job beyond what the contract defines.
    """
    memories.check(params)
    config = Configuration.of(registers)
    causes = config.causes
    runs = not causes & ~(1 << CAUSE_BIT["countdown"]) and config.countdown
    if not runs:
        nothing = np.empty((0, params.lanes), np.int64)
        return JobResult(
            causes,
            config.fields["mvuobaseptr"]["dest"],
            np.empty(0, np.int64),
            np.empty((0, word_bytes(params.lanes)), np.uint8),
            memories.data.copy(),
            nothing,
            nothing,
        )
    stages: dict[str, np.ndarray] = {}
    if keep_stages:
        clocks = config.complete_outputs()
        read, weights = read_addresses(config, clocks, params)
        stages |= {"clocks": clocks, "input_address": read, "weight_address": weights}
        stages["input_word"] = memories.data[read]
    acc = _accumulate(config, memories, params)
    values = _post_process(config, memories, params, acc, stages if keep_stages else None)
    output = config.format("output")
    planes = np.stack([(values >> p) & 1 for p in range(output.bits - 1, -1, -1)], axis=1).astype(np.uint8)
    data = pack_bits(planes).reshape(-1, word_bytes(params.lanes))
    address = addresses(config.program("o", OUTPUT_LOOPS), len(data), _PORT_ADDRESSES)
    data_memory = memories.data.copy()
    if not config.fields["mvuobaseptr"]["dest"]:
        data_memory[address % params.data_depth] = (
            data  # of an address written twice numpy keeps the last, like the memory
        )
    return JobResult(
        causes, config.fields["mvuobaseptr"]["dest"], address, data, data_memory, acc, values, stages
    )


def _causes(config: Configuration) -> int:
    precision, config1 = config.fields["mvuprecision"], config.fields["mvuconfig1"]
    legal = {
        name: 1 <= precision[name] <= MAX_PRECISION for name in ("weight", "input", "output", "residual")
    }
    msb = config.fields["mvuquant"]["msb"]
    acc_select, pool_select = config1["acc_select"], config1["pool_select"]
    lengths = config.program("w", NUM_LOOPS).lengths
    found = {
        "weight_precision": not legal["weight"],
        "input_precision": not legal["input"],
        "output_precision": not legal["output"],
        "residual_precision": bool(config1["residual"]) and not legal["residual"],
        "quantiser": msb < precision["output"] - 1 or msb > POST_WIDTH - 1,
        "loops": acc_select > NUM_LOOPS - 2
        or lengths[acc_select + 1] + 1 != precision["weight"] * precision["input"]
        or bool(config.fields["mvucommand"]["max_pool"] and pool_select > acc_select),
        "padding": config.padding and not _padding_is_legal(config),
    }
    causes = sum(1 << CAUSE_BIT[name] for name, present in found.items() if present)
    if config.countdown == 0:
        return causes | 1 << CAUSE_BIT["countdown"]
    if causes == 0 and _ends_inside(config):
        return 1 << CAUSE_BIT["countdown"]
    return causes


def _padding_is_legal(config: Configuration) -> bool:
    g = config.geometry
    return (
        config.fields["mvuconfig1"]["acc_select"] == _PADDED_ACC_SELECT
        and min(*g.size, *g.kernel, *g.stride, *g.group_stride, g.blocks) > 0
        and all(p < k for p, k in zip(g.padding, g.kernel, strict=True))
    )


def _ends_inside(config: Configuration) -> bool:
    """Whether the countdown of an otherwise legal configuration ends inside an output or a pool group."""
    if not config.padding:
        return config.countdown % (config.output_clocks * config.group_outputs) != 0
    clocks = config.windows.clocks
    return int(clocks.sum()) != config.countdown or len(clocks) % config.group_outputs != 0


def tile_addresses(config: Configuration, steps: int, params: MvuParameters) -> tuple[np.ndarray, np.ndarray]:
    """Addresses of the weight tiles and of the input tiles, int64 `[steps]` each, without the offset of the planes."""
    w_program, i_program = config.program("w", NUM_LOOPS), config.program("i", NUM_LOOPS)
    if config.padding:
        skips = {
            letter: (config.value(f"mvu{letter}skip0"), config.value(f"mvu{letter}skip1")) for letter in "wi"
        }
        w_address = padded_addresses(w_program, skips["w"], config.windows, steps, params.weight_depth)
        x_address = padded_addresses(i_program, skips["i"], config.windows, steps, params.data_depth)
    else:
        w_address = addresses(w_program, steps, params.weight_depth)
        x_address = addresses(i_program, steps, params.data_depth)
    return w_address, x_address


def read_addresses(
    config: Configuration, clocks: np.ndarray, params: MvuParameters
) -> tuple[np.ndarray, np.ndarray]:
    """Addresses of the words that each multiply clock reads, int64 `[clocks.sum()]`: of inputs, and of weights.

    Args:
        config: of a legal job.
        clocks: int64 `[outputs]`, of its first outputs, from `Configuration.complete_outputs`.
        params: of the MVU.
    """
    w_address, x_address = tile_addresses(config, int(clocks.sum()), params)
    x_bits, w_bits = config.format("input").bits, config.format("weight").bits
    order = np.array(plane_order(x_bits, w_bits))
    # A pair of planes takes as many clocks as an output has tiles.
    step = np.arange(len(x_address)) - np.repeat(np.cumsum(clocks) - clocks, clocks)
    pair = step // np.repeat(clocks // len(order), clocks)
    return (
        (x_address + x_bits - 1 - order[pair, 0]) % params.data_depth,
        (w_address + w_bits - 1 - order[pair, 1]) % params.weight_depth,
    )


def _accumulate(config: Configuration, memories: Memories, params: MvuParameters) -> np.ndarray:
    """Accumulators of the complete pool groups, int64 `[outputs, lanes]`."""
    clocks = config.complete_outputs()
    steps = int(clocks.sum())
    w_address, x_address = tile_addresses(config, steps, params)
    pairs = config.format("input").bits * config.format("weight").bits
    first = np.cumsum(clocks) - clocks
    acc = np.empty((len(clocks), params.lanes), np.int64)
    # Outputs that visit the same weight tiles form one matrix product. All outputs of a length are looked at
    # together, so that their address sequences are the rows of an array.
    for length in np.unique(clocks):
        outputs = np.flatnonzero(clocks == length)
        step = first[outputs, None] + np.arange(length)
        rows = w_address[step].astype(np.int32)
        if (rows == rows[0]).all():  # as inside a map, where sorting thousands of rows would find one kind
            sequence, kind = rows[:1], np.zeros(len(rows), np.int64)
        else:
            sequence, kind = np.unique(rows, axis=0, return_inverse=True)
        for number, weights in enumerate(sequence):
            same = outputs[kind.reshape(-1) == number]
            x = x_address[first[same, None] + np.arange(length)].reshape(len(same), pairs, -1)
            acc[same] = _matrix_product(config, memories, params, x, weights.reshape(pairs, -1))
    return acc


def _matrix_product(
    config: Configuration,
    memories: Memories,
    params: MvuParameters,
    x_address: np.ndarray,
    w_address: np.ndarray,
) -> np.ndarray:
    """Accumulators `[outputs, lanes]` of tiles at `x_address[outputs, pairs, tiles]`, `w_address[pairs, tiles]`."""
    x_format, w_format = config.format("input"), config.format("weight")
    outputs, pairs, tiles = x_address.shape
    lanes = params.lanes
    common = (config.multiply_mode, params.acc_width)
    by_value = (w_address == w_address[:1]).all() and (x_address == x_address[:, :1]).all()
    if by_value:
        w_planes = memories.weights[_block(w_address[0], w_format, params.weight_depth)]
        w_planes = unpack_bits(w_planes, lanes * lanes)
        w = values_of_planes(w_planes, w_format).reshape(tiles, lanes, lanes)
        present = np.zeros(params.data_depth, bool)
        present[x_address[:, 0]] = True
        block, index = np.flatnonzero(present), (np.cumsum(present) - 1)[x_address[:, 0]]
        planes = unpack_bits(memories.data[_block(block, x_format, params.data_depth)], lanes)
        x_values = values_of_planes(planes, x_format)
        index = index.reshape(outputs, tiles)
    else:
        order = np.array(plane_order(x_format.bits, w_format.bits))
        w_words = (w_address + (w_format.bits - 1 - order[:, 1, None])) % params.weight_depth
        w_bits = unpack_bits(memories.weights[w_words], lanes * lanes).reshape(pairs, tiles, lanes, lanes)
        x_words = (x_address + (x_format.bits - 1 - order[:, 0, None])) % params.data_depth
    acc = np.empty((outputs, lanes), np.int64)
    portion = max(1, _PORTION_BYTES // (tiles * lanes * (8 if by_value else pairs)))
    for start in range(0, outputs, portion):
        part = slice(start, start + portion)
        if by_value:
            acc[part] = accumulate_values(x_values[index[part]], w, x_format, w_format, *common)
        else:
            x_bits = unpack_bits(memories.data[x_words[part]], lanes)
            acc[part] = accumulate_planes(x_bits, w_bits, x_format, w_format, *common)
    return acc


def _post_process(
    config: Configuration,
    memories: Memories,
    params: MvuParameters,
    acc: np.ndarray,
    stages: dict[str, np.ndarray] | None,
) -> np.ndarray:
    """Quantised outputs of the complete pool groups, int64 `[groups, lanes]`."""
    config1, quant, scaler = (config.fields[name] for name in ("mvuconfig1", "mvuquant", "mvuscaler"))
    groups = len(acc) // config.group_outputs
    entries = {
        letter: addresses(config.program(letter, CHANNEL_LOOPS), groups, params.channel_depth)
        for letter in "sb"
    }
    residual = None
    if config1["residual"]:
        fmt = config.format("residual")
        program = config.program("r", RESIDUAL_LOOPS)
        words = memories.data[addresses(program, len(acc) * fmt.bits, params.data_depth)]
        residual = values_of_planes(
            unpack_bits(words, params.lanes).reshape(len(acc), fmt.bits, params.lanes), fmt
        )
    output = config.format("output")
    return post_process(
        acc,
        scaler=memories.scaler[entries["s"]]
        if config1["scaler_memory"]
        else np.array(scaler["value"], np.int64),
        bias=memories.bias[entries["b"]] if config1["bias_memory"] else np.array(0, np.int64),
        bias_shift=scaler["bias_shift"],
        shift=quant["msb"] + 1 - output.bits,
        output=output,
        round_half_up=bool(quant["round_half_up"]),
        saturate=bool(quant["saturate"]),
        relu=bool(config1["relu"]),
        group_outputs=config.group_outputs,
        residual=residual,
        residual_multiplier=config.fields["mvurscaler"]["value"],
        residual_shift=config.fields["mvurscaler"]["shift"],
        stages=stages,
    )


def _iterations(lengths: tuple[int, ...]) -> int:
    """Steps of loops of these lengths; a Python integer, since seven loops of 65536 exceed 64 bits."""
    product = 1
    for length in lengths:
        product *= length + 1
    return product


def _plane_weights(fmt: IntFormat) -> int:
    """Sum of the planes' weights, that of a sign plane negative."""
    return -1 if fmt.signed else (1 << fmt.bits) - 1


def _block(address: np.ndarray, fmt: IntFormat, depth: int) -> np.ndarray:
    """Word addresses `[..., fmt.bits]` of the element blocks that begin at `address`."""
    return (address[..., None] + np.arange(fmt.bits)) % depth


def _each_group(values: np.ndarray, groups: int, lanes: int) -> np.ndarray:
    """`values` as int64 `[groups, 1, lanes]`, to meet every output of a group."""
    return np.broadcast_to(np.asarray(values, np.int64), (groups, lanes))[:, None]
