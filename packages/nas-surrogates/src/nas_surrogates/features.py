"""What a kernel sees of an architecture: the paths of its graphs, statistics of its graphs, and its decisions.

Notation
    n  architectures
    d  features of a block

A path is the sequence of labels from an input to an output of a graph after everything that computes nothing has gone:
nodes that hand on what they read leave no label (`space.graph_identities`), nodes that give zeros cut every path that
goes through them (`space.graph_zeros`). So two cells that differ in such nodes alone have the same paths ("path
encoding", White, Neiswanger, Savani 2021, "BANANAS", section 3; contraction is ours). In graphs of more than 16 nodes,
where paths may be too many, the sequences of up to three labels along the edges take their place.

The surroundings of a node are its label, the labels that it reads and the labels that read it, in the same contracted
graph: one round of Weisfeiler and Lehman's colouring, as in Ru et al. 2021 ("NAS-BOWL").

Columns of counts are in the order in which what they count was met (`nas_surrogates.counts`). Scales of the others come
from a fixed draw of the space and never change.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, TypeAlias, final

import numpy as np
from numpy.typing import NDArray

from nas_core.architecture import Architecture
from nas_core.decisions import Categorical
from nas_core.encoding import one_hot
from nas_core.graph import Graph
from nas_core.random import rng
from nas_core.space import HasGraphs, Space
from nas_surrogates.counts import Counts, CountTable

FloatArray: TypeAlias = NDArray[np.float64]
Path: TypeAlias = tuple[str, ...]
Kind: TypeAlias = Literal["paths", "surroundings", "statistics", "decisions"]

COUNTED: Final[tuple[Kind, ...]] = ("paths", "surroundings")
"""Kinds of which each feature is a number of occurrences."""

LARGEST: Final = 16
"""Nodes of a graph up to which whole paths are counted."""
MOST_KEPT: Final = 100_000
"""Architectures whose features are kept; when there are more, all are forgotten and computed again when asked for."""
_STATISTICS: Final = "statistics"
_WALK = 3
_SCALED_ON = 512


@dataclass(frozen=True)
class Block:
    """Features of one kind, of one graph where a space has graphs: "paths:cell"."""

    kind: Kind
    graph: str | None = None

    @property
    def name(self) -> str:
        """The kind and the graph."""
        return self.kind if self.graph is None else f"{self.kind}:{self.graph}"


@final
class SpaceFeatures:
    """The features of a space's members, computed once for each and kept.

    Args:
        space: with graphs (then paths and statistics of each, and the decisions) or without (then the decisions alone).
    """

    def __init__(self, space: Space) -> None:
        self.space = space
        self._identities = frozenset(getattr(space, "graph_identities", ()))
        self._zeros = frozenset(getattr(space, "graph_zeros", ()))
        self._row: dict[Architecture, int] = {}
        self._counts: dict[str, CountTable] = {}
        self._kept: dict[str, FloatArray] = {}
        drawn = tuple(dict.fromkeys(space.sample(rng(0, "features", space.name), _SCALED_ON)))
        self.drawn = drawn
        """Members, drawn from the space, that scales are taken from."""
        graphs = tuple(space.graphs(drawn[0])) if isinstance(space, HasGraphs) else ()
        self._labels = tuple(space.graph_labels) if isinstance(space, HasGraphs) else ()
        self._whole = not isinstance(space, HasGraphs) or space.most_nodes <= LARGEST
        self.blocks: tuple[Block, ...] = (  # those of counts first
            *(Block(kind, graph) for kind in (*COUNTED, _STATISTICS) for graph in graphs),
            Block("decisions"),
        )
        self._statistics_scale: dict[str, tuple[FloatArray, FloatArray]] = {}
        for graph in graphs:
            raw = np.array([self._read(space.graphs(a)[graph]).statistics for a in drawn])  # type: ignore[attr-defined]
            spread = raw.std(axis=0)
            self._statistics_scale[graph] = (raw.mean(axis=0), np.where(spread > 1e-9, spread, 1.0))

    def __call__(self, architectures: Sequence[Architecture]) -> dict[str, FloatArray]:
        """The features of n architectures by the name of the block (each n x d); d of paths grows as paths are met."""
        rows = self.rows(architectures)
        return {
            block.name: self.counts(block, rows).dense().astype(np.float64)
            if block.kind in COUNTED
            else self.block(block, rows)
            for block in self.blocks
        }

    def rows(self, architectures: Sequence[Architecture]) -> NDArray[np.int64]:
        """Where the features of architectures are kept (n); those of new ones are computed."""
        new = [a for a in dict.fromkeys(architectures) if a not in self._row]
        if new and len(self._row) + len(new) > MOST_KEPT:
            self._row, self._kept = {}, {}
            for table in self._counts.values():
                table.forget()
            new = list(dict.fromkeys(architectures))
        if new:
            self._compute(new)
        return np.array([self._row[a] for a in architectures], dtype=np.int64)

    def block(self, block: Block, rows: NDArray[np.int64]) -> FloatArray:
        """One block of features that are not counts at kept rows (n x d)."""
        return np.asarray(self._kept[block.name][rows])

    def counts(self, block: Block, rows: NDArray[np.int64]) -> Counts:
        """One block of counts at kept rows."""
        return self._counts[block.name][rows]

    def counted(self, block: Block) -> tuple[Path, ...]:
        """What the columns of a block of counts count."""
        return tuple(self._counts[block.name].column)

    def _compute(self, new: list[Architecture]) -> None:
        graphs = [self.space.graphs(a) for a in new] if isinstance(self.space, HasGraphs) else []
        readings = {name: [self._read(own[name]) for own in graphs] for name in self._statistics_scale}
        for block in self.blocks:
            if block.graph is None:
                self._keep(block.name, scaled_decisions(self.space, new))
            elif block.kind == "statistics":
                mean, spread = self._statistics_scale[block.graph]
                raw = np.array([reading.statistics for reading in readings[block.graph]])
                self._keep(block.name, (raw - mean) / spread)
            else:
                counts = [getattr(reading, block.kind) for reading in readings[block.graph]]
                self._counts.setdefault(block.name, CountTable()).append(counts)
        for a in new:
            self._row[a] = len(self._row)

    def _keep(self, name: str, added: FloatArray) -> None:
        """Append rows; the buffer doubles."""
        count, kept = len(self._row), self._kept.get(name, np.zeros((0, added.shape[1])))
        needed = count + len(added)
        if needed > len(kept):
            grown = np.zeros((max(needed, 2 * len(kept)), added.shape[1]))
            grown[: len(kept)] = kept
            self._kept[name] = kept = grown
        kept[count:needed] = added

    def _read(self, graph: Graph) -> _Reading:
        active = _Active(graph, self._identities, self._zeros)
        paths = active.paths() if self._whole else active.walks()
        statistics = active.statistics(self._labels, paths if self._whole else None)
        return _Reading(paths, active.surroundings(), statistics)


class _Reading(NamedTuple):
    """What is read of one graph; statistics are not scaled yet."""

    paths: dict[Path, int]
    surroundings: dict[Path, int]
    statistics: list[float]


class _Active:
    """The part of a graph that computes something: a node's readings with identities passed through and zeros cut."""

    def __init__(self, graph: Graph, identities: frozenset[str], zeros: frozenset[str]) -> None:
        self.labels = graph.labels
        v = len(self.labels)
        sources: list[list[int]] = [[] for _ in range(v)]
        sinks = [True] * v
        for source, target in graph.edges:
            sources[target].append(source)
            sinks[source] = False
        self.reads: list[dict[int, int] | None] = [None] * v
        """For each node the nodes it reads, with how often; None where nothing reaches it."""
        self.hands: list[dict[int, int]] = [{} for _ in range(v)]
        """What a reader of a node reads: the node itself, or what an identity hands on."""
        self.ends: list[int] = []
        for node, label in enumerate(self.labels):
            if label in zeros:
                continue
            reads: dict[int, int] = {}
            for source in sources[node]:
                for origin, count in self.hands[source].items():
                    reads[origin] = reads.get(origin, 0) + count
            if sources[node] and not reads:
                continue
            if label in identities and sources[node]:
                self.hands[node] = reads
            else:
                self.hands[node] = {node: 1}
                self.reads[node] = reads
            if sinks[node]:
                self.ends.extend(self.hands[node])
        self.alive = self._alive()

    def _alive(self) -> list[int]:
        """The nodes that an end depends on, in order."""
        wanted = set(self.ends)
        for node in range(len(self.labels) - 1, -1, -1):
            if node in wanted:
                wanted.update(self.reads[node] or ())
        return sorted(wanted)

    def paths(self) -> dict[Path, int]:
        """How often each sequence of labels leads from an input to an end."""
        ways: dict[int, dict[Path, int]] = {}
        for node in self.alive:
            label, reads = self.labels[node], self.reads[node]
            here: dict[Path, int] = {} if reads else {(label,): 1}
            for source, times in (reads or {}).items():
                for path, count in ways[source].items():
                    longer = (*path, label)
                    here[longer] = here.get(longer, 0) + times * count
            ways[node] = here
        total: dict[Path, int] = {}
        for node in self.ends:
            for path, count in ways[node].items():
                total[path] = total.get(path, 0) + count
        return total

    def walks(self) -> dict[Path, int]:
        """How many nodes each sequence of up to three labels ends at."""
        ends_with: dict[int, set[Path]] = {}
        total: dict[Path, int] = {}
        for node in self.alive:
            label = self.labels[node]
            here: set[Path] = {(label,)}
            for source in self.reads[node] or ():
                here.update((*walk, label) for walk in ends_with[source] if len(walk) < _WALK)
            ends_with[node] = here
            for walk in sorted(here):
                total[walk] = total.get(walk, 0) + 1
        return total

    def surroundings(self) -> dict[Path, int]:
        """How many nodes have each label, and each label together with the labels around."""
        readers: dict[int, list[str]] = {node: [] for node in self.alive}
        for node in self.alive:
            for source in self.reads[node] or ():
                readers[source].append(self.labels[node])
        total: dict[Path, int] = {}
        for node in self.alive:
            read = sorted([self.labels[source] for source in self.reads[node] or ()])
            for seen in ((self.labels[node],), (*read, ">", self.labels[node], ">", *sorted(readers[node]))):
                total[seen] = total.get(seen, 0) + 1
        return total

    def statistics(self, labels: Sequence[str], paths: Mapping[Path, int] | None) -> list[float]:
        """Size, wiring, lengths, and for each label its nodes and its share of the paths."""
        shortest: dict[int, int] = {}
        longest: dict[int, int] = {}
        edges, most_read, readers = 0, 0, dict.fromkeys(self.alive, 0)
        for node in self.alive:
            reads = self.reads[node] or {}
            shortest[node] = min((shortest[s] for s in reads), default=-1) + 1
            longest[node] = max((longest[s] for s in reads), default=-1) + 1
            edges += sum(reads.values())
            most_read = max(most_read, len(reads))
            for source in reads:
                readers[source] += 1
        ends = dict.fromkeys(self.ends)
        count = sum(paths.values()) if paths else 0
        result = [
            float(len(self.alive)),
            float(edges),
            float(min((shortest[node] for node in ends), default=0)),
            float(max((longest[node] for node in ends), default=0)),
            float(sum(len(self.reads[node] or ()) for node in ends)),
            float(sum(readers[node] for node in self.alive if not self.reads[node])),
            float(most_read),
            float(max(readers.values(), default=0)),
            float(np.log1p(count)),
        ]
        nodes = [self.labels[node] for node in self.alive]
        result += [float(nodes.count(label)) for label in labels]
        if paths is not None:
            lengths = sum(len(path) * times for path, times in paths.items())
            result.append(lengths / count if count else 0.0)
            for label in labels:
                occurrences = sum(path.count(label) * times for path, times in paths.items())
                result.append(occurrences / count if count else 0.0)
        return result


def scaled_decisions(space: Space, architectures: Sequence[Architecture]) -> FloatArray:
    """Decisions as points whose squared distance counts differences (n x d).

    Two choices of a categorical decision are 1 apart, numbers as far as their positions in [0, 1] are, squared.
    """
    scale: list[float] = []
    for decision in space.decisions:
        scale += [np.sqrt(0.5)] * decision.size if isinstance(decision, Categorical) else [1.0, 1.0]
    scaled: FloatArray = one_hot(space, architectures) * np.array(scale)
    return scaled
