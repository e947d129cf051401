# SPDX-License-Identifier: Apache-2.0
"""The MVU's transaction model against plain loops over Python integers, bit by bit and step by step."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.golden.errors import ConfigurationError
from assay.golden.formats import IntFormat
from assay.golden.mvu import functional
from assay.golden.mvu.agu import conv_row_program
from assay.golden.mvu.functional import (
    CAUSE_BIT,
    Configuration,
    Memories,
    accumulate_planes,
    accumulate_values,
    cause_names,
    check_configuration,
    config_causes,
    plane_order,
    post_process,
    run_job,
    wrap,
)
from assay.golden.mvu.layout import pack_activations, pack_weights, unpack_activations
from assay.golden.mvu.parameters import MvuParameters
from assay.golden.mvu.registers import ERROR_CAUSES
from assay.golden.operators import conv2d

SMALL = MvuParameters(
    lanes=8, data_banks=2, bank_depth=64, weight_depth=32, channel_depth=4, acc_width=16, bias_width=16
)

formats = st.builds(IntFormat, st.integers(1, 4), st.booleans())
corner_formats = st.builds(IntFormat, st.sampled_from([1, 2, 15, 16]), st.booleans())


# --- the definition, one bit at a time ---------------------------------------------------------------------------


def to_signed(value: int, bits: int) -> int:
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


def bit_product(mode: int, x: int, w: int) -> int:
    return (0, x & w, 1 if x == w else -1, -(x & w))[mode]


def diagonals(a: int, w: int):
    for total in range(a + w - 2, -1, -1):
        i = min(a - 1, total)
        while i >= 0 and total - i < w:
            yield i, total - i
            i -= 1


class Stepper:
    """A generator with one counter for each loop."""

    def __init__(self, config: Configuration, letter: str, loops: int):
        self.address = config.value(f"mvu{letter}baseptr")
        self.jumps = [config.value(f"mvu{letter}jump{k}") for k in range(loops)]
        self.lengths = [0] + [config.value(f"mvu{letter}length{k}") for k in range(1, loops)]
        self.left = list(self.lengths)

    def step(self) -> int:
        for loop in range(len(self.left) - 1, 0, -1):
            if self.left[loop]:
                self.left[loop] -= 1
                break
            self.left[loop] = self.lengths[loop]
        else:
            loop = 0
        self.address += self.jumps[loop]
        return loop


def run_by_steps(registers, memories: Memories, params: MvuParameters):
    """A legal job without padding, clock by clock: list of (address, word) and list of accumulators."""
    config = Configuration(registers)
    precision, config1, quant = (config.fields[n] for n in ("mvuprecision", "mvuconfig1", "mvuquant"))
    command, scaler, rscaler = (config.fields[n] for n in ("mvucommand", "mvuscaler", "mvurscaler"))
    a, w, o = precision["input"], precision["weight"], precision["output"]
    lanes, range_ = params.lanes, range(params.lanes)
    data = [int.from_bytes(word.tobytes(), "little") for word in memories.data]
    weights = [int.from_bytes(word.tobytes(), "little") for word in memories.weights]
    generators = {
        letter: Stepper(config, letter, n) for letter, n in zip("wisbor", (8, 8, 2, 2, 5, 6), strict=True)
    }
    order = list(diagonals(a, w))
    words, accumulators, group = [], [], []
    acc, pair, first = [0] * lanes, 0, True
    for _ in range(command["countdown"]):
        i, j = order[pair]
        x = data[(generators["i"].address + a - 1 - i) % params.data_depth]
        rows = weights[(generators["w"].address + w - 1 - j) % params.weight_depth]
        negative = (precision["input_signed"] and i == a - 1) != (precision["weight_signed"] and j == w - 1)
        for lane in range_:
            row = rows >> (lane * lanes)
            count = sum(bit_product(command["multiply_mode"], x >> k & 1, row >> k & 1) for k in range_)
            before = (
                0 if first == "output" or first is True else acc[lane] * (2 if first == "diagonal" else 1)
            )
            acc[lane] = to_signed(before - count if negative else before + count, params.acc_width)
        generators["i"].step()
        jump = generators["w"].step()
        first = False
        if jump == config1["acc_select"] + 1:
            pair += 1
            first = "diagonal" if sum(order[pair]) != i + j else False
        elif jump <= config1["acc_select"]:
            pair, first = 0, True
            residual = [0] * lanes
            if config1["residual"]:
                for plane in reversed(range(precision["residual"])):
                    word = data[generators["r"].address % params.data_depth]
                    residual = [r | (word >> lane & 1) << plane for lane, r in enumerate(residual)]
                    generators["r"].step()
                if precision["residual_signed"]:
                    residual = [to_signed(r, precision["residual"]) for r in residual]
            sums = []
            for lane in range_:
                entry = generators["s"].address % params.channel_depth
                factor = int(memories.scaler[entry, lane]) if config1["scaler_memory"] else scaler["value"]
                entry = generators["b"].address % params.channel_depth
                bias = int(memories.bias[entry, lane]) if config1["bias_memory"] else 0
                total = acc[lane] * factor + (bias << scaler["bias_shift"])
                total += residual[lane] * rscaler["value"] << rscaler["shift"]
                assert -(1 << 47) <= total < 1 << 47
                sums.append(max(0, total) if config1["relu"] else total)
            accumulators.append(list(acc))
            group.append(sums)
            if not command["max_pool"] or jump <= config1["pool_select"]:
                generators["s"].step()
                generators["b"].step()
                pooled = [max(column) for column in zip(*group, strict=True)]
                group = []
                shift = quant["msb"] + 1 - o
                if quant["round_half_up"] and shift:
                    pooled = [v + (1 << (shift - 1)) for v in pooled]
                pooled = [v >> shift for v in pooled]
                if quant["saturate"]:
                    low, high = (
                        (-(1 << (o - 1)), (1 << (o - 1)) - 1)
                        if precision["output_signed"]
                        else (0, (1 << o) - 1)
                    )
                    pooled = [min(max(v, low), high) for v in pooled]
                for plane in reversed(range(o)):
                    word = sum((v >> plane & 1) << lane for lane, v in enumerate(pooled))
                    words.append((generators["o"].address % 65536, word))
                    generators["o"].step()
    return words, accumulators


# --- accumulation ------------------------------------------------------------------------------------------------


@given(st.integers(1, 16), st.integers(1, 16))
def test_plane_order(a, w):
    assert plane_order(a, w) == list(diagonals(a, w))
    assert sorted(plane_order(a, w)) == [(i, j) for i in range(a) for j in range(w)]


def test_plane_order_example():
    assert plane_order(3, 2) == [(2, 1), (2, 0), (1, 1), (1, 0), (0, 1), (0, 0)]


@given(st.integers(-(2**62), 2**62), st.integers(16, 30))
def test_wrap(value, bits):
    assert wrap(np.array([value]), bits, signed=True)[0] == to_signed(value, bits)


def random_tiles(seed, outputs, tiles, lanes, x_format, w_format):
    rng = np.random.default_rng(seed)
    x = rng.integers(x_format.min, x_format.max, (outputs, tiles, lanes), endpoint=True)
    w = rng.integers(w_format.min, w_format.max, (tiles, lanes, lanes), endpoint=True)
    x[0], w[:, 0] = x_format.min, w_format.min
    x[-1], w[:, -1] = x_format.max, w_format.max
    return x, w


def bits_by_pair(values, side, order):
    """The plane of `values` that each pair takes, stacked along a new first axis."""
    return np.stack([(values >> pair[side]) & 1 for pair in order]).astype(np.uint8)


@given(
    st.integers(0, 2**32), corner_formats, corner_formats, st.integers(0, 3), st.sampled_from([16, 27, 30])
)
def test_accumulate(seed, x_format, w_format, mode, acc_width):
    outputs, tiles, lanes = 3, 2, 4
    x, w = random_tiles(seed, outputs, tiles, lanes, x_format, w_format)
    expected = np.zeros((outputs, lanes), np.int64)
    for n, row in np.ndindex(outputs, lanes):
        total = 0
        for i, j in diagonals(x_format.bits, w_format.bits):
            count = sum(
                bit_product(mode, int(x[n, t, k]) >> i & 1, int(w[t, row, k]) >> j & 1)
                for t, k in np.ndindex(tiles, lanes)
            )
            x_sign = x_format.signed and i == x_format.bits - 1
            w_sign = w_format.signed and j == w_format.bits - 1
            total += (-count if x_sign != w_sign else count) << (i + j)
        expected[n, row] = to_signed(total, acc_width)
    order = plane_order(x_format.bits, w_format.bits)
    by_planes = accumulate_planes(
        bits_by_pair(x, 0, order).transpose(1, 0, 2, 3),
        bits_by_pair(w, 1, order),
        x_format,
        w_format,
        mode,
        acc_width,
    )
    assert np.array_equal(by_planes, expected)
    assert np.array_equal(accumulate_values(x, w, x_format, w_format, mode, acc_width), expected)


def test_multiply_modes_in_one_sentence_each():
    fmt = IntFormat(2, signed=False)
    x, w = np.array([[[3, 0, 1, 0]]]), np.array([[[2, 0, 1, 3]] * 4])
    results = [accumulate_values(x, w, fmt, fmt, mode, 27)[0, 0] for mode in range(4)]
    # Mode 2: 3 stands for +3, 0 for -3, 1 for -1, 2 for +1: 3*1 + 9 + 1 - 9.
    assert results == [0, 3 * 2 + 1, 4, -7]


@pytest.mark.parametrize("tiles", [1, 40, 1 << 20])
def test_accumulate_beyond_floats(tiles):
    """At 16 x 16 bits a sum leaves float32 at once, and float64 with a million tiles."""
    fmt = IntFormat(16, signed=False)
    x, w = np.full((1, tiles, 2), 65535), np.full((tiles, 2, 2), 65535)
    assert accumulate_values(x, w, fmt, fmt, 1, 30)[0, 0] == to_signed(tiles * 2 * 65535**2, 30)


# --- after the accumulator ---------------------------------------------------------------------------------------


@given(
    st.lists(st.integers(-(2**29), 2**29 - 1), min_size=4, max_size=4),
    st.sampled_from([-32768, -1, 0, 1, 32767]) | st.integers(-32768, 32767),
    st.sampled_from([-(2**29), 2**29 - 1]) | st.integers(-1000, 1000),
    st.integers(0, 15),
    st.none()
    | st.tuples(st.sampled_from([-32768, 0, 65535]), st.integers(-32768, 32767), st.integers(0, 15)),
    st.booleans(),
    st.sampled_from([1, 2, 4]),
    st.integers(0, 47),
    st.builds(IntFormat, st.sampled_from([1, 2, 8, 16]), st.booleans()),
    st.booleans(),
    st.booleans(),
)
def test_post_process(acc, scaler, bias, bias_shift, residual, relu, group, shift, output, half_up, saturate):
    value, multiplier, residual_shift = residual or (0, 0, 0)
    sums = [v * scaler + (bias << bias_shift) + (value * multiplier << residual_shift) for v in acc]
    assert all(abs(v) < 1 << 47 for v in sums)
    sums = [max(0, v) for v in sums] if relu else sums
    expected = []
    for first in range(0, 4, group):
        v = max(sums[first : first + group])
        v = (v + (1 << (shift - 1)) if half_up and shift else v) >> shift
        if saturate:
            v = min(max(v, output.min), output.max)
        else:
            v = to_signed(v, output.bits) if output.signed else v & (1 << output.bits) - 1
        expected.append(v)
    result = post_process(
        np.array(acc)[:, None],
        scaler=np.full((4 // group, 1), scaler),
        bias=np.int64(bias),
        bias_shift=bias_shift,
        shift=shift,
        output=output,
        round_half_up=half_up,
        saturate=saturate,
        relu=relu,
        group_outputs=group,
        residual=None if residual is None else np.full((4, 1), value),
        residual_multiplier=multiplier,
        residual_shift=residual_shift,
    )
    assert result[:, 0].tolist() == expected


# --- whole jobs --------------------------------------------------------------------------------------------------


def random_memories(seed: int, params: MvuParameters) -> Memories:
    rng = np.random.default_rng(seed)
    zero = Memories.zeros(params)
    half = 1 << (params.bias_width - 1)
    return Memories(
        rng.integers(0, 256, zero.data.shape, np.uint8),
        rng.integers(0, 256, zero.weights.shape, np.uint8),
        rng.integers(-32768, 32767, zero.scaler.shape, endpoint=True),
        rng.integers(-half, half - 1, zero.bias.shape, endpoint=True),
    )


@st.composite
def random_registers(draw):
    """Any legal job without padding whose countdown ends with a pool group, or a little later; or before the first."""
    x, w = draw(formats), draw(formats)
    out, residual = (
        draw(st.builds(IntFormat, st.sampled_from([1, 2, 5, 16]), st.booleans())) for _ in range(2)
    )
    acc_select = draw(st.integers(0, 6))
    lengths = [draw(st.integers(0, 2)) for _ in range(8)]
    lengths[acc_select + 1] = x.bits * w.bits - 1
    max_pool, pool_select = draw(st.integers(0, 1)), draw(st.integers(0, acc_select))
    jump = st.one_of(st.integers(-4, 4), st.integers(-(2**15), 2**15 - 1))
    registers = {}
    for letter, loops in zip("wisbor", (8, 8, 2, 2, 5, 6), strict=True):
        registers[f"mvu{letter}baseptr"] = {"value": draw(st.integers(0, 65535))}
        for k in range(loops):
            registers[f"mvu{letter}jump{k}"] = draw(jump)
            if k:
                registers[f"mvu{letter}length{k}"] = lengths[k] if letter == "w" else draw(st.integers(0, 3))
    if draw(st.booleans()):  # pairs that see the same tiles, which the executor treats apart
        inner = [n + 1 for n in lengths[acc_select + 2 :]]
        for letter in "wi":
            strides = draw(st.lists(st.integers(-9, 9), min_size=len(inner), max_size=len(inner)))
            for k in range(acc_select + 1, 8):
                registers[f"mvu{letter}length{k}"] = lengths[k]
                inside = sum(
                    s * (n - 1)
                    for s, n in list(zip(strides, inner, strict=True))[max(0, k - acc_select - 1) :]
                )
                own = 0 if k == acc_select + 1 else strides[k - acc_select - 2]
                registers[f"mvu{letter}jump{k}"] = own - inside
    group = np.prod([n + 1 for n in lengths[acc_select + 1 :]])
    if max_pool:
        group *= np.prod([n + 1 for n in lengths[pool_select + 1 : acc_select + 1]])
    excess = draw(st.sampled_from([0, 0, 0, 1, int(group) - 1]))
    groups = draw(st.integers(0 if excess else 1, max(1, 300 // int(group))))
    registers["mvuobaseptr"]["dest"] = draw(st.sampled_from([0, 0, 1, 0x81]))
    registers["mvuprecision"] = {
        "weight": w.bits,
        "input": x.bits,
        "output": out.bits,
        "residual": residual.bits,
    }
    registers["mvuprecision"] |= {"weight_signed": w.signed, "input_signed": x.signed}
    registers["mvuprecision"] |= {"output_signed": out.signed, "residual_signed": residual.signed}
    registers["mvuquant"] = {name: draw(st.integers(0, 1)) for name in ("round_half_up", "saturate")}
    registers["mvuquant"]["msb"] = draw(st.integers(out.bits - 1, 47))
    registers["mvuscaler"] = {
        "value": draw(st.integers(-32768, 32767)),
        "bias_shift": draw(st.integers(0, 15)),
    }
    registers["mvurscaler"] = {"value": draw(st.integers(-32768, 32767)), "shift": draw(st.integers(0, 15))}
    registers["mvuconfig1"] = {"acc_select": acc_select, "pool_select": pool_select}
    for name in ("scaler_memory", "bias_memory", "relu", "residual"):
        registers["mvuconfig1"][name] = draw(st.integers(0, 1))
    registers["mvucommand"] = {"countdown": int(group) * groups + excess, "max_pool": max_pool}
    registers["mvucommand"]["multiply_mode"] = draw(st.sampled_from([0, 1, 1, 2, 2, 3]))
    return registers, 1 << CAUSE_BIT["countdown"] if excess % int(group) else 0


@settings(max_examples=150)
@given(random_registers(), st.integers(0, 2**32))
def test_any_job_without_padding(case, seed):
    registers, causes = case
    memories = random_memories(seed, SMALL)
    before = memories.data.copy()
    result = run_job(registers, memories, SMALL)
    words, accumulators = run_by_steps(registers, memories, SMALL)
    assert result.causes == causes == config_causes(registers)
    whole_groups = len(result.accumulators)
    assert result.accumulators.tolist() == accumulators[:whole_groups]
    seen = [
        (int(n), int.from_bytes(word.tobytes(), "little"))
        for n, word in zip(result.address, result.data, strict=True)
    ]
    assert seen == words
    assert np.array_equal(memories.data, before)
    assert result.dest == registers["mvuobaseptr"]["dest"]
    expected = before.copy()
    if result.dest == 0:
        for address, word in words:
            expected[address % SMALL.data_depth] = list(word.to_bytes(1, "little"))
    assert np.array_equal(result.data_memory, expected)


@pytest.mark.parametrize(
    ("jumps", "way"),
    [
        ({}, "accumulate_values"),
        ({"mvuijump0": 2}, "accumulate_planes"),
        ({"mvuwjump1": 3}, "accumulate_planes"),
        ({"mvuijump0": 2, "mvuwjump1": 3}, "accumulate_planes"),
    ],
)
def test_pairs_that_see_unlike_tiles_go_by_planes(jumps, way, monkeypatch):
    taken = []

    def spy(name, original):
        return lambda *arguments: taken.append(name) or original(*arguments)

    for name in ("accumulate_planes", "accumulate_values"):
        monkeypatch.setattr(functional, name, spy(name, getattr(functional, name)))
    memories = random_memories(1, SMALL)
    result = run_job(LEGAL | jumps, memories, SMALL)
    assert set(taken) == {way}
    assert result.accumulators.tolist() == run_by_steps(LEGAL | jumps, memories, SMALL)[1]


@pytest.mark.parametrize("blocks", [1, 2, 3])
def test_five_loop_program_runs_unchanged(blocks):
    """A BARVINN program in the eight-loop unit, a row of a convolution, its input jump 0 put right."""
    params = MvuParameters(lanes=8, data_banks=4, bank_depth=64, weight_depth=128, channel_depth=4)
    a_format, w_format, out = IntFormat(2, False), IntFormat(2, True), IntFormat(16, True)
    rows, columns, kernel, outputs = 4, 6, 3, 16
    rng = np.random.default_rng(blocks)
    x = rng.integers(0, 4, (rows, columns, 8 * blocks))
    weight = rng.integers(-2, 2, (outputs, kernel, kernel, 8 * blocks))
    program = conv_row_program(blocks, rows, columns, 2, kernel, kernel, 1, 2, 2)
    program.ijump[0] -= 2 * (blocks - 2)  # see conv_row_program
    memories = Memories.zeros(params)
    for memory, image in (
        (memories.data, pack_activations(x, a_format, 8)),
        (memories.weights, pack_weights(weight, w_format, 8)),
    ):
        memory[: len(image)] = image
    registers = {
        **{f"mvuijump{k}": v for k, v in enumerate(program.ijump)},
        **{f"mvuwjump{k}": v for k, v in enumerate(program.wjump)},
        **{f"mvuilength{k}": v for k, v in enumerate(program.ilength) if k},
        **{f"mvuwlength{k}": v for k, v in enumerate(program.wlength) if k},
        "mvuobaseptr": {"value": 128},
        "mvuojump0": 1,
        "mvuprecision": {"weight": 2, "input": 2, "output": 16, "weight_signed": 1, "output_signed": 1},
        "mvuquant": {"msb": 15},
        "mvuscaler": {"value": 1},
        "mvuconfig1": {"acc_select": 1},
        "mvucommand": {"countdown": program.countdown, "multiply_mode": 1},
    }
    result = run_job(registers, memories, params)
    assert result.causes == 0
    expected = conv2d(x[None], weight)[0, 0]
    assert np.array_equal(result.accumulators.reshape(expected.shape), expected)
    assert np.array_equal(unpack_activations(result.data, expected.shape, out, 8), expected)


# --- illegal configurations --------------------------------------------------------------------------------------

# Two planes by two planes, one tile, acc_select 0: an output every four clocks.
LEGAL = {
    "mvuwlength1": 3,
    "mvuojump0": 1,
    "mvuprecision": {"weight": 2, "input": 2, "output": 8},
    "mvuquant": {"msb": 7},
    "mvuscaler": {"value": 1},
    "mvuconfig1": {"acc_select": 0},
    "mvucommand": {"countdown": 16, "multiply_mode": 1},
}
# Padded: a 3x3 kernel over a 4x4 map, one block.
PADDED = LEGAL | {
    **{f"mvu{letter}length{k}": n for letter in "wi" for k, n in ((1, 3), (5, 3), (6, 2), (7, 2))},
    "mvuishape": {"width": 4, "height": 4},
    "mvukernel": {"width": 3, "height": 3, "pad_left": 1, "pad_top": 1, "blocks": 1},
    "mvustride": {"x": 1, "y": 1, "group_x": 1, "group_y": 1},
    "mvuconfig1": {"acc_select": 4, "padding": 1},
    "mvucommand": {"countdown": 4 * 10 * 10, "multiply_mode": 1},
}


def changed(registers, register, **fields):
    return registers | {register: {**registers.get(register, {}), **fields}}


ILLEGAL = [
    (changed(LEGAL, "mvuprecision", weight=0), ["weight_precision", "loops"]),
    (changed(LEGAL, "mvuprecision", weight=17), ["weight_precision", "loops"]),
    (changed(LEGAL, "mvuprecision", input=63), ["input_precision", "loops"]),
    (changed(LEGAL, "mvuprecision", output=0), ["output_precision"]),
    (changed(LEGAL, "mvuprecision", output=17), ["output_precision", "quantiser"]),
    (changed(LEGAL, "mvuconfig1", residual=1), ["residual_precision"]),
    (changed(LEGAL, "mvuquant", msb=6), ["quantiser"]),
    (changed(LEGAL, "mvuquant", msb=48), ["quantiser"]),
    (changed(LEGAL, "mvuconfig1", acc_select=1), ["loops"]),
    (changed(LEGAL, "mvuconfig1", acc_select=7), ["loops"]),
    (changed(changed(LEGAL, "mvuconfig1", pool_select=1), "mvucommand", max_pool=1), ["loops"]),
    (changed(LEGAL, "mvuconfig1", padding=1), ["padding"]),
    (changed(PADDED, "mvukernel", width=0), ["padding"]),
    (changed(PADDED, "mvukernel", pad_top=3), ["padding"]),
    (changed(PADDED, "mvukernel", blocks=0), ["padding"]),
    (changed(PADDED, "mvuishape", height=0), ["padding"]),
    (changed(PADDED, "mvustride", group_x=0), ["padding"]),
    (changed(LEGAL, "mvucommand", countdown=0), ["countdown"]),
    (changed(changed(LEGAL, "mvuquant", msb=6), "mvucommand", countdown=0), ["quantiser", "countdown"]),
    # Only a job that runs can end at the wrong place.
    (changed(changed(LEGAL, "mvuquant", msb=6), "mvucommand", countdown=3), ["quantiser"]),
]


@pytest.mark.parametrize(("registers", "names"), ILLEGAL)
def test_illegal_jobs_do_nothing(registers, names):
    assert cause_names(config_causes(registers)) == names
    memories = random_memories(0, SMALL)
    result = run_job(registers, memories, SMALL)
    assert cause_names(result.causes) == names
    assert len(result.data) == len(result.address) == len(result.values) == 0
    assert np.array_equal(result.data_memory, memories.data)
    with pytest.raises(ConfigurationError, match=names[0]):
        check_configuration(registers)


def test_every_cause_is_met():
    assert {name for _, names in ILLEGAL for name in names} == {name for name, _ in ERROR_CAUSES}


@pytest.mark.parametrize("registers", [LEGAL, PADDED, changed(LEGAL, "mvuconfig1", pool_select=1)])
def test_legal_jobs(registers):
    assert config_causes(registers) == 0
    check_configuration(registers)


@pytest.mark.parametrize(("registers", "clocks"), [(LEGAL, 16), (PADDED, 400)])
def test_countdown_inside_an_output(registers, clocks):
    full = run_job(registers, random_memories(0, SMALL), SMALL)
    for countdown in (clocks - 1, clocks + 1):
        short = run_job(
            changed(registers, "mvucommand", countdown=countdown), random_memories(0, SMALL), SMALL
        )
        assert cause_names(short.causes) == ["countdown"]
        whole = len(full.data) - 8 if countdown < clocks else len(full.data)
        assert np.array_equal(short.data, full.data[:whole])
        assert np.array_equal(short.address, full.address[:whole])


def test_padding_needs_input_loops_like_the_weights():
    with pytest.raises(ConfigurationError, match="but they must be the weight lengths"):
        config_causes(PADDED | {"mvuilength1": 2})


def test_unknown_names():
    with pytest.raises(KeyError, match="mvunothing"):
        config_causes({"mvunothing": 1})
    with pytest.raises(KeyError, match="no field speed"):
        config_causes({"mvuquant": {"speed": 1}})


def test_memories_are_checked():
    memories = Memories.zeros(SMALL)
    with pytest.raises(
        ConfigurationError, match=r"memory data is uint8 \[128, 1\], but must be uint8 \[32768, 8\]"
    ):
        run_job(LEGAL, memories, MvuParameters())
    memories.scaler[1, 2] = 40000
    with pytest.raises(ConfigurationError, match="memory scaler spans 0 to 40000"):
        run_job(LEGAL, memories, SMALL)


def test_speed():
    """Scoreboards run this beside the simulator; the limit is generous for a slow machine (it takes about 0.1 s)."""
    from assay.golden.mvu.jobs import map_layer
    from assay.golden.network import Layer

    fmt = IntFormat(2, signed=False)
    rng = np.random.default_rng(0)
    layer = Layer(
        name="speed",
        input="x",
        output="y",
        weight=rng.integers(0, 4, (64, 3, 3, 64)),
        weight_format=fmt,
        input_format=fmt,
        output_format=fmt,
        multiplier=np.ones(64, np.int64),
        bias=np.zeros(64, np.int64),
        shift=10,
        padding=(1, 1, 1, 1),
    )
    params = MvuParameters()
    (job,) = map_layer(layer, (32, 32), params, 0, 4096)
    memories = Memories.zeros(params)
    x = rng.integers(0, 4, (32, 32, 64))
    job.load(memories, x)
    start = time.perf_counter()
    result = run_job(job.registers, memories, params)
    elapsed = time.perf_counter() - start
    assert np.array_equal(unpack_activations(result.data, (32, 32, 64), fmt, 64), layer.run(x[None])[0])
    assert elapsed < 2


@pytest.mark.parametrize(("bits", "extra"), [(8, 0), (8, 3), (16, 0), (16, 101)])
def test_values_are_exact_where_floats_end(bits, extra):
    """Sums just beyond 2**24 and 2**53, odd ones, which float32 and float64 do not have."""
    most = (1 << bits) - 1
    count = (1 << (24 if bits == 8 else 53)) // most**2 + 1 + extra
    count += 1 - count % 2
    fmt = IntFormat(bits, False)
    x, w = np.full((1, count, 1), most), np.full((count, 1, 1), most)
    expected = most**2 * count
    assert expected % 2 and expected > 1 << (24 if bits == 8 else 53)
    seen = accumulate_values(x, w, fmt, fmt, 1, 30)
    assert seen.tolist() == [[(expected + (1 << 29)) % (1 << 30) - (1 << 29)]]


def test_planes_are_exact_where_float32_ends():
    """2**24 + 1 ones in a plane: float32 has no such number."""
    count = (1 << 24) + 1
    bit = IntFormat(1, False)
    seen = accumulate_planes(
        np.ones((1, 1, count, 1), np.uint8), np.ones((1, count, 1, 1), np.uint8), bit, bit, 1, 27
    )
    assert seen.tolist() == [[count]]
