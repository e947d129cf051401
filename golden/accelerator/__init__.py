"""The accelerator: MVUs, crossbar, controller and host port. Parameters, registers, memory map, transposer, system model. See docs/accelerator.md."""
