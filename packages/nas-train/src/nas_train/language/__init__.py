"""Recurrent cells trained as language models: text, the unrolled model, recipes, the loop and the evaluator.

Shapes: t time steps of a chunk, b streams of text side by side, d features, k words.
"""
