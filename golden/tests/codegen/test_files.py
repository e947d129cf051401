# SPDX-License-Identifier: Apache-2.0
"""Folders of a plan: what is read back is what was written, altered files are told, tables and command line."""

import json
import re

import numpy as np
import pytest
from elftools.elf.elffile import ELFFile

from assay import golden, vectors
from assay.golden.__main__ import main
from assay.golden.accelerator.parameters import AcceleratorParameters
from assay.golden.accelerator.plan import SCALERS, WEIGHTS
from assay.golden.codegen import files, report
from assay.golden.codegen.networks import NETWORKS, resnet18
from assay.golden.controller.memory_map import IMEM_BASE
from assay.golden.errors import ChecksumError, ConfigurationError, GoldenError
from assay.golden.formats import IntFormat
from assay.golden.mvu.jobs import countdown
from assay.golden.mvu.layout import pack_activations
from assay.golden.mvu.registers import encode
from assay.golden.network import Layer, Network
from assay.golden.tests.codegen.machine import Machine
from assay.golden.tests.codegen.networks import accelerator, random_network


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A plan with two phases, its image and its folder."""
    network = random_network(4, layers=5)
    params = accelerator(3, weight_depth=64)
    plan = golden.codegen.plan(network, params, "distributed")
    assert len(plan.phases) > 1
    low, high = network.input_format.min, network.input_format.max
    image = np.random.default_rng(0).integers(low, high, network.input_shape, endpoint=True)
    folder = tmp_path_factory.mktemp("saved") / "set"
    files.write(plan, image, folder, "random")
    return plan, image, folder


def test_read_is_what_was_written(saved):
    plan, image, folder = saved
    found = files.read(folder)
    again = found.plan
    assert (again.mapping, again.folded, again.params, again.places) == (
        plan.mapping,
        plan.folded,
        plan.params,
        plan.places,
    )
    assert np.array_equal(again.firmware.words, plan.firmware.words)
    assert np.array_equal(again.firmware.data, plan.firmware.data)
    assert again.firmware.symbols == plan.firmware.symbols
    for mine, theirs in zip(plan.phases, again.phases, strict=True):
        for a, b in zip(mine.loads, theirs.loads, strict=True):
            assert (a.mvus, a.select, a.first) == (b.mvus, b.select, b.first)
            assert np.array_equal(a.image, b.image) and a.image.dtype == b.image.dtype
        for own, read in zip(mine.steps, theirs.steps, strict=True):
            for a, b in zip(own, read, strict=True):
                assert (a.mvu, a.number, a.layer, a.rows, a.waits) == (
                    b.mvu,
                    b.number,
                    b.layer,
                    b.rows,
                    b.waits,
                )
                assert encode(a.job.registers) == encode(b.job.registers)
                for name in (
                    "input",
                    "output",
                    "residual",
                    "first_block",
                    "blocks",
                    "countdown",
                    "first_row",
                    "name",
                ):
                    assert getattr(a.job, name) == getattr(b.job, name)
                for name in ("weights", "scaler", "bias"):
                    assert np.array_equal(getattr(a.job, name), getattr(b.job, name))
    assert np.array_equal(found.image, image)
    for name, values in plan.network.trace(image[None]).items():
        assert np.array_equal(found.tensors[name], values[0])
    assert found.plan.network.summary() == plan.network.summary()
    output = plan.network.output
    (mvu,) = plan.places[output].mvus
    assert np.array_equal(Machine(again).run(found.image)[output, mvu], found.tensors[output])
    assert files.parameters(folder) == plan.params.rtl


def read_hex(path, size):
    return [bytes.fromhex(line)[::-1] for line in path.read_text().splitlines() if len(line) == 2 * size]


def test_hex_images(saved):
    """The images of every phase and MVU, the controller's memories and the input, as $readmemh takes them."""
    plan, image, folder = saved
    lanes = plan.params.mvu.lanes
    for number, phase in enumerate(plan.phases):
        for load in phase.loads:
            for mvu in load.mvus:
                if load.select == WEIGHTS:
                    words = read_hex(folder / f"phase{number}_mvu{mvu}_weights.hex", lanes * lanes // 8)
                    expected = [word.tobytes() for word in load.image]
                elif load.select == SCALERS:
                    words = read_hex(folder / f"phase{number}_mvu{mvu}_scalers.hex", lanes * 2)
                    expected = [word.astype("<i2").tobytes() for word in load.image]
                else:
                    width = plan.params.mvu.bias_width
                    words = read_hex(folder / f"phase{number}_mvu{mvu}_biases.hex", -(-lanes * width // 8))
                    expected = [
                        sum((value % (1 << width)) << width * lane for lane, value in enumerate(entry))
                        for entry in load.image.tolist()
                    ]
                    words = [int.from_bytes(word, "little") for word in words]
                assert words[load.first : load.first + len(expected)] == expected
    place = plan.places["input"]
    for mvu in place.mvus:
        words = read_hex(folder / f"mvu{mvu}_data.hex", lanes // 8)
        if not plan.folded:
            expected = pack_activations(image, place.fmt, lanes)
            assert words[place.base :] == [word.tobytes() for word in expected]
    for name, expected in (("imem", plan.firmware.words), ("dmem", plan.firmware.data)):
        assert [int(line, 16) for line in (folder / f"{name}.hex").read_text().split()] == expected.tolist()


def test_elf(saved):
    plan, _, folder = saved
    with open(folder / "firmware.elf", "rb") as file:
        elf = ELFFile(file)
        assert (elf["e_machine"], elf["e_type"], elf["e_flags"]) == ("EM_RISCV", "ET_EXEC", 0)
        assert elf["e_entry"] == plan.firmware.symbols["start"]
        text, data = elf.iter_segments()
        assert (text["p_paddr"], data["p_paddr"]) == (IMEM_BASE, IMEM_BASE + 4 * 8192)
        assert text.data() == plan.firmware.words.astype("<u4").tobytes()
        assert data.data() == plan.firmware.data.astype("<u4").tobytes()
        named = [s for s in elf.get_section_by_name(".symtab").iter_symbols() if s.name]
        assert {s.name: s["st_value"] for s in named} == plan.firmware.symbols
        for symbol in named:
            section = elf.get_section(symbol["st_shndx"])
            inside = symbol["st_value"] - section["sh_addr"]
            assert 0 <= inside < section["sh_size"], f"{symbol.name} is not in {section.name}"
        assert elf.get_section_by_name(".text").data() == text.data()


def test_listing(saved):
    """Every word of the text is there at its address, in order."""
    plan, _, folder = saved
    lines = (folder / "firmware.lst").read_text()
    found = [
        tuple(int(x, 16) for x in pair) for pair in re.findall(r"^([0-9a-f]{8}) ([0-9a-f]{8})", lines, re.M)
    ]
    assert found == [(IMEM_BASE + 4 * n, word) for n, word in enumerate(plan.firmware.words.tolist())]


@pytest.mark.parametrize("name", ["firmware.S", "loads.npz", "imem.hex", "vectors.npz"])
def test_an_altered_file_is_told(saved, tmp_path, name):
    plan, image, _ = saved
    folder = tmp_path / "set"
    files.write(plan, image, folder)
    path = folder / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(ChecksumError, match=rf"{name}: altered or cut off"):
        files.read(folder)
    path.unlink()
    with pytest.raises(ChecksumError, match=rf"{name}: named in manifest.json, but cannot be read"):
        files.read(folder)


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m.pop("places"),
        lambda m: m["network"]["layers"].pop(),
        lambda m: m["phases"][0]["steps"][0][0].update(load="x"),
        lambda m: m["parameters"].update(Lanes=7),
        lambda m: m["places"]["input"].update(format="q3"),
        lambda m: m["places"]["input"].update(words=3),
        lambda m: m["files"].pop("loads.npz"),
        lambda m: m.update(phases=3),
    ],
)
def test_an_altered_manifest_is_told(saved, tmp_path, change):
    plan, image, _ = saved
    folder = tmp_path / "set"
    files.write(plan, image, folder)
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))
    with pytest.raises(GoldenError, match=r"manifest\.json"):
        files.read(folder)


