// SPDX-License-Identifier: Apache-2.0
// Self-checking test of every exception: mcause, mepc, mtval, mstatus, and that nothing else of the instruction happened.
// The exit code is the number of the first check that failed.
#include "test.h"

// The instructions in the braces trap at label 7; whatever follows checks what the handler recorded.
#define TRAP(Cause, Value)                 \
  la t0, 7b;                               \
  bne s1, t0, fail; /* mepc */             \
  CHECK(s2, Cause)                         \
  li t6, Value;                            \
  bne s3, t6, fail; /* mtval */

  .text
  .globl main
main:
  addi sp, sp, -16
  sw ra, 12(sp)
  la t0, handler
  csrw mtvec, t0

  // ecall, ebreak
  BEGIN
  li s2, -1
7:ecall
  TRAP(11, 0)
  BEGIN
7:ebreak
  la t1, 7b
  la t0, 7b
  bne s1, t0, fail
  CHECK(s2, 3)
  bne s3, t1, fail  // mtval of ebreak is its pc

  // Trap and mret move MIE and MPIE.
  BEGIN
  csrwi mstatus, 8
7:ecall
  TRAP(11, 0)
  CHECK(s4, 0x1880)  // inside the handler: MPIE was MIE, MIE is 0
  csrr t0, mstatus
  CHECK(t0, 0x1888)  // after mret: MIE is back, MPIE is 1
  BEGIN
  csrwi mstatus, 0
7:ecall
  TRAP(11, 0)
  CHECK(s4, 0x1800)
  csrr t0, mstatus
  CHECK(t0, 0x1880)

  // Illegal instructions: mtval is the instruction. Registers keep their values.
#define ILLEGAL(Word) \
  BEGIN               \
  li t1, 0x600dcafe;  \
  .balign 4;          \
  7 : .word Word;     \
  TRAP(2, Word)       \
  CHECK(t1, 0x600dcafe)

  ILLEGAL(0x00000000)
  ILLEGAL(0xffffffff)
  ILLEGAL(0x00000001)
  ILLEGAL(0x0000400b)  // custom-0
  ILLEGAL(0x00001067)  // jalr with funct3 1
  ILLEGAL(0x00002063)  // branch with funct3 2
  ILLEGAL(0x00003063)
  ILLEGAL(0x00003003)  // ld
  ILLEGAL(0x00006003)  // lwu
  ILLEGAL(0x00007003)
  ILLEGAL(0x00003023)  // sd
  ILLEGAL(0x00004023)
  ILLEGAL(0x02001313)  // slli by 32
  ILLEGAL(0x42001313)
  ILLEGAL(0x40001313)  // slli with srai's bit
  ILLEGAL(0x02005313)
  ILLEGAL(0x20005313)
  ILLEGAL(0x40001333)  // sll with sra's bit
  ILLEGAL(0x40002333)
  ILLEGAL(0x04000333)
  ILLEGAL(0x0000200f)  // fence with funct3 2
  ILLEGAL(0x00004073)  // system with funct3 4
  ILLEGAL(0x10200073)  // sret
  ILLEGAL(0x00200073)  // uret
  ILLEGAL(0x7b200073)  // dret
  ILLEGAL(0x12000073)  // sfence.vma
  ILLEGAL(0x00000173)  // ecall with rd
  ILLEGAL(0x00008073)  // ecall with rs1
  ILLEGAL(0x300022af)  // amo
  ILLEGAL(0x00002007)  // flw
  ILLEGAL(0x00000053)  // fadd.s
  ILLEGAL(0x0000001b)  // addiw
#ifndef MULDIV
  ILLEGAL(0x02000333)  // mul
  ILLEGAL(0x02004333)  // div
