// SPDX-License-Identifier: Apache-2.0
// The yardstick of `make bench TOPLEVEL=pe_array`; see tb/harness/harness.h.
//
// TRAFFIC is what tb/pe_array/traffic.py writes: 32-bit words: how many weight beats, pixel beats and output beats there
// are; then the weight beats and the pixel beats, each its data in whole words, and tlast. Both streams are always valid,
// the output is always taken. OUTPUT gets every output beat in the same form, tkeep between data and tlast, and at the end
// the clocks from the first weight beat to the last output beat.
#include "Vpe_array.h"
#include "../harness/harness.h"

namespace {

using Traffic = harness::Traffic<uint32_t>;

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

using Array = harness::Clocked<Vpe_array>;

// W, P, D, K: the ports of weights, pixels, output and tkeep, whose types depend on the array's size.
template <typename W, typename P, typename D, typename K>
void play_ports(Array& array, Traffic& traffic, W& wgt, P& pix, D& out, K& keep, std::vector<uint32_t>& output) {
  Vpe_array& top = array.top;
  const uint32_t weights = traffic.next(), pixels = traffic.next();
  uint32_t left = traffic.next();
  const size_t weight_words = weights * (Port<W>::kWords + 1), pixel_words = pixels * (Port<P>::kWords + 1);
  const uint32_t* begin = traffic.take(weight_words);
  Stream<W> weight_stream{begin, begin + weight_words};
  begin = traffic.take(pixel_words);
  Stream<P> pixel_stream{begin, begin + pixel_words};
  uint64_t first = 0, idle = 0;
  bool started = false;
  weight_stream.offer(top.wgt_tvalid_i, wgt, top.wgt_tlast_i);
  pixel_stream.offer(top.pix_tvalid_i, pix, top.pix_tlast_i);
  while (left) {
    array.settle();
    const bool weight = top.wgt_tvalid_i && top.wgt_tready_o, pixel = top.pix_tvalid_i && top.pix_tready_o;
    if (weight && !started) {
      started = true;
      first = array.clocks();
    }
    if (top.out_tvalid_o) {
      Port<D>::get(out, output);
      Port<K>::get(keep, output);
      output.push_back(top.out_tlast_o);
      if (!--left) output.push_back(static_cast<uint32_t>(array.clocks() - first));
      idle = 0;
    } else if (++idle > kTimeout) {
      throw harness::hangs("output beat", kTimeout);
    }
    array.edge();
    if (weight) {
      weight_stream.taken();
      weight_stream.offer(top.wgt_tvalid_i, wgt, top.wgt_tlast_i);
    }
    if (pixel) {
      pixel_stream.taken();
      pixel_stream.offer(top.pix_tvalid_i, pix, top.pix_tlast_i);
    }
  }
}

harness::Measured play(VerilatedContext& context, Traffic& traffic, std::vector<uint32_t>& output) {
  Array array(context);
  Vpe_array& top = array.top;
  top.out_tready_i = 1;
  top.reg_rsp_ready_i = 1;
  array.reset(4);
  return array.measure([&] {
    play_ports(array, traffic, top.wgt_tdata_i, top.pix_tdata_i, top.out_tdata_o, top.out_tkeep_o, output);
  });
}

}  // namespace

int main(int argc, char** argv) { return harness::run<uint32_t>(argc, argv, play); }
