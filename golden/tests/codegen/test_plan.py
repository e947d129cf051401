# SPDX-License-Identifier: Apache-2.0
"""Plans: every output made once, places apart, waits enough and no more, runs that end with the right tensors."""

from collections import defaultdict
from dataclasses import replace
from itertools import cycle, pairwise

import numpy as np
import pytest

from assay import vectors
from assay.golden import codegen
from assay.golden.accelerator.folding import fold, folds
from assay.golden.codegen.mapping import STEP_CLOCKS
from assay.golden.errors import ConfigurationError, DoesNotFitError
from assay.golden.formats import IntFormat
from assay.golden.mvu.agu import addresses, padded_addresses
from assay.golden.mvu.clocks import job_clocks
from assay.golden.mvu.functional import Configuration
from assay.golden.mvu.jobs import countdown
from assay.golden.mvu.layout import channel_blocks
from assay.golden.mvu.parameters import NUM_LOOPS, OUTPUT_LOOPS, RESIDUAL_LOOPS
from assay.golden.network import Layer, Network, Residual
from assay.golden.tests.codegen.machine import Machine
from assay.golden.tests.codegen.networks import accelerator, random_network

MAPPINGS = ("distributed", "pipelined")


@pytest.fixture(scope="module")
def digits() -> Network:
    return vectors.digits("digits_w2a2")[0]


def steps_of(plan):
    return [step for phase in plan.phases for steps in phase.steps for step in steps]


def words_read(step, params) -> set[int]:
    """Words of its own data memory that a job reads, by its registers alone."""
    config = Configuration(step.job.registers)
    program = config.program("i", NUM_LOOPS)
    if config.padding:
        skip = (config.value("mvuiskip0"), config.value("mvuiskip1"))
        first = padded_addresses(program, skip, config.windows, config.countdown, params.data_depth)
    else:
        first = addresses(program, config.countdown, params.data_depth)
    words = np.unique(first)[:, None] + np.arange(config.format("input").bits)
    found = set((words % params.data_depth).reshape(-1).tolist())
    if config.fields["mvuconfig1"]["residual"]:
        count = len(config.complete_outputs()) * config.format("residual").bits
        found |= set(addresses(config.program("r", RESIDUAL_LOOPS), count, params.data_depth).tolist())
    return found


def words_written(step, params) -> tuple[set[int], list[int]]:
    """Words that a job writes, and the MVUs they go to."""
    config = Configuration(step.job.registers)
    count = step.job.output_words
    dest = config.fields["mvuobaseptr"]["dest"]
    words = addresses(config.program("o", OUTPUT_LOOPS), count, 1 << 16)
    assert len(np.unique(words)) == count
    return set(words.tolist()), [m for m in range(8) if dest >> m & 1] or [step.mvu]