#endif

  // CSRs that do not exist, and writes to those that cannot be written; reading them is no write.
  ILLEGAL(0x00002373)  // csrr t1, 0x000 (ustatus)
  ILLEGAL(0x10002373)  // sstatus
  ILLEGAL(0x18002373)  // satp
  ILLEGAL(0x30202373)  // medeleg
  ILLEGAL(0x3a002373)  // pmpcfg0
  // Instructions without operands, with a bit too many.
  .irp bit, 7, 11, 15, 19, 20, 22, 25, 31
  .irp word, 0x00000073, 0x00100073, 0x30200073, 0x10500073
  .if (\word ^ (1 << \bit)) != 0x00000073 && (\word ^ (1 << \bit)) != 0x00100073
  ILLEGAL(\word ^ (1 << \bit))
  .endif
  .endr
  .endr
  ILLEGAL(0x7b002373)  // dcsr
  ILLEGAL(0xc0302373)  // hpmcounter3
  ILLEGAL(0xc0031373)  // csrrw t1, cycle, t1
  ILLEGAL(0xf1401373)  // csrrw t1, mhartid, zero
  ILLEGAL(0xf1439373)  // csrrw t1, mhartid, t2
  ILLEGAL(0xf142e373)  // csrrsi t1, mhartid, 5
  ILLEGAL(0xf142f373)  // csrrci t1, mhartid, 5
  ILLEGAL(0xf112a373)  // csrrs t1, mvendorid, t0
  BEGIN
  li s2, 77
  csrr t1, mhartid
  csrrsi t1, mhartid, 0
  csrrci t1, mvendorid, 0
  csrrc t1, marchid, zero
  CHECK(s2, 77)  // no trap

  // Jumps and taken branches to addresses that are no multiples of 4: raised by the jump itself, no link is written.
  BEGIN
  li ra, 0x600dcafe
  la t1, main + 2
7:jalr ra, 0(t1)
  la t2, main + 2
  la t0, 7b
  bne s1, t0, fail
  CHECK(s2, 0)
  bne s3, t2, fail
  CHECK(ra, 0x600dcafe)
  BEGIN
  la t1, main
7:jalr ra, 3(t1)  // bit 0 goes, bit 1 stays
  la t2, main + 2
  la t0, 7b
  bne s1, t0, fail
  CHECK(s2, 0)
  bne s3, t2, fail
  BEGIN
  .balign 4
7:.word 0x0060006f  // jal zero, +6
  la t2, 7b + 6
  la t0, 7b
  bne s1, t0, fail
  CHECK(s2, 0)
  bne s3, t2, fail
  BEGIN
  .balign 4
7:.word 0x00000363  // beq zero, zero, +6
  la t2, 7b + 6
  la t0, 7b
  bne s1, t0, fail
  CHECK(s2, 0)
  bne s3, t2, fail
  BEGIN
  li s2, 77
  .balign 4
  .word 0x00001363  // bne zero, zero, +6: not taken, no trap
  CHECK(s2, 77)

  // Fetch outside the instruction memory: the jump retires, its target traps.
#define FETCH(Address)                              \
  BEGIN                                             \
  la s5, 2f;                                        \
  li t1, Address;                                   \
  jalr ra, 0(t1);                                   \
  1 : j fail;                                       \
  2 : CHECK(s1, Address)                            \
  CHECK(s2, 1)                                      \
  CHECK(s3, Address)                                \
  la t0, 1b;                                        \
  bne ra, t0, fail;

  FETCH(0)
  FETCH(0x7ffffffc)
  FETCH(IMEM_BASE + IMEM_BYTES)
  FETCH(MSIP_BASE)
  FETCH(MVU_BASE)
  FETCH(0xfffffffc)

  // Loads and stores: misaligned before access fault; neither writes.
  la s0, buffer
  csrr t0, mhartid
  slli t0, t0, 3
  add s0, s0, t0
#define MEMORY(Cause, Op, Base, Offset)  \
  BEGIN                                  \
  li t1, 0x600dcafe;                     \
  li t2, Base;                           \
  7 : Op t1, Offset(t2);                 \
  TRAP(Cause, (Base + Offset))           \
  CHECK(t1, 0x600dcafe)
