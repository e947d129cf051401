// SPDX-License-Identifier: Apache-2.0
// What the lock-step scoreboard asks of a batch of records at once; see tb/controller/library.py.
#include <cstddef>
#include <cstdint>
#include <vector>

namespace {

#include "retirement.inc"

// As tb/controller/trace.py.
struct __attribute__((packed)) Record : Retirement {
  uint64_t order;
  uint8_t status;
};

struct Slot {
  uint64_t key, lot;
};

// A cache of the kinds of retirement of one lot.
struct Kinds {
  uint32_t values[7];   // the first again in place of those that are not there
  uint32_t bounds[31];  // ascending; the greatest in place of those
  uint32_t reset_pc, mret;
  uint64_t lot;
  std::vector<Slot> slots;
};

// Loops of fixed length over all: quicker than to stop at the first.
uint64_t number_of(const Kinds& kinds, uint32_t value) {
  uint32_t number = 7;
  for (uint32_t i = 7; i-- > 0;) number = kinds.values[i] == value ? i : number;
  return number;
}

uint64_t bounds_below(const Kinds& kinds, uint32_t address) {
  uint32_t count = 0;
  for (const uint32_t bound : kinds.bounds) count += bound <= address;
  return count;
}

// What of a retirement a cover group may look at, beside traps; unlike kinds may share their coverage, not the reverse.
uint64_t key_of(const Kinds& kinds, const Record& record) {
  uint64_t key = record.insn;
  key = key << 4 | (record.hart & 15);
  key = key << 3 | number_of(kinds, record.rs1_rdata);
  key = key << 3 | number_of(kinds, record.rs2_rdata);
  key = key << 2 | (record.pc_wdata > record.pc_rdata) << 1 | (record.pc_wdata == record.pc_rdata + 4);
  uint64_t access = 0;
  if (record.mem_rmask | record.mem_wmask) {
    const uint32_t value = record.mem_wmask ? record.mem_wdata : record.mem_rdata;
    access = bounds_below(kinds, record.mem_addr) << 6 | (record.mem_addr & 3) << 4;
    access |= (value == 0) << 3 | (value >> 31) << 2 | (value >> 15 & 1) << 1 | (value >> 7 & 1);
  }
  return key << 11 | access;
}

}  // namespace

extern "C" {

Kinds* kinds_make(const uint32_t* values, size_t value_count, const uint32_t* bounds, size_t bound_count,
                  uint32_t reset_pc, uint32_t mret, size_t slots) {
  auto* const kinds = new Kinds{{}, {}, reset_pc, mret, 1, std::vector<Slot>(slots)};
  for (size_t i = 0; i < 7; ++i) kinds->values[i] = values[i < value_count ? i : 0];
  for (size_t i = 0; i < 31; ++i) kinds->bounds[i] = i < bound_count ? bounds[i] : UINT32_MAX;
  return kinds;
}

void kinds_free(Kinds* kinds) { delete kinds; }

// From here on everything is new again.
void kinds_forget(Kinds* kinds) { ++kinds->lot; }

// Where the records lie that may be of a kind that is new in this lot, and all that enter or leave a handler or start a
// program; returns how many.
uint64_t kinds_new(Kinds* kinds, const Record* records, uint64_t count, int64_t* places) {
  uint64_t found = 0;
  const uint64_t mask = kinds->slots.size() - 1;
  for (uint64_t i = 0; i < count; ++i) {
    const Record& record = records[i];
    if (!(record.trap | record.intr) && record.pc_rdata != kinds->reset_pc && record.insn != kinds->mret) {
      const uint64_t key = key_of(*kinds, record);
      Slot& slot = kinds->slots[(key * 0x9E3779B97F4A7C15u >> 40) & mask];
      if (slot.key == key && slot.lot == kinds->lot) continue;
      slot = {key, kinds->lot};
    }
    places[found++] = static_cast<int64_t>(i);
  }
  return found;
}

// Where a hart's order is, and its last record in a batch.
struct Progress {
  int64_t order;  // that its next record must have
  int32_t last;   // index of the last one; -1: there is none
  int32_t spins;  // whether that one jumps to itself
};

// Whether all records have this status and each hart's orders go up by one. `harts` moves on.
int32_t trace_in_order(const Record* records, uint64_t count, uint8_t status, uint32_t hart_count, Progress* harts) {
  for (uint32_t hart = 0; hart < hart_count; ++hart) harts[hart].last = -1;
  for (uint64_t i = 0; i < count; ++i) {
    const Record& record = records[i];
    if (record.status != status || record.hart >= hart_count) return 0;
    Progress& hart = harts[record.hart];
    const int64_t order = static_cast<int64_t>(record.order);
    if (hart.order != order) return 0;
    hart = {order + 1, static_cast<int32_t>(i), !record.trap && record.pc_wdata == record.pc_rdata};
  }
  return 1;
}

}  // extern "C"
