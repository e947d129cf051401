# SPDX-License-Identifier: Apache-2.0
"""The whole accelerator: tensors against the network's trace, and what a wrong program does."""

from dataclasses import replace

import numpy as np
import pytest

from assay import vectors
from assay.golden.accelerator.parameters import AcceleratorParameters
from assay.golden.accelerator.report import bit_operations
from assay.golden.accelerator.system import System, SystemFault
from assay.golden.codegen import plan as code_plan
from assay.golden.codegen.plan import Wait
from assay.golden.controller.instructions import encode
from assay.golden.errors import ConfigurationError
from assay.golden.tests.accelerator import hand_plan
from assay.golden.tests.accelerator.hand_plan import parameters, random_network

NOP = encode("addi")
MAPPINGS = ("distributed", "pipelined")


def image_of(network, seed=0):
    fmt = network.input_format
    return np.random.default_rng(seed).integers(fmt.min, fmt.max, network.input_shape, endpoint=True)


def run_and_compare(plan, x, **options):
    """Run a plan, hold every tensor against the golden trace, and the clocks against a run without data."""
    system = System(plan.params, **options)
    system.load(plan)
    run = system.run({plan.network.input: x})
    trace = plan.network.trace(x[None])
    assert set(run.tensors) == set(trace) - {plan.network.input}
    for name, values in run.tensors.items():
        assert np.array_equal(values, trace[name][0]), name
    quick = System(plan.params, functional=False)
    quick.load(plan)
    timed = quick.run()
    assert (timed.clocks, timed.steps, timed.retired) == (run.clocks, run.steps, run.retired)
    return system, run


@pytest.mark.parametrize(
    "seed, mvus, lanes", [(0, 1, 8), (1, 2, 16), (2, 3, 8), (3, 8, 8), (4, 4, 64), (5, 2, 8), (12, 5, 32)]
)
def test_hand_plans(seed, mvus, lanes):
    network = random_network(seed)
    _, run = run_and_compare(hand_plan.plan(network, parameters(mvus, lanes)), image_of(network))
    assert len(run.steps) == len(network.layers)


@pytest.mark.parametrize("mapping", MAPPINGS)
@pytest.mark.parametrize(
    "seed, mvus, lanes", [(6, 1, 8), (7, 2, 8), (8, 3, 16), (9, 8, 8), (10, 8, 64), (11, 5, 32)]
)
def test_code_generator(mapping, seed, mvus, lanes):
    network = random_network(seed)
    run_and_compare(code_plan(network, parameters(mvus, lanes), mapping), image_of(network, seed))


@pytest.mark.parametrize("mapping", MAPPINGS)
@pytest.mark.parametrize(
    "name, mvus, lanes", [("digits_w2a2", 8, 64), ("digits_w2a2", 1, 16), ("digits_mixed", 4, 32)]
)
def test_digits(mapping, name, mvus, lanes):
    network, images, _ = vectors.digits(name)
    params = AcceleratorParameters.of_rtl({"Mvus": mvus, "Lanes": lanes})
    system, first = run_and_compare(code_plan(network, params, mapping), images[0])
    # What the first run left must not matter.
    second = system.run({network.input: images[1]})
    for tensor, values in second.tensors.items():
        assert np.array_equal(values, network.trace(images[1:2])[tensor][0])
    assert abs(second.clocks - first.clocks) < 0.03 * first.clocks  # other orders of service at first


@pytest.mark.parametrize("skip", [0, 1])
def test_controller_that_skips_or_not(skip):
    network = random_network(1)
    params = replace(parameters(2), controller=replace(parameters(2).controller, skip=skip))
    run_and_compare(code_plan(network, params, "distributed"), image_of(network))


def test_phases():
    """With the memory of the largest layer the host loads between phases; that time is not the accelerator's."""
    network, images, _ = vectors.digits("digits_w2a2")
    params = AcceleratorParameters.of_rtl({"Mvus": 2, "Lanes": 16, "WeightDepth": 256})
    plan = code_plan(network, params, "distributed")
    assert len(plan.phases) > 1
    _, run = run_and_compare(plan, images[0])
    slow = System(params)
    slow.load(plan)
    other = slow.run({network.input: images[0]}, host_clocks=5000)
    assert other.host_clocks == 5000 * (len(plan.phases) - 1)
    assert abs(other.clocks - run.clocks) < 50
    assert other.steps[-1].end > run.steps[-1].end + 4900


