// SPDX-License-Identifier: Apache-2.0
// Sources of MVUs and crossbar in compile order; paths are relative to this file.
-f ../mvu/mvu.f
accelerator_pkg.sv
accelerator_arbiter.sv
accelerator_crossbar.sv
mvu_array.sv
