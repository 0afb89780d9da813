"""Sameness of recurrent cells: trees of nodes up to the order of their numbers.

Rules `recurrent-1`: nodes may change their numbers, as long as a node's source stays before it. Each node has matrices
of its own and the output is a mean, so cells that differ in nothing else compute the same functions of differently
named parameters. Twins are thus trees with the same root and activations, their branches in any order, and are exactly
the members with isomorphic graphs. No activation is rewritten: with its gate and matrix even an identity counts.

Number of classes (`classes`): with t(n) trees of n nodes whose root also has one of the k activations,

    n · t(n + 1) = Σ_{m=1..n} (Σ_{d | m} d · t(d)) · t(n + 1 - m),  t(1) = k

(the rooted trees of Pólya and Otter in k colours), and t(n) / k where the root's activation is given.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final

RULES: Final = "recurrent-1"


def key(first: str, nodes: Sequence[tuple[int, str]]) -> str:
    """32 hexadecimal digits that cells share exactly when their trees are the same."""
    forms = _forms(first, nodes)
    return hashlib.blake2b(forms[0].encode(), digest_size=16).hexdigest()


def _forms(first: str, nodes: Sequence[tuple[int, str]]) -> list[str]:
    """The subtree of each node as text, branches sorted."""
    branches: list[list[str]] = [[] for _ in range(len(nodes) + 1)]
    forms = [""] * len(branches)
    for j in range(len(nodes), -1, -1):
        activation = nodes[j - 1][1] if j else first
        forms[j] = activation + "(" + ",".join(sorted(branches[j])) + ")"
        if j:
            branches[nodes[j - 1][0]].append(forms[j])
    return forms


def classes(nodes: int, activations: int, root_is_given: bool) -> int:
    """Number of trees of so many nodes up to the order of branches."""
    counts = [0, activations]
    for n in range(1, nodes):
        weighted = [sum(d * counts[d] for d in range(1, m + 1) if m % d == 0) for m in range(1, n + 1)]
        counts.append(sum(w * counts[n - m] for m, w in enumerate(weighted)) // n)
    return counts[nodes] // activations if root_is_given else counts[nodes]
