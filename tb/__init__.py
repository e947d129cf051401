"""pyuvm benches: reusable agents, scoreboard, coverage and report; one folder for each TOPLEVEL."""
