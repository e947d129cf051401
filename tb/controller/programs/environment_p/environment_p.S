// SPDX-License-Identifier: Apache-2.0
// A program of the form that the riscv-tests have with their environment "p", without this project's start-up code: it
// tries CSRs that a machine may lack behind a temporary mtvec, parks other harts, goes into the test by mret, ends by an
// ecall whose handler stores to tohost, and has its data in the instruction memory. The body does what the tests of
// machine mode (rv32mi) and the ones of memory (ld_st, fence_i) do.
#define TESTNUM gp

// Tries instructions that may be illegal here: the trap, or the way on, leads behind them.
#define TRY(...)    \
  la t0, 1f;        \
  csrw mtvec, t0;   \
  __VA_ARGS__;      \
  .balign 4;        \
  1:

// The next instruction must trap with this cause; the handler goes on at label 1 with mepc in s9.
#define EXPECT(Cause) \
  li s10, Cause;      \
  la s11, 1f;

#define TRAPPED \
  j fail;       \
  1 : bgez s10, fail;

#define TEST(Number) li TESTNUM, Number;

#define SAME(Register, Value) \
  li t6, Value;               \
  bne Register, t6, fail;

  .section .text.init, "ax"
  .balign 64
  .globl _start
  .weak mtvec_handler
  .weak stvec_handler
_start:
  j reset_vector
  .balign 4
trap_vector:
  csrr t5, mcause
  li t6, 8
  beq t5, t6, write_tohost
  li t6, 9
  beq t5, t6, write_tohost
  li t6, 11
  beq t5, t6, write_tohost
  lui t5, %hi(mtvec_handler)
  addi t5, t5, %lo(mtvec_handler)
  beqz t5, 1f
  jr t5
1:csrr t5, mcause
  bgez t5, other_exception
other_exception:
  ori TESTNUM, TESTNUM, 1337
write_tohost:
  la t5, tohost
  sw TESTNUM, 0(t5)
  sw zero, 4(t5)
  j write_tohost

reset_vector:
  .irp number, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
  li x\number, 0
  .endr
  csrr a0, mhartid
1:bnez a0, 1b
  TRY(csrwi 0x744, 8)                                    // mnstatus
  TRY(csrwi satp, 0)
  TRY(li t0, -1; csrw pmpaddr0, t0; li t0, 0x1f; csrw pmpcfg0, t0)
  TRY(csrwi mie, 0; csrwi medeleg, 0; csrwi mideleg, 0)
  li TESTNUM, 0
  la t0, trap_vector
  csrw mtvec, t0
  li a0, 1
  slli a0, a0, 31
  bltz a0, 1f
  j pass
1:lui t0, %hi(stvec_handler)
  addi t0, t0, %lo(stvec_handler)
  beqz t0, 1f
  csrw stvec, t0
1:csrwi mstatus, 0
  li a0, 0x1800
  csrs mstatus, a0
  la t0, 1f
  csrw mepc, t0
  csrr a0, mhartid
  mret
1:j test_body

  .text
test_body:
  // mcsr: RV32, hart 0; what identifies the machine can be read.
  TEST(2)
  csrr a0, misa
  srli a0, a0, 30
  SAME(a0, 1)
  csrr a0, mhartid
  bnez a0, fail
  csrr a0, mimpid
  csrr a0, marchid
  csrr a0, mvendorid
  li t0, 0
  csrs mtvec, t0
  csrs mepc, t0

  // csr
  TEST(3)
  csrwi mscratch, 3
  csrrci a1, mscratch, 1
  SAME(a1, 3)
  csrrsi a2, mscratch, 4
  SAME(a2, 2)
  csrrwi a3, mscratch, 2
  SAME(a3, 6)
  li a0, 0xbad1dea
  csrrw a1, mscratch, a0
  SAME(a1, 2)
  li a0, 0x0001dea
  csrrc a0, mscratch, a0
  SAME(a0, 0xbad1dea)
  li a0, 0x000beef
  csrrs a0, mscratch, a0
  SAME(a0, 0xbad0000)

  // zicntr: the cycle counter read in four ways; it cannot be written.
  TEST(4)
  csrrc zero, cycle, zero
  csrrs zero, cycle, zero
  csrrci zero, cycle, 0
  csrrsi zero, cycle, 0
  csrr a0, time
  csrr a0, instret
  csrr a0, instreth
  EXPECT(2)
  csrrw a0, cycle, zero
  TRAPPED

  // instret_overflow
  TEST(5)
  csrwi minstret, 0
  csrr a0, minstret
  bnez a0, fail
  li t0, 0xffffffff
  csrw minstret, t0
  csrw minstreth, t0
  nop
  csrr a0, minstret
  bnez a0, fail
  csrr a0, minstreth
  bnez a0, fail

  // illegal: word 0; there is no mode but machine mode; mtval is the word or 0.
  TEST(6)
  EXPECT(2)
  .word 0
  TRAPPED
  csrr a0, mtval
  bnez a0, fail
  li t0, 0x1800
  csrc mstatus, t0
  li t1, 0x800
  csrs mstatus, t1
  csrr t2, mstatus
  and t2, t2, t0
  beq t1, t2, fail

  // shamt
  TEST(7)
  EXPECT(2)
  .word 0x02051513  // slli a0, a0, 32
  TRAPPED

  // ma_fetch: jalr drops bit 0 of its target; bit 1 traps in the jump, which writes nothing.
  TEST(8)
  li t1, 0
  la t0, 2f
  EXPECT(0)
