# SPDX-License-Identifier: Apache-2.0
"""The simulator against unicorn (QEMU's RISC-V), an implementation that shares nothing with ours.

Not architectural in unicorn 2, and so not compared: it runs misaligned loads, stores and jumps (it has the C
extension), enters no trap handler (a hook is called, the pc is behind or at the instruction), gives CSRs QEMU's fields,
and knows A, F, D and C, whose words are illegal here.
"""

from random import Random

import pytest

from assay.golden.controller.csrs import Cause
from assay.golden.controller.instructions import OPCODES, decode, disassemble, random_illegal
from assay.golden.controller.memory_map import IMEM_BASE
from assay.golden.controller.parameters import ControllerParameters
from assay.tb.controller.program_maker import random_program

unicorn = pytest.importorskip("unicorn", reason="unicorn is missing: pip install unicorn")
from unicorn import riscv_const  # noqa: E402

REGISTERS = [riscv_const.UC_RISCV_REG_X0 + i for i in range(32)]
PARAMETERS = ControllerParameters(harts=1, mul_div=1)
SIZE = 4 * (PARAMETERS.imem_words + PARAMETERS.dmem_words)


class Emulator:
    """One hart of unicorn with the controller's memories."""

    def __init__(self, image):
        self.uc = unicorn.Uc(unicorn.UC_ARCH_RISCV, unicorn.UC_MODE_RISCV32)
        self.uc.mem_map(IMEM_BASE, SIZE)
        self.uc.mem_write(IMEM_BASE, image)
        self.exception = None
        self.uc.hook_add(unicorn.UC_HOOK_INTR, self._raised)

    def _raised(self, uc, number, _):
        self.exception = number
        uc.emu_stop()

    def step(self, pc):
        """One instruction; whether it raised anything."""
        self.exception = None
        try:
            self.uc.emu_start(pc, 0xFFFF_FFFF, count=1)
        except unicorn.UcError as error:
            self.exception = error.errno
        return self.exception

    @property
    def pc(self):
        return self.uc.reg_read(riscv_const.UC_RISCV_REG_PC)

    @property
    def x(self):
        return list(self.uc.reg_read_batch(REGISTERS))


#: What unicorn says where the simulator traps.
RAISES = {
    Cause.ECALL: (8, 11),
    Cause.BREAKPOINT: (3, unicorn.UC_ERR_INSN_INVALID, unicorn.UC_ERR_EXCEPTION),
    Cause.LOAD_FAULT: (unicorn.UC_ERR_READ_UNMAPPED,),
    Cause.STORE_FAULT: (unicorn.UC_ERR_WRITE_UNMAPPED,),
}


@pytest.mark.parametrize("kind", ["mixed", "self_modifying"])
@pytest.mark.parametrize("seed", range(3))
def test_random_programs(kind, seed):
    program = random_program(seed, PARAMETERS, length=1500, kind=kind)
    iss = program.start()
    other = Emulator(program.image())
    hart = iss.harts[0]
    compared = traps = 0
    while iss.exit_code is None:
        iss.clock += 1
        number = iss.pending(0)
        if number is not None:
            iss.take_interrupt(0, number)
            other.uc.reg_write(riscv_const.UC_RISCV_REG_PC, hart.pc)
        seen = iss.step(0)
        decoded = decode(seen.insn)
        system = decoded is not None and decoded.instruction.opcode == OPCODES["system"]
        device = (seen.mem_rmask or seen.mem_wmask) and not 0 <= seen.mem_addr - IMEM_BASE < SIZE
        if seen.trap:
            if seen.cause in RAISES:
                assert other.step(seen.pc_rdata) in RAISES[seen.cause], text(seen)
                traps += 1
        elif system or device:
            other.uc.reg_write(REGISTERS[seen.rd_addr], seen.rd_wdata)
        else:
            # A jump out of memory retires; unicorn reports the fetch behind it at once.
            outside = not 0 <= hart.pc - IMEM_BASE < SIZE
            raised = unicorn.UC_ERR_FETCH_UNMAPPED if outside else None
            assert other.step(seen.pc_rdata) == raised, text(seen)
            assert other.pc == hart.pc, text(seen)
            assert other.x == hart.x.tolist(), text(seen)
            compared += 1
    assert bytes(other.uc.mem_read(IMEM_BASE, SIZE)) == bytes(iss.bytes)
    assert compared > 1000
    assert traps > 20 or kind != "mixed"


def text(seen):
    return f"{seen.pc_rdata:08x} {disassemble(seen.insn, seen.pc_rdata)}: {seen}"


def test_illegal_words():
    """What unicorn calls illegal is illegal; the converse needs unicorn's other extensions left out."""
    rng = Random(3)
    other = Emulator(b"")
    extensions = {0x07, 0x27, 0x2F, 0x43, 0x47, 0x4B, 0x4F, 0x53}
    compared = 0
    for _ in range(3000):
        word = rng.getrandbits(32) | 3 if rng.random() < 0.5 else random_illegal(rng)
        opcode = word & 0x7F
        if word & 3 != 3 or opcode in extensions or opcode == OPCODES["system"]:
            continue
        other.uc.mem_write(IMEM_BASE, word.to_bytes(4, "little"))
        other.uc.ctl_remove_cache(IMEM_BASE, IMEM_BASE + 4)
        illegal = other.step(IMEM_BASE) == 2
        assert illegal == (decode(word) is None), hex(word)
        compared += 1
    assert compared > 1000
