// SPDX-License-Identifier: Apache-2.0
// Start-up code of every program: each started hart gets its stack, the lowest of them clears .bss, then all call
// `main`; its result is the hart's exit code, 0 for success.
//
// The bench writes `hart_mask` (bit h: hart h is started) before it releases the harts. When the last started hart is
// through, the lowest one writes `tohost`: 1 if all succeeded, else (code << 1) + 1 of the first hart that did not.
#include "assay.h"

  .section .text.start, "ax"
  .globl _start
_start:
  la t0, unexpected_trap
  csrw mtvec, t0
  .option push
  .option norelax
  la gp, __global_pointer$
  .option pop
  csrr s0, mhartid
  la sp, __stack_top
  li t0, STACK_BYTES
  mv t1, s0
1:beqz t1, 2f
  sub sp, sp, t0
  addi t1, t1, -1
  j 1b
2:// The lowest started hart: its bit is the lowest of the mask.
  lw s1, hart_mask
  neg t0, s1
  and t0, t0, s1
  li t1, 1
  sll t1, t1, s0
  sub s2, t0, t1  // 0 in the lowest one
  bnez s2, 5f
  la t0, __bss_start
  la t1, __bss_end
3:bgeu t0, t1, 4f
  sw zero, 0(t0)
  addi t0, t0, 4
  j 3b
4:li t0, 1
  la t1, bss_is_clear
  sw t0, 0(t1)
5:lw t0, bss_is_clear
  beqz t0, 5b
  mv a0, s0
  call main

// a0: exit code of this hart.
  .globl exit
exit:
  csrr s0, mhartid
  slli t0, s0, 2
  la t1, exit_codes
  add t1, t1, t0
  addi a0, a0, 1  // 0 in the table: still running
  sw a0, 0(t1)
  lw s1, hart_mask
  neg t0, s1
  and t0, t0, s1
  li t1, 1
  sll t1, t1, s0
  bne t0, t1, rest
  // The lowest hart awaits all others' codes.
  la s2, exit_codes
  li s3, 0
  mv s4, s1
1:beqz s4, 4f
  andi t0, s4, 1
  beqz t0, 3f
2:lw t0, 0(s2)
  beqz t0, 2b
  addi t0, t0, -1
  beqz t0, 3f
  bnez s3, 3f
  mv s3, t0
3:addi s2, s2, 4
  srli s4, s4, 1
  j 1b
4:slli t0, s3, 1
  ori t0, t0, 1
  la t1, tohost
  sw t0, 0(t1)
rest:
  csrw mie, zero
  wfi
  j rest

// A trap that the program did not ask for: exit code 1000 + mcause's low bits.
  .balign 4
unexpected_trap:
  csrr a0, mcause
  andi a0, a0, 31
  addi a0, a0, 1000
  j exit

  .section .tohost, "aw"
  .balign 8
  .globl tohost
tohost: .dword 0
  .globl hart_mask
hart_mask: .word 1
bss_is_clear: .word 0
  .globl exit_codes
exit_codes: .fill 16, 4, 0
