"""Optimizers: one file an algorithm, each a function of the history."""