def check_dependencies(plan) -> int:
    """Any two steps that touch the same word, one of them writing, are ordered by waits as their layers are; and each
    wait is needed. Gives the number of waits that only keep a word until it has been read."""
    params = plan.params.mvu
    steps = {(step.mvu, step.number): step for step in steps_of(plan)}
    # What has ended when a step begins: a number for each MVU. Phases are barriers.
    began: dict[tuple[int, int], list[int]] = {}
    ended_before = [0] * plan.params.mvus
    for phase in plan.phases:
        open_steps = [list(own) for own in phase.steps]
        progress = True
        while progress:
            progress = False
            for mvu, own in enumerate(open_steps):
                if not own:
                    continue
                step = own[0]
                known = list(ended_before)
                if step.number and (mvu, step.number - 1) in began:
                    known = [max(p) for p in zip(known, began[mvu, step.number - 1], strict=True)]
                known[mvu] = step.number
                needed = [(wait.mvu, wait.count - 1) for wait in step.waits]
                if all(key in began for key in needed):
                    for key in needed:
                        known = [max(p) for p in zip(known, began[key], strict=True)]
                        known[key[0]] = max(known[key[0]], key[1] + 1)
                    began[mvu, step.number] = known
                    own.pop(0)
                    progress = True
        assert not any(open_steps), "steps wait for each other"
        ended_before = [e + len(own) for e, own in zip(ended_before, phase.steps, strict=True)]

    def ordered(a, b) -> bool:
        return began[b][a[0]] > a[1]

    layers = {layer.name: number for number, layer in enumerate(plan.network.layers)}
    readers, writers = defaultdict(set), defaultdict(set)  # (MVU, word) -> steps
    for key, step in steps.items():
        for word in words_read(step, params):
            readers[step.mvu, word].add(key)
        words, targets = words_written(step, params)
        for target in targets:
            for word in words:
                writers[target, word].add(key)
    conflicts = set()
    for place, writing in writers.items():
        for writer in writing:
            conflicts |= {(writer, other) for other in (writing | readers[place]) - {writer}}
    for a, b in conflicts:
        first, then = sorted((a, b), key=lambda key: layers[steps[key].layer])
        assert ordered(first, then), (
            f"{then} of {steps[then].layer} does not wait for {first} of {steps[first].layer}, with a word in common"
        )
    made = {(a, b) for place, reading in readers.items() for a in writers[place] for b in reading}
    kept = 0
    for key, step in steps.items():
        for wait in step.waits:
            other = (wait.mvu, wait.count - 1)
            assert wait.mvu != step.mvu
            assert (other, key) in conflicts or (key, other) in conflicts, f"{key} waits for {other} in vain"
            kept += (other, key) not in made
    return kept


def check_coverage(plan) -> None:
    """Every block of every row of every layer is made by one step, and the countdowns are the layers'."""
    lanes = plan.params.mvu.lanes
    made = defaultdict(int)
    clocks = defaultdict(int)
    for step in steps_of(plan):
        clocks[step.layer] += step.job.countdown
        assert step.rows.start == step.job.first_row
        for row in step.rows:
            for block in range(step.job.first_block, step.job.first_block + step.job.blocks):
                made[step.layer, row, block] += 1
    expected = {}
    for layer in plan.network.layers:
        rows, _, channels = plan.network.shapes[layer.output]
        expected |= {
            (layer.name, row, block): 1
            for row in range(rows)
            for block in range(channel_blocks(channels, lanes))
        }
        if not (plan.folded and layer is plan.network.layers[0]):
            assert clocks[layer.name] == countdown(layer, plan.network.shapes[layer.input][:2], lanes)
    assert made == expected


def check_loads(plan) -> None:
    """Loads of a phase lie inside the memories and do not overlap, and hold what the jobs need."""
    params = plan.params.mvu
    depth = (params.weight_depth, params.channel_depth, params.channel_depth)
    for phase in plan.phases:
        taken = [[{} for _ in depth] for _ in range(plan.params.mvus)]
        for load in phase.loads:
            for m in load.mvus:
                for word, content in enumerate(load.image, load.first):
                    assert word < depth[load.select] and word not in taken[m][load.select]
                    taken[m][load.select][word] = content
        for steps in phase.steps:
            for step in steps:
                job = step.job
                for select, first, image in (
                    (0, job.weight_base, job.weights),
                    (1, job.channel_base, job.scaler),
                    (2, job.channel_base, job.bias),
                ):
                    for word, content in enumerate(image, first):
                        assert np.array_equal(taken[step.mvu][select][word], content)


