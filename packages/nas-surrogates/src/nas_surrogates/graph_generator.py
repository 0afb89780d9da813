"""AG-Net's generator: graphs from a latent vector, node by node with message passing (Lukasik et al. 2022, section 3).

Notation
    n  graphs     v  nodes     o  labels, number o is the end     c  classes of edges, 0 is none     r  rows of a node
    z  latent vectors (n x l)     w  width

At each node the state of what stands so far is read out, a gated sum over nodes; from it, z and the number of the node
come scores of the labels; from these and the label comes a score for the edge from every earlier node; and from the
label, z and the messages along the edges the state of the new node, by a gated recurrent unit.

Both kinds of scores are limited to what the samples of the space show (`nas_surrogates.graph_rules`): of the labels
those that may follow, of the rows of edges those that are known, with chances proportional to the exponential of the
sum of the scores of their edges. Where every row is known that is the same as independent edges. What a closing label
must read, and the largest number of edges, limit rows and labels as the graph grows. No graph is repaired or drawn
again: one that is no member comes out as None.

Choices. The paper (after SVGe) sends messages both ways over the whole partial graph anew for every node; here they go
with the edges and once, so that a node's state is settled when it is made: training on known graphs then costs one
vectorised pass a node over the batch, and generation as much. Edges are drawn and not thresholded, the state of a node
follows from the label that was drawn, and batches of any size give the same graphs. Several graphs of an architecture
are made by one network that is told which it makes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple, TypeAlias, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from nas_surrogates.graph_rules import GraphArrays, GraphRules, class_sets
from nas_surrogates.network_training import Linear, redraw, uniform

FloatArray: TypeAlias = NDArray[np.float64]

_NEVER: Final = -1e9


class Scores(NamedTuple):
    """Log chances of labels (n x v x o+1) and, for each node, of rows (v times n x r_i)."""

    labels: Tensor
    rows: list[Tensor]


class Generated(NamedTuple):
    """Generated graphs in numbers, one a latent vector, and the scores of their labels and edges, flat (n x d)."""

    labels: NDArray[np.int64]
    edges: NDArray[np.int64]
    scores: NDArray[np.float32]


@final
class GraphGenerator(nn.Module):
    """The network.

    Args:
        rules: of the space.
        latent: l.
        width: w.
        rng: draws the parameters.
    """

    def __init__(self, rules: GraphRules, latent: int, width: int, rng: np.random.Generator) -> None:
        super().__init__()
        self._tables = _Tables(rules)
        self.latent, self.width = latent, width
        self.free = tuple((rules.kept > 1).tolist())
        """Whether a node has a choice of rows; scores of edges that are no choice are left at 0."""
        o, c, v, g = len(rules.labels), len(rules.ports), rules.nodes, len(rules.names)
        self._o, self._c, self._v = o, c, v
        self.place = uniform((g, v, width), 1.0, rng)
        self.kind = uniform((o + 1, width), 1.0, rng)
        self.label_hidden = Linear(3 * width + latent, 2 * width, rng)
        self.label_scores = Linear(2 * width, o + 1, rng)
        self.entry = Linear(3 * width + latent, width, rng)
        self.edge_source = Linear(width, width, rng)
        self.edge_target = Linear(width, width, rng)
        self.edge_scores = Linear(width, c, rng)
        self.message = Linear(width, c * width, rng, bias=False)
        with torch.random.fork_rng(devices=[]):  # torch draws parameters, which are drawn anew at once
            self.cell = nn.GRUCell(width, width)
        redraw(self.cell, width**-0.5, rng)
        self.gate = Linear(width, 1, rng)
        self.value = Linear(width, width, rng)

    def forward(self, graph: Tensor, labels: Tensor, edges: Tensor, z: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Raw scores of known graphs: of labels (n x v x o+1) and of edges into each node (v times n x i x c).

        Args:
            graph: which of the g graphs each is (n).
            labels: n x v.
            edges: n x v x v, target first.
            z: n x l.
        """
        known = nn.functional.one_hot(edges, self._c + 1)[..., 1:].to(z.dtype)
        states, entries, readouts = self._settled(graph, labels, known, z)
        n, v = labels.shape
        before = torch.cat([torch.full_like(labels[:, :1], self._o), labels[:, :-1]], dim=1)
        context = torch.cat(
            [readouts, self.place[graph], self.kind[before], z[:, None].expand(n, v, self.latent)], dim=2
        )
        return self.label_scores(torch.relu(self.label_hidden(context))), self._into(states, entries)

    def _settled(self, graph: Tensor, labels: Tensor, known: Tensor, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """States of the nodes of known graphs, what entered their cells, and read-outs before them (n x v x w each).

        The last state, which nothing reads, is left at 0. Only what depends on earlier nodes is computed node by node.
        """
        n, v = labels.shape
        w = self.width
        fixed = torch.cat([self.place[graph], self.kind[labels], z[:, None].expand(n, v, self.latent)], dim=2)
        fixed = nn.functional.linear(fixed, self.entry.weight[:, w:], self.entry.bias)
        of_readout = self.entry.weight[:, :w].T
        received, readout = z.new_zeros(n, v, w), z.new_zeros(n, w)
        states, entries, readouts = [], [], []
        for node in range(v):
            entry = torch.relu(torch.addmm(fixed[:, node], readout, of_readout))
            readouts.append(readout)
            entries.append(entry)
            if node + 1 == v:
                states.append(torch.zeros_like(entry))
                break
            state = self.cell(entry, received[:, node])
            readout = torch.addcmul(readout, torch.sigmoid(self.gate(state)), self.value(state))
            sent = self.message(state).reshape(n, self._c, w)
            received = torch.baddbmm(received, known[:, :, node], sent)
            states.append(state)
        return torch.stack(states, dim=1), torch.stack(entries, dim=1), torch.stack(readouts, dim=1)

    def _into(self, states: Tensor, entries: Tensor) -> list[Tensor]:
        """Raw scores of the edges into each node (v times n x i x c); all choices in one pass."""
        n, into = len(states), [states.new_zeros(len(states), node, self._c) for node in range(self._v)]
        chosen = [node for node in range(1, self._v) if self.free[node]]
        if chosen:
            targets = torch.tensor([node for node in chosen for _ in range(node)])
            sources = torch.tensor([source for node in chosen for source in range(node)])
            pairs = self.edge_source(states)[:, sources] + self.edge_target(entries)[:, targets]
            parts = self.edge_scores(torch.relu(pairs)).split(chosen, dim=1)
            for node, part in zip(chosen, parts, strict=True):
                into[node] = part.reshape(n, node, self._c)
        return into

    def scores(self, graph: Tensor, labels: Tensor, edges: Tensor, z: Tensor) -> Scores:
        """Log chances of the labels and rows at every node of known graphs, given what stands before."""
        return self.chances(graph, labels, *self(graph, labels, edges, z))

    def chances(self, graph: Tensor, labels: Tensor, raw: Tensor, into: list[Tensor]) -> Scores:
        """Log chances of raw scores of known graphs."""
        tables, own = self._tables, []
        before = torch.cat([torch.full_like(labels[:, :1], self._o), labels[:, :-1]], dim=1)
        place = torch.arange(self._v).expand_as(labels)
        legal = tables.follows[graph[:, None], place, before]
        for node in range(self._v):
            if not self.free[node]:
                own.append(raw.new_zeros(len(labels), 1))  # the only row is certain
                continue
            allowed = tables.allowed(graph, node, labels[:, node])
            own.append(_log_chances(tables.row_scores(node, into[node]), allowed))
        return Scores(_log_chances(raw, legal), own)

    def losses(self, scores: Scores, labels: Tensor, rows: Tensor) -> Tensor:
        """Cross-entropy of labels and rows (n), a mean over nodes each (the paper's L_V + L_E).

        Args:
            scores: of these graphs.
            labels: n x v; the first end counts, what follows it is no choice.
            rows: the number of each row (n x v), -1 where it is not kept: that does not count.
        """
        of_labels = -scores.labels.gather(2, labels[:, :, None])[:, :, 0].clamp(min=-30.0)
        parts = []
        for node, logs in enumerate(scores.rows):
            known = (rows[:, node] >= 0) & (labels[:, node] < self._o)
            taken = logs.gather(1, rows[:, node : node + 1].clamp(min=0))[:, 0]
            parts.append(torch.where(known, -taken.clamp(min=-30.0), 0.0))
        return of_labels.mean(dim=1) + torch.stack(parts, dim=1).mean(dim=1)

    def expected(self, scores: Scores, labels: Tensor) -> Tensor:
        """Chances of labels and edges as features (n x d), in the order of `GraphRules.one_hot`."""
        n, parts = len(labels), [scores.labels.exp().reshape(len(labels), -1)]
        for node in range(1, self._v):
            real = (labels[:, node] < self._o).to(scores.labels.dtype)[:, None]
            parts.append((scores.rows[node].exp() * real) @ self._tables.rows[node].reshape(-1, node * self._c))
        return torch.cat(parts, dim=1).reshape(n, -1)

    @torch.no_grad()
    def generate(self, graph: NDArray[np.int64], z: FloatArray, noise: FloatArray) -> Generated:
        """One graph a latent vector.

        Args:
            graph: which of the g graphs each is (n).
            z: n x l.
            noise: uniform numbers in [0, 1) (n x v x 2): which label and which row is drawn at each node.
        """
        n, v = len(z), self._v
        which, chance = torch.from_numpy(graph), torch.from_numpy(noise.astype(np.float32)).clamp(max=1.0 - 1e-6)
        walk = _Walk(self, which, torch.from_numpy(z.astype(np.float32)))
        grown = _Grown(self._tables, which, n, v)
        kept: list[Tensor] = []
        for node in range(v):
            raw = walk.label_scores()
            label = _drawn(_log_chances(raw, grown.legal_labels(node)), chance[:, node, 0])
            into = walk.edge_scores(label)
            row = _drawn(
                _log_chances(self._tables.row_scores(node, into), grown.legal_rows(node, label)), chance[:, node, 1]
            )
            walk.take(grown.take(node, label, row))
            kept += [raw, into.reshape(n, -1)]
        scores = torch.cat([*kept[0::2], *kept[1::2]], dim=1)
        return Generated(grown.labels.numpy(), grown.edges.numpy(), scores.numpy())

    def raw_features(self, raw: Tensor, into: list[Tensor]) -> Tensor:
        """Raw scores as features (n x d), in the order of `Generated.scores`."""
        n = len(raw)
        return torch.cat([raw.reshape(n, -1), *(own.reshape(n, -1) for own in into)], dim=1)


class _Walk:
    """The states of graphs that grow node by node."""

    def __init__(self, network: GraphGenerator, graph: Tensor, z: Tensor) -> None:
        n, width = len(z), network.width
        self._network, self._z, self._places = network, z, network.place[graph]
        self._label = network.kind[torch.full((n,), network._o, dtype=torch.int64)]
        self._readout = z.new_zeros(n, width)
        self._sources: list[Tensor] = []
        self._messages: list[Tensor] = []
        self._entry = z

    def _context(self) -> Tensor:
        return torch.cat([self._readout, self._places[:, len(self._messages)], self._label, self._z], dim=1)

    def label_scores(self) -> Tensor:
        """Raw scores of the labels of the next node (n x o+1)."""
        network = self._network
        return torch.as_tensor(network.label_scores(torch.relu(network.label_hidden(self._context()))))

    def edge_scores(self, labels: Tensor) -> Tensor:
        """Raw scores of the edges into the next node, which has these labels (n x i x c)."""
        network = self._network
        self._label = network.kind[labels]
        self._entry = torch.relu(network.entry(self._context()))
        node = len(self._messages)
        if not network.free[node]:
            return self._z.new_zeros(len(self._z), node, network._c)
        target = network.edge_target(self._entry)[:, None]
        return torch.as_tensor(network.edge_scores(torch.relu(torch.stack(self._sources, dim=1) + target)))

    def take(self, edges: Tensor) -> None:
        """Add the node with the edges that were chosen (n x i x c, zeros and ones)."""
        network, n = self._network, len(self._z)
        received = self._z.new_zeros(n, network.width)
        if self._messages:
            sent = torch.stack(self._messages, dim=1).reshape(n, -1, network.width)
            received = torch.bmm(edges.reshape(n, 1, -1), sent)[:, 0]
        state = network.cell(self._entry, received)
        self._readout = self._readout + torch.sigmoid(network.gate(state)) * network.value(state)
        if any(network.free):
            self._sources.append(network.edge_source(state))
        self._messages.append(network.message(state).reshape(n, network._c, network.width))


class _Tables:
    """The rules as tensors."""

    def __init__(self, rules: GraphRules) -> None:
        self.o, self.c = len(rules.labels), len(rules.ports)
        self.follows = torch.from_numpy(rules.follows)
        self.rows: list[Tensor] = []
        self.read_rows: list[Tensor] = []
        self.row_labels: list[Tensor] = []
        for node in range(rules.nodes):
            kept = max(int(rules.kept[node]), 1)
            own = torch.from_numpy(rules.table[node, :kept, :node].astype(np.int64))
            self.rows.append(nn.functional.one_hot(own, self.c + 1)[..., 1:].to(torch.float32))
            self.read_rows.append((own > 0).to(torch.float32))
            legal = torch.from_numpy(rules.row_labels[:, node, :kept])
            self.row_labels.append(torch.cat([legal, torch.ones_like(legal[..., :1])], dim=2).transpose(1, 2))
        self.pairs = torch.from_numpy(rules.pairs)
        self.paired = torch.from_numpy(rules.paired)
        self.read = torch.from_numpy(np.pad(rules.read, ((0, 0), (0, 1))))
        self.closing = torch.from_numpy(np.pad(rules.closing, ((0, 0), (0, 1))))
        self.only_loose = torch.from_numpy(rules.only_loose)
        self.most_loose = torch.from_numpy(rules.most_loose)
        self.endings = torch.from_numpy(rules.endings)
        self.ends = [
            torch.from_numpy(class_sets(rules.table[node, : len(own)], self.c)) for node, own in enumerate(self.rows)
        ]
        self.most_edges = torch.from_numpy(rules.most_edges)

    def allowed(self, graph: Tensor, node: int, labels: Tensor) -> Tensor:
        """Which rows go with labels (n x r)."""
        return self.row_labels[node][graph, labels]

    def row_scores(self, node: int, into: Tensor) -> Tensor:
        """The sums of the scores of edges in each row (n x r)."""
        return into.reshape(len(into), -1) @ self.rows[node].reshape(len(self.rows[node]), -1).T


class _Grown:
    """Graphs that are being generated, and what may come next."""

    def __init__(self, tables: _Tables, graph: Tensor, n: int, v: int) -> None:
        self._tables, self._graph = tables, graph
        self.labels = torch.full((n, v), tables.o, dtype=torch.int64)
        self.edges = torch.zeros((n, v, v), dtype=torch.int64)
        self._rows = torch.zeros(n, dtype=torch.int64)
        self._loose = torch.zeros((n, v), dtype=torch.bool)
        self._count = torch.zeros(n, dtype=torch.int64)
        self._silent = torch.zeros(n, dtype=torch.int64)  # nodes that read nothing

    def legal_labels(self, node: int) -> Tensor:
        """N x o+1; a label after which the edges could not suffice is left out if another is left."""
        tables, o = self._tables, self._tables.o
        before = self.labels[:, node - 1] if node else torch.full_like(self._count, o)
        legal = tables.follows[self._graph, node, before]
        # a node that is no last one takes an edge at least, and is loose itself afterwards unless it read a loose one
        needed = self._count + self._loose.sum(dim=1).clamp(min=1) + (node > 0)
        spent = (needed > tables.most_edges[self._graph])[:, None] & ~tables.closing[self._graph]
        legal = _where_any(legal & ~spent, legal)
        if node == 0 or not bool(tables.closing.any()):
            return legal
        rows = self._closing_rows(node).to(torch.float32)
        closes = torch.bmm(rows[:, None], tables.row_labels[node][self._graph].to(torch.float32).transpose(1, 2))[:, 0]
        return _where_any(legal & (~tables.closing[self._graph] | (closes > 0)), legal)

    def _closing_rows(self, node: int) -> Tensor:
        """Which rows may end a graph (n x r): they read what is left, and what an ending may."""
        tables, reads = self._tables, self._tables.read_rows[node]
        loose = self._loose[:, :node].to(reads.dtype)
        covered = loose @ reads.T
        legal = covered == loose.sum(dim=1, keepdim=True)
        other = reads.sum(dim=1) - covered
        legal &= ~tables.only_loose[self._graph][:, None] | (other == 0)
        return legal & tables.endings[self._graph, self._silent][:, tables.ends[node]]

    def legal_rows(self, node: int, labels: Tensor) -> Tensor:
        """Which rows may stand at a node with these labels (n x r); conditions that none fulfils are dropped."""
        tables, graph = self._tables, self._graph
        legal = tables.allowed(graph, node, labels)
        if node == 0:
            return legal
        if bool(tables.paired[:, node].any()):
            few = tables.pairs.shape[2]
            known = tables.pairs[graph, node, self._rows.clamp(max=few - 1)][:, : legal.shape[1]]
            legal = _where_any(legal & (known | ~tables.paired[graph, node][:, None]), legal)
        reads = tables.read_rows[node]
        loose = self._loose[:, :node].to(reads.dtype)
        covered = loose @ reads.T
        left = loose.sum(dim=1, keepdim=True) - covered
        closing = tables.closing[graph, labels][:, None]
        count = self._count[:, None] + reads.sum(dim=1)
        after = count + torch.where(closing, 0.0, left + tables.read[graph, labels][:, None])
        legal = _where_any(legal & (after <= tables.most_edges[graph][:, None]), legal)
        behind = left + tables.read[graph, labels][:, None]
        legal = _where_any(legal & (closing | (behind <= tables.most_loose[graph, node][:, None])), legal)
        return _where_any(legal & (~closing | self._closing_rows(node)), legal)

    def take(self, node: int, labels: Tensor, rows: Tensor) -> Tensor:
        """Add the nodes; the edges that were chosen, one-hot (n x i x c)."""
        tables, real = self._tables, labels < self._tables.o
        chosen = tables.rows[node][rows] * real[:, None, None]
        self.labels[:, node], self._rows = labels, rows
        numbers = torch.arange(1, tables.c + 1)
        self.edges[:, node, :node] = (chosen * numbers).sum(dim=2).to(torch.int64)
        read = chosen.sum(dim=2) > 0
        self._loose[:, :node] &= ~read
        self._loose[:, node] = tables.read[self._graph, labels]
        self._count += read.sum(dim=1)
        self._silent += (~read.any(dim=1) & real).to(torch.int64)
        return chosen


def _where_any(legal: Tensor, otherwise: Tensor) -> Tensor:
    """The first where it allows something, else the second (n x k)."""
    return torch.where(legal.any(dim=1, keepdim=True), legal, otherwise)


def _log_chances(scores: Tensor, legal: Tensor) -> Tensor:
    return torch.log_softmax(scores.masked_fill(~legal, _NEVER), dim=-1)


def _drawn(logs: Tensor, chance: Tensor) -> Tensor:
    """The first choice (n) at which the sum of the chances exceeds a uniform number; never one without a chance."""
    sums = logs.exp().cumsum(dim=1)
    found = (sums <= (chance * sums[:, -1])[:, None]).sum(dim=1)
    return found.clamp(max=logs.shape[1] - 1)


def numbered(
    arrays: GraphArrays, rows: NDArray[np.int64], chosen: Sequence[int] = ()
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Graphs of n architectures, all g or those chosen, one after the other: which of the g, labels, edges, rows."""
    n, g, v = arrays.labels.shape
    own = list(chosen) or list(range(g))
    labels, edges = arrays.labels[:, own].reshape(-1, v), arrays.edges[:, own].reshape(-1, v, v)
    which = torch.tensor(own).repeat(n)
    return which, torch.from_numpy(labels), torch.from_numpy(edges), torch.from_numpy(rows[:, own].reshape(-1, v))
