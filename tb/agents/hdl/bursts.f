// The burst adapters; paths are relative to this file.
stream_stall.sv
burst_source.sv
burst_sink.sv
