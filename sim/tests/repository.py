# SPDX-License-Identifier: Apache-2.0
"""A repository of a user's: packages ``tb`` and ``sim`` of its own, RTL of its own names and style, one block."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from assay import golden, sim, tb
from assay.sim import outputs

NAMES = {"ASSAY_GOLDEN": golden.__name__, "ASSAY_TB": tb.__name__, "OWN_TB": "tb"}
"""What the files below call packages: Assay's, and the repository's own."""

FILES = {
    "tb/__init__.py": "",
    "sim/__init__.py": "raise RuntimeError('the sim of the repository is not meant')\n",
    "tb/scaler/__init__.py": "",
    "rtl/scaler.v": """\
module scaler #(parameter Width = 8, parameter Mode = "plain") (
  input wire clk, input wire [Width-1:0] x, output reg [Width-1:0] y
);
  reg [Width-1:0] factors [0:3];
  initial $readmemh("factors.hex", factors);
  wire [1:0] place = x;
`ifdef OFFSET
  localparam [Width-1:0] Offset = `OFFSET;
`else
  localparam [Width-1:0] Offset = 0;
`endif
  always @(posedge clk) y <= factors[place] + Offset + (Mode == "plain" ? 0 : 1);
endmodule
""",
    "rtl/scaler.f": "scaler.v  // all of it\n",
    "data/factors.hex": "01 02 03 04\n",
    "data/others.hex": "11 12 13 14\n",
    "tb/scaler/model.py": """\
from dataclasses import dataclass
from ASSAY_GOLDEN.parameters import ParameterSet, parameter

@dataclass(frozen=True)
class ScalerParameters(ParameterSet):
    width: int = parameter(8, range(4, 17), "bits")
    mode: str = parameter("plain", ("plain", "plus"), "what is added")
""",
    "tb/scaler/block.py": """\
from ASSAY_TB.block import Block, Data
from ASSAY_TB.capabilities import Capability
from ASSAY_TB.options import Option
from OWN_TB.scaler.model import ScalerParameters

class Repeats(Capability):
    options = (Option("FRAMES", "--frames", "N", "how often it is all done"),)
    lacks = "repeats nothing"
    having = "blocks that repeat"

BLOCK = Block(
    __name__,
    summary="scales",
    hdl_top="scaler",
    sources=("rtl/scaler.f",),
    parameters=ScalerParameters,
    data=(Data("factors.hex", "data/factors.hex", "factors"),),
    publish=("clk", "x", "y"),
    capabilities=(Repeats(),),
    window_ns=(100, 50),
)
""",
    "tb/scaler/scaler.view": "[Ports]\nclk\nx\ny\n",
    "tb/scaler/test_scaler.py": """\
import json, os, sys
from pathlib import Path
import cocotb
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge
from ASSAY_TB.report import Report
from OWN_TB.scaler.model import ScalerParameters

async def scale(dut, wrong=0):
    parameters = ScalerParameters.of_rtl(json.loads(os.environ["ASSAY_PARAMS"]))
    factors = [int(word, 16) for word in Path("factors.hex").read_text().split()]
    added = int(os.environ.get("FACTOR_OFFSET", "0")) + (parameters.mode == "plus") + wrong
    cocotb.start_soon(Clock(dut.clk, 10, unit="ns").start())
    with Report("scaler", "", int(os.environ["COCOTB_RANDOM_SEED"])) as report:
        for x in list(range(4)) * int(os.environ.get("ASSAY_FRAMES", "1")):
            dut.x.value = x
            await FallingEdge(dut.clk)
            await FallingEdge(dut.clk)
            report.words_compared += 1
            seen = int(dut.y.value)
            report.notes["saw"] = f"{seen} in {report.words_compared} words"
            if seen != factors[x] + added:
                report.fail(f"x = {x}: expected {factors[x] + added}, seen {seen}")
    report.check()

@cocotb.test()
async def scales(dut):
    await scale(dut)

@cocotb.test(skip=True)
async def is_wrong(dut):
    await scale(dut, wrong=1)
""",
}


def write(folder: Path, **changed: str) -> Path:
    """The repository in a folder; `changed` gives other texts for files, by path with ``__`` for ``/``."""
    files = FILES | {name.replace("__", "/"): text for name, text in changed.items()}
    for name, text in files.items():
        for word, meaning in NAMES.items():
            text = text.replace(word, meaning)
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    for library in outputs.build_root().glob("verilated-*"):  # it need not be compiled again for this
        shutil.copytree(library, folder / outputs.FOLDER / "build" / library.name)
    return folder


def declare(folder: Path, name: str, declaration: str) -> Path:
    """One more block of a repository, with this text as its declaration; gives the file."""
    for word, meaning in NAMES.items():
        declaration = declaration.replace(word, meaning)
    file = folder / "tb" / name / "block.py"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(declaration, encoding="utf-8")
    return file


def assay(folder: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command line in a folder."""
    return python(folder, "-m", sim.__name__, *words, **environment)


def python(folder: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Python in a folder, with Assay as if it were installed: the folder's own ``sim`` is not in its way."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "COCOTB_"))}
    return subprocess.run(
        [sys.executable, "-P", *words],
        cwd=folder,
        env={
            **clean,
            "PYTHONPATH": os.pathsep.join([p for p in sys.path if p and p != str(sim.ROOT)]),
            **environment,
        },
        capture_output=True,
        text=True,
    )
