# SPDX-License-Identifier: Apache-2.0
"""Layers mapped to jobs: what the MVU's model makes of them is what the layer's own arithmetic gives."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.golden.errors import ConfigurationError, DoesNotFitError
from assay.golden.formats import IntFormat
from assay.golden.mvu.functional import Configuration, Memories, cause_names, config_causes, run_job, wrap
from assay.golden.mvu.jobs import (
    Coordinate,
    _signed_jump,
    countdown,
    locate,
    map_layer,
    map_matmul,
    map_part,
    read_rows,
)
from assay.golden.mvu.layout import activation_words, channel_blocks, pack_activations, unpack_activations
from assay.golden.mvu.parameters import MvuParameters
from assay.golden.mvu.registers import encode
from assay.golden.network import Layer, Pool, Residual

SMALL = MvuParameters(lanes=8, data_banks=8, bank_depth=256, weight_depth=256, channel_depth=8, acc_width=30)


def make_layer(
    seed: int = 0, *, kernel=(3, 3), channels=8, outputs=8, formats=("s2", "u2", "u4"), **attributes
) -> Layer:
    rng = np.random.default_rng(seed)
    weight_format, input_format, output_format = (
        f if isinstance(f, IntFormat) else IntFormat.parse(f) for f in formats
    )
    shape = (outputs, *kernel, channels)
    attributes = {
        "name": "conv",
        "input": "x",
        "output": "y",
        "weight": rng.integers(weight_format.min, weight_format.max, shape, endpoint=True),
        "weight_format": weight_format,
        "input_format": input_format,
        "output_format": output_format,
        "multiplier": rng.integers(-300, 300, outputs),
        "bias": rng.integers(-5000, 5000, outputs),
        "shift": 8,
    } | attributes
    return Layer(**attributes)


def random_tensor(rng, fmt: IntFormat, *shape: int) -> np.ndarray:
    return rng.integers(fmt.min, fmt.max, shape, endpoint=True)


def run_on_mvu(layer: Layer, size, params: MvuParameters, seed: int = 0, **mapping):
    """Tensors in, jobs one after the other, output tensor out; also the layer's own answer, and the jobs."""
    rng = np.random.default_rng(seed)
    x = random_tensor(rng, layer.input_format, *size, layer.input_channels)
    residual, residual_base = None, None
    output_base = params.data_depth // 4
    if layer.residual is not None:
        residual_base = params.data_depth // 4 * 3
        residual = random_tensor(
            rng, layer.residual.format, *layer.convolution_size(size), layer.output_channels
        )
    jobs = map_layer(layer, size, params, 3, output_base, residual_base=residual_base, **mapping)
    memories = Memories.zeros(params)
    # Nothing may depend on what lies around the tensors.
    memories.data[:] = rng.integers(0, 256, memories.data.shape, np.uint8)
    memories.weights[:] = rng.integers(0, 256, memories.weights.shape, np.uint8)
    outside = memories.data.copy()
    for job in jobs:
        job.load(memories, x, residual)
        result = run_job(job.registers, memories, params)
        assert result.causes == 0
        assert len(result.data) == job.output_words
        memories = replace(memories, data=result.data_memory)
    target = jobs[0].output
    words = memories.data[target.base : target.base + target.words]
    outside[target.base : target.base + target.words] = words
    for spec, values in ((jobs[0].input, x), (jobs[0].residual, residual)):
        if spec is not None:
            outside[spec.base : spec.base + spec.words] = pack_activations(values, spec.fmt, params.lanes)
    assert np.array_equal(memories.data, outside), "a word outside the output tensor was written"
    y = unpack_activations(words, target.shape, target.fmt, params.lanes)
    # All lanes, so that those past the last channel are seen to be 0.
    whole = channel_blocks(target.shape[2], params.lanes) * params.lanes
    assert not unpack_activations(words, (*target.shape[:2], whole), target.fmt, params.lanes)[
        ..., target.shape[2] :
    ].any()
    acc = wrap(layer.accumulate(x[None]), params.acc_width, signed=True)
    expected = layer.post_process(acc, None if residual is None else residual[None])[0]
    return y, expected, jobs


