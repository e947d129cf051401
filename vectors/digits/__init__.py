# SPDX-License-Identifier: Apache-2.0
"""Quantised networks for scikit-learn's 8x8 handwritten digits, and the script that trained them."""
