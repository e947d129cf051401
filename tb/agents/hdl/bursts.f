// SPDX-License-Identifier: Apache-2.0
// The burst adapters; paths are relative to this file.
stream_stall.sv
burst_source.sv
burst_sink.sv