@st.composite
def layers(draw):
    kernel = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    padding = draw(st.just((0, 0, 0, 0)) | st.tuples(*(st.integers(0, kernel[i % 2] - 1) for i in range(4))))
    stride = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    size = tuple(draw(st.integers(max(1, kernel[i] - padding[i] - padding[i + 2]), 7)) for i in (0, 1))
    formats = [IntFormat(draw(st.sampled_from([1, 2, 3, 8])), draw(st.booleans())) for _ in range(3)]
    outputs = draw(st.integers(1, 20))
    layer = make_layer(
        draw(st.integers(0, 2**32)),
        kernel=kernel,
        channels=draw(st.integers(1, 20)),
        outputs=outputs,
        formats=formats,
        padding=padding,
        stride=stride,
        shift=draw(st.integers(0, 20)),
        relu=draw(st.booleans()),
        rounding=draw(st.sampled_from(["truncate", "half_up"])),
        saturate=draw(st.booleans()),
    )
    made = layer.convolution_size(size)
    if draw(st.booleans()):
        window = tuple(draw(st.integers(1, min(3, n))) for n in made)
        layer = replace(layer, pool=Pool(window, draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))))
    if draw(st.booleans()):
        fmt = IntFormat(draw(st.integers(1, 4)), draw(st.booleans()))
        layer = replace(
            layer, residual=Residual("r", fmt, draw(st.integers(-500, 500)), draw(st.integers(0, 4)))
        )
    return layer, size


@settings(max_examples=200)
@given(layers(), st.integers(0, 2**32))
def test_any_layer(case, seed):
    layer, size = case
    y, expected, jobs = run_on_mvu(layer, size, replace(SMALL, data_banks=16, bank_depth=512), seed)
    assert np.array_equal(y, expected)
    for job in jobs:
        encode(job.registers)
        outputs = Configuration(job.registers).complete_outputs()
        assert job.countdown == int(outputs.sum()) == job.registers["mvucommand"]["countdown"]
    assert sum(job.countdown for job in jobs) == countdown(layer, size, SMALL.lanes)
    assert sum(job.blocks for job in jobs) == channel_blocks(layer.output_channels, SMALL.lanes)


@settings(max_examples=200)
@given(layers(), st.booleans(), st.integers(0, 2**32), st.data())
def test_any_parts(case, depthwise, seed, data):
    """Rows and output blocks in any partition, each reading nothing but its rows, make the whole tensor."""
    layer, size = case
    params = replace(SMALL, data_banks=16, bank_depth=512, weight_depth=2048)
    if depthwise:
        count = layer.input_channels
        rng = np.random.default_rng(seed)
        layer = replace(
            layer,
            weight=random_tensor(rng, layer.weight_format, count, *layer.kernel, 1),
            groups=count,
            multiplier=rng.integers(-300, 300, count),
            bias=rng.integers(-5000, 5000, count),
        )
    rng = np.random.default_rng(seed)
    x = random_tensor(rng, layer.input_format, *size, layer.input_channels)
    made, before_pool = layer.output_size(size), layer.convolution_size(size)
    residual, residual_base = None, None
    if layer.residual is not None:
        residual = random_tensor(rng, layer.residual.format, *before_pool, layer.output_channels)
        residual_base = params.data_depth // 4 * 3
    blocks = channel_blocks(layer.output_channels, params.lanes)

    def cuts(count: int) -> list[range]:
        inner = data.draw(st.sets(st.integers(1, count - 1))) if count > 1 else set()
        edges = [0, *sorted(inner), count]
        return [range(*pair) for pair in itertools.pairwise(edges)]

    output_base = params.data_depth // 4
    result, total = None, 0
    for rows in cuts(made[0]):
        for part in cuts(blocks):
            job = map_part(
                layer, size, params, 3, output_base, rows=rows, blocks=part, residual_base=residual_base
            )
            read, summed = read_rows(layer, size, rows)
            if len(rows) == made[0]:
                read, summed = range(size[0]), range(before_pool[0])
            memories = Memories.zeros(params)
            memories.data[:] = rng.integers(0, 256, memories.data.shape, np.uint8)
            memories.weights[:] = rng.integers(0, 256, memories.weights.shape, np.uint8)
            job.load(
                memories,
                x[read.start : read.stop],
                None if residual is None else residual[summed.start : summed.stop],
            )
            done = run_job(job.registers, memories, params)
            assert done.causes == 0 and len(done.data) == job.output_words
            assert job.countdown == int(Configuration(job.registers).complete_outputs().sum())
            total += job.countdown
            result = np.zeros_like(done.data_memory) if result is None else result
            result[done.address] = done.data
            for index in {0, len(done.data) - 1}:
                at = locate(job, index)
                assert at.row in rows and at.block in part
                position = (at.row * made[1] + at.column) * blocks + at.block
                bits = layer.output_format.bits
                assert done.address[index] == output_base + position * bits + bits - 1 - at.plane
    shape = (*made, layer.output_channels)
    words = activation_words(shape, layer.output_format, params.lanes)
    y = unpack_activations(
        result[output_base : output_base + words], shape, layer.output_format, params.lanes
    )
    acc = wrap(layer.accumulate(x[None]), params.acc_width, signed=True)
    assert np.array_equal(y, layer.post_process(acc, None if residual is None else residual[None])[0])
    assert total == countdown(layer, size, params.lanes)


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("side", range(1, 6))
def test_parts_from_every_row(side, stride):
    """One output row at a time, from each row of maps with every padding that a kernel allows."""
    params = replace(SMALL, lanes=8)
    for top, bottom in itertools.product(range(side), repeat=2):
        layer = make_layer(
            side + 10 * top,
            kernel=(side, 1),
            formats=("s2", "u1", "s8"),
            padding=(top, 0, bottom, 0),
            stride=(stride, 1),
            multiplier=np.ones(8, int),
            shift=0,
        )
        size = (side + 2, 1)
        x = random_tensor(np.random.default_rng(side), layer.input_format, *size, 8)
        whole = layer.post_process(wrap(layer.accumulate(x[None]), params.acc_width, signed=True), None)[0]
        for row in range(layer.output_size(size)[0]):
            job = map_part(layer, size, params, 0, 512, rows=range(row, row + 1))
            memories = Memories.zeros(params)
            memories.data[:] = 0xFF  # what is read beside the rows is seen
            read, _ = read_rows(layer, size, range(row, row + 1))
            job.load(memories, x if len(whole) == 1 else x[read.start : read.stop])
            done = run_job(job.registers, memories, params)
            made = unpack_activations(done.data, (1, 1, 8), layer.output_format, params.lanes)
            assert done.causes == 0 and np.array_equal(made[0], whole[row]), (top, bottom, row)


