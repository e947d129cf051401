# SPDX-License-Identifier: Apache-2.0
"""The simulator: traps, interrupts and counters as the manual says, and the fast path against the readable one."""

from array import array
from random import Random

import pytest

from assay.golden.controller.csrs import BY_NAME, Interrupt
from assay.golden.controller.instructions import encode, random_instruction
from assay.golden.controller.iss import start
from assay.golden.controller.memory_map import IMEM_BASE, MSIP_BASE, MTIME_BASE, MTIMECMP_BASE
from assay.golden.controller.parameters import ControllerParameters
from assay.golden.errors import ConfigurationError, DoesNotFitError

PARAMETERS = ControllerParameters(harts=2, mul_div=1)
CSR = {name: csr.address for name, csr in BY_NAME.items()}
HANDLER = IMEM_BASE + 0x100


def iss_of(*words, registers=(), bus=None):
    iss = start(PARAMETERS, b"".join(word.to_bytes(4, "little") for word in words), 1, bus=bus)
    for register, value in dict(registers).items():
        iss.harts[0].x[register] = value
    iss.harts[0].csrs[CSR["mtvec"]] = HANDLER
    return iss


END = IMEM_BASE + 0x10000
TRAPS = {
    "illegal": (0x0000_0000, {}, 2, 0),
    "ecall": (encode("ecall"), {}, 11, 0),
    "ebreak": (encode("ebreak"), {}, 3, IMEM_BASE),
    "jal": (encode("jal", rd=1, imm=6), {}, 0, IMEM_BASE + 6),
    "jalr": (encode("jalr", rd=1, rs1=5), {5: 0x8000_0013}, 0, 0x8000_0012),
    "branch": (encode("beq", imm=10), {}, 0, IMEM_BASE + 10),
    "lw misaligned goes first": (encode("lw", rd=1, rs1=5), {5: 1}, 4, 1),
    "lh misaligned": (encode("lh", rd=1, rs1=5), {5: IMEM_BASE + 1}, 4, IMEM_BASE + 1),
    "load behind the end": (encode("lb", rd=1, rs1=5), {5: END}, 5, END),
    "load around the end": (encode("lw", rd=1, rs1=5, imm=-4), {5: 0}, 5, 0xFFFF_FFFC),
    "sh misaligned": (encode("sh", rs1=5), {5: 0x8000_0003}, 6, 0x8000_0003),
    "store before the start": (encode("sw", rs1=5, imm=-4), {5: IMEM_BASE}, 7, IMEM_BASE - 4),
    "byte of a device": (encode("lbu", rs1=5), {5: MSIP_BASE}, 5, MSIP_BASE),
    "half of a device": (encode("sh", rs1=5), {5: MTIME_BASE}, 7, MTIME_BASE),
    "msip of no hart": (encode("sw", rs1=5), {5: MSIP_BASE + 8}, 7, MSIP_BASE + 8),
    "bus error": (encode("lw", rs1=5), {5: 0x4000_0000}, 5, 0x4000_0000),
    "bus error of a CSR": (encode("csrrw", csr=0x7C0), {}, 2, encode("csrrw", csr=0x7C0)),
    "no CSR": (encode("csrrs", csr=0xC03), {}, 2, encode("csrrs", csr=0xC03)),
    "read-only CSR": (encode("csrrsi", csr=0xF14, imm=1), {}, 2, encode("csrrsi", csr=0xF14, imm=1)),
}


@pytest.mark.parametrize("fast", [False, True], ids=["step", "step_fast"])
@pytest.mark.parametrize("case", TRAPS)
def test_traps(case, fast):
    word, registers, cause, value = TRAPS[case]
    iss = iss_of(word, registers=registers)
    hart = iss.harts[0]
    hart.csrs[CSR["mstatus"]] |= 8
    before = hart.x[:]
    seen = (iss.step_fast if fast else iss.step)(0)
    names = dict(zip(type(iss_of(0).step(0))._fields, seen, strict=True))
    assert (names["trap"], names["cause"], names["rd_addr"], names["mem_wmask"]) == (1, cause, 0, 0)
    assert names["pc_wdata"] == hart.pc == HANDLER
    csrs = {name: hart.csrs[CSR[name]] for name in ("mcause", "mtval", "mepc", "mstatus")}
    assert csrs == {"mcause": cause, "mtval": value, "mepc": IMEM_BASE, "mstatus": 0x1880}
    assert hart.x == before
    assert hart.retired == 0