def check_run(plan, seed: int = 0, runs: int = 1) -> None:
    """The firmware's run gives every tensor that is still in the memories; the output always is."""
    network = plan.network
    rng = np.random.default_rng(seed)
    machine = Machine(plan, seed)
    for _ in range(runs):
        low, high = network.input_format.min, network.input_format.max
        x = rng.integers(low, high, network.input_shape, endpoint=True)
        found = machine.run(x)
        trace = network.trace(x[None])
        shared = overwritten(plan)
        rows = made_rows(plan)
        for (tensor, mvu), values in found.items():
            if tensor in shared:
                continue
            expected = trace[tensor][0]
            if tensor == network.input:
                expected = fold(network.layers[0], expected) if plan.folded else expected
                assert np.array_equal(values, expected)
                continue
            for row, blocks in rows[tensor, mvu].items():
                for block in blocks:
                    channels = slice(block * plan.params.mvu.lanes, (block + 1) * plan.params.mvu.lanes)
                    assert np.array_equal(values[row, :, channels], expected[row, :, channels]), (
                        f"{tensor} in MVU {mvu}, row {row}, block {block}"
                    )
        (mvu,) = plan.places[network.output].mvus
        assert np.array_equal(found[network.output, mvu], trace[network.output][0])
        for m, steps in enumerate(zip(*(phase.steps for phase in plan.phases), strict=True)):
            assert machine.word("ended", m) == sum(map(len, steps)) == machine.word("current", m)


def made_rows(plan) -> dict[tuple[str, int], dict[int, set[int]]]:
    """Tensor and MVU -> rows and blocks that arrive there."""
    outputs = {layer.name: layer.output for layer in plan.network.layers}
    found: dict[tuple[str, int], dict[int, set[int]]] = defaultdict(lambda: defaultdict(set))
    for step in steps_of(plan):
        for target in words_written(step, plan.params.mvu)[1]:
            assert target in plan.places[outputs[step.layer]].mvus
            for row in step.rows:
                blocks = range(step.job.first_block, step.job.first_block + step.job.blocks)
                found[outputs[step.layer], target][row].update(blocks)
    return found


def overwritten(plan) -> set[str]:
    """Tensors whose words are used again."""
    places = plan.places
    names = list(places)
    return {
        name
        for i, name in enumerate(names)
        for other in names[i + 1 :]
        if places[name].mvus & places[other].mvus
        and places[name].base < places[other].base + places[other].words
        and places[other].base < places[name].base + places[name].words
    }


@pytest.mark.parametrize("mapping", MAPPINGS)
@pytest.mark.parametrize("seed", range(8))
def test_random_networks(seed, mapping):
    rng = np.random.default_rng(seed)
    network = random_network(seed)
    params = accelerator(int(rng.choice([1, 2, 3, 5, 8])))
    plan = codegen.plan(network, params, mapping)
    check_coverage(plan)
    check_loads(plan)
    check_dependencies(plan)
    check_run(plan, seed)


