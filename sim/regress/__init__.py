# SPDX-License-Identifier: Apache-2.0
"""A regression: many seeds of many tests on one machine or many, its journal, and what is made of it."""
