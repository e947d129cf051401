// SPDX-License-Identifier: Apache-2.0
// What the programs share: memory map and CSR numbers come from controller.h, which is generated beside the program.
#ifndef ASSAY_H
#define ASSAY_H

#include "controller.h"

// The bench's model of an MVU is 256 registers; these do something.
#define MVU_ERROR 125  // every access is a bus error
#define MVU_IRQ 126    // written: mvu_irq_i for one clock
#define EXT_IRQ 127    // bit 0 is ext_irq_i

#ifndef __ASSEMBLER__

typedef unsigned int uint32_t;
typedef int int32_t;
typedef unsigned long long uint64_t;
typedef unsigned char uint8_t;

#define CSR_READ(name) ({ uint32_t v_; __asm__ volatile("csrr %0, " #name : "=r"(v_)); v_; })
#define CSR_WRITE(name, value) __asm__ volatile("csrw " #name ", %0" ::"r"(value))
#define CSR_SET(name, value) __asm__ volatile("csrs " #name ", %0" ::"r"(value))
#define CSR_CLEAR(name, value) __asm__ volatile("csrc " #name ", %0" ::"r"(value))

extern volatile uint32_t hart_mask;

static inline volatile uint32_t *mvu(uint32_t number) {
  return (volatile uint32_t *)(MVU_BASE + MVU_STRIDE * number);
}

#endif
#endif