def test_parts_that_are_not_there():
    layer = make_layer(outputs=20)
    with pytest.raises(ConfigurationError, match="output rows 2 to 3 are asked for, but it has 0 to 2"):
        map_part(layer, (5, 5), SMALL, 0, 512, rows=range(2, 4))
    with pytest.raises(ConfigurationError, match="output blocks 1 to 0 are asked for, but it has 0 to 2"):
        map_part(layer, (5, 5), SMALL, 0, 512, blocks=range(1, 1))


@pytest.mark.parametrize("padding", [(0, 0, 0, 0), (1, 2, 2, 0), (0, 0, 1, 1)])
def test_everything_at_once(padding):
    """Unlike strides, pool windows and pool strides on both axes, a residual, several blocks of everything."""
    layer = make_layer(
        channels=20,
        outputs=20,
        formats=("s3", "u3", "s5"),
        padding=padding,
        stride=(1, 2),
        pool=Pool((2, 3), (3, 2)),
        shift=12,
        relu=True,
        residual=Residual("r", IntFormat(3, True), -77, 2),
    )
    y, expected, _ = run_on_mvu(layer, (9, 15), replace(SMALL, bank_depth=1024, weight_depth=512))
    assert len(np.unique(expected)) > 5
    assert np.array_equal(y, expected)


@pytest.mark.parametrize("lost", [1, 40, 120, 500])
def test_countdown_inside_a_padded_pool_group(lost):
    """Complete groups are delivered, the rest is dropped, and the cause says so."""
    layer = make_layer(padding=(1, 1, 1, 1), pool=Pool((2, 2), (2, 2)), outputs=16)
    (job,) = map_layer(layer, (6, 6), SMALL, 0, 512)
    memories = Memories.zeros(SMALL)
    job.load(memories, random_tensor(np.random.default_rng(lost), layer.input_format, 6, 6, 8))
    full = run_job(job.registers, memories, SMALL)
    command = job.registers["mvucommand"] | {"countdown": job.countdown - lost}
    short = run_job(job.registers | {"mvucommand": command}, memories, SMALL)
    assert cause_names(short.causes) == ["countdown"]
    # The clocks of a group are those of its four windows: count those that end in time.
    outputs = Configuration(job.registers).complete_outputs().reshape(-1, 4).sum(axis=1)
    groups = int(np.count_nonzero(np.cumsum(outputs) <= job.countdown - lost))
    assert len(short.data) == 4 * groups < len(full.data)
    assert np.array_equal(short.data, full.data[: 4 * groups])


