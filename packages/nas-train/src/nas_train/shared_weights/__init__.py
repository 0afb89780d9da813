"""Shared weights: a bank of parameters by position, and groups of architectures that are trained on it together."""
