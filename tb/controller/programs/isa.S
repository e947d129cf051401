// SPDX-License-Identifier: Apache-2.0
// Self-checking test of every instruction of RV32I, Zicsr and Zifencei, and of M where the build has it. The exit code
// is the number of the first check that failed. Expected values were computed with Python's integers.
#include "test.h"

  .text
  .globl main
main:
  mv s11, ra

  RR(add, 0x00000000, 0x00000000, 0x00000000)
  RR(add, 0x00000002, 0x00000001, 0x00000001)
  RR(add, 0x80000000, 0x7fffffff, 0x00000001)
  RR(add, 0x00000000, 0x80000000, 0x80000000)
  RR(add, 0x00000000, 0xffffffff, 0x00000001)
  RR(add, 0xfffffffe, 0xffffffff, 0xffffffff)
  RR(add, 0xacf13568, 0x12345678, 0x9abcdef0)
  RR(sub, 0x00000000, 0x00000000, 0x00000000)
  RR(sub, 0xffffffff, 0x00000000, 0x00000001)
  RR(sub, 0x7fffffff, 0x80000000, 0x00000001)
  RR(sub, 0x80000000, 0x7fffffff, 0xffffffff)
  RR(sub, 0x00000000, 0xffffffff, 0xffffffff)
  RR(sub, 0x77777788, 0x12345678, 0x9abcdef0)
  RR(xor, 0xf00ff00f, 0xff00ff00, 0x0f0f0f0f)
  RR(xor, 0x00000000, 0xffffffff, 0xffffffff)
  RR(xor, 0x88888888, 0x12345678, 0x9abcdef0)
  RR(or, 0xff0fff0f, 0xff00ff00, 0x0f0f0f0f)
  RR(or, 0x80000001, 0x00000000, 0x80000001)
  RR(and, 0x0f000f00, 0xff00ff00, 0x0f0f0f0f)
  RR(and, 0x80000001, 0xffffffff, 0x80000001)
  RR(sll, 0x00000001, 0x00000001, 0x00000000)
  RR(sll, 0x80000000, 0x00000001, 0x0000001f)
  RR(sll, 0x23456780, 0x12345678, 0x00000004)
  RR(sll, 0xfffffffe, 0xffffffff, 0x00000021)
  RR(sll, 0x00000002, 0x80000001, 0x00000001)
  RR(srl, 0x00000001, 0x00000001, 0x00000000)
  RR(srl, 0x00000001, 0x80000000, 0x0000001f)
  RR(srl, 0x7fffffff, 0xffffffff, 0x00000001)
  RR(srl, 0x09234567, 0x92345678, 0x00000024)
  RR(sra, 0x00000001, 0x00000001, 0x00000000)
  RR(sra, 0xffffffff, 0x80000000, 0x0000001f)
  RR(sra, 0xffffffff, 0xffffffff, 0x00000001)
  RR(sra, 0xf9234567, 0x92345678, 0x00000024)
  RR(sra, 0x00000001, 0x7fffffff, 0x0000001e)
  RR(slt, 0x00000000, 0x00000000, 0x00000000)
  RR(slt, 0x00000001, 0x00000000, 0x00000001)
  RR(slt, 0x00000000, 0x00000001, 0x00000000)
  RR(slt, 0x00000001, 0x80000000, 0x7fffffff)
  RR(slt, 0x00000000, 0x7fffffff, 0x80000000)
  RR(slt, 0x00000001, 0xffffffff, 0x00000000)
  RR(slt, 0x00000000, 0xffffffff, 0xfffffffe)
  RR(sltu, 0x00000000, 0x00000000, 0x00000000)
  RR(sltu, 0x00000001, 0x00000000, 0x00000001)
  RR(sltu, 0x00000000, 0x00000001, 0x00000000)
  RR(sltu, 0x00000000, 0x80000000, 0x7fffffff)
  RR(sltu, 0x00000001, 0x7fffffff, 0x80000000)
  RR(sltu, 0x00000000, 0xffffffff, 0x00000000)
  RR(sltu, 0x00000001, 0xfffffffe, 0xffffffff)
  // The same register as source and as result; x0 as either.
  RR_SAME(add, 0x8000012a, 0x8000012a, 0x00000246, 0x80000123, 0x00000007)
  RR_ZERO(add, 0x00000007, 0x80000123, 0x80000123, 0x00000007)
  RR_SAME(sub, 0x8000011c, 0x8000011c, 0x00000000, 0x80000123, 0x00000007)
  RR_ZERO(sub, 0xfffffff9, 0x80000123, 0x80000123, 0x00000007)
  RR_SAME(xor, 0x80000124, 0x80000124, 0x00000000, 0x80000123, 0x00000007)
  RR_ZERO(xor, 0x00000007, 0x80000123, 0x80000123, 0x00000007)
  RR_SAME(or, 0x80000127, 0x80000127, 0x80000123, 0x80000123, 0x00000007)
  RR_ZERO(or, 0x00000007, 0x80000123, 0x80000123, 0x00000007)
  RR_SAME(and, 0x00000003, 0x00000003, 0x80000123, 0x80000123, 0x00000007)
  RR_ZERO(and, 0x00000000, 0x00000000, 0x80000123, 0x00000007)
  RR_SAME(sll, 0x00009180, 0x00009180, 0x00000918, 0x80000123, 0x00000007)
  RR_ZERO(sll, 0x00000000, 0x80000123, 0x80000123, 0x00000007)
  RR_SAME(srl, 0x01000002, 0x01000002, 0x10000024, 0x80000123, 0x00000007)
  RR_ZERO(srl, 0x00000000, 0x80000123, 0x80000123, 0x00000007)
  RR_SAME(sra, 0xff000002, 0xff000002, 0xf0000024, 0x80000123, 0x00000007)
  RR_ZERO(sra, 0x00000000, 0x80000123, 0x80000123, 0x00000007)
  RR_SAME(slt, 0x00000001, 0x00000001, 0x00000000, 0x80000123, 0x00000007)
  RR_ZERO(slt, 0x00000001, 0x00000001, 0x80000123, 0x00000007)
  RR_SAME(sltu, 0x00000000, 0x00000000, 0x00000000, 0x80000123, 0x00000007)
  RR_ZERO(sltu, 0x00000001, 0x00000000, 0x80000123, 0x00000007)
  RI(addi, 0xfffff800, 0x00000000, -2048)
  RI(addi, 0x000007ff, 0x00000000, 2047)
  RI(addi, 0x80000000, 0x7fffffff, 1)
  RI(addi, 0x00000000, 0xffffffff, 1)
  RI(addi, 0x7fffffff, 0x80000000, -1)
  RI(xori, 0x00ff00ff, 0xff00ff00, -1)
  RI(xori, 0x1234532d, 0x12345678, 1365)
  RI(ori, 0xffffff00, 0xff00ff00, -256)
  RI(ori, 0x000007ff, 0x00000000, 2047)
  RI(andi, 0xffffff00, 0xffffffff, -256)
  RI(andi, 0x00000670, 0x12345678, 2032)
  RI(slti, 0x00000001, 0x00000000, 1)
  RI(slti, 0x00000000, 0x00000000, -1)
  RI(slti, 0x00000001, 0x80000000, -2048)
  RI(slti, 0x00000000, 0x7fffffff, 2047)
  RI(slti, 0x00000000, 0xffffffff, -1)
  RI(sltiu, 0x00000001, 0x00000000, 1)
  RI(sltiu, 0x00000001, 0x00000000, -1)
  RI(sltiu, 0x00000000, 0xffffffff, -1)
  RI(sltiu, 0x00000000, 0x80000000, 2047)
  RI(sltiu, 0x00000000, 0x00000005, 5)
  RI(slli, 0x00000001, 0x00000001, 0)
  RI(slli, 0x80000000, 0x00000001, 31)
  RI(slli, 0xbeef0000, 0xdeadbeef, 16)
  RI(srli, 0x00000001, 0x80000000, 31)
  RI(srli, 0x0000dead, 0xdeadbeef, 16)
  RI(srli, 0xffffffff, 0xffffffff, 0)
  RI(srai, 0xffffffff, 0x80000000, 31)
  RI(srai, 0xffffdead, 0xdeadbeef, 16)
  RI(srai, 0x00007ead, 0x7eadbeef, 16)

  // lui, auipc
  BEGIN
  lui t0, 0xfffff
  CHECK(t0, 0xfffff000)
  BEGIN
  lui t0, 0
  CHECK(t0, 0)
  BEGIN
