# SPDX-License-Identifier: Apache-2.0
"""pyuvm benches: reusable agents, scoreboard, coverage and report; one folder for each TOPLEVEL."""
