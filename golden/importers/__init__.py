# SPDX-License-Identifier: Apache-2.0
"""Readers of model files, one module for each format. Each gives a `golden.graph.Graph`."""