1:auipc t0, 0
  auipc t1, 1
  la t2, 1b
  bne t0, t2, fail
  sub t1, t1, t0
  CHECK(t1, 0x1004)

  // Branches: taken or not, forwards and backwards.
  TAKEN(beq, 0x00000000, 0x00000000)
  PASSED(beq, 0x00000000, 0x00000001)
  PASSED(beq, 0x00000001, 0x00000000)
  PASSED(beq, 0xffffffff, 0x00000000)
  PASSED(beq, 0x00000000, 0xffffffff)
  PASSED(beq, 0x80000000, 0x7fffffff)
  PASSED(beq, 0x7fffffff, 0x80000000)
  TAKEN(beq, 0xffffffff, 0xffffffff)
  PASSED(bne, 0x00000000, 0x00000000)
  TAKEN(bne, 0x00000000, 0x00000001)
  TAKEN(bne, 0x00000001, 0x00000000)
  TAKEN(bne, 0xffffffff, 0x00000000)
  TAKEN(bne, 0x00000000, 0xffffffff)
  TAKEN(bne, 0x80000000, 0x7fffffff)
  TAKEN(bne, 0x7fffffff, 0x80000000)
  PASSED(bne, 0xffffffff, 0xffffffff)
  PASSED(blt, 0x00000000, 0x00000000)
  TAKEN(blt, 0x00000000, 0x00000001)
  PASSED(blt, 0x00000001, 0x00000000)
  TAKEN(blt, 0xffffffff, 0x00000000)
  PASSED(blt, 0x00000000, 0xffffffff)
  TAKEN(blt, 0x80000000, 0x7fffffff)
  PASSED(blt, 0x7fffffff, 0x80000000)
  PASSED(blt, 0xffffffff, 0xffffffff)
  TAKEN(bge, 0x00000000, 0x00000000)
  PASSED(bge, 0x00000000, 0x00000001)
  TAKEN(bge, 0x00000001, 0x00000000)
  PASSED(bge, 0xffffffff, 0x00000000)
  TAKEN(bge, 0x00000000, 0xffffffff)
  PASSED(bge, 0x80000000, 0x7fffffff)
  TAKEN(bge, 0x7fffffff, 0x80000000)
  TAKEN(bge, 0xffffffff, 0xffffffff)
  PASSED(bltu, 0x00000000, 0x00000000)
  TAKEN(bltu, 0x00000000, 0x00000001)
  PASSED(bltu, 0x00000001, 0x00000000)
  PASSED(bltu, 0xffffffff, 0x00000000)
  TAKEN(bltu, 0x00000000, 0xffffffff)
  PASSED(bltu, 0x80000000, 0x7fffffff)
  TAKEN(bltu, 0x7fffffff, 0x80000000)
  PASSED(bltu, 0xffffffff, 0xffffffff)
  TAKEN(bgeu, 0x00000000, 0x00000000)
  PASSED(bgeu, 0x00000000, 0x00000001)
  TAKEN(bgeu, 0x00000001, 0x00000000)
  TAKEN(bgeu, 0xffffffff, 0x00000000)
  PASSED(bgeu, 0x00000000, 0xffffffff)
  TAKEN(bgeu, 0x80000000, 0x7fffffff)
  PASSED(bgeu, 0x7fffffff, 0x80000000)
  TAKEN(bgeu, 0xffffffff, 0xffffffff)

  // jal, jalr: link and target; jalr clears bit 0 of the sum, and reads its base before it writes the link.
  BEGIN
  jal t0, 2f