@pytest.mark.parametrize(
    ("lanes", "formats", "shape"),
    [
        (64, ("s2", "u2", "u2"), (64, 64)),
        (64, ("s8", "u8", "u8"), (16, 3)),
        (16, ("s16", "s16", "s16"), (16, 16)),
        (4, ("u1", "u1", "u1"), (6, 7)),
        (2, ("s1", "s1", "s4"), (3, 5)),
    ],
)
def test_lanes_and_corner_precisions(lanes, formats, shape):
    params = replace(SMALL, lanes=lanes, data_banks=16, bank_depth=512, weight_depth=512)
    layer = make_layer(outputs=shape[0], channels=shape[1], formats=formats, padding=(1, 1, 1, 1), shift=9)
    y, expected, _ = run_on_mvu(layer, (6, 5), params, allow_wrap=True)
    assert np.array_equal(y, expected)


def test_accumulator_wraps_only_when_allowed():
    params = replace(SMALL, acc_width=16)
    layer = make_layer(
        formats=("s8", "u8", "s16"), shift=0, multiplier=np.ones(8, int), bias=np.zeros(8, int)
    )
    with pytest.raises(
        DoesNotFitError, match=r"layer conv needs 2[0-9] accumulator bits, but the MVU has 16"
    ):
        map_layer(layer, (3, 3), params, 0, 512)
    y, expected, _ = run_on_mvu(layer, (3, 3), params, allow_wrap=True)
    assert np.array_equal(y, expected)
    x = random_tensor(np.random.default_rng(0), layer.input_format, 3, 3, 8)
    assert not np.array_equal(y, layer.run(x[None])[0]), "nothing wrapped"


def test_padding_register_only_with_padding():
    (job,) = map_layer(make_layer(), (5, 5), SMALL, 0, 512)
    assert "padding" not in job.registers["mvuconfig1"]
    (job,) = map_layer(make_layer(padding=(0, 0, 1, 0)), (5, 5), SMALL, 0, 512)
    assert job.registers["mvuconfig1"]["padding"] == 1


@pytest.mark.parametrize("padding", [(0, 0, 0, 0), (1, 1, 1, 1)])
def test_split_by_output_blocks(padding):
    """Four output blocks of 27 weight words each into 60: two jobs of two blocks, in place."""
    params = replace(SMALL, weight_depth=64, channel_depth=16)
    layer = make_layer(
        outputs=30,
        formats=("s3", "u2", "u3"),
        padding=padding,
        residual=Residual("r", IntFormat(2, False), 7),
    )
    y, expected, jobs = run_on_mvu(layer, (5, 4), params, weight_base=4)
    assert np.array_equal(y, expected)
    assert [(job.first_block, job.blocks) for job in jobs] == [(0, 2), (2, 2)]
    assert jobs[1].name == "conv, output blocks 2 to 3"
    assert len(jobs[0].weights) == 2 * 27


def test_split_by_channel_entries():
    params = replace(SMALL, channel_depth=2, weight_depth=512)
    y, expected, jobs = run_on_mvu(make_layer(outputs=24), (5, 4), params)
    assert np.array_equal(y, expected)
    assert [job.blocks for job in jobs] == [2, 1]


@pytest.mark.parametrize("parts", [1, 3])
def test_locate(parts):
    """Every word lies where the output tensor's layout has the coordinate that `locate` names."""
    params = SMALL if parts == 1 else replace(SMALL, weight_depth=32)
    layer = make_layer(outputs=24, formats=("s2", "u2", "u3"), pool=Pool((2, 2), (2, 2)))
    jobs = map_layer(layer, (8, 7), params, 0, 1024, dest=4)
    assert len(jobs) == parts
    memories = Memories.zeros(params)
    seen = set()
    for job in jobs:
        result = run_job(job.registers, memories, params)
        assert result.dest == 4 and not result.data_memory.any()
        rows, columns, _ = job.output.shape
        for index, address in enumerate(result.address.tolist()):
            at = locate(job, index)
            seen.add(at)
            assert address == 1024 + ((at.row * columns + at.column) * 3 + at.block) * 3 + 2 - at.plane
    assert len(seen) == rows * columns * 3 * 3
    assert locate(jobs[0], 0) == Coordinate(0, 0, 0, 2)
    with pytest.raises(ConfigurationError, match=f"output word {job.output_words}"):
        locate(job, job.output_words)