def test_reading_and_writing_tensors():
    network = random_network(2)
    plan = code_plan(network, parameters(2), "pipelined")
    system, run = run_and_compare(plan, image_of(network))
    place = plan.places[network.output]
    for mvu in place.mvus:
        assert np.array_equal(system.read(network.output, mvu), run.tensors[network.output])
    with pytest.raises(ConfigurationError, match="tensor nothing: must be one of x, t0"):
        system.read("nothing", 0)
    with pytest.raises(ConfigurationError, match="has shape"):
        system.write("x", np.zeros((1, 1, 1), int))
    with pytest.raises(ConfigurationError, match="only counts clocks"):
        quick = System(plan.params, functional=False)
        quick.load(plan)
        quick.read(network.output, 0)
    with pytest.raises(ConfigurationError, match="is for"):
        System(parameters(3)).load(plan)
    with pytest.raises(ConfigurationError, match="no plan"):
        System(parameters(3)).run()


def test_trace():
    """As the network's, so that `compare` takes a system for a model."""
    network, images, _ = vectors.digits("digits_w2a2")
    params = AcceleratorParameters.of_rtl({"Mvus": 4, "Lanes": 64})
    system = System(params)
    with pytest.raises(ConfigurationError, match="needs a plan"):
        system.trace(images[:2])
    system.load(code_plan(network, params, "distributed"))
    comparison = network.compare(images[:3], system)
    assert comparison.first_differing is None and len(comparison.tensors) == len(network.layers) + 1


def test_plans_that_do_not_fit():
    network = random_network(1)
    plan = hand_plan.plan(network, parameters(2))
    place = replace(plan.places["x"], base=plan.params.mvu.data_depth - 1)
    load = plan.phases[0].loads[0]
    symbols = {name: at for name, at in plan.firmware.symbols.items() if name != "trap"}
    for wrong, message in (
        (replace(plan, places={**plan.places, "x": place}), "place of x: words 8191 to"),
        (
            replace(plan, phases=(replace(plan.phases[0], loads=(replace(load, first=511),)),)),
            "to 511 of memory 0 of MVUs",
        ),
        (
            replace(plan, phases=(replace(plan.phases[0], loads=(replace(load, mvus=frozenset([2])),)),)),
            "there are 2 MVUs",
        ),
        (replace(plan, firmware=replace(plan.firmware, symbols=symbols)), "no symbol trap"),
    ):
        with pytest.raises(ConfigurationError, match=message):
            System(plan.params).load(wrong)


def test_interrupt_handler():
    """A hart that spins until its handler, entered at the job's end, says so."""
    network = random_network(1, layers=1)
    plan = hand_plan.interrupted(network, parameters(2))
    _, run = run_and_compare(plan, image_of(network))
    assert run.clocks == 1462  # as in the RTL


@pytest.mark.parametrize("seed, clocks", [(0, (6741, 6740)), (1, (5669, 5672)), (2, (28241, 28242))])
def test_clocks_of_the_rtl(seed, clocks):
    """Two runs one after the other, as controller, fabric and array took them in Verilator: not one clock beside it."""
    network = random_network(seed)
    system = System(parameters(2))
    system.load(hand_plan.plan(network, parameters(2)))
    assert tuple(system.run({"x": image_of(network, seed)}).clocks for _ in range(2)) == clocks


# --- wrong programs -------------------------------------------------------------------------------------------


def faulty(plan, x, **options):
    """The fault's message, or that the run passed with a wrong tensor."""
    limit = options.pop("limit", None)
    system = System(plan.params, **options)
    system.load(plan)
    try:
        run = system.run({plan.network.input: x}, limit)
    except SystemFault as fault:
        return str(fault)
    trace = plan.network.trace(x[None])
    wrong = [name for name, values in run.tensors.items() if not np.array_equal(values, trace[name][0])]
    return f"wrong: {', '.join(wrong)}" if wrong else "equal"


def early(message):
    """Whether a step began before what it needs was there, or was known to be."""
    return "without having waited for that: hart" in message or "has not got from" in message


