// SPDX-License-Identifier: Apache-2.0
// Plays recorded traffic into a verilated PE array without Python: the yardstick of `make bench TOPLEVEL=pe_array`.
//
//   harness TRAFFIC OUTPUT
//
// TRAFFIC is what tb/pe_array/traffic.py writes: little-endian 32-bit numbers: how many weight beats, pixel beats and
// output beats there are; then the weight beats and the pixel beats, each its data in whole words, and tlast. Both
// streams are always valid, the output is always taken. OUTPUT gets every output beat in the same form, tkeep between
// data and tlast, and at the end the clocks from the first weight beat to the last output beat. Standard output:
// simulated clocks and the seconds they took.
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <vector>

#include "Vpe_array.h"
#include "verilated.h"

namespace {

constexpr uint64_t kTimeout = 1'000'000;  // clocks without an output beat: the array hangs

// Ports of up to 64 bits are integers, wider ones arrays of words.
template <typename T>
struct Port {
  static constexpr size_t kWords = sizeof(T) > 4 ? 2 : 1;
  static void put(T& port, const uint32_t* words) {
    uint64_t value = words[0];
    if constexpr (kWords == 2) value |= static_cast<uint64_t>(words[1]) << 32;
    port = static_cast<T>(value);
  }
  static void get(const T& port, std::vector<uint32_t>& words) {
    words.push_back(static_cast<uint32_t>(port));
    if constexpr (kWords == 2) words.push_back(static_cast<uint32_t>(static_cast<uint64_t>(port) >> 32));
  }
};

template <size_t N>
struct Port<VlWide<N>> {
  static constexpr size_t kWords = N;
  static void put(VlWide<N>& port, const uint32_t* words) {
    for (size_t i = 0; i < N; ++i) port[i] = words[i];
  }
  static void get(const VlWide<N>& port, std::vector<uint32_t>& words) {
    for (size_t i = 0; i < N; ++i) words.push_back(port[i]);
  }
};

// One input stream: the next beat is put when the one before was taken.
template <typename T>
struct Stream {
  using Data = Port<T>;
  const uint32_t* next;
  const uint32_t* end;

  void offer(CData& valid, T& data, CData& last) {
    valid = next != end;
    if (!valid) return;
    Data::put(data, next);
    last = static_cast<CData>(next[Data::kWords]);
  }
  void taken() { next += Data::kWords + 1; }
};

template <typename W, typename P, typename D, typename K>
bool play(VerilatedContext& context, Vpe_array& top, const std::vector<uint32_t>& traffic, W& wgt, P& pix, D& out,
          K& keep, std::vector<uint32_t>& output, uint64_t& clocks) {
  const uint32_t* begin = traffic.data() + 3;
  const uint32_t* pixels = begin + traffic[0] * (Port<W>::kWords + 1);
  Stream<W> weight_stream{begin, pixels};
  Stream<P> pixel_stream{pixels, pixels + traffic[1] * (Port<P>::kWords + 1)};
  uint32_t left = traffic[2];
  uint64_t first = 0, idle = 0;
  bool started = false;
  weight_stream.offer(top.wgt_tvalid_i, wgt, top.wgt_tlast_i);
  pixel_stream.offer(top.pix_tvalid_i, pix, top.pix_tlast_i);
  for (clocks = 0; left; ++clocks) {
    top.clk_i = 0;
    top.eval();
    const bool weight = top.wgt_tvalid_i && top.wgt_tready_o, pixel = top.pix_tvalid_i && top.pix_tready_o;
    if (weight && !started) {
      started = true;
      first = clocks;
    }
    if (top.out_tvalid_o) {
      Port<D>::get(out, output);
      Port<K>::get(keep, output);
      output.push_back(top.out_tlast_o);
      if (!--left) output.push_back(static_cast<uint32_t>(clocks - first));
      idle = 0;
    } else if (++idle > kTimeout) {
      return false;
    }
    top.clk_i = 1;
    top.eval();
    context.timeInc(1);
    if (weight) {
      weight_stream.taken();
      weight_stream.offer(top.wgt_tvalid_i, wgt, top.wgt_tlast_i);
    }
    if (pixel) {
      pixel_stream.taken();
      pixel_stream.offer(top.pix_tvalid_i, pix, top.pix_tlast_i);
    }
  }
  return true;
}

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

  VerilatedContext context;
  context.commandArgs(argc, argv);
  Vpe_array top(&context);
  top.rst_ni = 0;
  top.out_tready_i = 1;
  top.reg_rsp_ready_i = 1;
  for (int i = 0; i < 8; ++i) {
    top.clk_i = i & 1;
    top.eval();
  }
  top.rst_ni = 1;
  std::vector<uint32_t> output;
  uint64_t clocks = 0;
  const auto start = std::chrono::steady_clock::now();
  if (!play(context, top, traffic, top.wgt_tdata_i, top.pix_tdata_i, top.out_tdata_o, top.out_tkeep_o, output, clocks)) {
    std::fprintf(stderr, "no output beat for %llu clocks\n", static_cast<unsigned long long>(kTimeout));
    return 1;
  }
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
  std::printf("%llu %.6f\n", static_cast<unsigned long long>(clocks), elapsed.count());
  std::ofstream out(argv[2], std::ios::binary);
  out.write(reinterpret_cast<const char*>(output.data()), static_cast<std::streamsize>(output.size() * 4));
  return out ? 0 : 1;
}
