"""Graph convolutional network with a global node, and the surrogate `gcn` on its embedding (BONAS 3.1).

Notation
    n  architectures      g  graphs of an architecture      v  nodes, padded to the space's most
    o  labels             r  relations                      d  width of a layer

Every node reads the nodes that feed it and itself, and one more node, the global one, reads all others and itself; the
embedding of an architecture is what four layers leave in its global node. A layer is ReLU(A H W + b), batched over
padded graphs. An architecture with several graphs (a normal and a reduction cell) has its graphs embedded by the same
network, side by side.

Paper and published code differ; the paper is the default unless said otherwise, the code a named option:

    normalisation    D^-1/2 (A + I) D^-1/2, D the row sums (Kipf and Welling 2016; equation 3 has a sign mistyped);
                     the code sums without it: normalise="none". The default "auto" takes the paper's where all
                     members have the same edges (below)
    batch norm       none; after every layer in the code: batch_norm=true
    loss             (exp(y) - 1) / (e - 1); exp(y - 1) in the code: loss="exponential_code"
    direction        not stated; as in the code, along the edges and into the global node
    padding          not stated; the code lets padded rows feed the global node through their biases, here they are cut
                     off, so that a graph's embedding does not depend on the space's largest
    parameters       not stated; uniform within 1 / sqrt(inputs), where the code has 0.05

Where members differ in their edges, the paper's normalisation takes away how many there are, which says much of an
architecture (a sum tells apart what a mean does not: Xu et al. 2019, "How Powerful are Graph Neural Networks?"). On the
sample of NAS-Bench-101 `bonas` met the best of 20,001 cells after 369 labels on average with the sum; with the paper's
normalisation after 570, where 14 of 20 seeds count as 600 (`bonas_nb101`, `bonas_nb101_symmetric`). On NAS-Bench-201,
whose edges are always the same, the paper's met the optimum after 66 labels and the sum after 162 (50 seeds:
`bonas_nb201`, `bonas_nb201_unnormalised`).

The 100 epochs of paper and code are few while labels are few, one step each: with epochs=300 `bonas` met the best cell
of that sample after 250 labels, at twice the time a label (`bonas_nb101_epochs_300`).

Ports (a `blend` of NAS-Bench-NLP) are relations: besides A with all edges, edges into each port from 1 on have a matrix
and weights of their own (Schlichtkrull et al. 2018), up to the highest port in a fixed draw of 64 members.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final, final

import numpy as np
import torch
from torch import Tensor, nn

from nas_core.architecture import Architecture
from nas_core.encoding import padded_graphs
from nas_core.errors import InvalidOption
from nas_core.graph import Graph
from nas_core.random import rng as stream
from nas_core.space import Space, require
from nas_core.training_set import TrainingSet
from nas_surrogates import neural_linear
from nas_surrogates.kept_encodings import Arrays, KeptEncodings
from nas_surrogates.network_training import Linear, Training, uniform, whole
from nas_surrogates.neural_linear import NeuralLinearPosterior, Pool

NORMALISATIONS: Final = ("auto", "symmetric", "none")
_DRAWN = 64
_MOST_PORTS = 3


@final
class GraphConvolution:
    """Surrogate `gcn`: Bayesian linear regression on the embedding of a graph convolutional network.

    Args:
        space: with graphs.
        layers: graph convolutions.
        width: of each.
        normalise: "auto", "symmetric" or "none" (module docstring).
        batch_norm: batch normalisation after every layer.
        **training: options of `nas_surrogates.network_training.Training`.

    Raises:
        MissingCapability: the space has no graphs.
        InvalidOption: an option out of range.
    """

    requires = frozenset({"graphs"})

    def __init__(
        self,
        space: Space,
        *,
        layers: int = 4,
        width: int = 64,
        normalise: str = "auto",
        batch_norm: bool = False,
        epochs: int = 100,
        rate: float = 1e-3,
        batch: int = 128,
        loss: str = "exponential",
        targets: str = "auto",
        prior_labels: float = 1.0,
        intercept: bool = True,
        deviation: str = "function",
    ) -> None:
        require(space, self.requires, "the surrogate gcn")
        if normalise not in NORMALISATIONS:
            raise InvalidOption(
                "no such normalisation", value=normalise, expected="one of " + ", ".join(NORMALISATIONS)
            )
        if not isinstance(batch_norm, bool):
            raise InvalidOption("batch_norm must be true or false", value=batch_norm)
        self.layers, self.width = whole("layers", layers), whole("width", width)
        self.normalise, self.batch_norm = normalise, batch_norm
        self.training = Training(epochs, rate, batch, loss, targets, prior_labels, intercept, deviation)
        self.space = space
        drawn = space.sample(stream(0, "gcn", space.name), _DRAWN)
        graphs: list[Mapping[str, Graph]] = [space.graphs(a) for a in drawn]  # type: ignore[attr-defined]
        self.graphs = tuple(graphs[0])
        """Names of the graphs of a member."""
        self.labels: tuple[str, ...] = tuple(space.graph_labels)  # type: ignore[attr-defined]
        self.relations = 1 + min(max(max(graph.ports or (0,)) for own in graphs for graph in own.values()), _MOST_PORTS)
        fixed = all(own[name].edges == graph.edges for own in graphs for name, graph in graphs[0].items())
        self.normalisation = normalise if normalise != "auto" else "symmetric" if fixed else "none"
        """"symmetric" or "none"."""
        self.encode = KeptEncodings(self._encode)

    def fit(
        self, data: TrainingSet, rng: np.random.Generator, start: NeuralLinearPosterior | None = None
    ) -> NeuralLinearPosterior:
        """Fit to n observations of m targets, from new parameters or from those of `start`.

        Raises:
            InvalidData: no observations, or no accuracies where targets="logit".
        """
        return neural_linear.fit(self, data, rng, start)

    def pool(self, candidates: Sequence[Architecture]) -> Pool:
        """Candidates that are encoded once."""
        return neural_linear.pool_of(self, candidates)

    def embedder(self, rng: np.random.Generator) -> GraphEmbedding:
        """The network with new parameters."""
        return GraphEmbedding(
            len(self.labels), len(self.graphs), self.relations, self.layers, self.width, self.batch_norm, rng
        )

    def operations(self) -> dict[str, Any]:
        """What another space must have alike for a transfer."""
        return {
            "operations": list(self.labels),
            "graphs": list(self.graphs),
            "relations": self.relations,
            "normalisation": self.normalisation,
        }

    def to_config(self) -> dict[str, Any]:
        """Its name and options, as `nas_core.registry.from_config` takes them."""
        own = {"layers": self.layers, "width": self.width, "normalise": self.normalise, "batch_norm": self.batch_norm}
        return {"name": "gcn", **own, **asdict(self.training)}

    def _encode(self, architectures: Sequence[Architecture]) -> Arrays:
        """Relations (n x g x r x v+1 x v+1, row reads column) and labels (n x g x v+1; o global, o + 1 padding)."""
        space: Any = self.space
        read = [space.graphs(a) for a in architectures]
        flat: list[Graph] = [own[name] for own in read for name in self.graphs]
        edges, labels, sizes = padded_graphs(flat, self.labels, space.most_nodes)
        v = edges.shape[1]
        matrices = np.zeros((len(flat), self.relations, v + 1, v + 1), np.float32)
        matrices[:, 0, :v, :v] = np.swapaxes(edges, 1, 2)
        for row, graph in enumerate(flat if self.relations > 1 else ()):
            for (source, target), port in zip(graph.edges, graph.ports or (), strict=graph.ports is not None):
                if port > 0:
                    matrices[row, min(port, self.relations - 1), target, source] = 1.0
        real = np.arange(v + 1) < sizes[:, None]
        matrices[:, 0, v, :] = real
        real[:, v] = True
        node = np.arange(v + 1)
        matrices[:, 0, node, node] = real
        if self.normalisation == "symmetric":
            scale = 1.0 / np.sqrt(np.maximum(matrices[:, 0].sum(axis=2), 1.0))
            matrices *= (scale[:, :, None] * scale[:, None, :])[:, None]
        o = len(self.labels)
        numbers = np.full((len(flat), v + 1), o + 1, np.int64)
        numbers[:, :v] = np.where(labels >= 0, labels, o + 1)
        numbers[:, v] = o
        shape = (len(architectures), len(self.graphs))
        return matrices.reshape(*shape, *matrices.shape[1:]), numbers.reshape(*shape, v + 1)


@final
class GraphEmbedding(nn.Module):
    """The network: labels and relations to what the global nodes hold.

    Args:
        labels: o.
        graphs: g.
        relations: r.
        layers: how many convolutions.
        width: d of each.
        batch_norm: over the nodes that are no padding.
        rng: draws the parameters.
    """

    one_hot: Tensor

    def __init__(
        self,
        labels: int,
        graphs: int,
        relations: int,
        layers: int,
        width: int,
        batch_norm: bool,
        rng: np.random.Generator,
    ) -> None:
        super().__init__()
        self.width = graphs * width
        self._relations, self._padding = relations, labels + 1
        rows = torch.zeros(labels + 2, labels + 1)
        rows[: labels + 1] = torch.eye(labels + 1)
        self.register_buffer("one_hot", rows, persistent=False)
        sizes = [labels + 1] + [width] * layers
        weights = [Linear(sizes[i], relations * width, rng, bias=False) for i in range(layers)]
        self.convolutions = nn.ModuleList(weights)
        # the bias of a layer is added once, after the sum over the nodes that are read
        self.biases = nn.ParameterList([uniform((width,), 1.0 / math.sqrt(sizes[i]), rng) for i in range(layers)])
        self.norms = nn.ModuleList([nn.BatchNorm1d(width) for _ in range(layers)]) if batch_norm else None

    def forward(self, matrices: Tensor, numbers: Tensor) -> Tensor:
        """Embeddings (n x g d) of relations (n x g x r x v+1 x v+1) and labels (n x g x v+1)."""
        n, g, r, v = matrices.shape[:4]
        matrices, numbers = matrices.reshape(n * g, r, v, v), numbers.reshape(n * g, v)
        real = numbers != self._padding if self.norms is not None else None
        hidden = self.one_hot[numbers]
        for i, convolution in enumerate(self.convolutions):
            mixed = convolution(hidden)
            if r == 1:
                hidden = torch.bmm(matrices[:, 0], mixed) + self.biases[i]
            else:
                width = mixed.shape[2] // r
                parts = mixed.reshape(n * g, v, r, width).transpose(1, 2)
                hidden = torch.matmul(matrices, parts).sum(dim=1) + self.biases[i]
            if self.norms is not None and real is not None:
                normed = torch.zeros_like(hidden)
                normed[real] = self.norms[i](hidden[real])
                hidden = normed
            hidden = torch.relu(hidden)
        return hidden[:, -1].reshape(n, self.width)