def patched(plan, changes):
    """The plan with other instructions: address to word."""
    words = plan.firmware.words.copy()
    for address, word in changes.items():
        words[(address - 0x8000_0000) // 4] = word
    return replace(plan, firmware=replace(plan.firmware, words=words))


def test_a_wait_left_out():
    """Each wait of a plan made by hand is needed, whether or not the clocks happen to hide that one is missing."""
    network = random_network(0)
    assert not any(layer.residual for layer in network.layers)
    plan = hand_plan.plan(network, parameters(3))
    found = 0
    for mvu, steps in enumerate(plan.phases[0].steps):
        for number, step in enumerate(steps):
            for wait in step.waits:
                for instead in ((), (replace(wait, count=wait.count - 1),)):
                    changed = [list(each) for each in plan.phases[0].steps]
                    changed[mvu][number] = replace(step, waits=instead)
                    message = faulty(hand_plan.with_steps(plan, changed), image_of(network))
                    assert early(message)
                    for one, which in ((mvu, number), (wait.mvu, wait.count - 1)):
                        assert f"MVU {one} step {which} (layer" in message.splitlines()[0]
                    found += 1
    assert found >= 3


@pytest.mark.parametrize("mapping", MAPPINGS)
def test_no_wait_at_all(mapping):
    network, images, _ = vectors.digits("digits_w2a2")
    plan = code_plan(network, AcceleratorParameters.of_rtl({"Mvus": 4, "Lanes": 32}), mapping)
    waits = [a for name, a in plan.firmware.symbols.items() if "_wait_" in name]
    assert waits
    # A wait is a load and a branch back to it.
    message = faulty(patched(plan, {a: NOP for address in waits for a in (address, address + 4)}), images[0])
    assert early(message)


@pytest.mark.parametrize("mapping", MAPPINGS)
def test_each_wait(mapping):
    """Of the code generator's waits, those that are no padding of its tables are needed one by one."""
    network, images, _ = vectors.digits("digits_w2a2")
    plan = code_plan(network, AcceleratorParameters.of_rtl({"Mvus": 2, "Lanes": 32}), mapping)
    waits = sorted(a for name, a in plan.firmware.symbols.items() if "_wait_" in name)
    assert len(waits) > 2
    for address in waits:
        message = faulty(patched(plan, {address: NOP, address + 4: NOP}), images[0])
        assert early(message)


def test_counted_too_early():
    """The firmware counts a step before it has waited for its end."""
    network = random_network(1)
    plan = hand_plan.plan(network, parameters(2))
    sleep = encode("wfi")
    first = next(i for i, word in enumerate(plan.firmware.words) if word == sleep)
    message = faulty(patched(plan, {0x8000_0000 + 4 * first: NOP}), image_of(network))
    assert message.startswith("hart 0 counts 1 steps of MVU 0 as ended, which has ended 0")
    assert "MVU 0 runs step 0 (layer layer0" in message


def test_wrong_destinations():
    """A word that goes to too few MVUs is missing there, whether or not the plan says so."""
    network = random_network(3)
    plan = hand_plan.plan(network, parameters(2))
    for mvu, steps in enumerate(plan.phases[0].steps):
        step = steps[0]
        dest = step.job.registers["mvuobaseptr"]["dest"] or 1 << mvu
        registers = {
            **step.job.registers,
            "mvuobaseptr": {**step.job.registers["mvuobaseptr"], "dest": dest ^ 3},
        }
        changed = [list(each) for each in plan.phases[0].steps]
        changed[mvu][0] = replace(step, job=replace(step.job, registers=registers))
        other = hand_plan.with_steps(plan, changed)
        message = faulty(other, image_of(network))
        output = next(layer.output for layer in network.layers if layer.name == step.layer)
        assert (
            f"of tensor {output}, which MVU" in message
            and f"has not got from MVU {mvu} step 0 (layer" in message
        )
        # The firmware of the one with the steps of the other.
        message = faulty(replace(plan, firmware=other.firmware), image_of(network))
        assert f"MVU {mvu} step 0 (layer {step.layer}, rows 0 to" in message and "mvuobaseptr is" in message
        message = faulty(replace(plan, firmware=other.firmware), image_of(network), strict=False)
        assert "no MVU ever got word" in message or message.startswith("wrong: ")


def test_words_outside_their_tensor():
    network = random_network(3)
    plan = hand_plan.plan(network, parameters(1))
    step = plan.phases[0].steps[0][0]
    base = {**step.job.registers["mvuobaseptr"], "value": step.job.output.base + 8000}
    changed = [list(plan.phases[0].steps[0])]
    changed[0][0] = replace(
        step, job=replace(step.job, registers={**step.job.registers, "mvuobaseptr": base})
    )
    assert "wrote word 8" in faulty(hand_plan.with_steps(plan, changed), image_of(network))


def test_deadlock():
    """Two MVUs that wait for each other; the message says who waits for what."""
    network = random_network(1)
    plan = hand_plan.plan(network, parameters(2))
    first, *rest = plan.phases[0].steps[0]
    changed = [[replace(first, waits=(Wait(1, 1),)), *rest], list(plan.phases[0].steps[1])]
    message = faulty(hand_plan.with_steps(plan, changed), image_of(network))
    assert message.startswith("no hart makes progress")
    assert "hart 0" in message and "which waits for MVU 1 to end step 0 (it has ended 0)" in message
    assert "MVU 1 has not started step 0 (layer layer1" in message
    assert "waits for MVU 0 to end step 0" in message


def test_sleep_without_an_interrupt():
    """A hart whose interrupt is not enabled sleeps for ever when its job has ended."""
    network = random_network(1)
    plan = hand_plan.plan(network, parameters(1))
    enable = next(i for i, word in enumerate(plan.firmware.words) if word & 0xFFF0007F == 0x30400073)
    message = faulty(patched(plan, {0x8000_0000 + 4 * enable: NOP}), image_of(network))
    assert message.startswith("no hart can go on") and "in wfi" in message
    assert "MVU 0 has not started step 1 (layer layer1" in message


def test_limit():
    network = random_network(1)
    plan = hand_plan.plan(network, parameters(2))
    message = faulty(plan, image_of(network), limit=1500)
    assert message.startswith("the run did not end within 1500 clocks")
    assert "runs step 0 (layer layer0, rows 0 to" in message or "has not started step 0" in message


def test_trap_without_a_handler():
    network = random_network(1)
    plan = hand_plan.plan(network, parameters(2))
    message = faulty(patched(plan, {0x8000_0000 + 4 * 20: 0}), image_of(network))
    assert "left the instruction memory to 0x00000000" in message and "illegal" in message


@pytest.mark.parametrize("mapping", MAPPINGS)
def test_trap(mapping):
    """The firmware's handler tells the host, who names the instruction."""
    network = random_network(1)
    plan = code_plan(network, parameters(2), mapping)
    address = plan.firmware.symbols["finish_wait"]
    message = faulty(patched(plan, {address: encode("ebreak")}), image_of(network))
    assert f"trapped: breakpoint at 0x{address:08x} (ebreak)" in message
    assert "(layer layer" in message


def test_illegal_job():
    network = random_network(1)
    plan = hand_plan.plan(network, parameters(2))
    step = plan.phases[0].steps[1][0]
    registers = {**step.job.registers, "mvuquant": {"msb": 63}}
    changed = [list(each) for each in plan.phases[0].steps]
    changed[1][0] = replace(step, job=replace(step.job, registers=registers))
    message = faulty(hand_plan.with_steps(plan, changed), image_of(network))
    assert message.startswith("hart 1: MVU 1 refused a job, step 0 (layer layer1") and "quantiser" in message


def test_one_job_too_many():
    network = random_network(1)
    plan = hand_plan.plan(network, parameters(2))
    fewer = [list(each) for each in plan.phases[0].steps]
    fewer[1].pop()
    short = replace(hand_plan.with_steps(plan, fewer), firmware=plan.firmware)
    assert f"MVU 1 was given job {len(fewer[1])}, but the plan has" in faulty(short, image_of(network))


# --- report ---------------------------------------------------------------------------------------------------


def test_bit_operations():
    """One by one over positions, kernel positions on the map and channels."""
    network = random_network(12)
    for layer in network.layers:
        height, width, _ = network.shapes[layer.input]
        size = layer.convolution_size((height, width))
        pool = layer.pool
        outputs = [
            [(y, x)] if pool is None else [(2 * y + dy, 2 * x + dx) for dy in range(2) for dx in range(2)]
            for y in range(size[0] if pool is None else (size[0] - 2) // 2 + 1)
            for x in range(size[1] if pool is None else (size[1] - 2) // 2 + 1)
        ]
        count = sum(
            0 <= y * layer.stride[0] + ky - layer.padding[0] < height
            and 0 <= x * layer.stride[1] + kx - layer.padding[1] < width
            for group in outputs
            for y, x in group
            for ky in range(layer.kernel[0])
            for kx in range(layer.kernel[1])
        )
        bits = layer.input_format.bits * layer.weight_format.bits
        expected = count * bits * layer.input_channels * layer.output_channels
        assert bit_operations(layer, (height, width)) == expected


def test_report():
    network = random_network(1)
    plan = code_plan(network, parameters(4), "distributed")
    system, run = run_and_compare(plan, image_of(network))
    report = system.report(run)
    assert [each.layer for each in report.layers] == [layer.name for layer in network.layers]
    assert (
        sum(each.steps for each in report.layers) == len(run.steps) == sum(each.steps for each in report.mvus)
    )
    assert sum(each.multiply for each in report.layers) == sum(
        step.job.countdown for p in plan.phases for m in p.steps for step in m
    )
    for each in report.layers:
        assert 0 < each.utilisation <= 1 and each.bound <= each.multiply / 4 and each.elapsed >= each.longest
    assert 0 < report.utilisation < 1
    text = str(report)
    for word in ("layer0", "utilisation", "weight words", "instructions"):
        assert word in text