2:jalr t1, t0, 2
  TRAPPED
  bnez t1, fail
  bne s9, t0, fail
  la t0, 1f
  jalr t1, t0, 1
1:TEST(9)
  li t1, 0
  la t0, 2f
  EXPECT(0)
2:jalr t1, t0, 3
  TRAPPED
  bnez t1, fail

  // ma_addr
  TEST(10)
  auipc s0, 0
  .irp instruction, "lh x0, 1(s0)", "lhu x0, 1(s0)", "lw x0, 1(s0)", "lw x0, 2(s0)", "lw x0, 3(s0)"
  EXPECT(4)
  \instruction
  TRAPPED
  .endr
  .irp instruction, "sh x0, 1(s0)", "sw x0, 1(s0)", "sw x0, 2(s0)", "sw x0, 3(s0)"
  EXPECT(6)
  \instruction
  TRAPPED
  .endr

  // access: jumping to nowhere writes rd, then the fetch traps; a load from nowhere writes nothing.
  TEST(11)
  la t2, fail
  li t0, 0x80000000
  xor t0, t0, t2
  li t2, 0
  EXPECT(1)
  jalr t2, t0, 0
  TRAPPED
  la t1, 1b
  beqz t2, fail
  li t2, 77
  EXPECT(5)
  lb t2, 0(t0)
  TRAPPED
  SAME(t2, 77)

  // sbreak
  TEST(12)
  la t0, 2f
  EXPECT(3)
2:ebreak
  TRAPPED
  bne s9, t0, fail

  // breakpoint: there are no triggers, which tselect and tdata1 say without trapping.
  TEST(13)
  csrw tselect, zero
  csrr a1, tselect
  bnez a1, fail
  csrr a0, tdata1
  srli a0, a0, 28
  bnez a0, fail

  // ld_st, in the data behind the code
  TEST(14)
  la s0, data
  lw a0, 0(s0)
  SAME(a0, 0x03020100)
  lb a0, 7(s0)
  SAME(a0, -1)
  lbu a0, 7(s0)
  SAME(a0, 0xff)
  lh a0, 6(s0)
  SAME(a0, 0xffffff06)
  sb a0, 1(s0)
  sh a0, 2(s0)
  lw a0, 0(s0)
  SAME(a0, 0xff060600)
  la s1, zeros
  lw a0, 60(s1)
  bnez a0, fail

  // fence_i: code that is copied to data, and changed there
  TEST(15)
  la s1, patched
  lw a0, 8(s0)
  sw a0, 0(s1)
  fence.i
  li a0, 111
  jalr a1, s1, 0
  SAME(a0, 333)
  lw a0, 12(s0)
  sw a0, 0(s1)
  fence.i
  li a0, 111
  jalr a1, s1, 0
  SAME(a0, 556)

  // scall: the environment's handler ends the test.
pass:
  fence
  li TESTNUM, 1
  li a7, 93
  li a0, 0
  ecall
fail:
  fence
1:beqz TESTNUM, 1b
  sll TESTNUM, TESTNUM, 1
  or TESTNUM, TESTNUM, 1
  li a7, 93
  addi a0, TESTNUM, 0
  ecall

  .balign 4
mtvec_handler:
  csrr t5, mcause
  bne t5, s10, fail
  li s10, -1
  csrr s9, mepc
  csrw mepc, s11
  mret
  .word 0xc0001073  // unimp: the end of the code

  .data
  .pushsection .tohost, "aw", @progbits
  .balign 64
  .globl tohost
tohost: .dword 0
  .balign 64
  .globl fromhost
fromhost: .dword 0
  .popsection
  .balign 16
  .globl begin_signature
begin_signature:
data:
  .byte 0, 1, 2, 3, 4, 5, 6, 0xff
  addi a0, a0, 222
  addi a0, a0, 445
patched:
  .word 0
  jr a1
  .balign 16
  .globl end_signature
end_signature:
  .bss
  .balign 4
zeros: .space 64
