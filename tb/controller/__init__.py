"""Bench of the controller: lock-step with the instruction-set simulator."""
