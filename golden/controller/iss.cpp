// SPDX-License-Identifier: Apache-2.0
// The compiled simulator: it confirms retirements that are ordinary, and stops in front of every other one.
//
// What an instruction does is generated from the instruction table (golden/controller/compiled.py); Python also decodes.
// Here is what is the same for all: fetch, comparison, commit. Nothing is committed before it has been found equal, so
// that the readable simulator can go on from the state in front of the retirement at which this one stopped.
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <unordered_map>
#include <vector>

namespace {

typedef __int128 Wide;  // holds every value of an operation, as Python's integers do

#include "retirement.inc"

constexpr uint32_t kNone = 0, kLeft = 1;  // not known yet; left to the readable simulator

Wide as_signed(uint32_t word) { return static_cast<int32_t>(word); }
Wide as_unsigned(Wide value) { return static_cast<uint32_t>(value); }

// As golden.controller.instructions says it; 64 bits hold all operands, and C++ rounds towards zero, too.
Wide divide(Wide dividend, Wide divisor) {
  if (divisor == 0) return 0xFFFFFFFF;
  return static_cast<int64_t>(dividend) / static_cast<int64_t>(divisor);
}
Wide remainder(Wide dividend, Wide divisor) {
  if (divisor == 0) return dividend;
  return static_cast<int64_t>(dividend) % static_cast<int64_t>(divisor);
}

struct Decoded {
  uint32_t word;
  uint8_t operation, rd, rs1, rs2;
  int32_t imm;
};

struct Machine {
  uint8_t* memory;
  uint32_t fetchable, size;  // bytes of instruction memory, and of both
  uint32_t harts;
  std::vector<uint32_t*> x;
  std::vector<Decoded> at;  // for each word of instruction memory
  std::unordered_map<uint32_t, Decoded> known;
};

}  // namespace

extern "C" {

// What Python sets before `iss_follow` and reads after it, for each hart.
struct Hart {
  int64_t alarm;    // from this clock on its retirements are left to the readable simulator
  int64_t clock;    // of its last retirement
  uint64_t retired;  // instructions that were confirmed
  uint32_t pc;
};

enum Stop : int32_t { kAll, kAsked, kUnlike, kUnknown };

Machine* iss_make(uint8_t* memory, uint32_t fetchable, uint32_t size, uint32_t harts, uint32_t** x) {
  return new Machine{memory, fetchable, size, harts, {x, x + harts}, std::vector<Decoded>(fetchable / 4), {}};
}

void iss_free(Machine* machine) { delete machine; }

// What Python's decoder says of a word.
void iss_teach(Machine* machine, uint32_t word, uint8_t operation, uint8_t rd, uint8_t rs1, uint8_t rs2, int32_t imm) {
  machine->known[word] = {word, operation, rd, rs1, rs2, imm};
}

// Confirm retirements from `index` on, each with its clock; gives the index of the first that is not confirmed. `tohost`:
// offset of the word to which stores are left to the readable simulator, or -1. `why` is the reason for the end:
// kAsked: a trap, an interrupt, an alarm, a device, an instruction without an operation here; kUnlike: the fields differ
// (or a fetch or an access would trap); kUnknown: the word at the hart's pc has never been taught.
uint64_t iss_follow(Machine* machine, Hart* harts, int64_t tohost, const uint8_t* records, size_t stride,
                    const uint32_t* clocks, uint64_t index, uint64_t count, int32_t* why) {
  uint8_t* const memory = machine->memory;
  const uint32_t size = machine->size;
  for (; index < count; ++index) {
    const auto& seen = *reinterpret_cast<const Retirement*>(records + index * stride);
    *why = kAsked;
    if (seen.hart >= machine->harts || seen.trap || seen.intr) return index;
    Hart& hart = harts[seen.hart];
    if (clocks[index] >= hart.alarm) return index;
    const uint32_t pc = hart.pc;
    uint32_t* const x = machine->x[seen.hart];
    *why = kUnlike;
    if (pc - kMemoryBase >= machine->fetchable) return index;
    uint32_t word;
    std::memcpy(&word, memory + (pc - kMemoryBase), 4);
    Decoded& d = machine->at[(pc - kMemoryBase) / 4];
    if (d.word != word || d.operation == kNone) {
      const auto found = machine->known.find(word);
      if (found == machine->known.end()) {
        *why = kUnknown;
        return index;
      }
      d = found->second;
    }
    const uint32_t rs1 = x[d.rs1], rs2 = x[d.rs2];
    const int32_t imm = d.imm;
    uint32_t rd = 0, next_pc = pc + 4, address = 0, offset = 0, loaded = 0, stored = 0;
    uint8_t rmask = 0, wmask = 0;
    switch (d.operation) {
      default:
        *why = kAsked;
        return index;
#include "operations.inc"
    }
    if (d.rd == 0) rd = 0;
    Retirement made{};
    made.hart = seen.hart;
    made.pc_rdata = pc;
    made.insn = word;
    made.rs1_addr = d.rs1;
    made.rs1_rdata = rs1;
    made.rs2_addr = d.rs2;
    made.rs2_rdata = rs2;
    made.rd_addr = d.rd;
    made.rd_wdata = rd;
    made.pc_wdata = next_pc;
    made.mem_addr = address;
    made.mem_rmask = rmask;
    made.mem_wmask = wmask;
    made.mem_rdata = loaded;
    made.mem_wdata = stored;
    if (std::memcmp(&made, &seen, sizeof made) != 0) return index;
    if (d.rd) x[d.rd] = rd;
    if (wmask) std::memcpy(memory + offset, &stored, wmask == 15 ? 4 : wmask == 3 ? 2 : 1);
    hart.pc = next_pc;
    hart.clock = clocks[index];
    ++hart.retired;
  }
  *why = kAll;
  return index;
}

}  // extern "C"