def test_fetch_fault():
    iss = iss_of(encode("jalr", rs1=5), registers={5: IMEM_BASE + 0x8000})
    assert iss.step(0).trap == 0
    seen = iss.step(0)
    assert (seen.trap, seen.cause, seen.insn, seen.pc_rdata) == (1, 1, 0, IMEM_BASE + 0x8000)
    assert iss.harts[0].csrs[CSR["mtval"]] == IMEM_BASE + 0x8000


@pytest.mark.parametrize("vectored", [0, 1])
@pytest.mark.parametrize("number", list(Interrupt))
def test_interrupt(number, vectored):
    iss = iss_of(encode("addi", rd=1, imm=1))
    hart = iss.harts[0]
    hart.csrs[CSR["mtvec"]] = HANDLER | vectored
    iss.msip[0] = number == Interrupt.SOFTWARE
    iss.set_external(0, int(number == Interrupt.EXTERNAL))
    iss.mtimecmp[0] = 0 if number == Interrupt.TIMER else 1 << 63
    if number == Interrupt.MVU:
        iss.set_mvu_interrupt(0)
    hart.csrs[CSR["mie"]] = 1 << number
    assert iss.pending(0) is None and iss.wakes(0)
    hart.csrs[CSR["mstatus"]] |= 8
    assert iss.pending(0) is number
    iss.take_interrupt(0, number)
    assert hart.pc == HANDLER + 4 * number * vectored
    assert hart.csrs[CSR["mepc"]] == IMEM_BASE
    seen = iss.step(0)
    assert (seen.intr, seen.cause) == (1, 0x8000_0000 + number)
    assert iss.step(0).intr == 0


def test_interrupt_priority():
    iss = iss_of(0)
    hart = iss.harts[0]
    hart.csrs[CSR["mstatus"]] |= 8
    iss.msip[0], iss.mtimecmp[0] = 1, 0
    iss.set_external(0, 1)
    iss.set_mvu_interrupt(0)
    order = []
    mie = 0x10888
    while mie:
        hart.csrs[CSR["mie"]] = mie
        order.append(int(iss.pending(0)))
        mie &= ~(1 << order[-1])
    assert order == [11, 3, 7, 16]


def test_mret():
    iss = iss_of(encode("mret"))
    hart = iss.harts[0]
    hart.csrs[CSR["mepc"]] = IMEM_BASE + 0x40
    hart.csrs[CSR["mstatus"]] = 0x1880
    assert iss.step(0).pc_wdata == IMEM_BASE + 0x40
    assert hart.csrs[CSR["mstatus"]] == 0x1888


def csr_read(iss, name):
    return iss.read_csr(iss.harts[0], name)


@pytest.mark.parametrize("csr", BY_NAME.values(), ids=lambda csr: csr.name)
def test_csr_writes(csr):
    """All ones and zeros stay where the table says."""
    word = encode("csrrw", rd=2, rs1=1, csr=csr.address)
    iss = iss_of(word, word, registers={1: 0xFFFF_FFFF})
    before = csr_read(iss, csr.name)
    seen = iss.step(0)
    if csr.read_only:
        assert seen.trap
        return
    assert seen.csr == seen.rd_wdata == before
    if csr.name not in ("mcycle", "mcycleh"):
        assert csr_read(iss, csr.name) == before & ~csr.write_mask | csr.write_mask


def test_csr_that_is_not_read_or_not_written():
    accesses = []

    def bus(hart, write, mvu, register, wdata):
        accesses.append((write, mvu, register, wdata))
        return 7, False

    iss = iss_of(
        encode("csrrw", csr=0x7C1, rs1=1),
        encode("csrrs", rd=3, csr=0x7C2),
        encode("csrrci", rd=4, csr=0xBC0, imm=3),
        encode("csrrwi", rd=5, csr=0x7C0, imm=9),
        registers={1: 55},
        bus=bus,
    )
    for _ in range(4):
        assert not iss.step(0).trap
    assert accesses == [
        (True, 0, 1, 55),
        (False, 0, 2, 0),
        (False, 0, 64, 0),
        (True, 0, 64, 4),
        (False, 0, 0, 0),
        (True, 0, 0, 9),
    ]
    assert iss.harts[0].x[3:6].tolist() == [7, 7, 7]


def test_minstret():
    minstret, inhibit = CSR["minstret"], CSR["mcountinhibit"]
    iss = iss_of(
        encode("addi"),
        encode("csrrs", rd=1, csr=minstret),  # 1
        encode("csrrwi", csr=minstret, imm=20),
        encode("csrrs", rd=2, csr=minstret),  # 20: the write took the increment's place
        encode("csrrwi", csr=inhibit, imm=4),  # counts itself
        encode("csrrs", rd=3, csr=minstret),  # 22
        encode("csrrwi", csr=inhibit, imm=0),  # does not
        encode("csrrs", rd=4, csr=minstret),  # 22
        encode("ecall"),
    )
    for _ in range(9):
        iss.step(0)
    assert iss.harts[0].x[1:5].tolist() == [1, 20, 22, 22]
    assert csr_read(iss, "minstret") == 23  # the ecall is not counted