1:j fail
2:la t1, 1b
  bne t0, t1, fail
  BEGIN
  la t0, 2f + 1
  jalr t0, 0(t0)
1:j fail
2:la t1, 1b
  bne t0, t1, fail
  BEGIN
  la t0, 2f - 2047
  jalr zero, 2047(t0)
  j fail
2:
  BEGIN
  la t0, 2f + 2048
  jalr ra, -2048(t0)
  j fail
2:
  BEGIN
  j 3f
2:j 4f
  j fail
3:j 2b
  j fail
4:

  // Loads of every width at every place, sign and zero extension; offsets of both signs.
  la s0, pattern
  LOAD(lb, 0xffffff80, 0)
  LOAD(lb, 0x0000007f, 1)
  LOAD(lb, 0x00000001, 2)
  LOAD(lb, 0xffffffff, 3)
  LOAD(lb, 0x00000034, 4)
  LOAD(lb, 0x00000012, 5)
  LOAD(lb, 0xffffffcd, 6)
  LOAD(lb, 0xffffffab, 7)
  LOAD(lb, 0x00000000, 8)
  LOAD(lb, 0xffffff80, 9)
  LOAD(lb, 0xffffffff, 10)
  LOAD(lb, 0x0000007f, 11)
  LOAD(lbu, 0x00000080, 0)
  LOAD(lbu, 0x0000007f, 1)
  LOAD(lbu, 0x00000001, 2)
  LOAD(lbu, 0x000000ff, 3)
  LOAD(lbu, 0x00000034, 4)
  LOAD(lbu, 0x00000012, 5)
  LOAD(lbu, 0x000000cd, 6)
  LOAD(lbu, 0x000000ab, 7)
  LOAD(lbu, 0x00000000, 8)
  LOAD(lbu, 0x00000080, 9)
  LOAD(lbu, 0x000000ff, 10)
  LOAD(lbu, 0x0000007f, 11)
  LOAD(lh, 0x00007f80, 0)
  LOAD(lh, 0xffffff01, 2)
  LOAD(lh, 0x00001234, 4)
  LOAD(lh, 0xffffabcd, 6)
  LOAD(lh, 0xffff8000, 8)
  LOAD(lh, 0x00007fff, 10)
  LOAD(lhu, 0x00007f80, 0)
  LOAD(lhu, 0x0000ff01, 2)
  LOAD(lhu, 0x00001234, 4)
  LOAD(lhu, 0x0000abcd, 6)
  LOAD(lhu, 0x00008000, 8)
  LOAD(lhu, 0x00007fff, 10)
  LOAD(lw, 0xff017f80, 0)
  LOAD(lw, 0xabcd1234, 4)
  LOAD(lw, 0x7fff8000, 8)
  BEGIN
  addi t1, s0, 2047
  lb t0, -2047(t1)
  CHECK(t0, 0xffffff80)
  BEGIN
  addi t1, s0, -2047
  lbu t0, 2047(t1)
  CHECK(t0, 0x80)
  BEGIN
  mv t0, s0
  lw t0, 4(t0)
  CHECK(t0, 0xabcd1234)
  BEGIN
  lw zero, 4(s0)
  CHECK(zero, 0)

  // Stores of every width at every place, into a word of this hart's own; the bytes beside stay.
  csrr t0, mhartid
  slli t0, t0, 3
  la s0, scratch
  add s0, s0, t0
  STORE(sb, 0x112233d4, 0xa1b2c3d4, 0)
  STORE(sb, 0x1122d444, 0xa1b2c3d4, 1)
  STORE(sb, 0x11d43344, 0xa1b2c3d4, 2)
  STORE(sb, 0xd4223344, 0xa1b2c3d4, 3)
  STORE(sh, 0x1122c3d4, 0xa1b2c3d4, 0)
  STORE(sh, 0xc3d43344, 0xa1b2c3d4, 2)
  STORE(sw, 0xa1b2c3d4, 0xa1b2c3d4, 0)
  BEGIN
  li t1, 0x5a5a5a5a
  addi t2, s0, 2047
  sw t1, -2047(t2)
  addi t2, s0, -2048
  lw t0, 2044(t2)
  lw t0, 0(s0)
  CHECK(t0, 0x5a5a5a5a)

  // Both memories are read and written as data, code too.
  BEGIN
  la t2, code_word
  li t1, 0x13579bdf
  csrr t3, mhartid
  slli t3, t3, 2
  add t2, t2, t3
  sw t1, 0(t2)
  lw t0, 0(t2)
  CHECK(t0, 0x13579bdf)
  BEGIN
  lh t0, 2(t2)
  CHECK(t0, 0x1357)

  // fence, fence.i: an instruction written is an instruction executed. Each hart writes code of its own.
  BEGIN
  fence
  fence rw, w
  csrr t3, mhartid
  slli t3, t3, 3
  la t2, own_code
  add t2, t2, t3
  li t0, 0x00100513  // addi a0, zero, 1
  sw t0, 0(t2)
  li t0, 0x00008067  // ret
  sw t0, 4(t2)
  fence.i
  jalr t2
  CHECK(a0, 1)
  BEGIN
  csrr t3, mhartid
  slli t3, t3, 3
  la t2, own_code
  add t2, t2, t3
  li t0, 0x7ff00513  // addi a0, zero, 2047
  sw t0, 0(t2)
  fence.i
  jalr t2
  CHECK(a0, 2047)

  // Zicsr: what each form gives and leaves, with the same register on both sides and with x0.
  BEGIN
  li t0, 0xa5a50f0f
  csrw mscratch, t0
  csrrw t1, mscratch, zero
  CHECK(t1, 0xa5a50f0f)
  csrr t1, mscratch
  CHECK(t1, 0)
  BEGIN
  li t0, 0xa5a50f0f
  csrw mscratch, t0
  li t0, 0x0000ffff
  csrrs t1, mscratch, t0
  CHECK(t1, 0xa5a50f0f)
  csrrc t1, mscratch, t0
  CHECK(t1, 0xa5a5ffff)
  csrr t1, mscratch
  CHECK(t1, 0xa5a50000)
  BEGIN
  csrrwi t1, mscratch, 31
  CHECK(t1, 0xa5a50000)
  csrrsi t1, mscratch, 0
  CHECK(t1, 31)
  csrrci t1, mscratch, 5
  CHECK(t1, 31)
  csrrsi t1, mscratch, 1
  CHECK(t1, 26)
  csrrci t1, mscratch, 0
  CHECK(t1, 27)
  BEGIN
  li t0, 0xdeadbeef
  csrrw t0, mscratch, t0
  CHECK(t0, 27)
  csrrs t0, mscratch, zero
  CHECK(t0, 0xdeadbeef)
  li t0, 0xf
  csrrc t0, mscratch, t0
  CHECK(t0, 0xdeadbeef)
  csrr t0, mscratch
  CHECK(t0, 0xdeadbee0)
  csrrw zero, mscratch, zero
  csrr t0, mscratch
  CHECK(t0, 0)

  // What the CSRs hold: fixed values, fields that cannot be written, reset values of no consequence.
  FIELD(mstatus, 0xffffffff, 0x00001888)
  FIELD(mstatush, 0xffffffff, 0)
  FIELD(mie, 0xffffffff, 0x00010888)
  FIELD(mscratch, 0xffffffff, 0xffffffff)
  FIELD(mepc, 0xffffffff, 0xfffffffc)
  FIELD(mcause, 0xffffffff, 0x8000001f)
  FIELD(mtval, 0x12345678, 0x12345678)
  FIELD(mtvec, 0xfffffffe, 0xfffffffc)
  FIELD(mtvec, 0xffffffff, 0xfffffffd)
  FIELD(mcountinhibit, 0xffffffff, 5)
  FIELD(misa, 0, MISA)
  FIELD(mhpmcounter3, 0xffffffff, 0)
  FIELD(mhpmcounter31h, 0xffffffff, 0)
  FIELD(mhpmevent3, 0xffffffff, 0)
  FIELD(mhpmevent31, 0xffffffff, 0)
  BEGIN
  csrr t0, mvendorid
  CHECK(t0, 0)
  csrr t0, marchid
  CHECK(t0, 0)
  csrr t0, mimpid
  CHECK(t0, 1)
  csrr t0, mconfigptr
  CHECK(t0, 0)
  FIELD(tselect, 0xffffffff, 0)
  FIELD(tdata1, 0xffffffff, 0)
  FIELD(tdata2, 0xffffffff, 0)
  FIELD(tdata3, 0xffffffff, 0)

  // The first word of the instruction memory, which all harts leave as it is.
  BEGIN
  li s1, IMEM_BASE
  lw t0, 0(s1)
  .irp offset, 0, 2
  lhu t1, \offset(s1)
  sh t1, \offset(s1)
  .endr
  .irp offset, 0, 1, 2, 3
  lb t1, \offset(s1)
  lbu t1, \offset(s1)
  sb t1, \offset(s1)
  .endr
  lh t1, 0(s1)
  lh t1, 2(s1)
  lw t1, 0(s1)
  bne t0, t1, fail
  sw t1, 0(s1)

  // Counters: minstret counts instructions exactly, mcycle goes on, both stop when inhibited, both can be written.
  BEGIN
  csrr t0, minstret
  nop
  nop
  csrr t1, minstret
  sub t0, t1, t0
  CHECK(t0, 3)
  BEGIN
  li t0, 100
  csrw minstret, t0
  csrr t1, minstret
  CHECK(t1, 100)
  csrr t1, minstret
  CHECK(t1, 103)  // CHECK is two instructions
  BEGIN
  csrwi minstreth, 7
  csrr t1, minstreth
  CHECK(t1, 7)
  csrwi minstreth, 0
  li t0, -1
  csrw minstret, t0
  csrr t1, minstret
  CHECK(t1, 0xffffffff)
  csrr t1, minstreth
  CHECK(t1, 1)
  BEGIN
  csrwi mcountinhibit, 4
  csrr t0, minstret
  nop
  csrr t1, minstret
  bne t0, t1, fail
  csrwi mcountinhibit, 0
  BEGIN
  csrr t0, mcycle
  csrr t1, mcycle
  bgeu t0, t1, fail
  // Their read-only names, and the time, which the memory map shows, too.
  BEGIN
  csrr t0, minstret
  csrr t1, instret
  sub t0, t1, t0
  CHECK(t0, 1)
  csrr t0, minstreth
  csrr t1, instreth
  bne t0, t1, fail
  csrr t0, mcycle
  csrr t1, cycle
  bgeu t0, t1, fail
  csrr t0, mcycleh
  csrr t1, cycleh
  bne t0, t1, fail
  li t2, MTIME
  lw t0, 0(t2)
  csrr t1, time
  bgeu t0, t1, fail
  lw t0, 4(t2)
  csrr t1, timeh
  bne t0, t1, fail
  BEGIN
  csrwi mcountinhibit, 1
  csrr t0, mcycle
  nop
  csrr t1, mcycle
  bne t0, t1, fail
  csrwi mcountinhibit, 0
  BEGIN
  li t0, 0x10000000
  csrw mcycle, t0
  csrr t1, mcycle
  bltu t1, t0, fail
  sub t1, t1, t0
  li t0, 1000
  bgeu t1, t0, fail

