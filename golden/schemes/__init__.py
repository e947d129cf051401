# SPDX-License-Identifier: Apache-2.0
"""Quantisation schemes: how each framework turns real scales into integer arithmetic, one module a framework."""
