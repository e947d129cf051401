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

// As _DECODED in compiled.py.
struct Decoded {
  uint32_t word;
  int32_t imm;
  uint8_t operation, rd, rs1, rs2;
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

// Arrays with an element a hart. Python sets `pc` and `alarm` before `iss_follow` and reads what it leaves.
struct Harts {
  uint32_t* pc;
  int64_t* alarm;     // from this clock on its retirements are left to the readable simulator
  int64_t* clock;     // of its last retirement that was confirmed
  uint64_t* retired;  // how many were confirmed
};

enum Stop : int32_t { kAll, kAsked, kUnlike, kUnknown };

Machine* iss_make(uint8_t* memory, uint32_t fetchable, uint32_t size, uint32_t harts, uint32_t** x) {
  return new Machine{memory, fetchable, size, harts, {x, x + harts}, std::vector<Decoded>(fetchable / 4), {}};
}

void iss_free(Machine* machine) { delete machine; }

// What Python's decoder says of words.
void iss_teach(Machine* machine, const Decoded* words, size_t count) {
  for (size_t i = 0; i < count; ++i) machine->known[words[i].word] = words[i];
}

// Confirm retirements from `index` on, each with its clock; gives the index of the first that is not confirmed. `tohost`:
// offset of the word to which stores are left to the readable simulator, or -1. `why` is the reason for the end:
// kAsked: a trap, an interrupt, an alarm, a device, an instruction without an operation here; kUnlike: the fields differ
// (or a fetch or an access would trap); kUnknown: the word at the hart's pc has never been taught.
uint64_t iss_follow(Machine* machine, const Harts* harts, int64_t tohost, const uint8_t* records, size_t stride,
                    const uint32_t* clocks, uint64_t index, uint64_t count, int32_t* why) {
  uint8_t* const memory = machine->memory;
  const uint32_t size = machine->size;
  for (; index < count; ++index) {
    const auto& seen = *reinterpret_cast<const Retirement*>(records + index * stride);
    *why = kAsked;
    if (seen.hart >= machine->harts || seen.trap || seen.intr) return index;
    if (clocks[index] >= harts->alarm[seen.hart]) return index;
    const uint32_t pc = harts->pc[seen.hart];
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
    // Field by field: a structure of its own would go through memory. Trap and intr have been looked at.
    static_assert(sizeof(Retirement) == 8 * 1 + 11 * 4, "a field is not compared");
    const uint32_t unlike = (seen.pc_rdata ^ pc) | (seen.insn ^ word) | seen.cause | (seen.rs1_addr ^ d.rs1) |
                            (seen.rs1_rdata ^ rs1) | (seen.rs2_addr ^ d.rs2) | (seen.rs2_rdata ^ rs2) |
                            (seen.rd_addr ^ d.rd) | (seen.rd_wdata ^ rd) | (seen.pc_wdata ^ next_pc) |
                            (seen.mem_addr ^ address) | (seen.mem_rmask ^ rmask) | (seen.mem_wmask ^ wmask) |
                            (seen.mem_rdata ^ loaded) | (seen.mem_wdata ^ stored) | seen.csr;
    if (unlike) return index;
    if (d.rd) x[d.rd] = rd;
    if (wmask) std::memcpy(memory + offset, &stored, wmask == 15 ? 4 : wmask == 3 ? 2 : 1);
    harts->pc[seen.hart] = next_pc;
    harts->clock[seen.hart] = clocks[index];
    ++harts->retired[seen.hart];
  }
  *why = kAll;
  return index;
}

}  // extern "C"