#ifdef MULDIV
  RR(mul, 0x00000000, 0x00000000, 0x00000000)
  RR(mul, 0x00000015, 0x00000007, 0x00000003)
  RR(mul, 0xffffffeb, 0xfffffff9, 0x00000003)
  RR(mul, 0xffffffeb, 0x00000007, 0xfffffffd)
  RR(mul, 0x00000015, 0xfffffff9, 0xfffffffd)
  RR(mul, 0x80000000, 0x80000000, 0xffffffff)
  RR(mul, 0x00000000, 0x80000000, 0x00000000)
  RR(mul, 0x00000001, 0xffffffff, 0xffffffff)
  RR(mul, 0x00000000, 0x80000000, 0x80000000)
  RR(mul, 0x242d2080, 0x12345678, 0x9abcdef0)
  RR(mul, 0x00000000, 0x00000005, 0x00000000)
  RR(mul, 0x80000000, 0x00000001, 0x80000000)
  RR(mulh, 0x00000000, 0x00000000, 0x00000000)
  RR(mulh, 0x00000000, 0x00000007, 0x00000003)
  RR(mulh, 0xffffffff, 0xfffffff9, 0x00000003)
  RR(mulh, 0xffffffff, 0x00000007, 0xfffffffd)
  RR(mulh, 0x00000000, 0xfffffff9, 0xfffffffd)
  RR(mulh, 0x00000000, 0x80000000, 0xffffffff)
  RR(mulh, 0x00000000, 0x80000000, 0x00000000)
  RR(mulh, 0x00000000, 0xffffffff, 0xffffffff)
  RR(mulh, 0x40000000, 0x80000000, 0x80000000)
  RR(mulh, 0xf8cc93d6, 0x12345678, 0x9abcdef0)
  RR(mulh, 0x00000000, 0x00000005, 0x00000000)
  RR(mulh, 0xffffffff, 0x00000001, 0x80000000)
  RR(mulhsu, 0x00000000, 0x00000000, 0x00000000)
  RR(mulhsu, 0x00000000, 0x00000007, 0x00000003)
  RR(mulhsu, 0xffffffff, 0xfffffff9, 0x00000003)
  RR(mulhsu, 0x00000006, 0x00000007, 0xfffffffd)
  RR(mulhsu, 0xfffffff9, 0xfffffff9, 0xfffffffd)
  RR(mulhsu, 0x80000000, 0x80000000, 0xffffffff)
  RR(mulhsu, 0x00000000, 0x80000000, 0x00000000)
  RR(mulhsu, 0xffffffff, 0xffffffff, 0xffffffff)
  RR(mulhsu, 0xc0000000, 0x80000000, 0x80000000)
  RR(mulhsu, 0x0b00ea4e, 0x12345678, 0x9abcdef0)
  RR(mulhsu, 0x00000000, 0x00000005, 0x00000000)
  RR(mulhsu, 0x00000000, 0x00000001, 0x80000000)
  RR(mulhu, 0x00000000, 0x00000000, 0x00000000)
  RR(mulhu, 0x00000000, 0x00000007, 0x00000003)
  RR(mulhu, 0x00000002, 0xfffffff9, 0x00000003)
  RR(mulhu, 0x00000006, 0x00000007, 0xfffffffd)
  RR(mulhu, 0xfffffff6, 0xfffffff9, 0xfffffffd)
  RR(mulhu, 0x7fffffff, 0x80000000, 0xffffffff)
  RR(mulhu, 0x00000000, 0x80000000, 0x00000000)
  RR(mulhu, 0xfffffffe, 0xffffffff, 0xffffffff)
  RR(mulhu, 0x40000000, 0x80000000, 0x80000000)
  RR(mulhu, 0x0b00ea4e, 0x12345678, 0x9abcdef0)
  RR(mulhu, 0x00000000, 0x00000005, 0x00000000)
  RR(mulhu, 0x00000000, 0x00000001, 0x80000000)
  RR(div, 0xffffffff, 0x00000000, 0x00000000)
  RR(div, 0x00000002, 0x00000007, 0x00000003)
  RR(div, 0xfffffffe, 0xfffffff9, 0x00000003)
  RR(div, 0xfffffffe, 0x00000007, 0xfffffffd)
  RR(div, 0x00000002, 0xfffffff9, 0xfffffffd)
  RR(div, 0x80000000, 0x80000000, 0xffffffff)
  RR(div, 0xffffffff, 0x80000000, 0x00000000)
  RR(div, 0x00000001, 0xffffffff, 0xffffffff)
  RR(div, 0x00000001, 0x80000000, 0x80000000)
  RR(div, 0x00000000, 0x12345678, 0x9abcdef0)
  RR(div, 0xffffffff, 0x00000005, 0x00000000)
  RR(div, 0x00000000, 0x00000001, 0x80000000)
  RR(divu, 0xffffffff, 0x00000000, 0x00000000)
  RR(divu, 0x00000002, 0x00000007, 0x00000003)
  RR(divu, 0x55555553, 0xfffffff9, 0x00000003)
  RR(divu, 0x00000000, 0x00000007, 0xfffffffd)
  RR(divu, 0x00000000, 0xfffffff9, 0xfffffffd)
  RR(divu, 0x00000000, 0x80000000, 0xffffffff)
  RR(divu, 0xffffffff, 0x80000000, 0x00000000)
  RR(divu, 0x00000001, 0xffffffff, 0xffffffff)
  RR(divu, 0x00000001, 0x80000000, 0x80000000)
  RR(divu, 0x00000000, 0x12345678, 0x9abcdef0)
  RR(divu, 0xffffffff, 0x00000005, 0x00000000)
  RR(divu, 0x00000000, 0x00000001, 0x80000000)
  RR(rem, 0x00000000, 0x00000000, 0x00000000)
  RR(rem, 0x00000001, 0x00000007, 0x00000003)
  RR(rem, 0xffffffff, 0xfffffff9, 0x00000003)
  RR(rem, 0x00000001, 0x00000007, 0xfffffffd)
  RR(rem, 0xffffffff, 0xfffffff9, 0xfffffffd)
  RR(rem, 0x00000000, 0x80000000, 0xffffffff)
  RR(rem, 0x80000000, 0x80000000, 0x00000000)
  RR(rem, 0x00000000, 0xffffffff, 0xffffffff)
  RR(rem, 0x00000000, 0x80000000, 0x80000000)
  RR(rem, 0x12345678, 0x12345678, 0x9abcdef0)
  RR(rem, 0x00000005, 0x00000005, 0x00000000)
  RR(rem, 0x00000001, 0x00000001, 0x80000000)
  RR(remu, 0x00000000, 0x00000000, 0x00000000)
  RR(remu, 0x00000001, 0x00000007, 0x00000003)
  RR(remu, 0x00000000, 0xfffffff9, 0x00000003)
  RR(remu, 0x00000007, 0x00000007, 0xfffffffd)
  RR(remu, 0xfffffff9, 0xfffffff9, 0xfffffffd)
  RR(remu, 0x80000000, 0x80000000, 0xffffffff)
  RR(remu, 0x80000000, 0x80000000, 0x00000000)
  RR(remu, 0x00000000, 0xffffffff, 0xffffffff)
  RR(remu, 0x00000000, 0x80000000, 0x80000000)
  RR(remu, 0x12345678, 0x12345678, 0x9abcdef0)
  RR(remu, 0x00000005, 0x00000005, 0x00000000)
  RR(remu, 0x00000001, 0x00000001, 0x80000000)
#endif

  li a0, 0
  mv ra, s11
  ret
fail:
  mv a0, gp
  mv ra, s11
  ret

  .balign 4
own_vector:
  j fail
code_word: .fill 16, 4, 0
own_code: .fill 32, 4, 0

  .data
  .balign 4
pattern: .byte 0x80, 0x7f, 0x01, 0xff, 0x34, 0x12, 0xcd, 0xab, 0x00, 0x80, 0xff, 0x7f
  .balign 8
scratch: .fill 32, 4, 0
