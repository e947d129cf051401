// SPDX-License-Identifier: Apache-2.0
// All started harts at once on shared memory: barriers made of words with one writer each, arrays that the neighbour reads,
// software interrupts from hart to hart.
#include "assay.h"

enum { ROUNDS = 4, SHARE = 16 };

static volatile uint32_t data[16 * SHARE];
static volatile uint32_t sums[16];
static volatile uint32_t arrived[16];

// Every started hart counts its own word up and waits for the others: no word has two writers.
static void barrier(uint32_t hart, uint32_t mask) {
  const uint32_t turn = arrived[hart] + 1;
  arrived[hart] = turn;
  for (uint32_t other = 0; other < HARTS; other++) {
    if (mask >> other & 1) {
      while (arrived[other] < turn) {
      }
    }
  }
}

int main(uint32_t hart) {
  const uint32_t mask = hart_mask;
  uint32_t next = hart;
  do next = next + 1 == HARTS ? 0 : next + 1;
  while (!(mask >> next & 1));
  volatile uint32_t *const msip = (volatile uint32_t *)MSIP_BASE;
  CSR_WRITE(mie, 8);
  for (uint32_t round = 0; round < ROUNDS; round++) {
    for (uint32_t i = 0; i < SHARE; i++) data[hart * SHARE + i] = hart + round * i;
    barrier(hart, mask);
    uint32_t sum = 0;
    for (uint32_t i = 0; i < SHARE; i++) sum += data[next * SHARE + i];
    sums[hart] = sum;
    barrier(hart, mask);
    uint32_t expected = 0;
    for (uint32_t i = 0; i < SHARE; i++) expected += next + round * i;
    if (sums[hart] != expected) return 1;
    // Wake the next hart, sleep until the one before has done so.
    msip[next] = 1;
    while (!(CSR_READ(mip) & 8)) __asm__ volatile("wfi");
    barrier(hart, mask);
    msip[hart] = 0;
    barrier(hart, mask);
  }
  return 0;
}
