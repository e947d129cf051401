// SPDX-License-Identifier: Apache-2.0
// RTL of the controller, in compile order
controller_pkg.sv
rvfi_pkg.sv
controller_decode_pkg.sv
../common/fifo.sv
controller_decode.sv
controller_alu.sv
controller_regfile.sv
controller_ram.sv
controller_timer.sv
controller_memory.sv
controller_csr.sv
controller_scheduler.sv
controller_bus.sv
controller_divider.sv
controller_host.sv
controller_retire.sv
controller.sv