@pytest.mark.parametrize("rows", [1, 7])
def test_matmul(rows):
    rng = np.random.default_rng(rows)
    x, weight = rng.integers(-8, 8, (rows, 21)), rng.integers(-2, 2, (21, 10))
    multiplier, bias = rng.integers(1, 100, 10), rng.integers(-99, 99, 10)
    (job,) = map_matmul(
        weight,
        rows,
        SMALL,
        0,
        512,
        weight_format=IntFormat(2, True),
        input_format=IntFormat(4, True),
        output_format=IntFormat(16, True),
        multiplier=multiplier,
        bias=bias,
        shift=0,
        channel_base=3,
    )
    memories = Memories.zeros(SMALL)
    job.load(memories, x[None])
    result = run_job(job.registers, memories, SMALL)
    y = unpack_activations(result.data, (rows, 10), IntFormat(16, True), 8)
    assert np.array_equal(y, (x @ weight) * multiplier + bias)
    assert job.countdown == rows * 3 * 2 * 4 * 2


def test_bias_shift():
    """The smallest shift that lets the largest bias fit; all others must be multiples of it."""
    bias = np.array([0, 1 << 28, -(1 << 29), 24] + [0] * 4)
    layer = make_layer(bias=bias)
    (job,) = map_layer(layer, (3, 3), SMALL, 0, 512)
    assert job.registers["mvuscaler"]["bias_shift"] == 3
    assert np.array_equal(job.bias.ravel() << 3, bias)
    bias[3] = 20
    with pytest.raises(
        ConfigurationError, match=r"bias of channel 3 is 20, but must be a 27-bit number times 2\*\*3"
    ):
        map_layer(make_layer(bias=bias), (3, 3), SMALL, 0, 512)
    bias[3] = 1 << 41
    with pytest.raises(ConfigurationError, match=rf"bias of channel 3 is {1 << 41}, .* times 2\*\*15"):
        map_layer(make_layer(bias=bias), (3, 3), SMALL, 0, 512)


def test_bias_at_the_limits():
    for value in (-(1 << 41), ((1 << 26) - 1) << 15):
        (job,) = map_layer(make_layer(bias=np.full(8, value)), (3, 3), SMALL, 0, 512)
        assert job.bias[0, 0] << job.registers["mvuscaler"]["bias_shift"] == value


