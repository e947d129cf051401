# SPDX-License-Identifier: Apache-2.0
"""Functional coverage of the controller's bench: what the harts executed, on which operands, and what interrupted them.

Retirements are gathered and counted many thousands at a time; what is alike within such a lot counts as one hit.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from assay.golden.controller import memory_map
from assay.golden.controller.csrs import CSRS, MVU_CSR_FIRST, MVU_CSRS, Cause, Interrupt
from assay.golden.controller.instructions import BY_NAME, INSTRUCTIONS
from assay.golden.controller.parameters import MAX_HARTS, PIPELINE_STAGES, ControllerParameters
from assay.tb.controller.library import Kinds
from assay.tb.coverage import CoverGroup, CoverPoint

if TYPE_CHECKING:
    from assay.tb.controller.ports import BusAccess

_LOT = 1 << 18  #: retirements counted at a time
_BASE = [i for i in INSTRUCTIONS if i.extension != "M"]
_MUL_DIV = [i for i in INSTRUCTIONS if i.extension == "M"]
_BY_NUMBER = [*_BASE, *_MUL_DIV]
_NAMES = [i.name for i in _BY_NUMBER]
_NUMBER = {name: number for number, name in enumerate(_NAMES)}
_ILLEGAL = len(_NAMES)
_TRAP_ALWAYS = ("ecall", "ebreak")
_MUL_DIV_NAMES = {i.name for i in _MUL_DIV}
_CORNERS = {"0": 0, "1": 1, "-1": 2, "greatest": 3, "least": 4, "other": 5}
#: The words of their bins; what is left is another one.
_CORNER_VALUES = (0, 1, 0xFFFFFFFF, 0x7FFFFFFF, 0x80000000)
_FORMS = {"csrrw": 1, "csrrs": 2, "csrrc": 3, "csrrwi": 5, "csrrsi": 6, "csrrci": 7}
#: CSRs that differ from their neighbours, and groups of alike ones.
_CSR_NAMES = [c.name for c in CSRS if not c.name.startswith("mhpm")]
_CSR_POINTS = {
    **{c.name: c.address for c in CSRS if c.name in _CSR_NAMES},
    "mhpm": [c.address for c in CSRS if c.name not in _CSR_NAMES],
    "mvu": [first + i for first, _ in MVU_CSR_FIRST for i in range(MVU_CSRS)],
}
_KNOWN_CSRS = np.zeros(1 << 12, bool)
_KNOWN_CSRS[[c.address for c in CSRS]] = True
_KNOWN_CSRS[[first + i for first, _ in MVU_CSR_FIRST for i in range(MVU_CSRS)]] = True
_MRET, _WFI = BY_NAME["mret"].match, BY_NAME["wfi"].match
_READ_ONLY = {c.name for c in CSRS if c.read_only}
_HARTS = {**{str(h): h for h in range(8)}, "8 to 15": range(8, MAX_HARTS)}
_NO_RD = np.array(["rd" not in i.operands for i in _BY_NUMBER])
_HALVES = {"low": 0, "high": 1}
_IN_M = ("nothing", "a trap", "mret or wfi", "a write of a CSR", "another instruction")
_AROUND = 2  #: counts before and behind a counter's carry
#: Where the hart stood when its interrupt became pending.
_PHASES = {name: i for i, name in enumerate(("F", "D", "X", "M", "W", "between", "wfi", "disabled before"))}


class ControllerCoverage:
    """Cover groups of one run: what the build has; without parameters what any build has, to merge runs.

    Attributes:
        instructions: every instruction on every hart, and with which registers.
        operands: corners of both operands.
        flow: branches and jumps.
        accesses: loads and stores.
        traps: exceptions.
        interrupts: by number, hart, phase.
        csrs: Zicsr by CSR, form and operand.
        bus: accesses to MVUs.
        counters: writes of a counter's half around its carry.
        clears: writes of mip around a pulse of mvu_irq_i.
        compares: writes of mtimecmp's halves.
        wakes: ends of wfi.
        waits: interrupts that became pending while an instruction waited for the bus.
    """

    def __init__(
        self, params: ControllerParameters | None = None, library: ctypes.CDLL | None = None
    ) -> None:
        self.params = params or ControllerParameters(harts=MAX_HARTS, mul_div=1)
        self._kinds = None
        if library is not None:
            bounds = sorted({edge for first, end in self._regions.values() for edge in (first, end)})
            self._kinds = Kinds(library, _CORNER_VALUES, bounds, memory_map.RESET_PC, _MRET)
        two = [i.name for i in _BY_NUMBER if i.format in ("R", "B")]
        one = [i.name for i in _BY_NUMBER if i.format in ("I", "shift")]
        self.instructions = CoverGroup(
            "controller_instructions",
            [
                CoverPoint(
                    "instruction", {name: n for name, n in _NUMBER.items() if name not in _TRAP_ALWAYS}
                ),
                CoverPoint("hart", _HARTS),
                CoverPoint("rd", {"x0": 0, "rs1": 1, "rs2": 2, "other": 3}),
            ],
            crosses=[("instruction", "hart"), ("instruction", "rd")],
            impossible=_impossible_registers,
            absent=self._absent,
        )
        self.operands = CoverGroup(
            "controller_operands",
            [
                CoverPoint("instruction", {name: _NUMBER[name] for name in (*two, *one)}),
                CoverPoint("rs1", _CORNERS),
                CoverPoint("rs2", _CORNERS | {"immediate": 6}),
            ],
            crosses=[("instruction", "rs1", "rs2")],
            impossible=lambda labels: (
                "rs2" in labels and (labels["rs2"] == "immediate") != (labels["instruction"] in one)
            ),
            absent=self._absent,
        )
        branches = [i.name for i in INSTRUCTIONS if i.format == "B"]
        self.flow = CoverGroup(
            "controller_flow",
            [
                CoverPoint("instruction", {n: _NUMBER[n] for n in (*branches, "jal", "jalr")}),
                CoverPoint("taken", {"no": 0, "yes": 1}),
                CoverPoint("direction", {"backwards": 0, "forwards": 1}),
            ],
            crosses=[("instruction", "taken", "direction")],
            impossible=lambda labels: (
                labels.get("taken") == "no" and labels["instruction"] in ("jal", "jalr")
            ),
        )
        memory = [i.name for i in INSTRUCTIONS if i.format in ("load", "S")]
        self.accesses = CoverGroup(
            "controller_accesses",
            [
                CoverPoint("instruction", {n: _NUMBER[n] for n in memory}),
                CoverPoint("byte", range(4)),
                CoverPoint(
                    "region",
                    {
                        "imem": 0,
                        "dmem": 1,
                        "msip": 2,
                        "mtimecmp": 3,
                        "mtime": 4,
                        "mvu": 5,
                        "first": 6,
                        "last": 7,
                    },
                ),
                CoverPoint("value", {"0": 0, "negative": 1, "other": 2}),
            ],
            crosses=[("instruction", "byte", "region"), ("instruction", "value")],
            impossible=_impossible_access,
        )
        self.traps = CoverGroup(
            "controller_traps",
            [
                CoverPoint("cause", {c.name.lower(): int(c) for c in Cause}),
                CoverPoint("hart", _HARTS),
                CoverPoint("handler", {"outside": 0, "inside": 1}),
            ],
            crosses=[("cause", "hart"), ("cause", "handler")],
            absent=self._absent,
        )
        self.interrupts = CoverGroup(
            "controller_interrupts",
            [
                CoverPoint("interrupt", {i.name.lower(): int(i) for i in Interrupt}),
                CoverPoint("hart", _HARTS),
                CoverPoint("phase", _PHASES),
            ],
            crosses=[("interrupt", "hart"), ("interrupt", "phase")],
            absent=self._absent,
        )
        self.csrs = CoverGroup(
            "controller_csrs",
            [
                CoverPoint("csr", _CSR_POINTS),
                CoverPoint("form", _FORMS),
                CoverPoint("operand", {"0": 0, "all ones": 1, "other": 2}),
                CoverPoint("rd", {"x0": 0, "other": 1}),
                CoverPoint("register", {"x0": 0, "other": 1}),
            ],
            crosses=[("csr", "form"), ("csr", "operand"), ("form", "rd", "register")],
            impossible=lambda labels: (
                labels.get("csr") in _READ_ONLY
                and (
                    labels.get("form") in ("csrrw", "csrrwi")
                    or labels.get("operand") in ("all ones", "other")
                )
            ),
        )
        self.bus = CoverGroup(
            "controller_bus",
            [
                CoverPoint("hart", _HARTS),
                CoverPoint("access", {"read": 0, "write": 1}),
                CoverPoint("answer", {"data": 0, "error": 1}),
                CoverPoint("mvu", {"own": 0, "another": 1}),
            ],
            crosses=[("hart", "access", "answer"), ("access", "mvu")],
            absent=self._absent,
        )
        self.counters = CoverGroup(
            "controller_counters",
            [
                CoverPoint("counter", {"mcycle": 0, "minstret": 1, "mtime": 2}),
                CoverPoint("half", _HALVES),
                CoverPoint("counts since the carry", range(-_AROUND, _AROUND)),
            ],
            crosses=[("counter", "half", "counts since the carry")],
        )
        self.clears = CoverGroup(
            "controller_clears",
            [CoverPoint("written", (0, 1)), CoverPoint("clocks to the pulse", range(-2, 3))],
            crosses=[("written", "clocks to the pulse")],
        )
        self.compares = CoverGroup(
            "controller_compares",
            [
                CoverPoint("writer", ("own", "another", "host")),
                CoverPoint("half", _HALVES),
                CoverPoint("interrupt", {"stays low": 0, "rises": 1, "falls": 2, "stays high": 3}),
            ],
            crosses=[("writer", "half", "interrupt")],
            absent=lambda point, label: label == "another" and self.params.harts == 1,
        )
        self.wakes = CoverGroup(
            "controller_wakes",
            [
                CoverPoint("hart", {"running": 0, "held": 1}),
                CoverPoint("interrupt", {"is there": 0, "has gone": 1}),
            ],
            crosses=[("hart", "interrupt")],
        )
        self.waits = CoverGroup(
            "controller_waits",
            [
                CoverPoint("accesses", (1, 2)),
                CoverPoint("phase", ("first pass", "waits", "waits again", "last pass")),
            ],
            crosses=[("accesses", "phase")],
            impossible=lambda labels: labels["accesses"] == "1" and labels["phase"] == "waits again",
        )
        self.neighbours = CoverGroup(
            "controller_neighbours",
            [
                CoverPoint("host", {"releases": 0, "restarts": 1}),
                CoverPoint("stage M", _IN_M),
                CoverPoint("hart", ("may be in flight", "is idle")),
            ],
            crosses=[("host", "stage M"), ("host", "hart")],
            impossible=lambda labels: (
                labels.get("host") == "restarts" and "in flight" in labels.get("hart", "")
            ),
        )
        self._lot: list[np.ndarray] = []
        self._size = 0
        self._depth = [0] * MAX_HARTS  # of the handlers in which each hart is

    @property
    def groups(self) -> tuple[CoverGroup, ...]:
        """All groups, with everything counted that has come."""
        self._count()
        executed = (self.instructions, self.operands, self.flow, self.accesses)
        events = (self.counters, self.clears, self.compares, self.wakes, self.waits, self.neighbours)
        return (*executed, self.traps, self.interrupts, self.csrs, self.bus, *events)

    def _absent(self, point: str, label: str) -> bool:
        """Whether the build lacks a hart or an instruction."""
        if point == "hart":
            return int(label.partition(" ")[0]) >= self.params.harts
        return point == "instruction" and not self.params.mul_div and label in _MUL_DIV_NAMES

    @property
    def _regions(self) -> dict[int, tuple[int, int]]:
        """Bin of `accesses` -> first address and end; of two that overlap the later one counts."""
        base, words = memory_map.IMEM_BASE, self.params.imem_words
        end = base + 4 * (words + self.params.dmem_words)
        return {
            0: (base, base + 4 * words),
            1: (base + 4 * words, end),
            6: (base, base + 4),
            7: (end - 4, end),
            2: (memory_map.MSIP_BASE, memory_map.MTIMECMP_BASE),
            3: (memory_map.MTIMECMP_BASE, memory_map.MTIME_BASE),
            4: (memory_map.MTIME_BASE, memory_map.MTIME_BASE + 8),
        }

    def sample(self, records: np.ndarray) -> None:
        """Count retirements, RECORD[n], which the golden simulator has confirmed."""
        kept = records if self._kinds is None else self._kinds.new(records)
        self._lot.append(kept)
        self._size += len(records)
        if self._size >= _LOT:
            self._count()

    def sample_interrupt(self, hart: int, number: int, phase: str) -> None:
        """Count an interrupt that was taken."""
        if number in set(Interrupt):
            self.interrupts.sample(interrupt=number, hart=hart, phase=_PHASES[phase])

    def sample_bus(self, hart: int, access: BusAccess) -> None:
        """Count an access that an instruction made."""
        self.bus.sample(
            hart=hart, access=int(access.write), answer=int(access.error), mvu=int(access.mvu != hart)
        )

    def sample_counter(self, name: str, half: int, value: int) -> None:
        """Count a write of a half (0 low, 1 high) of a counter that was `value`, if that is near its carry."""
        since = (value + _AROUND & 0xFFFF_FFFF) - _AROUND
        if since < _AROUND:
            number = self.counters.points["counter"].labels.index(name)
            self.counters.sample(**{"counter": number, "half": half, "counts since the carry": since})

    def sample_clear(self, written: int, pulses: Iterable[int]) -> None:
        """Count a write of mip.16, with the clocks from it to the pulses near it."""
        for pulse in pulses:
            self.clears.sample(**{"written": written, "clocks to the pulse": pulse})

    def sample_compare(self, writer: str, half: int, before: bool, after: bool) -> None:
        """Count a write of a half of mtimecmp by the hart itself, another or the host, and what mip.7 does."""
        self.compares.sample(writer=writer, half=half, interrupt=2 * before + after)

    def sample_wake(self, held: bool, gone: bool) -> None:
        """Count an end of wfi: of a hart that was held or not, by an interrupt that is still there or not."""
        self.wakes.sample(hart=int(held), interrupt=int(gone))

    def sample_wait(self, accesses: int, phase: str) -> None:
        """Count an interrupt that became pending while an instruction with so many accesses waited for the bus."""
        self.waits.sample(accesses=accesses, phase=phase)

    def sample_host(self, restarts: bool, held: int, record: np.ndarray | None) -> None:
        """Count that the host lets a hart, held for so many clocks, go on or start anew.

        Args:
            restarts: it starts anew.
            held: clocks since it may not issue.
            record: the RECORD of the instruction that was in stage M in that clock; None: none has retired or trapped.
        """
        values: dict[str, int | str] = {
            "host": int(restarts),
            "stage M": _in_m(record),
            "hart": "is idle" if restarts or held >= PIPELINE_STAGES else "may be in flight",
        }
        self.neighbours.sample(**values)

    def _count(self) -> None:
        if not self._lot:
            return
        # As np.concatenate, which first looks for a common type of all.
        records = np.empty(sum(map(len, self._lot)), self._lot[0].dtype)
        np.concatenate(self._lot, out=records, casting="no")
        self._lot, self._size = [], 0
        if self._kinds is not None:
            self._kinds.forget()
        words, places = np.unique(records["insn"], return_inverse=True)
        numbers = np.full(len(words), _ILLEGAL, np.uint8)
        for number, instruction in enumerate(_BY_NUMBER):
            if instruction.extension == "M" and not self.params.mul_div:
                continue
            numbers[words & np.uint32(instruction.mask) == instruction.match] = number
        numbers = numbers[places]
        self._count_traps(records)
        trap_always = np.isin(numbers, [_NUMBER[name] for name in _TRAP_ALWAYS])
        done = (records["trap"] == 0) & (numbers != _ILLEGAL) & ~trap_always
        records, numbers = records[done], numbers[done]
        rd = records["insn"] >> 7 & 31
        kind = np.where(
            _NO_RD[numbers],
            3,
            np.where(
                rd == 0, 0, np.where(rd == records["rs1_addr"], 1, np.where(rd == records["rs2_addr"], 2, 3))
            ),
        )
        _sample(self.instructions, instruction=numbers, hart=records["hart"], rd=kind)
        self._count_operands(records, numbers)
        self._count_flow(records, numbers)
        self._count_accesses(records, numbers)
        self._count_csrs(records, numbers)

    def _count_traps(self, records: np.ndarray) -> None:
        trap, hart = records["trap"] == 1, records["hart"]
        # Traps and interrupts nest, each mret leaves one; a program starts outside.
        enters = trap.astype(np.int8) + (records["intr"] == 1)
        starts, leaves = records["pc_rdata"] == memory_map.RESET_PC, records["insn"] == _MRET
        inside = np.zeros(len(records), bool)
        for place in np.flatnonzero(starts | leaves | (enters > 0)).tolist():
            number = hart[place]
            depth = 0 if starts[place] else self._depth[number]
            inside[place] = depth or records["intr"][place]
            self._depth[number] = max(0, depth + int(enters[place]) - int(leaves[place] and not trap[place]))
        # With rvfi_intr, cause is the interrupt's.
        known = trap & (records["intr"] == 0)
        _sample(
            self.traps,
            cause=records["cause"][known],
            hart=hart[known],
            handler=inside[known],
        )

    def _count_operands(self, records: np.ndarray, numbers: np.ndarray) -> None:
        formats = np.array([i.format for i in _BY_NUMBER])[numbers]
        two, one = np.isin(formats, ("R", "B")), np.isin(formats, ("I", "shift"))
        here = two | one
        second = np.where(one, 6, _corner(records["rs2_rdata"]))
        _sample(
            self.operands,
            instruction=numbers[here],
            rs1=_corner(records["rs1_rdata"])[here],
            rs2=second[here],
        )

    def _count_flow(self, records: np.ndarray, numbers: np.ndarray) -> None:
        labels = self.flow.points["instruction"].labels
        here = np.isin(numbers, [_NUMBER[name] for name in labels])
        records, numbers = records[here], numbers[here]
        words = records["insn"]
        taken = records["pc_wdata"] != records["pc_rdata"] + np.uint32(4)
        jump = np.isin(numbers, [_NUMBER["jal"], _NUMBER["jalr"]])
        # A branch that is not taken has its direction in its offset's sign.
        forwards = np.where(
            jump | taken, records["pc_wdata"] > records["pc_rdata"], (words >> np.uint32(31)) == 0
        )
        _sample(self.flow, instruction=numbers, taken=taken | jump, direction=forwards)

    def _count_accesses(self, records: np.ndarray, numbers: np.ndarray) -> None:
        here = (records["mem_rmask"] | records["mem_wmask"]) != 0
        records, numbers = records[here], numbers[here]
        address = records["mem_addr"].astype(np.int64)
        region = np.full(len(records), 5)
        for number, (first, end) in self._regions.items():
            region[(address >= first) & (address < end)] = number
        value = np.where(records["mem_wmask"] != 0, records["mem_wdata"], records["mem_rdata"])
        size = np.maximum(records["mem_wmask"], records["mem_rmask"]).astype(np.uint32)
        top = np.select([size == 1, size == 3], [np.uint32(0x80), np.uint32(0x8000)], np.uint32(0x80000000))
        kind = np.where(value == 0, 0, np.where(value & top != 0, 1, 2))
        _sample(self.accesses, instruction=numbers, byte=address & 3, region=region, value=kind)

    def _count_csrs(self, records: np.ndarray, numbers: np.ndarray) -> None:
        words = records["insn"]
        here = (words & 0x7F == 0x73) & (words & 0x3000 != 0)
        records, words = records[here], words[here]
        known = _KNOWN_CSRS[words >> 20]
        records, words = records[known], words[known]
        form = words >> 12 & 7
        field = words >> 15 & 31
        operand = np.where(form >= 4, field, records["rs1_rdata"])
        ones = operand == np.where(form >= 4, 31, 0xFFFFFFFF)
        _sample(
            self.csrs,
            csr=words >> 20,
            form=form,
            operand=np.where(operand == 0, 0, np.where(ones, 1, 2)),
            rd=words >> 7 & 31 != 0,
            register=field != 0,
        )


def _in_m(record: np.ndarray | None) -> str:
    """Bin of a retirement in _IN_M."""
    if record is None:
        return "nothing"
    insn = int(record["insn"])
    if record["trap"]:
        return "a trap"
    if insn in (_WFI, _MRET):
        return "mret or wfi"
    # csrrw and csrrwi always write, the others with a source.
    writes = insn & 0x7F == 0x73 and (insn >> 12 & 3 == 1 or (insn >> 12 & 3 > 1 and insn >> 15 & 31 != 0))
    return "a write of a CSR" if writes else "another instruction"


def _sample(group: CoverGroup, **columns: np.ndarray) -> None:
    """Sample each combination of values once."""
    values = {name: np.asarray(column).astype(np.int64) for name, column in columns.items()}
    sizes = {name: int(column.max(initial=-1)) + 1 for name, column in values.items()}
    if not all(sizes.values()):
        return
    # Marks in a table of all combinations: faster than sorting them.
    there = np.zeros(tuple(sizes.values()), bool)
    there[tuple(values.values())] = True
    group.sample(**dict(zip(values, np.nonzero(there), strict=True)))


def _corner(values: np.ndarray) -> np.ndarray:
    """Bin of an operand in _CORNERS."""
    corners = [values == number for number in _CORNER_VALUES]
    return np.select(corners, list(range(len(corners))), len(corners))


def _impossible_registers(labels: Mapping[str, str]) -> bool:
    """Combinations of instruction and destination that an encoding does not have."""
    if "rd" not in labels or "instruction" not in labels:
        return False
    operands = _BY_NUMBER[_NUMBER[labels["instruction"]]].operands
    if "rd" not in operands:
        return labels["rd"] != "other"
    return labels["rd"] in ("rs1", "rs2") and labels["rd"] not in operands


def _impossible_access(labels: Mapping[str, str]) -> bool:
    instruction = _BY_NUMBER[_NUMBER[labels["instruction"]]] if "instruction" in labels else None
    if instruction is None:
        return False
    byte, region = int(labels.get("byte", 0)), labels.get("region", "dmem")
    if byte % instruction.size:
        return True
    return region in ("msip", "mtimecmp", "mtime", "mvu") and instruction.size != 4
