"""The accelerator: MVUs, crossbar, controller, host port. See docs/accelerator.md."""
