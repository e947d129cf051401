"""Operators of whole networks: exact sums (`linear`), moving data (`shaping`), and one module a framework."""
