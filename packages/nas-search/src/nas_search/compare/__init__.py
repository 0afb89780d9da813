"""Honest comparison of optimizers on tables: every label counts, for everybody in the same way."""