@pytest.mark.parametrize(
    ("attributes", "mapping", "error", "message"),
    [
        (
            {},
            {"size": (40, 40)},
            DoesNotFitError,
            "needs 3200 data words for its input from word 0 on, but the MVU has 2048",
        ),
        (
            {},
            {"output_base": 2040},
            DoesNotFitError,
            "needs 36 data words for its output from word 2040 on, but the MVU has 8",
        ),
        (
            {"channels": 120},
            {"output_base": 1000},
            DoesNotFitError,
            "needs 270 weight words of one output block, but the MVU has 256",
        ),
        (
            {},
            {"weight_base": 250},
            DoesNotFitError,
            "needs 18 weight words of one output block, but the MVU has 6",
        ),
        ({}, {"channel_base": 8}, ConfigurationError, "channel base is 8, but must be from 0 to 7"),
        ({"shift": 45}, {}, DoesNotFitError, "quantiser MSB index is 48, but the MVU takes 47 at most"),
        (
            {"padding": (3, 0, 0, 0)},
            {},
            DoesNotFitError,
            "padding at the top is 3, but the MVU pads a kernel of 3 by 2 at most",
        ),
        ({"padding": (0, 0, 0, 4)}, {}, DoesNotFitError, "padding at the right is 4"),
        (
            {"kernel": (1, 16), "padding": (0, 1, 0, 0)},
            {"size": (1, 20)},
            DoesNotFitError,
            "number of kernel columns under zero padding is 16",
        ),
        (
            {"stride": (256, 1), "padding": (1, 1, 1, 1)},
            {},
            DoesNotFitError,
            r"mvustride\.y is 256, but the MVU takes 255 at most",
        ),
        (
            {"residual": Residual("r", IntFormat(2, False), 1, 16)},
            {"residual_base": 1000},
            DoesNotFitError,
            "residual left shift is 16",
        ),
        (
            {"residual": Residual("r", IntFormat(2, False), 1)},
            {},
            ConfigurationError,
            "residual_base is None, but the layer has a residual",
        ),
        ({}, {"residual_base": 0}, ConfigurationError, "residual_base is 0, but the layer has no residual"),
        (
            {},
            {"output_base": 48},
            ConfigurationError,
            "output words 48 to 83 overlap words 0 to 49 that the job reads",
        ),
        ({}, {"dest": 256}, ConfigurationError, "dest is 256, but must be from 0 to 255"),
        ({}, {"input_base": -1}, ConfigurationError, "input base is -1, but must be from 0 to 2047"),
        ({}, {"weight_base": -1}, ConfigurationError, "weight base is -1, but must be from 0 to 255"),
    ],
)
def test_refused(attributes, mapping, error, message):
    mapping = {"size": (5, 5), "params": SMALL, "input_base": 0, "output_base": 512} | mapping
    with pytest.raises(error, match=message) as caught:
        map_layer(make_layer(**attributes), **mapping)
    assert "layer conv" in str(caught.value)


def test_too_many_clocks():
    """2049 outputs of 2048 taps at 16 x 16 bits."""
    params = MvuParameters(lanes=2, bank_depth=2048, weight_depth=1 << 16, acc_width=30)
    layer = make_layer(kernel=(1, 2048), channels=2, outputs=2, formats=("s16", "s16", "s1"))
    with pytest.raises(DoesNotFitError, match=r"needs 1074266112 multiply clocks, but the MVU has 536870911"):
        map_layer(layer, (1, 4096), params, 0, 0, dest=1, allow_wrap=True)


def test_output_over_input_elsewhere_is_no_overlap():
    (job,) = map_layer(make_layer(), (5, 5), SMALL, 0, 0, dest=2)
    assert job.registers["mvuobaseptr"] == {"value": 0, "dest": 2}


def test_a_row_that_fills_the_memory():
    """A map of one padded row: what is worth a kernel row is as many words as the memory has, so no distance at all."""
    params = replace(SMALL, data_banks=2, bank_depth=64)
    layer = make_layer(kernel=(3, 3), padding=(1, 1, 1, 1), formats=("s2", "u2", "u2"))
    (job,) = map_layer(layer, (1, 64), params, 0, 0, dest=1)
    memories = Memories.zeros(params)
    x = random_tensor(np.random.default_rng(1), layer.input_format, 1, 64, 8)
    job.load(memories, x)
    result = run_job(job.registers, memories, params)
    assert np.array_equal(
        unpack_activations(result.data, (1, 64, 8), layer.output_format, 8), layer.run(x[None])[0]
    )


@pytest.mark.parametrize("depth", [2, 64, 1 << 15, 1 << 16])
def test_a_jump_of_half_the_memory_fits_its_field(depth):
    for jump in (-depth // 2, depth // 2, depth // 2 - 1, 3 * depth // 2):
        seen = _signed_jump(jump, depth)
        assert -(1 << 15) <= -depth // 2 <= seen < depth // 2 and (seen - jump) % depth == 0


def test_jumps_beyond_half_the_memory_wrap():
    """A map of more than half the memory, walked a second time for each output block."""
    params = replace(SMALL, data_banks=2, bank_depth=64)
    layer = make_layer(kernel=(5, 9), outputs=16, formats=("s1", "u2", "u1"))
    (job,) = map_layer(layer, (5, 9), params, 4, 100, dest=1)
    memories = Memories.zeros(params)
    x = random_tensor(np.random.default_rng(1), layer.input_format, 5, 9, 8)
    job.load(memories, x)
    result = run_job(job.registers, memories, params)
    assert config_causes(job.registers) == 0
    assert np.array_equal(
        unpack_activations(result.data, (1, 1, 16), layer.output_format, 8), layer.run(x[None])[0]
    )
