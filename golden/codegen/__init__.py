"""Integer networks to memory images and firmware of the accelerator. See docs/accelerator.md."""
