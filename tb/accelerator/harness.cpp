// SPDX-License-Identifier: Apache-2.0
// The yardstick of `make bench TOPLEVEL=accelerator`: it is the host; see tb/harness/harness.h.
//
// TRAFFIC is what tb/accelerator/traffic.py writes: 64-bit words, of which every beat has two, its lowest bits first:
//   1 n m {aw beat}*n {w beat}*m   writes, answered by n beats of b
//   2 n m {ar beat}*n              reads, answered by m beats of r
//   3                              wait for host_irq_o
//   0                              end
// The fields of a beat are those of the bench top. OUTPUT gets the beats of b and r.
#include "Vaccelerator.h"
#include "../harness/harness.h"

namespace {

using Traffic = harness::Traffic<uint64_t>;

constexpr uint64_t kTimeout = 50'000'000;  // clocks without an answer, or without the interrupt
constexpr size_t kBeat = 2;                // words

uint64_t bits(const uint64_t* beat, int from, int count) {
  uint64_t value = beat[from / 64] >> from % 64;
  if (from % 64 != 0 && from / 64 + 1 < static_cast<int>(kBeat)) value |= beat[from / 64 + 1] << (64 - from % 64);
  return count == 64 ? value : value & ((uint64_t{1} << count) - 1);
}

class Host : public harness::Clocked<Vaccelerator> {
 public:
  Host(VerilatedContext& context, std::vector<uint64_t>& output) : Clocked(context), output_(output) {
    top.s_axi_bready_i = 1;
    top.s_axi_rready_i = 1;
    reset(4);
    for (int i = 0; i < 4; ++i) clock();
  }

  void play(Traffic& traffic) {
    while (const uint64_t command = traffic.next()) {
      if (command == 3) {
        wait();
      } else {
        const bool write = command == 1;
        const uint64_t requests = traffic.next(), beats = traffic.next();
        const uint64_t* const request = traffic.take(requests * kBeat);
        const uint64_t* const data = write ? traffic.take(beats * kBeat) : nullptr;
        transfer(write, request, requests, data, beats);
      }
    }
  }

 private:
  void transfer(bool write, const uint64_t* request, uint64_t requests, const uint64_t* data, uint64_t beats) {
    uint64_t asked = 0, sent = 0, answered = 0, idle = 0;
    const uint64_t answers = write ? requests : beats;
    while (answered < answers) {
      if (write) {
        top.s_axi_awvalid_i = asked < requests;
        if (asked < requests) offer_write(request + kBeat * asked);
        top.s_axi_wvalid_i = sent < beats;
        if (sent < beats) offer_data(data + kBeat * sent);
      } else {
        top.s_axi_arvalid_i = asked < requests;
        if (asked < requests) offer_read(request + kBeat * asked);
      }
      settle();
      asked += write ? top.s_axi_awvalid_i && top.s_axi_awready_o : top.s_axi_arvalid_i && top.s_axi_arready_o;
      sent += write && top.s_axi_wvalid_i && top.s_axi_wready_o;
      const uint64_t before = answered;
      if (write && top.s_axi_bvalid_o) {
        output_.push_back(top.s_axi_bresp_o | top.s_axi_bid_o << 2);
        output_.push_back(0);
        ++answered;
      }
      if (!write && top.s_axi_rvalid_o) {
        output_.push_back(top.s_axi_rdata_o);
        output_.push_back(top.s_axi_rresp_o | top.s_axi_rlast_o << 2 | top.s_axi_rid_o << 3);
        ++answered;
      }
      idle = answered == before ? idle + 1 : 0;
      if (idle > kTimeout) throw harness::hangs("answer", kTimeout);
      edge();
    }
    top.s_axi_awvalid_i = top.s_axi_wvalid_i = top.s_axi_arvalid_i = 0;
  }

  void offer_write(const uint64_t* beat) {
    top.s_axi_awaddr_i = bits(beat, 0, 32);
    top.s_axi_awlen_i = bits(beat, 32, 8);
    top.s_axi_awsize_i = bits(beat, 40, 3);
    top.s_axi_awburst_i = bits(beat, 43, 2);
    top.s_axi_awid_i = bits(beat, 45, 4);
  }

  void offer_read(const uint64_t* beat) {
    top.s_axi_araddr_i = bits(beat, 0, 32);
    top.s_axi_arlen_i = bits(beat, 32, 8);
    top.s_axi_arsize_i = bits(beat, 40, 3);
    top.s_axi_arburst_i = bits(beat, 43, 2);
    top.s_axi_arid_i = bits(beat, 45, 4);
  }

  void offer_data(const uint64_t* beat) {
    top.s_axi_wdata_i = bits(beat, 0, 64);
    top.s_axi_wstrb_i = bits(beat, 64, 8);
    top.s_axi_wlast_i = bits(beat, 72, 1);
  }

  void wait() {
    for (uint64_t i = 0; !top.host_irq_o; ++i) {
      if (i > kTimeout) throw harness::hangs("interrupt", kTimeout);
      clock();
    }
  }

  std::vector<uint64_t>& output_;
};

harness::Measured play(VerilatedContext& context, Traffic& traffic, std::vector<uint64_t>& output) {
  Host host(context, output);
  return host.measure([&] { host.play(traffic); });
}

}  // namespace

int main(int argc, char** argv) { return harness::run<uint64_t>(argc, argv, play); }
