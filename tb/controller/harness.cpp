// SPDX-License-Identifier: Apache-2.0
// The yardstick of `make bench TOPLEVEL=controller`: it runs a program; see tb/harness/harness.h.
//
// TRAFFIC is what tb/controller/test_controller.py writes: 32-bit words: how often the program runs, how many words both
// memories have, where the harts start, their mask, the address of tohost; then the words. OUTPUT gets the words that ended
// the program. What is measured is from the release of the harts to that word; retired instructions are counted.
#include "Vcontroller.h"
#include "../harness/harness.h"

namespace {

constexpr uint64_t kTimeout = 100'000'000;  // clocks
constexpr uint32_t kMemory = 0x80000000, kHost = 0x01000000;

class Controller : public harness::Clocked<Vcontroller> {
 public:
  explicit Controller(VerilatedContext& context) : Clocked(context) {
    top.host_rsp_ready_i = 1;
    top.bus_req_ready_i = 1;
    reset(4);
    for (int i = 0; i < 4; ++i) clock();
  }

  // One write of the host; the next one goes out when this one is taken.
  void write(uint32_t address, uint32_t word) {
    top.host_req_valid_i = 1;
    top.host_req_write_i = 1;
    top.host_req_addr_i = address;
    top.host_req_wdata_i = word;
    bool taken = false;
    while (!taken) {
      settle();
      taken = top.host_req_ready_o;
      edge();
    }
    top.host_req_valid_i = 0;
  }

  uint64_t retired = 0;  // instructions, in `run`

  // Until an odd word is stored at tohost; gives that word.
  uint32_t run(uint32_t tohost) {
    for (uint64_t i = 0; i < kTimeout; ++i) {
      clock();
      // The lowest bits of rvfi_pkg::rvfi_t: mem_wdata, mem_addr, mem_wmask, valid.
      const uint32_t wdata = top.rvfi_o[0], addr = top.rvfi_o[1], wmask = top.rvfi_o[2] & 0xf;
      const bool valid = top.rvfi_o[2] >> 4 & 1;
      retired += valid;
      if (valid && wmask && addr == tohost && (wdata & 1)) return wdata;
    }
    throw harness::hangs("end of the program", kTimeout);
  }
};

harness::Measured play(VerilatedContext& context, harness::Traffic<uint32_t>& traffic, std::vector<uint32_t>& output) {
  const uint32_t runs = traffic.next(), count = traffic.next(), entry = traffic.next(), harts = traffic.next(), tohost = traffic.next();
  Controller controller(context);
  const uint32_t* const words = traffic.take(count);
  harness::Measured all{0, 0.0};
  for (uint32_t run = 0; run < runs; ++run) {
    controller.write(kHost, ~0u);
    for (uint32_t i = 0; i < count; ++i) controller.write(kMemory + 4 * i, words[i]);
    for (uint32_t hart = 0; hart < 16; ++hart) {
      if (harts >> hart & 1) controller.write(kHost + 0x10 + 4 * hart, entry);
    }
    const auto one = controller.measure([&] {
      controller.write(kHost, ~harts);
      output.push_back(controller.run(tohost));
    });
    all.clocks += one.clocks;
    all.seconds += one.seconds;
  }
  all.count = controller.retired;
  return all;
}

}  // namespace

int main(int argc, char** argv) { return harness::run<uint32_t>(argc, argv, play); }