@pytest.mark.parametrize("mapping", MAPPINGS)
@pytest.mark.parametrize("seed", [1, 4, 7])
def test_small_memories(seed, mapping):
    """Several phases, and words that are used again."""
    network = random_network(seed, layers=7)
    generous = codegen.plan(network, accelerator(3), mapping)
    biggest = max(step.job.blocks and len(step.job.weights) // step.job.blocks for step in steps_of(generous))
    needs = sum(place.words for place in generous.places.values())
    depth = 1 << (needs - 1).bit_length() - 1
    params = accelerator(
        3,
        weight_depth=1 << max(1, int(biggest - 1).bit_length()),
        bank_depth=max(2, depth // 32),
    )
    try:
        plan = codegen.plan(network, params, mapping)
    except DoesNotFitError:
        params = replace(params, mvu=replace(params.mvu, bank_depth=2 * params.mvu.bank_depth))
        plan = codegen.plan(network, params, mapping)
    assert len(plan.phases) > 1 or mapping == "pipelined"
    check_coverage(plan)
    check_loads(plan)
    check_dependencies(plan)
    check_run(plan, seed)


def chain(layers: int, size: int = 8, sides: tuple[int, ...] = (3,)) -> Network:
    """Layers of one block that keep the map's size, all tensors equally large; kernels of these sides in turn."""
    fmt = IntFormat(2, signed=False)
    return Network(
        "chain",
        "t0",
        (size, size, 8),
        tuple(
            Layer(
                name=f"conv{number}",
                input=f"t{number}",
                output=f"t{number + 1}",
                weight=np.random.default_rng(number).integers(-2, 2, (8, side, side, 8)),
                weight_format=IntFormat(2, signed=True),
                input_format=fmt,
                output_format=fmt,
                multiplier=np.full(8, 3),
                bias=np.arange(8),
                shift=4,
                padding=(side // 2,) * 4,
            )
            for number, side in zip(range(layers), cycle(sides), strict=False)
        ),
    )


@pytest.mark.parametrize("mapping", MAPPINGS)
def test_words_are_used_again(mapping):
    """A chain of layers in a memory that holds two of its tensors."""
    params = accelerator(4, data_banks=2, bank_depth=128)
    plan = codegen.plan(chain(6), params, mapping)
    assert {place.words for place in plan.places.values()} == {128}
    if mapping == "distributed":
        assert overwritten(plan) and all(
            len(place.mvus) == 4 for name, place in plan.places.items() if name != "t6"
        )
    check_dependencies(plan)
    check_run(plan)


@pytest.mark.parametrize("mapping", MAPPINGS)
def test_words_are_kept_until_they_are_read(mapping):
    """Kernels of 1x1, 3x3 and 5x5 in a memory of two tensors: what overwrites a word often reads nothing of the step
    that still needs it, so only a wait of its own keeps the word."""
    kept = 0
    for seed in range(8):
        rng = np.random.default_rng(seed)
        sides = tuple(rng.choice((1, 1, 3, 5), 6).tolist())
        plan = codegen.plan(
            chain(6, sides=sides), accelerator(int(rng.integers(2, 6)), data_banks=2, bank_depth=128), mapping
        )
        kept += check_dependencies(plan)
        check_run(plan, seed)
    assert kept


@pytest.mark.parametrize("mapping", MAPPINGS)
def test_random_networks_in_the_least_memory(mapping):
    """Random networks in the smallest memories that hold them, with few places for channels."""
    kept = phases = 0
    for seed in range(1000, 1016):
        rng = np.random.default_rng(seed)
        network = random_network(seed, layers=int(rng.integers(4, 9)), size=int(rng.integers(5, 10)))
        mvus, channels = int(rng.choice([1, 2, 3, 4, 5, 7])), int(rng.choice([2, 4]))
        for depth in (1 << n for n in range(1, 15)):
            params = accelerator(mvus, data_banks=2, bank_depth=depth, channel_depth=channels)
            try:
                plan = codegen.plan(network, params, mapping, folded=False)
            except DoesNotFitError:
                continue
            break
        check_coverage(plan)
        check_loads(plan)
        kept += check_dependencies(plan)
        phases += len(plan.phases) > 1
        check_run(plan, seed)
    assert mapping == "pipelined" or (kept and phases)


@pytest.mark.parametrize("seed", range(12))
def test_shares_of_unlike_size(seed):
    """Dense layers of one to five blocks on few MVUs: some make a block more than others, in memories that fill up."""
    rng = np.random.default_rng(seed)
    fmt = IntFormat(1, signed=False)
    sizes = [8 * int(n) for n in (1, *rng.integers(1, 6, 6))]
    layers = tuple(
        Layer(
            name=f"dense{number}",
            input=f"t{number}",
            output=f"t{number + 1}",
            weight=rng.integers(0, 2, (after, 1, 1, before)),
            weight_format=fmt,
            input_format=fmt,
            output_format=fmt,
            multiplier=np.ones(after, int),
            bias=rng.integers(-20, 20, after),
            shift=3,
        )
        for number, (before, after) in enumerate(pairwise(sizes))
    )
    network = Network("dense", "t0", (1, 1, sizes[0]), layers)
    # A block has up to five words of weights: memories that hold one block, a few, or all.
    depths = {"channel_depth": int(rng.choice([4, 8])), "weight_depth": int(rng.choice([8, 16, 32]))}
    plan = codegen.plan(network, accelerator(int(rng.integers(2, 5)), **depths), "distributed")
    check_coverage(plan)
    check_loads(plan)
    check_dependencies(plan)
    check_run(plan, seed)


def test_longer_steps_where_the_tables_do_not_fit():
    """The same layers in steps of more rows, when the controller's data memory is small."""
    network = chain(6, size=24)
    fine = codegen.plan(network, accelerator(3), "pipelined")
    words = 1 << (len(fine.firmware.data) - 1).bit_length() - 1
    coarse = codegen.plan(network, accelerator(3, {"dmem_words": words}), "pipelined")
    assert len(steps_of(coarse)) < len(steps_of(fine))
    check_coverage(coarse)
    check_dependencies(coarse)
    check_run(coarse)


def test_teams_where_two_tensors_do_not_fit():
    """A memory of one tensor: even layers on one half of the MVUs, odd ones on the other."""
    params = accelerator(4, data_banks=2, bank_depth=64)
    plan = codegen.plan(chain(5), params, "distributed")
    assert [sorted(plan.places[f"t{n}"].mvus) for n in range(5)] == [[0, 1], [2, 3]] * 2 + [[0, 1]]
    check_coverage(plan)
    check_dependencies(plan)
    check_run(plan)
    with pytest.raises(DoesNotFitError, match="layer conv0 needs 256 words of data memory"):
        codegen.plan(chain(5), accelerator(1, data_banks=2, bank_depth=64), "distributed")


@pytest.mark.parametrize("mapping", MAPPINGS)
def test_digits(digits, mapping):
    """The folded first layer, a residual, pooling and a dense layer; two runs, the second from what the first left."""
    plan = codegen.plan(digits, accelerator(8, lanes=16, weight_depth=512), mapping)
    assert plan.folded and plan.places["input"].shape == (8, 8, 9)
    check_coverage(plan)
    check_dependencies(plan)
    check_run(plan, runs=2)


def test_places_of_their_own_banks(digits):
    plan = codegen.plan(digits, accelerator(4, lanes=16), "distributed")
    banks = [
        bank
        for place in plan.places.values()
        for bank in range(place.base // 256, -(-(place.base + place.words) // 256))
    ]
    assert len(set(banks)) == len(banks)


def test_unfolded(digits):
    plan = codegen.plan(digits, accelerator(4, lanes=16), "distributed", folded=False)
    assert not plan.folded and plan.places["input"].shape == (8, 8, 1)
    check_run(plan)
    check_coverage(plan)


def test_fold_is_a_convolution():
    """Windows by Python loops."""
    network = random_network(3)
    layer = replace(network.layers[0], padding=(1, 0, 2, 1), stride=(2, 1), residual=None, pool=None)
    layer = replace(layer, weight=np.zeros((4, 3, 2, 3), int), groups=1, multiplier=[1] * 4, bias=[0] * 4)
    x = np.random.default_rng(0).integers(-5, 5, (5, 4, 3))
    windows = fold(layer, x)
    rows, columns = layer.convolution_size((5, 4))
    assert windows.shape == (rows, columns, 18)
    for row in range(rows):
        for column in range(columns):
            for y in range(3):
                for k in range(2):
                    for c in range(3):
                        at = (row * 2 + y - 1, column + k)
                        inside = 0 <= at[0] < 5 and 0 <= at[1] < 4
                        assert windows[row, column, (y * 2 + k) * 3 + c] == (x[(*at, c)] if inside else 0)


def test_prediction_follows_the_waits():
    """Maps of one position: each layer is one step of the next MVU, and waits for the step before. So the steps' clocks
    add up, on few MVUs as on many."""
    network = chain(7, size=1, sides=(1,))
    for mvus in (1, 2, 3, 8):
        made = codegen.plan(network, accelerator(mvus), "pipelined")
        clocks = [job_clocks(step.job.registers).total + STEP_CLOCKS for step in steps_of(made)]
        assert len(clocks) == len(network.layers)
        assert codegen.planner.predicted_clocks(made) == sum(clocks)


def test_auto_takes_the_faster(digits):
    params = accelerator(8, lanes=16)
    plans = [codegen.plan(digits, params, mapping) for mapping in MAPPINGS]
    clocks = [codegen.planner.predicted_clocks(plan) for plan in plans]
    auto = codegen.plan(digits, params)
    assert auto.mapping == MAPPINGS[int(np.argmin(clocks))]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"weight_depth": 16}, r"layer conv2 needs 36 weight words for one output block, but an MVU has 16"),
        (
            {"data_banks": 2, "bank_depth": 64},
            r"network digits_w2a2: layer conv1 needs 384 words of data memory with all tensors that are alive then, "
            r"but an MVU has 128",
        ),
        (
            {"controller": {"imem_words": 256}},
            r"the firmware of network digits_w2a2 needs \d+ words of instruction memory",
        ),
        ({"controller": {"dmem_words": 256}}, r"needs \d+ words of data memory, but the controller has 256"),
    ],
)
def test_refusals(digits, changes, message):
    params = accelerator(8, **({"lanes": 16} | changes))
    with pytest.raises(DoesNotFitError, match=message):
        codegen.plan(digits, params, "distributed")


