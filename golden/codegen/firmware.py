# SPDX-License-Identifier: Apache-2.0
"""The program that runs a plan's steps: one for all harts, as assembly text and as words.

Each item of the plan (a layer, or some of its output blocks) is a piece of code that the harts with a share in it go
through, once for each of their steps: registers that the step before left otherwise are written, from immediates where
all harts' values are one, from the hart's table in the data memory where they are not; all that while the job before
runs. Then the hart waits for that job's end, for the steps that this one depends on, and writes `mvucommand`.
"""

from __future__ import annotations

from collections.abc import Sequence

from assay.golden.accelerator.parameters import AcceleratorParameters
from assay.golden.accelerator.plan import Firmware, Step
from assay.golden.accelerator.registers import BY_NAME as SYSTEM_REGISTERS
from assay.golden.accelerator.registers import SYSTEM_UNIT
from assay.golden.controller.assembler import assemble, load_constant
from assay.golden.controller.csrs import MVU_CSR_FIRST, MVU_CSRS, Interrupt
from assay.golden.controller.memory_map import IMEM_BASE, MVU_BASE, MVU_STRIDE
from assay.golden.controller.parameters import MAX_HARTS
from assay.golden.errors import DoesNotFitError
from assay.golden.mvu.registers import BY_NAME, REGISTERS, encode

__all__ = ["TRAP_JOB", "TRAP_TRAP", "FirmwareDoesNotFitError", "firmware"]

TRAP_TRAP, TRAP_JOB = 1, 2  #: first word of `trap`: a trap of the hart, or a job in error

# The fixed block of the data memory, in words; docs/accelerator.md has the table.
_ENDED, _CURRENT, _TRAP = 1, 1 + MAX_HARTS, 1 + 2 * MAX_HARTS
_TRAP_WORDS = 4
_FIXED = _TRAP + _TRAP_WORDS * MAX_HARTS

_STATUS, _COMMAND = BY_NAME["mvustatus"], BY_NAME["mvucommand"]
_SMALL = 32  #: an immediate of csrwi is below

# Registers that hold what a step waits for, address and count, while the job before runs.
_WAITS = (
    ("a0", "a1"),
    ("a2", "a3"),
    ("a4", "a5"),
    ("a6", "a7"),
    ("t3", "t4"),
    ("t5", "t6"),
    ("s10", "s11"),
)


class FirmwareDoesNotFitError(DoesNotFitError):
    """The controller's memories are too small for a plan's firmware."""


#: What the harts with a share in an item do there: hart to its steps.
Shares = dict[int, list[Step]]


def firmware(phases: Sequence[Sequence[Shares]], params: AcceleratorParameters, name: str) -> Firmware:
    """The program of a plan.

    Args:
        phases: of items, in order.
        params: of the accelerator.
        name: of the network, for the comments.

    Raises:
        FirmwareDoesNotFitError: the controller's memories are too small; the message has the numbers.
    """
    writer = _Writer(params, name)
    for number, items in enumerate(phases):
        writer.phase(number)
        for item in items:
            writer.item(item)
    source = writer.source()
    controller = params.controller
    made = assemble(source, writer.data_base)
    for what, words, most in (
        ("instruction", len(made.text), controller.imem_words),
        ("data", len(made.data), controller.dmem_words),
    ):
        if words > most:
            raise FirmwareDoesNotFitError(
                f"the firmware of network {name} needs {words} words of {what} memory, but the controller has {most}"
            )
    return Firmware(made.text, made.data, made.symbols, source)


def _csr(register: int) -> int:
    """CSR address of an MVU register."""
    for first, base in MVU_CSR_FIRST:
        if base <= register < base + MVU_CSRS:
            return first + register - base
    raise DoesNotFitError(f"MVU register {register} has no CSR")


def _completed(words: dict[int, list[dict[int, int]]]) -> dict[int, list[dict[int, int]]]:
    """The same registers for all steps of all harts: one that a step does not use gets the value of another step."""
    for own in words.values():
        any_value = {r: value for step in own for r, value in step.items()}
        own[:] = [any_value | step for step in own]
    anybody = {r: value for own in words.values() for r, value in own[0].items()}
    return {h: [anybody | step for step in own] for h, own in words.items()}