def test_nothing_half_written(saved, tmp_path):
    plan, image, _ = saved
    with pytest.raises(GoldenError, match=r"image has shape \[2, 2, 1\], but network random4 takes"):
        files.write(plan, np.zeros((2, 2, 1), int), tmp_path / "set")
    assert not list(tmp_path.iterdir())
    (tmp_path / "mine").mkdir()
    with pytest.raises(GoldenError, match="exists and is not a vector set"):
        files.write(plan, image, tmp_path / "mine")
    with pytest.raises(GoldenError, match="no vector set"):
        files.read(tmp_path / "mine")


def test_resnet18_clocks():
    """The bound with padding skipped, and what BARVINN's padded rows take."""
    network = resnet18()
    assert len(network.layers) == 17
    assert sum(countdown(layer, network.shapes[layer.input][:2], 64) for layer in network.layers) == 498_104
    assert report.compat_total(network, 64) == 532_872
    table = report.compat(network, 64)
    assert len(table) == 3 + 2 * 17 + 1 and table[-1] == "Total countdown: 532872"
    assert table[3] == (
        "| [1, 32, 32] | [1, 3, 3] | [0, 3, 2, 2, 0]   | [-132, -132, 60, 2, 0] | [0, 0, 3, 8, 0]  "
        "| [-16, 2, -16, 2, 0]    | 1080      | 36720                 |"
    )