def test_bad_arguments(digits):
    with pytest.raises(
        ConfigurationError, match="mapping is 'both', but must be auto, distributed or pipelined"
    ):
        codegen.plan(digits, mapping="both")
    network = chain(2)
    assert folds(digits, 8) and not folds(network, 8)
    with pytest.raises(
        ConfigurationError, match=r"layer conv0 cannot be folded: .* fewer than 9 times its blocks of 8"
    ):
        codegen.plan(network, accelerator(4), folded=True)


@pytest.mark.parametrize("mapping", MAPPINGS)
@pytest.mark.parametrize("reader", ["none", "input", "residual"])
def test_an_input_that_others_read_is_not_folded(reader, mapping):
    """The last layer of a few reads the network's input, too: as its input, or as its residual."""
    layers = list(chain(3, size=6).layers)
    one = IntFormat(2, signed=False)
    layers[0] = replace(layers[0], weight=layers[0].weight[..., :1])
    layers[1] = replace(layers[1], weight=layers[1].weight[:1], multiplier=[3], bias=[0])
    layers[2] = replace(layers[2], weight=layers[2].weight[:1, :, :, :1], multiplier=[3], bias=[0])
    if reader == "input":
        layers[2] = replace(layers[2], input="t0")
    elif reader == "residual":
        layers[2] = replace(layers[2], residual=Residual("t0", one, 5, 1))
    if reader == "input":
        layers = [layers[0], layers[2]]
    network = Network("shared", "t0", (6, 6, 1), tuple(layers))
    plan = codegen.plan(network, accelerator(3), mapping)
    assert plan.folded == folds(network, 8) == (reader == "none")
    check_run(plan)
    if reader != "none":
        with pytest.raises(ConfigurationError, match="alone in reading the input"):
            codegen.plan(network, accelerator(3), mapping, folded=True)


def test_folded_windows_of_several_blocks(digits):
    """3x3 windows of one channel, in two blocks of eight lanes instead of nine."""
    plan = codegen.plan(digits, accelerator(4, weight_depth=1024), "distributed")
    assert (
        plan.folded and plan.places["input"].shape == (8, 8, 9) and plan.places["input"].words == 64 * 2 * 2
    )
    check_run(plan)


def test_windows_that_do_not_fit_are_not_folded():
    """Nine channels in two blocks, beside the first layer's output, in a memory of two blocks."""
    network = chain(2)
    first = replace(network.layers[0], weight=network.layers[0].weight[..., :1])
    network = Network("narrow", "t0", (8, 8, 1), (first, network.layers[1]))
    for depth, folded in ((256, True), (128, False)):
        plan = codegen.plan(network, accelerator(1, data_banks=2, bank_depth=depth), "distributed")
        assert plan.folded == folded
        check_run(plan)
