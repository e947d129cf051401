# SPDX-License-Identifier: Apache-2.0
"""Reusable agents. An agent knows a protocol, not a design.

Every port of a device is a valid/ready stream (`tb.agents.stream`); registers and memories are front ends
on a request and a response stream. `hdl/` holds the burst adapters that stand between Python and the ports.
"""
