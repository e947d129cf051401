# SPDX-License-Identifier: Apache-2.0
"""The design of the runner's own tests: a block that no discovery finds."""