def _constant(register: str, value: int) -> list[str]:
    """Instructions that load 32 bits."""
    return [f"{name} {', '.join(operands)}" for name, *operands in load_constant(register, value)]


class _Writer:
    """Text and tables, item after item."""

    def __init__(self, params: AcceleratorParameters, name: str) -> None:
        self.params = params
        self.name = name
        self.data_base = IMEM_BASE + 4 * params.controller.imem_words
        self._text: list[str] = []
        # Of each hart: words with what they are.
        self._tables: list[list[tuple[str, str]]] = [[] for _ in range(params.mvus)]
        self._known: list[dict[int, int]] = [{} for _ in range(params.mvus)]  # MVU registers as they stand
        self._items = 0
        self._registers: set[str] = {"mvustatus", "mvucommand"}

    def phase(self, number: int) -> None:
        """The next phase begins: end the one before, and wait until the host has loaded this one's parameters."""
        if number:
            self._say(f"phase {number - 1} has ended")
            self._add("jal ra, finish")
            self._add("li s9, 0", "no job runs")
            self._add("sw s3, 0(s8)", "finished")
        self._say(f"phase {number} begins when the host has loaded it")
        self._add(f"li t1, {number}")
        self._label(f"phase_{number}")
        self._add("lw t0, 0(s0)", "phase")
        self._add(f"bgeu t1, t0, phase_{number}")

    def item(self, shares: Shares) -> None:
        """The code of an item, and its words in the harts' tables."""
        number, self._items = self._items, self._items + 1
        harts = sorted(shares)
        words = _completed({h: [encode(step.job.registers) for step in shares[h]] for h in harts})
        command = {h: [step.pop(_COMMAND.address) for step in words[h]] for h in harts}
        varying = sorted({r for h in harts for step in words[h] for r in step if step[r] != words[h][0][r]})
        once = [
            r
            for r in sorted({r for h in harts for r in words[h][0]} - set(varying))
            if any(self._known[h].get(r) != words[h][0][r] for h in harts)
        ]
        waits = max(len(step.waits) for h in harts for step in shares[h])
        self._head(number, shares)
        for h in harts:
            self._comment(h, f"{shares[h][0].job.name.split(',')[0]}: {self._share(shares[h])}")

        if len(harts) < self.params.mvus:
            self._add(f"li t0, {sum(1 << h for h in harts)}", "harts with a share")
            self._add("and t0, t0, s3")
            self._add(f"beqz t0, item_{number}_end")
        counts = {h: len(shares[h]) for h in harts}
        offset = 0
        looped = max(counts.values()) > 1
        if looped:
            offset = self._load("s6", counts, offset, "steps")
        for r in once:
            offset = self._write(r, {h: words[h][0][r] for h in harts}, offset)
            for h in harts:
                self._known[h][r] = words[h][0][r]
        commands = {value for h in harts for value in command[h]}
        if len(commands) == 1:
            self._constant("s7", commands.pop(), "mvucommand")
            command = {}
        if offset:
            self._add(f"addi s1, s1, {4 * offset}")

        if looped:
            self._label(f"item_{number}_step")
        offset = 0
        for r in varying:
            self._add(f"lw t0, {4 * offset}(s1)")
            self._add(f"csrw {self._name(r)}, t0")
            offset += 1
        if command:
            self._add(f"lw s7, {4 * offset}(s1)", "mvucommand")
            offset += 1
        for wait in range(waits):
            for register in _WAITS[wait]:
                self._add(f"lw {register}, {4 * offset}(s1)", "waits for")
                offset += 1
        if offset:
            self._add(f"addi s1, s1, {4 * offset}")
        self._add("jal ra, finish")
        for wait in range(waits):
            address, count = _WAITS[wait]
            self._label(f"item_{number}_wait_{wait}")
            self._add(f"lw t0, 0({address})", "ended")
            self._add(f"bltu t0, {count}, item_{number}_wait_{wait}")
        self._add("csrw mvucommand, s7")
        self._add("addi t2, s2, 1")
        self._add(f"sw t2, {4 * (_CURRENT - _ENDED)}(s5)", "current")
        self._add("li s9, 1", "a job runs")
        if looped:
            self._add("addi s6, s6, -1")
            self._add(f"bnez s6, item_{number}_step")
        self._label(f"item_{number}_end")

        for h in harts:
            for k, step in enumerate(shares[h]):
                if looped:
                    self._comment(h, f"step {step.number}: rows {step.rows.start} to {step.rows.stop - 1}")
                for r in varying:
                    self._put(h, f"0x{words[h][k][r]:x}", REGISTERS[r].name)
                    self._known[h][r] = words[h][k][r]
                if command:
                    self._put(h, f"0x{command[h][k]:x}", "mvucommand")
                for wait in range(waits):
                    if wait < len(step.waits):
                        other = step.waits[wait]
                        self._put(h, f"ended+{4 * other.mvu}", f"MVU {other.mvu}")
                        self._put(h, str(other.count), "has ended so many")
                    else:
                        self._put(h, f"ended+{4 * h}", "nothing more to wait for")
                        self._put(h, "0", "")

    def source(self) -> str:
        """The whole assembly text."""
        defines = [f"#define {name} 0x{_csr(BY_NAME[name].address):x}" for name in sorted(self._registers)]
        return "\n".join(
            [
                f"// Firmware of network {self.name}, one program for {self.params.mvus} harts.",
                "// Generated by golden/codegen/firmware.py; docs/accelerator.md says what it does.",
                "",
                "// The MVU's registers as CSRs.",
                *defines,
                "",
                *_START.format(
                    data=_lines("s0", self.data_base),
                    interrupt=1 << Interrupt.MVU - 12,
                    ended=4 * _ENDED,
                    tables=4 * _FIXED,
                    finished=_lines("s8", _system("finished")),
                    busy=_STATUS.field("busy").mask,
                    clear=_STATUS.field("done").mask | _STATUS.field("error").mask,
                ).splitlines(),
                *self._text,
                "",
                *_END.format(
                    clear=_STATUS.field("done").mask | _STATUS.field("error").mask,
                    done=_STATUS.field("done").mask,
                    data=_lines("t2", self.data_base),
                    trap=4 * _TRAP,
                    failed=_lines("t2", _system("failed")),
                    trap_kind=TRAP_TRAP,
                    job_kind=TRAP_JOB,
                ).splitlines(),
                "",
                ".data",
                "phase:",
                "    .zero 4",
                "ended:",
                f"    .zero {4 * MAX_HARTS}",
                "current:",
                f"    .zero {4 * MAX_HARTS}",
                "trap:",
                f"    .zero {4 * _TRAP_WORDS * MAX_HARTS}",
                "",
                "// Where each hart's table begins.",
                "tables:",
                *(f"    .word table_{h}" for h in range(self.params.mvus)),
                *(line for h in range(self.params.mvus) for line in self._table(h)),
                "",
            ]
        )

    def _table(self, hart: int) -> list[str]:
        lines = ["", f"// Hart {hart}, in the order in which it reads them.", f"table_{hart}:"]
        for value, comment in self._tables[hart]:
            if value:
                lines.append(f"    .word {value:<12} // {comment}".rstrip(" /"))
            else:
                lines.append(f"    // {comment}")
        return lines

    def _head(self, number: int, shares: Shares) -> None:
        first = next(iter(shares.values()))[0]
        job = first.job
        kernel = "x".join(str(n) for n in job.output.shape[1:])
        self._text.append("")
        self._text.append(
            f"// Item {number}: layer {first.layer}, rows of {kernel} in {job.output.fmt} from words "
            f"of {job.input.fmt}."
        )
        for h in sorted(shares):
            self._text.append(f"//   hart {h}: {self._share(shares[h])}")
        self._label(f"item_{number}")

    @staticmethod
    def _share(steps: list[Step]) -> str:
        job = steps[0].job
        last = job.first_block + job.blocks - 1
        blocks = f"output block {last}" if job.blocks == 1 else f"output blocks {job.first_block} to {last}"
        rows = range(steps[0].rows.start, steps[-1].rows.stop)
        text = f"row {rows.start}" if len(rows) == 1 else f"rows {rows.start} to {rows.stop - 1}"
        return f"{text}, {blocks}" + (f", in {len(steps)} steps" if len(steps) > 1 else "")

    def _write(self, register: int, values: dict[int, int], offset: int) -> int:
        """Write an MVU register with each hart's value; gives the table's next offset."""
        name = self._name(register)
        if len(set(values.values())) == 1 and (value := next(iter(values.values()))) < _SMALL:
            self._add(f"csrwi {name}, {value}")
            return offset
        offset = self._load("t0", values, offset, REGISTERS[register].name)
        self._add(f"csrw {name}, t0")
        return offset

    def _load(self, register: str, values: dict[int, int], offset: int, what: str) -> int:
        """A value into a register: an immediate if all harts' are one, else from the table."""
        if len(set(values.values())) == 1:
            self._constant(register, next(iter(values.values())), what if register != "t0" else "")
            return offset
        self._add(f"lw {register}, {4 * offset}(s1)", what if register != "t0" else "")
        for hart, value in values.items():
            self._put(hart, f"0x{value:x}", what)
        return offset + 1

    def _name(self, register: int) -> str:
        name = REGISTERS[register].name
        self._registers.add(name)
        return name

    def _say(self, text: str) -> None:
        self._text += ["", f"// {text[0].upper()}{text[1:]}."]

    def _label(self, name: str) -> None:
        self._text.append(f"{name}:")

    def _add(self, instruction: str, comment: str = "") -> None:
        self._text.append(f"    {instruction:<26} // {comment}".rstrip(" /"))

    def _constant(self, register: str, value: int, what: str) -> None:
        *before, last = _constant(register, value)
        for instruction in before:
            self._add(instruction)
        self._add(last, what and f"{what}: 0x{value:x}")

    def _put(self, hart: int, value: str, comment: str) -> None:
        self._tables[hart].append((value, comment))

    def _comment(self, hart: int, text: str) -> None:
        self._tables[hart].append(("", text))


