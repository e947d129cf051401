// SPDX-License-Identifier: Apache-2.0
// Every started hart drives its MVU as the code generator's firmware does: write registers through CSRs, start, wait for
// the interrupt, read back, by CSR and through the memory window.
#include "assay.h"

enum { JOBS = 6, MVU_INTERRUPT = 1 << 16 };

static volatile uint32_t finished[16];

__attribute__((interrupt("machine"), aligned(4))) static void on_interrupt(void) {
  const uint32_t cause = CSR_READ(mcause);
  if (cause == 0x80000010u) {
    finished[CSR_READ(mhartid)]++;
    CSR_CLEAR(mip, MVU_INTERRUPT);
  } else {
    finished[CSR_READ(mhartid)] = ~0u;
    CSR_WRITE(mie, 0);
  }
}

int main(uint32_t hart) {
  volatile uint32_t *registers = mvu(hart);
  CSR_WRITE(mtvec, (uint32_t)on_interrupt);
  CSR_WRITE(mie, MVU_INTERRUPT);
  for (uint32_t job = 0; job < JOBS; job++) {
    const uint32_t base = 0x100 * hart + job;
    CSR_WRITE(0x7c0, base);
    CSR_WRITE(0x7c1, ~base);
    CSR_WRITE(0x7ff, base << 8);
    CSR_WRITE(0xbc0, base + 1);
    CSR_SET(0x7c0, 0x40000000u);
    CSR_CLEAR(0x7c1, 0xffu);
    if (CSR_READ(0x7c0) != (base | 0x40000000u) || registers[0] != (base | 0x40000000u)) return 1;
    if (registers[1] != (~base & ~0xffu) || registers[63] != base << 8 || registers[64] != base + 1) return 2;
    registers[200] = base;
    if (registers[200] != base) return 3;
    CSR_CLEAR(mstatus, 8);
    CSR_WRITE(0xbfe, 1);  // the model's MVU_IRQ
    // Pending keeps wfi from waiting; with MIE off nothing can come between the test and the wfi.
    while (finished[hart] == job) {
      __asm__ volatile("wfi");
      CSR_SET(mstatus, 8);
      CSR_CLEAR(mstatus, 8);
    }
    if (finished[hart] != job + 1) return 4;
  }
  return 0;
}
