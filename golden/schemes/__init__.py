"""Quantisation schemes: how each framework turns real scales into integer arithmetic, one module a framework."""
