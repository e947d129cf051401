// SPDX-License-Identifier: Apache-2.0
// Every amount of every shift of shifts.sv, on some values. Prints how many results are wrong; ends with 1 if any is.
#include <cstdint>
#include <cstdio>

#include "Vshifts.h"
#include "verilated.h"

namespace {

uint64_t left(uint64_t value, unsigned amount, unsigned width) {
  return amount >= width ? 0 : (value << amount) & (~0ull >> (64 - width));
}

uint64_t right(uint64_t value, unsigned amount) { return amount >= 64 ? 0 : value >> amount; }

uint64_t arithmetic(uint64_t value, unsigned amount) { return static_cast<uint8_t>(static_cast<int8_t>(value) >> amount); }

}  // namespace

int main() {
  VerilatedContext context;
  Vshifts dut{&context};
  unsigned wrong = 0, all = 0;
  auto expect = [&](const char* name, uint64_t seen, uint64_t expected) {
    ++all;
    if (seen != expected && ++wrong <= 5) {
      std::printf("%s: value %u, amounts %u, %u, %u: expected %llu, seen %llu\n", name, dut.value_i, dut.first_i,
                  dut.second_i, dut.narrow_i, static_cast<unsigned long long>(expected),
                  static_cast<unsigned long long>(seen));
    }
  };
  for (unsigned value : {0x01u, 0x80u, 0xa5u, 0xffu}) {
    for (unsigned amounts = 0; amounts < 256; ++amounts) {
      const unsigned a = amounts & 7, b = (amounts >> 3) & 7, c = amounts >> 6;
      dut.clk_i = 0;
      dut.value_i = value;
      dut.first_i = a;
      dut.second_i = b;
      dut.narrow_i = c;
      dut.eval();
      dut.clk_i = 1;
      dut.eval();
      expect("left", dut.left_o, left(left(value, a, 8), b, 8));
      expect("right", dut.right_o, right(right(value, a), b));
      expect("arithmetic", dut.arithmetic_o, arithmetic(arithmetic(value, a), b));
      expect("left in steps", dut.left_in_steps_o, left(left(value, a, 8), b, 8));
      expect("right in steps", dut.right_in_steps_o, right(right(value, a), b));
      expect("arithmetic in steps", dut.arithmetic_in_steps_o, arithmetic(arithmetic(value, a), b));
      expect("narrow left", dut.narrow_left_o, left(left(value, a, 8), c, 8));
      expect("narrow right", dut.narrow_right_o, right(right(value, c), b));
      expect("three left", dut.three_left_o, left(left(left(value, a, 8), b, 8), c, 8));
      expect("three right", dut.three_right_o, right(right(right(value, a), b), c));
      expect("wide left", dut.wide_left_o, left(left(value, 8 * a + 7, 64), 8 * b + 7, 64));
      expect("wide right", dut.wide_right_o, right(right(static_cast<uint64_t>(value) << 56, 8 * a + 7), 8 * b + 7));
      expect("constant left", dut.constant_left_o, left(left(value, a, 8), 6, 8));
      expect("constant right", dut.constant_right_o, right(right(value, 6), b));
      expect("both ways", dut.both_ways_o, right(left(value, a, 8), b));
      expect("procedural", dut.procedural_o, right(right(value, a), c != 0 ? b : 0));
      expect("clocked", dut.clocked_o, left(left(value, a, 8), b, 8));
    }
  }
  dut.final();
  std::printf("%u of %u results are wrong\n", wrong, all);
  return wrong != 0;
}
