# SPDX-License-Identifier: Apache-2.0
"""Attach Assay to RTL as it is: read a module's ports, recognise its interfaces, write a bench for them.

command     ``new``: the arguments, and the steps below in order
filelist    source files, file lists (``.f``), include folders and defines of a design
design      the elaborated module: its ports with widths, its parameters (slang)
names       the words of a port's name, without the marks of direction that a naming style adds
interfaces  what can be recognised: streams, AXI4, memories, start and done, clock and reset, pins
hints       the TOML file in which a user names what the names do not tell
recognise   from ports to interfaces, hints first; `pool`, `axi`, `memory` and `streams` are its parts
table       what was recognised, for people
wiring      how the bench reaches it: the design's own ports, or a bench top that adapts them
naming      names of tensors
plan        what the new files are made of
render      the text of the small files; `bench` that of the bench
repository  writes them, all or none
"""
