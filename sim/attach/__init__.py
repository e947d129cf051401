# SPDX-License-Identifier: Apache-2.0
"""Attach Assay to RTL as it is: read a module's ports, recognise its interfaces, write a bench for them.

filelist    source files, file lists (``.f``), include folders and defines of a design
design      the elaborated module: its ports with widths, its parameters (pyslang)
names       the words of a port's name, without the marks of direction that a naming style adds
interfaces  what can be recognised: streams, AXI4, memories, start and done, clock and reset, pins
hints       the TOML file in which a user names what the names do not tell
recognise   from ports to interfaces, hints first
table       what was recognised, for people
top         the bench's SystemVerilog top
project     the files of the new block, written all or not at all
"""
