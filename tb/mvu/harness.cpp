// SPDX-License-Identifier: Apache-2.0
// Plays recorded traffic into a verilated MVU without Python: the yardstick of `make bench TOPLEVEL=mvu`.
//
//   harness TRAFFIC OUTPUT
//
// TRAFFIC is what tb/mvu/traffic.py writes: little-endian 64-bit numbers: the address of
// mvustatus, then commands of
//   1 n {address word}*n           register writes
//   2 n {select word lane data}*n  parameter beats
//   3 address n {word}*n           data memory writes
//   4                              wait for the interrupt, clear it
//   5 address n                    data memory reads
//   0                              end
// OUTPUT gets, in the same form, every trace word as 1 address data, every word read as 2 data, and for each job
// 3 busy-clocks. Standard output: simulated clocks and the seconds they took.
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <vector>

#include "Vmvu.h"
#include "verilated.h"

namespace {

constexpr uint64_t kTimeout = 50'000'000;  // clocks without a job's end: the unit hangs

class Harness {
 public:
  Harness(VerilatedContext* context, uint32_t status) : context_(context), top_(context), status_(status) {}

  void reset() {
    top_.rst_ni = 0;
    top_.reg_rsp_ready_i = 1;
    top_.mem_rsp_ready_i = 1;
    top_.xbo_ready_i = 1;
    for (int i = 0; i < 4; ++i) clock();
    top_.rst_ni = 1;
    clock();
  }

  void registers(const uint64_t*& p) {
    for (uint64_t n = *p++; n; --n) {
      top_.reg_req_valid_i = 1;
      top_.reg_req_write_i = 1;
      top_.reg_req_addr_i = *p++;
      top_.reg_req_wdata_i = *p++;
      pass(top_.reg_req_ready_o);
    }
    top_.reg_req_valid_i = 0;
  }

  void parameters(const uint64_t*& p) {
    for (uint64_t n = *p++; n; --n) {
      top_.prm_valid_i = 1;
      top_.prm_select_i = *p++;
      top_.prm_word_i = *p++;
      top_.prm_lane_i = *p++;
      top_.prm_data_i = *p++;
      pass(top_.prm_ready_o);
    }
    top_.prm_valid_i = 0;
  }

  void write_memory(const uint64_t*& p) {
    uint64_t address = *p++;
    for (uint64_t n = *p++; n; --n) {
      top_.mem_req_valid_i = 1;
      top_.mem_req_write_i = 1;
      top_.mem_req_addr_i = address++;
      top_.mem_req_wdata_i = *p++;
      pass(top_.mem_req_ready_o);
    }
    top_.mem_req_valid_i = 0;
  }

  void read_memory(const uint64_t*& p) {
    uint64_t address = *p++;
    const uint64_t n = *p++;
    const uint64_t first = reads_;
    for (uint64_t i = 0; i < n; ++i) {
      top_.mem_req_valid_i = 1;
      top_.mem_req_write_i = 0;
      top_.mem_req_addr_i = address++;
      pass(top_.mem_req_ready_o);
    }
    top_.mem_req_valid_i = 0;
    while (reads_ - first < n) clock();
  }

  bool wait() {
    const uint64_t limit = clocks_ + kTimeout;
    while (!top_.irq_o) {
      if (clocks_ == limit) return false;
      clock();
    }
    output.push_back(3);
    output.push_back(busy_);
    busy_ = 0;
    top_.reg_req_valid_i = 1;
    top_.reg_req_write_i = 1;
    top_.reg_req_addr_i = status_;
    top_.reg_req_wdata_i = 6;
    pass(top_.reg_req_ready_o);
    top_.reg_req_valid_i = 0;
    return true;
  }

  uint64_t clocks() const { return clocks_; }
  std::vector<uint64_t> output;

 private:
  // Holds the inputs until a clock edge at which `ready` is high.
  template <typename T>
  void pass(const T& ready) {
    bool taken;
    do {
      top_.eval();
      taken = ready;
      clock();
    } while (!taken);
  }

  // One clock; the beats that pass at its edge are recorded.
  void clock() {
    top_.clk_i = 0;
    top_.eval();
    if (top_.trc_valid_o) {
      output.push_back(1);
      output.push_back(top_.trc_addr_o);
      output.push_back(top_.trc_data_o);
    }
    if (top_.mem_rsp_valid_o) {
      output.push_back(2);
      output.push_back(top_.mem_rsp_rdata_o);
      ++reads_;
    }
    busy_ += top_.busy_o;
    top_.clk_i = 1;
    top_.eval();
    context_->timeInc(1);
    ++clocks_;
  }

  VerilatedContext* context_;
  Vmvu top_;
  uint32_t status_;  // address of mvustatus
  uint64_t clocks_ = 0, reads_ = 0, busy_ = 0;
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
  std::vector<uint64_t> traffic(static_cast<size_t>(file.tellg()) / 8);
  file.seekg(0);
  file.read(reinterpret_cast<char*>(traffic.data()), static_cast<std::streamsize>(traffic.size() * 8));

  VerilatedContext context;
  context.commandArgs(argc, argv);
  const uint64_t* p = traffic.data();
  Harness harness(&context, static_cast<uint32_t>(*p++));
  harness.reset();
  const uint64_t before = harness.clocks();
  const auto start = std::chrono::steady_clock::now();
  for (uint64_t command; (command = *p++) != 0;) {
    switch (command) {
      case 1: harness.registers(p); break;
      case 2: harness.parameters(p); break;
      case 3: harness.write_memory(p); break;
      case 4:
        if (!harness.wait()) {
          std::fprintf(stderr, "no interrupt after %llu clocks\n", static_cast<unsigned long long>(kTimeout));
          return 1;
        }
        break;
      case 5: harness.read_memory(p); break;
      default: std::fprintf(stderr, "%s: damaged traffic file\n", argv[1]); return 2;
    }
  }
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
  std::printf("%llu %.6f\n", static_cast<unsigned long long>(harness.clocks() - before), elapsed.count());

  std::ofstream out(argv[2], std::ios::binary);
  out.write(reinterpret_cast<const char*>(harness.output.data()),
            static_cast<std::streamsize>(harness.output.size() * 8));
  return out ? 0 : 1;
}