def test_minstret_carries():
    iss = iss_of(encode("csrrw", csr=CSR["minstret"], rs1=1), encode("addi"), registers={1: 0xFFFF_FFFF})
    iss.step(0)
    assert (csr_read(iss, "minstret"), csr_read(iss, "minstreth")) == (0xFFFF_FFFF, 0)
    iss.step(0)
    assert (csr_read(iss, "minstret"), csr_read(iss, "minstreth")) == (0, 1)


def test_mcycle_follows_the_clock_and_what_the_caller_observed():
    read = encode("csrrs", rd=1, csr=CSR["mcycle"])
    iss = iss_of(read, read)
    iss.clock = 77
    assert iss.step(0).csr == 77
    iss.observed = 79
    assert iss.step(0).rd_wdata == 79
    assert iss.observed is None


def test_wfi_waits_for_the_timer():
    iss = iss_of(encode("wfi"), encode("csrrs", rd=1, csr=CSR["mcycle"]), encode("ebreak"))
    assert iss.run(10) == 1
    assert iss.run(10) == 0
    iss.mtimecmp[0] = 1000
    iss.harts[0].csrs[CSR["mie"]] = 0x80
    iss._changed = True
    iss.run(1)
    assert iss.harts[0].x[1] == 1000


def test_devices():
    iss = iss_of(
        encode("sw", rs1=5, rs2=1, imm=4),
        encode("lw", rd=2, rs1=5, imm=4),
        encode("sw", rs1=6, rs2=1, imm=12),
        encode("lw", rd=3, rs1=6, imm=12),
        registers={1: 0xFFFF_FFFF, 5: MSIP_BASE, 6: MTIMECMP_BASE},
    )
    for _ in range(4):
        iss.step(0)
    assert (iss.msip, iss.mtimecmp[1], iss.harts[0].x[2], iss.harts[0].x[3]) == (
        [0, 1],
        2**64 - 1,
        1,
        2**32 - 1,
    )


def test_refusals():
    with pytest.raises(DoesNotFitError, match="4 bytes at 0x80010000"):
        iss_of(0).load(END, bytes(4))
    with pytest.raises(ConfigurationError, match="harts = 3: must be from 1 to 2"):
        start(PARAMETERS, b"", 3)


# -----------------------------------------------------------------------------
# The fast path
# -----------------------------------------------------------------------------
def state(iss):
    return (
        *(iss.clock, bytes(iss.bytes), iss.msip, iss.mtimecmp, iss.mtime, iss.exit_code),
        [
            (h.x, h.pc, h.csrs, h.waiting, h.retired, h.mvu_pending, vars(h.cycles), vars(h.instructions))
            for h in iss.harts
        ],
    )


@pytest.mark.parametrize("seed", range(4))
def test_step_fast_is_step(seed):
    """Random words, random registers: every field of the retirement, and the state."""
    rng = Random(seed)
    words = b"".join(random_instruction(rng).to_bytes(4, "little") for _ in range(PARAMETERS.imem_words))
    fast, readable = (start(PARAMETERS, words, 2) for _ in range(2))
    places = (0x8000_0000, 0x8000_8000, 0x7FFF_FFFF, 0xFFFF_FFFF, 0, 1)
    for hart in range(2):
        x = [0, *(rng.choice((*places, IMEM_BASE + rng.randrange(0x10000))) for _ in range(31))]
        for iss in (fast, readable):
            iss.harts[hart].x[:] = array("I", x)
            iss.harts[hart].csrs[CSR["mtvec"]] = HANDLER
    for index in range(800):
        seen, expected = fast.step_fast(index & 1), readable.step(index & 1)
        assert seen == expected
        assert len(seen) == len(expected)
    assert state(fast) == state(readable)


def test_a_store_of_an_odd_value_to_tohost_ends_the_run():
    iss = iss_of(
        encode("sw", rs1=5, rs2=1),
        encode("addi", rd=1, imm=7),
        encode("sw", rs1=5, rs2=1),
        encode("jal"),
        registers={5: IMEM_BASE + 0x8000, 1: 2},
    )
    iss.tohost = IMEM_BASE + 0x8000
    assert iss.run(100) == 3
    assert iss.exit_code == 7
