// SPDX-License-Identifier: Apache-2.0
// Sources of the MVU in compile order; paths are relative to this file.
mvu_pkg.sv
../common/ram_1r1w.sv
../common/fifo.sv
../common/bank_arbiter.sv
mvu_agu.sv
mvu_planes.sv
mvu_window.sv
mvu_sequencer.sv
mvu_mac.sv
mvu_post.sv
mvu_residual.sv
mvu_serialiser.sv
mvu_data_memory.sv
mvu_regs.sv
mvu.sv
