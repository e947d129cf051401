// SPDX-License-Identifier: Apache-2.0
// Checks for tests in assembly. gp holds the number of the check under way; a check that fails jumps to `fail`.
#ifndef TEST_H
#define TEST_H

#include "assay.h"

#define BEGIN li gp, __COUNTER__ + 1;

#define CHECK(Register, Value) \
  li t6, Value;                \
  bne Register, t6, fail;

#define RR(Op, Result, A, B) \
  BEGIN                      \
  li t1, A;                  \
  li t2, B;                  \
  Op t0, t1, t2;             \
  CHECK(t0, Result)          \
  CHECK(t1, A)               \
  CHECK(t2, B)

// The result in the first source's register, in the second's, and both sources the same register.
#define RR_SAME(Op, First, Second, Both, A, B) \
  BEGIN                                        \
  li t1, A;                                    \
  li t2, B;                                    \
  Op t1, t1, t2;                               \
  CHECK(t1, First)                             \
  li t1, A;                                    \
  Op t2, t1, t2;                               \
  CHECK(t2, Second)                            \
  Op t1, t1, t1;                               \
  CHECK(t1, Both)

#define RR_ZERO(Op, Left, Right, A, B) \
  BEGIN                                \
  li t1, A;                            \
  li t2, B;                            \
  Op t0, zero, t2;                     \
  CHECK(t0, Left)                      \
  Op t0, t1, zero;                     \
  CHECK(t0, Right)                     \
  Op zero, t1, t2;                     \
  CHECK(zero, 0)

#define RI(Op, Result, A, Immediate) \
  BEGIN                              \
  li t1, A;                          \
  Op t0, t1, Immediate;              \
  CHECK(t0, Result)                  \
  CHECK(t1, A)                       \
  Op t1, t1, Immediate;              \
  CHECK(t1, Result)                  \
  Op zero, t1, Immediate;            \
  CHECK(zero, 0)

// A branch that must be taken: forwards, then backwards.
#define TAKEN(Op, A, B) \
  BEGIN                 \
  li t1, A;             \
  li t2, B;             \
  Op t1, t2, 2f;        \
  j fail;               \
  1 : j 3f;             \
  j fail;               \
  2 : Op t1, t2, 1b;    \
  j fail;               \
  3:

// A branch that must not be taken. (A branch straight to `fail` may be too far: the assembler would turn it around.)
#define PASSED(Op, A, B) \
  BEGIN                  \
  li t1, A;              \
  li t2, B;              \
  Op t1, t2, 2f;         \
  j 3f;                  \
  1 : j fail;            \
  2 : j fail;            \
  3 : Op t1, t2, 1b;

#define LOAD(Op, Result, Offset) \
  BEGIN                          \
  Op t0, Offset(s0);             \
  CHECK(t0, Result)

#define STORE(Op, Result, Value, Offset) \
  BEGIN                                  \
  li t1, 0x11223344;                     \
  sw t1, 0(s0);                          \
  sw t1, 4(s0);                          \
  li t1, Value;                          \
  Op t1, Offset(s0);                     \
  lw t0, 0(s0);                          \
  CHECK(t0, Result)                      \
  lw t0, 4(s0);                          \
  CHECK(t0, 0x11223344)

// A CSR reads `Result` after `Value` is written; its former value comes back.
#define FIELD(Csr, Value, Result)           \
  BEGIN                                     \
  csrr s1, Csr;                             \
  li t0, Value;                             \
  csrw Csr, t0;                             \
  csrr t0, Csr;                             \
  csrw Csr, s1;                             \
  CHECK(t0, Result)

#endif
