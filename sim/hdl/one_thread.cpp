// SPDX-License-Identifier: Apache-2.0
// A model of one thread needs no pool of threads. Verilator makes one by the number of cores unless it is told before
// the first model is made, and a process with idle threads cannot be forked (sim/fork_point.py).
#include "verilated.h"

namespace {
const bool told = (Verilated::threadContextp()->threads(1), true);
}