#define MISALIGNED(Cause, Op, Offset) \
  BEGIN                               \
  li t1, 0x600dcafe;                  \
  7 : Op t1, Offset(s0);              \
  la t0, 7b;                          \
  bne s1, t0, fail;                   \
  CHECK(s2, Cause)                    \
  addi t0, s0, Offset;                \
  bne s3, t0, fail;                   \
  CHECK(t1, 0x600dcafe)               \
  lw t0, 0(s0);                       \
  CHECK(t0, 0x11223344)

  li t0, 0x11223344
  sw t0, 0(s0)
  MISALIGNED(4, lh, 1)
  MISALIGNED(4, lh, 3)
  MISALIGNED(4, lhu, 1)
  MISALIGNED(4, lw, 1)
  MISALIGNED(4, lw, 2)
  MISALIGNED(4, lw, 3)
  MISALIGNED(6, sh, 1)
  MISALIGNED(6, sh, 3)
  MISALIGNED(6, sw, 1)
  MISALIGNED(6, sw, 2)
  MISALIGNED(6, sw, 3)
  MEMORY(5, lb, 0, 0)
  MEMORY(5, lw, 0, 0)
  MEMORY(5, lw, 0x7ffffffc, 0)
  MEMORY(5, lbu, 0x7fffffff, 0)
  MEMORY(5, lw, DMEM_BASE + DMEM_BYTES, 0)
  MEMORY(5, lb, DMEM_BASE + DMEM_BYTES, 0)
  MEMORY(5, lw, 0xfffffffc, 0)
  MEMORY(4, lw, 1, 0)
  MEMORY(4, lw, 0xfffffffd, 0)
  MEMORY(7, sb, 0, 0)
  MEMORY(7, sh, 0x7ffffffe, 0)
  MEMORY(7, sw, DMEM_BASE + DMEM_BYTES, 0)
  MEMORY(7, sw, 0xfffffffc, 0)
  MEMORY(6, sw, 2, 0)
  // Registers on the bus take words only.
  MEMORY(5, lb, MSIP_BASE, 0)
  MEMORY(5, lhu, MTIME, 0)
  MEMORY(5, lbu, MTIMECMP_BASE, 0)
  MEMORY(7, sb, MSIP_BASE, 0)
  MEMORY(7, sh, MTIMECMP_BASE, 0)
  MEMORY(5, lb, MVU_BASE, 0)
  MEMORY(7, sh, MVU_BASE, 0)
  MEMORY(4, lh, MVU_BASE, 1)
  MEMORY(5, lw, MVU_BASE + MVU_STRIDE * 16, 0)
  MEMORY(7, sw, MVU_BASE - 4, 0)
  MEMORY(5, lw, MSIP_BASE - 4, 0)
  MEMORY(5, lw, MTIME + 8, 0)
  MEMORY(7, sw, MSIP_BASE + 4 * HARTS, 0)
  MEMORY(7, sw, MTIMECMP_BASE + 8 * HARTS, 0)
  // A bus error: as load and store an access fault, as CSR an illegal instruction.
  MEMORY(5, lw, MVU_BASE + 4 * MVU_ERROR, 0)
  MEMORY(7, sw, MVU_BASE + 4 * MVU_ERROR, 0)
  ILLEGAL(0xbfd02373)  // csrr t1, 0xbc0 + MVU_ERROR - 64
  ILLEGAL(0xbfd31073)  // csrw 0xbc0 + MVU_ERROR - 64, t1

  // Both memories meet without a gap, at the last word and at the first.
  BEGIN
  li s2, 77
  li t1, DMEM_BASE
  lw t0, -4(t1)
  lw t0, 0(t1)
  lb t0, -1(t1)
  li t1, DMEM_BASE + DMEM_BYTES
  lw t0, -4(t1)
  lb t0, -1(t1)
  CHECK(s2, 77)

  // Traps inside traps: the second one's state replaces the first one's.
  BEGIN
  la t0, nesting
  csrw mtvec, t0
  csrwi mstatus, 8
  ecall
  CHECK(s5, 2)
  csrr t0, mstatus
  CHECK(t0, 0x1880)  // MIE was 0 at the second trap
  la t0, handler
  csrw mtvec, t0

  // An exception goes to the base in vectored mode, too.
  BEGIN
  la t0, handler + 1
  csrw mtvec, t0
7:ecall
  TRAP(11, 0)

  // mret where no trap was: to mepc.
  BEGIN
  la t0, 2f
  csrw mepc, t0
  mret
  j fail
2:
  li a0, 0
  j done
fail:
  mv a0, gp
done:
  lw ra, 12(sp)
  addi sp, sp, 16
  ret

  // Records mepc, mcause, mtval, mstatus in s1 to s4 and goes on behind the trap; after a fetch that trapped, at s5.
  .balign 4
handler:
  csrr s1, mepc
  csrr s2, mcause
  csrr s3, mtval
  csrr s4, mstatus
  addi t0, s1, 4
  li t6, 1
  bne s2, t6, 1f
  mv t0, s5
1:csrw mepc, t0
  mret

  .balign 4
nesting:
  csrr t0, mepc
  li s5, 1
  la t1, 1f
  csrw mtvec, t1
  ebreak
  .balign 4
1:li s5, 2
  addi t0, t0, 4
  csrw mepc, t0
  mret

  .bss
  .balign 8
buffer: .space 128
