# SPDX-License-Identifier: Apache-2.0
"""The frameworks' own runtimes behind the golden models' call `trace`, as references for graphs."""
