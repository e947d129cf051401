# SPDX-License-Identifier: Apache-2.0
"""The PE array: functional and transaction model, packets, mapping of layers, clock formula. See docs/pe_array.md."""
