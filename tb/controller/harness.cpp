// SPDX-License-Identifier: Apache-2.0
// Runs a program on the verilated controller without Python: the yardstick of `make bench TOPLEVEL=controller`.
//
//   harness TRAFFIC OUTPUT
//
// TRAFFIC is what tb/controller/test_controller.py writes: little-endian 32-bit words: how many words both memories have,
// where the harts start, their mask, the address of tohost; then the words. OUTPUT gets the word that ended the program.
// Standard output: simulated clocks from the release of the harts and the seconds they took.
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <vector>

#include "Vcontroller.h"
#include "verilated.h"

namespace {

constexpr uint64_t kTimeout = 100'000'000;  // clocks
constexpr uint32_t kMemory = 0x80000000, kHost = 0x01000000;

class Bench {
 public:
  explicit Bench(VerilatedContext& context) : context_(context), top_(&context) {
    top_.host_rsp_ready_i = 1;
    top_.bus_req_ready_i = 1;
    for (int i = 0; i < 8; ++i) {
      top_.rst_ni = i >= 4;
      clock();
    }
  }

  void clock() {
    top_.clk_i = 0;
    top_.eval();
    top_.clk_i = 1;
    top_.eval();
    context_.timeInc(1);
    ++clocks_;
  }

  // One write of the host; the next one goes out when this one is taken.
  void write(uint32_t address, uint32_t word) {
    top_.host_req_valid_i = 1;
    top_.host_req_write_i = 1;
    top_.host_req_addr_i = address;
    top_.host_req_wdata_i = word;
    bool taken = false;
    while (!taken) {
      top_.clk_i = 0;
      top_.eval();
      taken = top_.host_req_ready_o;
      top_.clk_i = 1;
      top_.eval();
      context_.timeInc(1);
      ++clocks_;
    }
    top_.host_req_valid_i = 0;
  }

  // Until an odd word is stored at tohost; gives that word, 0 when none comes.
  uint32_t run(uint32_t tohost) {
    for (uint64_t i = 0; i < kTimeout; ++i) {
      clock();
      if (top_.rvfi_valid && top_.rvfi_mem_wmask && top_.rvfi_mem_addr == tohost && (top_.rvfi_mem_wdata & 1)) {
        return top_.rvfi_mem_wdata;
      }
    }
    return 0;
  }

  uint64_t clocks() const { return clocks_; }

 private:
  VerilatedContext& context_;
  Vcontroller top_;
  uint64_t clocks_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fprintf(stderr, "usage: %s TRAFFIC OUTPUT\n", argv[0]);
    return 2;
  }
  std::ifstream file(argv[1], std::ios::binary | std::ios::ate);
  if (!file) {
    std::fprintf(stderr, "%s: cannot be read\n", argv[1]);
    return 2;
  }
  std::vector<uint32_t> traffic(static_cast<size_t>(file.tellg()) / 4);
  file.seekg(0);
  file.read(reinterpret_cast<char*>(traffic.data()), static_cast<std::streamsize>(traffic.size() * 4));
  if (traffic.size() < 4 || traffic.size() != 4 + traffic[0]) {
    std::fprintf(stderr, "%s: cut off\n", argv[1]);
    return 2;
  }
  const uint32_t count = traffic[0], entry = traffic[1], harts = traffic[2], tohost = traffic[3];

  VerilatedContext context;
  context.commandArgs(argc, argv);
  Bench bench(context);
  for (uint32_t i = 0; i < count; ++i) bench.write(kMemory + 4 * i, traffic[4 + i]);
  for (uint32_t hart = 0; hart < 16; ++hart) {
    if (harts >> hart & 1) bench.write(kHost + 0x10 + 4 * hart, entry);
  }
  const uint64_t before = bench.clocks();
  const auto start = std::chrono::steady_clock::now();
  bench.write(kHost, ~harts);
  const uint32_t word = bench.run(tohost);
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
  if (word == 0) {
    std::fprintf(stderr, "the program has not ended after %llu clocks\n", static_cast<unsigned long long>(kTimeout));
    return 1;
  }
  std::printf("%llu %.6f\n", static_cast<unsigned long long>(bench.clocks() - before), elapsed.count());
  std::ofstream out(argv[2], std::ios::binary);
  out.write(reinterpret_cast<const char*>(&word), 4);
  return out ? 0 : 1;
}
