// SPDX-License-Identifier: Apache-2.0
// RTL of the PE array, in compile order
pe_array_pkg.sv
../common/fifo.sv
../common/ram_1r1w.sv
../common/packet_fifo.sv
pe_array_weights.sv
pe_array_pixels.sv
pe_array_sequencer.sv
pe_array_core.sv
../common/rescale_pkg.sv
../common/rescale.sv
pe_array_post.sv
pe_array_softmax.sv
pe_array_drain.sv
pe_array_regs.sv
pe_array.sv
