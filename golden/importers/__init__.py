# SPDX-License-Identifier: Apache-2.0
"""Readers of model files, one module a format; each gives a `golden.graph.Graph`."""