def _lines(register: str, value: int) -> str:
    return "\n".join(f"    {instruction}" for instruction in _constant(register, value))


def _system(name: str) -> int:
    """Address of a system register in the harts' window."""
    return MVU_BASE + MVU_STRIDE * SYSTEM_UNIT + 4 * SYSTEM_REGISTERS[name].address


_START = """\
// s0 the data memory, s1 the next word of this hart's table, s2 steps ended, s3 this hart's bit, s4 mip's bit of the
// MVU, s5 this hart's word of `ended`, s6 steps left in the item, s7 the next mvucommand, s8 the register `finished`,
// s9 whether a job runs; a0 to a7, t3 to t6, s10 and s11 what the next step waits for.
.text
.globl start
start:
    la t0, trapped
    csrw mtvec, t0
    csrw mstatus, zero
{data}
    csrr t0, mhartid
    li s3, 1
    sll s3, s3, t0
    slli t0, t0, 2
    add t0, t0, s0
    addi s5, t0, {ended}
    lw s1, {tables}(t0)
    li s2, 0
    lui s4, 0x{interrupt:x}
{finished}
    li s9, 0

// A run before may have left a job; its end is nobody's.
idle:
    csrr t0, mvustatus
    andi t0, t0, {busy}
    bnez t0, idle
    csrwi mvustatus, {clear}
    csrc mip, s4
    csrw mie, s4"""

