// SPDX-License-Identifier: Apache-2.0
// Self-checking test of every interrupt on every started hart: cause, mepc, vector, priority, mask, wfi.
// The exit code is the number of the first check that failed.
#include "test.h"

#define MSIE (1 << 3)
#define MTIE (1 << 7)
#define MEIE (1 << 11)
#define MVIE (1 << 16)

  .text
  .globl main
main:
  addi sp, sp, -16
  sw ra, 12(sp)
  csrr s0, mhartid
  slli t0, s0, 2
  li s1, MSIP_BASE
  add s1, s1, t0  // this hart's msip
  slli t0, s0, 3
  li s2, MTIMECMP_BASE
  add s2, s2, t0  // its mtimecmp
  slli t0, s0, 10
  li s3, MVU_BASE
  add s3, s3, t0  // its MVU
  csrw mie, zero
  la t0, vectors + 1
  csrw mtvec, t0
  li t2, 1

  // Pending and enabled, but MIE is 0: nothing happens. With MIE it is taken before the next instruction.
#define INTERRUPT(Number, Mask, Raise, Lower)      \
  BEGIN                                            \
  li s4, 0;                                        \
  csrwi mstatus, 0;                                \
  li t0, Mask;                                     \
  csrw mie, t0;                                    \
  Raise                                            \
  1 : csrr t0, mip; /* it may take its time */     \
  li t1, Mask;                                     \
  and t0, t0, t1;                                  \
  beqz t0, 1b;                                     \
  CHECK(s4, 0)                                     \
  csrsi mstatus, 8;                                \
  2 : csrci mstatus, 8;                            \
  CHECK(s4, (0x80000000 + Number))                 \
  la t0, 2b;                                       \
  bne s5, t0, fail; /* mepc */                     \
  CHECK(s6, 0)      /* mtval */                    \
  CHECK(s7, Number) /* the vector */               \
  CHECK(s8, 0x1880) /* mstatus inside */           \
  BEGIN                                            \
  Lower                                            \
  1 : csrr t0, mip;                                \
  li t1, Mask;                                     \
  and t0, t0, t1;                                  \
  bnez t0, 1b;                                     \
  li s4, 0;                                        \
  csrsi mstatus, 8; /* gone */                     \
  nop;                                             \
  nop;                                             \
  csrci mstatus, 8;                                \
  CHECK(s4, 0)                                     \
  csrw mie, zero; /* not enabled: never taken */   \
  Raise                                            \
  li t0, 20;                                       \
  3 : addi t0, t0, -1;                             \
  bnez t0, 3b;                                     \
  csrsi mstatus, 8;                                \
  nop;                                             \
  csrci mstatus, 8;                                \
  CHECK(s4, 0)                                     \
  Lower

#define RAISE_MSIP sw t2, 0(s1);
#define LOWER_MSIP sw zero, 0(s1);
#define RAISE_TIMER  \
  li t0, -1;         \
  sw t0, 0(s2);      \
  sw zero, 4(s2);    \
  sw zero, 0(s2);
#define LOWER_TIMER  \
  li t0, -1;         \
  sw t0, 4(s2);
#define RAISE_EXT sw t2, (4 * EXT_IRQ)(s3);
#define LOWER_EXT sw zero, (4 * EXT_IRQ)(s3);
#define RAISE_MVU sw t2, (4 * MVU_IRQ)(s3);
#define LOWER_MVU  \
  li t0, MVIE;     \
  csrc mip, t0;

  INTERRUPT(3, MSIE, RAISE_MSIP, LOWER_MSIP)
  INTERRUPT(7, MTIE, RAISE_TIMER, LOWER_TIMER)
  INTERRUPT(11, MEIE, RAISE_EXT, LOWER_EXT)
  INTERRUPT(16, MVIE, RAISE_MVU, LOWER_MVU)

  // mip's other bits cannot be written; bit 16 can.
  BEGIN
  li t0, -1
  csrw mip, t0
  csrr t0, mip
  CHECK(t0, MVIE)
  csrw mip, zero
  csrr t0, mip
  CHECK(t0, 0)

  // Software raises the MVU's interrupt.
  BEGIN
  li s4, 0
  li t0, MVIE
  csrw mie, t0
  csrsi mstatus, 8
  csrs mip, t0
  csrci mstatus, 8
  CHECK(s4, 0x80000010)
  li t0, MVIE
  csrc mip, t0

  // All four pending: external before software before timer before MVU.
  BEGIN
  csrw mie, zero
  RAISE_MSIP
  RAISE_TIMER
  RAISE_EXT
  RAISE_MVU
