# SPDX-License-Identifier: Apache-2.0
"""Small blocks of other styles: see `block`."""