def test_small_resnets_run():
    """The named networks, made small, with and without the additions."""
    for residual in (False, True):
        network = resnet18(residual, size=8, width=8)
        plan = golden.codegen.plan(network, accelerator(4), "distributed")
        x = np.random.default_rng(0).integers(0, 4, network.input_shape)
        found = Machine(plan).run(x)
        (mvu,) = plan.places[network.output].mvus
        assert np.array_equal(found[network.output, mvu], network.predict(x[None])[0])
        # The random weights are of a size that keeps the values alive.
        assert len(np.unique(network.predict(x[None]))) > 2


def test_compat_refuses_what_barvinn_cannot():
    network = next(
        network
        for network in map(random_network, range(50))
        if any(layer.groups > 1 for layer in network.layers)
    )
    with pytest.raises(
        ConfigurationError, match="but BARVINN's generator has convolutions within a map only"
    ):
        report.compat(network, 8)


@pytest.mark.parametrize("seed", range(6))
def test_compat_takes_every_stride_th_row(seed):
    """Maps, kernels, strides and padding that are unlike in rows and columns."""
    rng = np.random.default_rng(seed)
    bit = IntFormat(1, False)
    stride, padding = (tuple(int(n) for n in rng.permutation(3)[:2] + 1) for _ in range(2))
    layer = Layer(
        name="conv",
        input="input",
        output="y",
        weight=np.ones((20, 2, 4, 12), int),
        weight_format=bit,
        input_format=IntFormat(3, False),
        output_format=bit,
        multiplier=np.ones(20, int),
        bias=np.zeros(20, int),
        shift=0,
        stride=stride,
        padding=(*padding, *padding[::-1]),
    )
    network = Network("uneven", "input", (9, 14, 12), (layer,))
    columns = (14 - 4) // stride[1] + 1
    rows = (9 + sum(padding)) // stride[0]
    whole = rows * columns * 3 * 1 * (2 * 2 * 4) * 3  # 3 bits by 1, 2 input blocks of 2x4, 3 output blocks
    assert report.compat_total(network, 8) == whole
    assert [cell.strip() for cell in report.compat(network, 8)[3].split("|")][7:9] == [
        str(whole // rows),
        str(whole),
    ]


def test_memory_map_says_what_is_used(saved):
    """The table's figures for parameters, of every phase and MVU, by the words that the loads reach."""
    plan, _, _ = saved
    used = {(number, mvu): [0, 0] for number in range(len(plan.phases)) for mvu in range(plan.params.mvus)}
    behind = 0  # loads that begin behind others
    for number, phase in enumerate(plan.phases):
        for load in phase.loads:
            for mvu in load.mvus:
                for word in range(load.first, load.first + len(load.image)):
                    column = int(load.select != WEIGHTS)
                    used[number, mvu][column] = max(used[number, mvu][column], word + 1)
                behind += load.first > 0
    assert behind
    lines = report.memory_map(plan)
    start = next(n for n, line in enumerate(lines) if line.split()[:2] == ["phase", "MVU"])
    table = [[int(word) for word in line.split()] for line in lines[start + 1 :] if line[:1] in " 0123456789"]
    found = {(row[0], row[1]): row[2:] for row in table if len(row) == 4}
    assert found == used


def test_command_line(tmp_path, capsys):
    model = str(vectors.path("digits/digits_w2a2.onnx"))
    assert main(["codegen", model, "--lanes", "16", "--mvus", "4", "--output", str(tmp_path / "set")]) == 0
    text = capsys.readouterr().out
    for part in (
        "iShape",
        "data memory of every MVU, 32 banks of 1024 words",
        "utilisation",
        "make TOPLEVEL=accelerator VECTORS=",
    ):
        assert part in text
    plan = files.read(tmp_path / "set").plan
    assert (plan.params.mvus, plan.params.mvu.lanes) == (4, 16)
    assert main(["codegen", "resnet18", "--compat"]) == 0
    assert capsys.readouterr().out.endswith("Total countdown: 532872\n")
    assert main(["codegen", model, "--weight-depth", "8", "--mapping", "pipelined"]) == 2
    assert "weight words for one output block, but an MVU has 8" in capsys.readouterr().err
    assert set(NETWORKS) == {"resnet18", "resnet18-residual"}
    assert AcceleratorParameters().rtl["Mvus"] == 8