1:csrr t0, mip
  li t1, (MSIE | MTIE | MEIE | MVIE)
  bne t0, t1, 1b
  csrw mie, t1
#define NEXT(Number, Mask)             \
  BEGIN                                \
  li s4, 0;                            \
  csrsi mstatus, 8;                    \
  csrci mstatus, 8;                    \
  CHECK(s4, (0x80000000 + Number))     \
  li t0, Mask;                         \
  csrc mie, t0;
  NEXT(11, MEIE)
  NEXT(3, MSIE)
  NEXT(7, MTIE)
  NEXT(16, MVIE)
  LOWER_MSIP
  LOWER_TIMER
  LOWER_EXT
  LOWER_MVU
1:csrr t0, mip
  bnez t0, 1b

  // Direct mode: every interrupt goes to the base.
  BEGIN
  la t0, direct
  csrw mtvec, t0
  li t0, MSIE
  csrw mie, t0
  li s4, 0
  csrsi mstatus, 8
  RAISE_MSIP
  nop
  csrci mstatus, 8
  CHECK(s4, 0x80000003)
  CHECK(s7, 99)
  LOWER_MSIP
  la t0, vectors + 1
  csrw mtvec, t0

  // mret lets a pending interrupt through before the instruction it returns to.
  BEGIN
  li s4, 0
  li t0, MSIE
  csrw mie, t0
  RAISE_MSIP
1:csrr t0, mip
  beqz t0, 1b
  li t0, 0x1880
  csrw mstatus, t0
  la t0, 2f
  csrw mepc, t0
  mret
  j fail
2:csrci mstatus, 8
  CHECK(s4, 0x80000003)
  la t0, 2b
  bne s5, t0, fail
  LOWER_MSIP

  // wfi with the interrupt pending already: goes on at once, without taking it while MIE is 0.
  BEGIN
  csrwi mstatus, 0
  li s4, 0
  RAISE_MSIP
  wfi
  CHECK(s4, 0)
  LOWER_MSIP
  // wfi waits for the timer; what wakes it is taken, mepc is behind the wfi.
  BEGIN
  li t0, MTIE
  csrw mie, t0
  li t0, -1
  sw t0, 4(s2)
  li t1, MTIME
  lw t0, 0(t1)
  addi t0, t0, 500
  sw t0, 0(s2)
  sw zero, 4(s2)
  csrsi mstatus, 8
  wfi
2:csrci mstatus, 8
  CHECK(s4, 0x80000007)
  la t0, 2b
  bne s5, t0, fail
  li t1, MTIME
  lw t0, 0(t1)
  lw t1, 0(s2)
  bltu t0, t1, fail
  LOWER_TIMER
  // wfi waits for the MVU, MIE 0.
  BEGIN
  li s4, 0
  li t0, MVIE
  csrw mie, t0
  RAISE_MVU
  wfi
  csrr t0, mip
  CHECK(t0, MVIE)
  CHECK(s4, 0)
  LOWER_MVU

  csrw mie, zero
  li a0, 0
  j done
fail:
  mv a0, gp
done:
  lw ra, 12(sp)
  addi sp, sp, 16
  ret

  // s4 to s8: mcause, mepc, mtval, the vector that was used, mstatus. Returns with the interrupt masked by MPIE = 0.
  .balign 4
vectors:
  j fail
  j fail
  j fail
  j vector_3
  j fail
  j fail
  j fail
  j vector_7
  j fail
  j fail
  j fail
  j vector_11
  j fail
  j fail
  j fail
  j fail
  j vector_16
vector_3:
  li s7, 3
  j record
vector_7:
  li s7, 7
  j record
vector_11:
  li s7, 11
  j record
vector_16:
  li s7, 16
  j record

  .balign 4
direct:
  li s7, 99
  j record
record:
  csrr s4, mcause
  csrr s5, mepc
  csrr s6, mtval
  csrr s8, mstatus
  li t6, 0x80
  csrc mstatus, t6
  mret