_END = """\
// The last phase has ended.
    jal ra, finish
    sw s3, 0(s8)               // finished
park:
    csrw mie, zero
    wfi
    j park

// Wait until the job that runs, if one does, has ended, and count it. Few instructions lie between its end and the
// word that others wait for.
finish:
    beqz s9, finish_end
    addi s2, s2, 1
    li t1, {done}
finish_wait:
    wfi
    csrr t0, mvustatus
    andi t0, t0, {clear}
    bne t0, t1, finish_else
    sw s2, 0(s5)               // ended
    csrwi mvustatus, {done}
    csrc mip, s4
finish_end:
    ret
finish_else:
    bnez t0, job_error
// Woken by what the job before left in mip: the line is still high if this one has ended now.
    csrc mip, s4
    j finish_wait

job_error:
    li a0, {job_kind}
    csrr a1, mvustatus
    li a2, 0
    li a3, 0
    j fail
.balign 4
trapped:
    li a0, {trap_kind}
    csrr a1, mcause
    csrr a2, mepc
    csrr a3, mtval
fail:
    csrr t0, mhartid
    slli t1, t0, 4
{data}
    add t1, t1, t2
    sw a1, {trap}+4(t1)
    sw a2, {trap}+8(t1)
    sw a3, {trap}+12(t1)
    sw a0, {trap}(t1)
    li t1, 1
    sll t1, t1, t0
{failed}
    sw t1, 0(t2)               // failed
    j park
"""
