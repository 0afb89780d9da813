"""Samplers: where an optimizer's pool of candidates comes from, one file a sampler."""
