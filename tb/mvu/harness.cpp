// SPDX-License-Identifier: Apache-2.0
// The yardstick of `make bench TOPLEVEL=mvu`; see tb/harness/harness.h.
//
// TRAFFIC is what tb/mvu/traffic.py writes: 64-bit words: the address of mvustatus, then commands of
//   1 n {address word}*n           register writes
//   2 n {select word lane data}*n  parameter beats
//   3 address n {word}*n           data memory writes
//   4                              wait for the interrupt, clear it
//   5 address n                    data memory reads
//   0                              end
// OUTPUT gets every trace word as 1 address data, every word read as 2 data, and for each job 3 busy-clocks.
#include "Vmvu.h"
#include "../harness/harness.h"

namespace {

using Traffic = harness::Traffic<uint64_t>;

constexpr uint64_t kTimeout = 50'000'000;  // clocks without a job's end: the unit hangs

class Mvu : public harness::Clocked<Vmvu> {
 public:
  Mvu(VerilatedContext& context, uint64_t status, std::vector<uint64_t>& output)
      : Clocked(context), status_(status), output_(output) {
    top.reg_rsp_ready_i = 1;
    top.mem_rsp_ready_i = 1;
    top.xbo_ready_i = 1;
    reset(4);
    step();
  }

  void play(Traffic& traffic) {
    while (const uint64_t command = traffic.next()) {
      switch (command) {
        case 1: registers(traffic); break;
        case 2: parameters(traffic); break;
        case 3: write_memory(traffic); break;
        case 4: wait(); break;
        case 5: read_memory(traffic); break;
        default: throw std::runtime_error("the traffic file has an unknown command " + std::to_string(command));
      }
    }
  }

 private:
  void registers(Traffic& traffic) {
    for (uint64_t n = traffic.next(); n; --n) {
      const uint64_t* p = traffic.take(2);
      write_register(p[0], p[1]);
    }
    top.reg_req_valid_i = 0;
  }

  void write_register(uint64_t address, uint64_t word) {
    top.reg_req_valid_i = 1;
    top.reg_req_write_i = 1;
    top.reg_req_addr_i = address;
    top.reg_req_wdata_i = word;
    pass(top.reg_req_ready_o);
  }

  void parameters(Traffic& traffic) {
    for (uint64_t n = traffic.next(); n; --n) {
      const uint64_t* p = traffic.take(4);
      top.prm_valid_i = 1;
      top.prm_select_i = p[0];
      top.prm_word_i = p[1];
      top.prm_lane_i = p[2];
      top.prm_data_i = p[3];
      pass(top.prm_ready_o);
    }
    top.prm_valid_i = 0;
  }

  void write_memory(Traffic& traffic) {
    uint64_t address = traffic.next();
    for (uint64_t n = traffic.next(); n; --n) {
      top.mem_req_valid_i = 1;
      top.mem_req_write_i = 1;
      top.mem_req_addr_i = address++;
      top.mem_req_wdata_i = traffic.next();
      pass(top.mem_req_ready_o);
    }
    top.mem_req_valid_i = 0;
  }

  void read_memory(Traffic& traffic) {
    uint64_t address = traffic.next();
    const uint64_t n = traffic.next(), first = reads_;
    for (uint64_t i = 0; i < n; ++i) {
      top.mem_req_valid_i = 1;
      top.mem_req_write_i = 0;
      top.mem_req_addr_i = address++;
      pass(top.mem_req_ready_o);
    }
    top.mem_req_valid_i = 0;
    while (reads_ - first < n) step();
  }

  void wait() {
    for (const uint64_t limit = clocks() + kTimeout; !top.irq_o; step()) {
      if (clocks() == limit) throw harness::hangs("interrupt", kTimeout);
    }
    output_.push_back(3);
    output_.push_back(busy_);
    busy_ = 0;
    write_register(status_, 6);
    top.reg_req_valid_i = 0;
  }

  // Holds the inputs until a clock edge at which `ready` is high.
  template <typename T>
  void pass(const T& ready) {
    bool taken;
    do {
      top.eval();
      taken = ready;
      step();
    } while (!taken);
  }

  // One clock; the beats that pass at its edge are recorded.
  void step() {
    settle();
    if (top.trc_valid_o) {
      output_.push_back(1);
      output_.push_back(top.trc_addr_o);
      output_.push_back(top.trc_data_o);
    }
    if (top.mem_rsp_valid_o) {
      output_.push_back(2);
      output_.push_back(top.mem_rsp_rdata_o);
      ++reads_;
    }
    busy_ += top.busy_o;
    edge();
  }

  uint64_t status_;  // address of mvustatus
  std::vector<uint64_t>& output_;
  uint64_t reads_ = 0, busy_ = 0;
};

harness::Measured play(VerilatedContext& context, Traffic& traffic, std::vector<uint64_t>& output) {
  Mvu mvu(context, traffic.next(), output);
  return mvu.measure([&] { mvu.play(traffic); });
}

}  // namespace

int main(int argc, char** argv) { return harness::run<uint64_t>(argc, argv, play); }
