# SPDX-License-Identifier: Apache-2.0
"""The accelerator: MVUs, crossbar, controller, host port. See docs/accelerator.md."""
