// SPDX-License-Identifier: Apache-2.0
// What the C++ harnesses share: the yardsticks of `make bench`, which play recorded traffic into a verilated block without
// Python.
//
//   harness TRAFFIC OUTPUT
//
// TRAFFIC and OUTPUT hold little-endian words of the type that the block's harness names; its head says what they mean.
// Standard output: simulated clocks, the seconds they took, and what else the block counts, or 0. A failure is one line on standard error and status 1.
//
// A block's tb/<block>/harness.cpp drives its ports through a `Clocked` and has this main:
//
//   int main(int argc, char** argv) { return harness::run<uint32_t>(argc, argv, play); }
//   harness::Measured play(VerilatedContext& context, harness::Traffic<uint32_t>& traffic, std::vector<uint32_t>& output);
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <fstream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "verilated.h"

namespace harness {

// Words that are read one after the other; to read beyond the last is an error.
template <typename Word>
class Traffic {
 public:
  explicit Traffic(const char* path) {
    std::ifstream file(path, std::ios::binary | std::ios::ate);
    if (!file) throw std::runtime_error(std::string(path) + " cannot be read");
    words_.resize(static_cast<size_t>(file.tellg()) / sizeof(Word));
    file.seekg(0);
    file.read(reinterpret_cast<char*>(words_.data()), static_cast<std::streamsize>(words_.size() * sizeof(Word)));
  }

  Word next() { return *take(1); }

  // The next `count` words.
  const Word* take(size_t count) {
    if (count > words_.size() - at_) throw std::runtime_error("the traffic file ends inside of a command");
    at_ += count;
    return words_.data() + at_ - count;
  }

 private:
  std::vector<Word> words_;
  size_t at_ = 0;
};

struct Measured {
  uint64_t clocks;
  double seconds;
  uint64_t count = 0;  // of whatever else the block counts
};

// A block with ports clk_i and rst_ni. In a clock, `settle` shows what its outputs are before the edge, `edge` is the edge.
template <typename Top>
class Clocked {
 public:
  explicit Clocked(VerilatedContext& context) : top(&context), context_(context) {}

  void reset(int clocks) {
    top.rst_ni = 0;
    for (int i = 0; i < clocks; ++i) clock();
    top.rst_ni = 1;
  }

  void settle() {
    top.clk_i = 0;
    top.eval();
  }

  void edge() {
    top.clk_i = 1;
    top.eval();
    context_.timeInc(1);
    ++clocks_;
  }

  void clock() {
    settle();
    edge();
  }

  uint64_t clocks() const { return clocks_; }

  // The clocks and seconds that `work` takes.
  template <typename Work>
  Measured measure(Work work) {
    const uint64_t before = clocks_;
    const auto start = std::chrono::steady_clock::now();
    work();
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
    return {clocks_ - before, elapsed.count()};
  }

  Top top;

 private:
  VerilatedContext& context_;
  uint64_t clocks_ = 0;
};

// The whole of `main`: `play(context, traffic, output)` gives what it measured, and throws if the block hangs.
template <typename Word, typename Play>
int run(int argc, char** argv, Play play) {
  if (argc < 3) {
    std::fprintf(stderr, "usage: %s TRAFFIC OUTPUT\n", argv[0]);
    return 1;
  }
  try {
    Traffic<Word> traffic(argv[1]);
    std::vector<Word> output;
    VerilatedContext context;
    context.commandArgs(argc, argv);
    const Measured measured = play(context, traffic, output);
    std::ofstream file(argv[2], std::ios::binary);
    file.write(reinterpret_cast<const char*>(output.data()),
               static_cast<std::streamsize>(output.size() * sizeof(Word)));
    if (!file.flush()) throw std::runtime_error(std::string(argv[2]) + " cannot be written");
    std::printf("%llu %.6f %llu\n", static_cast<unsigned long long>(measured.clocks), measured.seconds,
                static_cast<unsigned long long>(measured.count));
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
  return 0;
}

// The error of a block that has not done `what` for `clocks`.
inline std::runtime_error hangs(const std::string& what, uint64_t clocks) {
  return std::runtime_error("no " + what + " for " + std::to_string(clocks) + " clocks");
}

}  // namespace harness
