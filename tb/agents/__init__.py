# SPDX-License-Identifier: Apache-2.0
"""Reusable agents. An agent knows a protocol, not a design.

Every port of a device is a valid/ready stream. There are two ways to one, with the same calls:

- `tb.agents.burst` and `tb.agents.stream`, the fast one: the bench top declares burst adapters of `hdl/`, and Python
  wakes once for many beats;
- `tb.agents.port`, for any top as it is: Python acts in every clock, at signals given by their names.

Registers and memories are front ends on a request and a response stream (`tb.agents.request_response`), or stand at the
signals of any top: `tb.agents.access` (AXI4-Lite, plain pins), `tb.agents.axi_pins` (AXI4), and `tb.agents.responder`
for a memory that the device itself reads and writes.
"""
