// SPDX-License-Identifier: Apache-2.0
// Sources of the accelerator in compile order; paths are relative to this file.
-f mvu_array.f
-f ../controller/controller.f
accelerator_decode.sv
accelerator_fabric.sv
accelerator_registers.sv
accelerator_transposer.sv
accelerator_axi_write.sv
accelerator_axi_read.sv
accelerator_controller_port.sv
accelerator_data_port.sv
accelerator_host.sv
accelerator.sv
