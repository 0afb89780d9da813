"""A recurrent cell unrolled over time: words' vectors, layers of the cell, output layer, and dropout locked over time.

t time steps of a chunk, b streams side by side, d features, k words. A layer is the module of one time step
(`nas_train.build`), called once a step; the output layer is not run here: `nas_train.language.word_loss` takes all
steps of a chunk at once.

A mask of dropout is drawn for a chunk and is the same at each of its steps. In a cell it falls on what the linear maps
read, and not on what a gate carries from the old state to the new one: that would grow by 1 / (1 - p) at every step.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, cast, final

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.hooks import RemovableHandle

from nas_core.errors import InvalidNetwork
from nas_core.network import Network, Node
from nas_core.primitives import Concatenation, Input, Linear, StateIn
from nas_core.random import derived_seed
from nas_train.build import BuiltNetwork, initialise
from nas_train.language.recipe import LanguageRecipe

States = tuple[Mapping[str, Tensor], ...]
"""Of each layer, its states by name (b x d each)."""

EMBEDDING_RANGE = 0.1
"""Words' vectors begin uniform within it (Merity et al. 2018, section 4.1)."""


class Unrolled(NamedTuple):
    """What a chunk gives.

    Args:
        outputs: t x b x d, of the last layer.
        dropped: the same for the output layer, with dropout.
        states: after the last step.
    """

    outputs: Tensor
    dropped: Tensor
    states: States


@final
class LanguageModel(nn.Module):
    """Layers of cells between words' vectors and an output layer.

    Args:
        networks: one step of each layer's cell, with the output "hidden"; a layer reads what the one before gives.
        words: number k of different words.
        tied: whether the output layer has the words' vectors as its weights.
        state_norm: to which a layer's output and states after a time step are shortened where they are longer; None for
            no limit.

    Raises:
        InvalidNetwork: a network is no step of a cell, or widths do not fit.
    """

    def __init__(
        self, networks: Sequence[Network], words: int, *, tied: bool = True, state_norm: float | None = None
    ) -> None:
        super().__init__()
        self.networks = tuple(networks)
        widths = _check(self.networks, tied)
        self.words = words
        self.state_norm = state_norm
        self.embedding = nn.Parameter(torch.empty(words, widths[0]))
        self.layers = nn.ModuleList(BuiltNetwork(network) for network in self.networks)
        self.output = None if tied else nn.Parameter(torch.empty(words, widths[-1]))
        self.bias = nn.Parameter(torch.empty(words))
        self._reads = [_linear_inputs(network) for network in self.networks]

    @property
    def output_weight(self) -> Tensor:
        """The output layer's own weights, or the words' vectors; k x d."""
        return self.embedding if self.output is None else self.output

    def zero_states(self, streams: int) -> States:
        """States of zeros for so many streams."""
        return tuple(
            {
                node.primitive.state: self.embedding.new_zeros(streams, *node.primitive.size)
                for node in network.nodes
                if isinstance(node.primitive, StateIn)
            }
            for network in self.networks
        )

    def forward(
        self, words: Tensor, states: States, recipe: LanguageRecipe | None = None, noise: torch.Generator | None = None
    ) -> Unrolled:
        """Unroll over a chunk.

        Args:
            words: t x b numbers of words.
            states: before the first step; no gradient flows into them.
            recipe: whose dropout is applied; None for none.
            noise: where masks are drawn from.
        """
        if recipe is None:
            outputs, after = self._layers(F.embedding(words, self.embedding), states, None)
            return Unrolled(outputs, outputs, after)
        masks = _Masks(noise)
        kept = masks.draw(self.embedding, (self.words, 1), recipe.drop_words)
        x = F.embedding(words, self.embedding)
        x = masks.locked(x if kept is None else x * kept[words], recipe.drop_embedding)
        with self._noisy(recipe, masks, words.shape[1]):
            outputs, after = self._layers(x, states, (masks, recipe.drop_layers))
        return Unrolled(outputs, masks.locked(outputs, recipe.drop_output), after)

    def _layers(self, x: Tensor, states: States, between: tuple[_Masks, float] | None) -> tuple[Tensor, States]:
        after: list[Mapping[str, Tensor]] = []
        for i, (layer, held) in enumerate(zip(self.layers, states, strict=True)):
            if i and between is not None:
                x = between[0].locked(x, between[1])
            steps = []
            for step in x.unbind(0):
                outputs, held = layer(step, held)
                y = outputs["hidden"]
                if self.state_norm is not None:
                    y = shortened(y, self.state_norm)
                    held = {name: shortened(state, self.state_norm) for name, state in held.items()}
                steps.append(y)
            x = torch.stack(steps)
            after.append({name: value.detach() for name, value in held.items()})
        return x, tuple(after)

    @contextmanager
    def _noisy(self, recipe: LanguageRecipe, masks: _Masks, streams: int) -> Iterator[None]:
        """Inside, the cells' linear maps read through locked masks, and matrices that read old states lose elements."""
        hooks: list[RemovableHandle] = []
        shadowed: list[nn.Linear] = []
        try:
            for layer, reads in zip(self.layers, self._reads, strict=True):
                drawn: dict[tuple[str, int], Tensor] = {}
                for name, parts, recurrent in reads:
                    linear = cast(nn.Linear, layer.get_submodule(name))
                    mask = masks.joined(parts, streams, recipe, self.embedding, drawn)
                    if mask is not None:
                        hooks.append(linear.register_forward_pre_hook(_times(mask)))
                    kept = masks.draw(linear.weight, tuple(linear.weight.shape), recipe.drop_weights * recurrent)
                    if kept is not None:
                        linear.__dict__["weight"] = linear.weight * kept  # found before the parameter of that name
                        shadowed.append(linear)
            yield
        finally:
            for hook in hooks:
                hook.remove()
            for linear in shadowed:
                del linear.__dict__["weight"]


def shortened(vectors: Tensor, norm: float) -> Tensor:
    """Vectors (b x d) with a Euclidean norm of at most `norm` each."""
    share: Tensor = norm / torch.linalg.vector_norm(vectors, dim=1, keepdim=True).clamp(min=norm)
    return vectors * share


def build_language(
    networks: Sequence[Network], words: int, *, tied: bool = True, state_norm: float | None = None, seed: int = 0
) -> LanguageModel:
    """A language model with initial weights, in training mode on the CPU.

    Cells begin as `nas_train.build.initialise` says, words' vectors uniform within `EMBEDDING_RANGE`, an output layer
    of its own uniform within 1 / sqrt(d), and the bias with 0. Layer i's values depend on (seed, i) and their names.

    Args:
        networks: one step of each layer's cell.
        words: number of different words.
        tied: whether the output layer has the words' vectors as its weights.
        state_norm: see `LanguageModel`.
        seed: of the initial weights.

    Raises:
        InvalidNetwork: a network is no step of a cell, or widths do not fit.
    """
    model = LanguageModel(networks, words, tied=tied, state_norm=state_norm)
    initialise_language(model, seed)
    return model


def initialise_language(model: LanguageModel, seed: int) -> None:
    """Give every parameter its initial value; see `build_language`."""
    for i, layer in enumerate(model.layers):
        initialise(cast(BuiltNetwork, layer), derived_seed(seed, "layer", i))
    ranges = {"embedding": EMBEDDING_RANGE, "output": 1.0 / math.sqrt(model.output_weight.shape[1])}
    with torch.no_grad():
        model.bias.zero_()
        for name, bound in ranges.items():
            parameter = getattr(model, name)
            if parameter is not None:
                generator = torch.Generator().manual_seed(derived_seed(seed, "initialise", name))
                parameter.copy_((torch.rand(parameter.shape, generator=generator) * 2.0 - 1.0) * bound)


class _Masks:
    """Draws masks of dropout: 0 with probability p, otherwise 1 / (1 - p)."""

    def __init__(self, noise: torch.Generator | None) -> None:
        self.noise = noise

    def draw(self, like: Tensor, shape: tuple[int, ...], p: float) -> Tensor | None:
        """A mask; None where nothing is dropped."""
        if p == 0.0:
            return None
        mask = torch.empty(shape, dtype=like.dtype, device=like.device)
        return mask.bernoulli_(1.0 - p, generator=self.noise).div_(1.0 - p)

    def locked(self, x: Tensor, p: float) -> Tensor:
        """Drops from t x b x d with one mask of b x d."""
        mask = self.draw(x, tuple(x.shape[1:]), p)
        return x if mask is None else x * mask

    def joined(
        self,
        parts: Sequence[tuple[str, int]],
        streams: int,
        recipe: LanguageRecipe,
        like: Tensor,
        drawn: dict[tuple[str, int], Tensor],
    ) -> Tensor | None:
        """The mask (b x d) of a linear map that reads these parts; a part's mask is drawn once for a layer."""
        rates = {"input": recipe.drop_input, "hidden": recipe.drop_hidden}
        if not any(rates[kind] for kind, _ in parts):
            return None
        for kind, width in parts:
            if (kind, width) not in drawn:
                mask = self.draw(like, (streams, width), rates[kind])
                drawn[kind, width] = like.new_ones(streams, width) if mask is None else mask
        return torch.cat([drawn[part] for part in parts], 1)


def _times(mask: Tensor) -> Any:
    return lambda module, inputs: (inputs[0] * mask,)


def _linear_inputs(network: Network) -> list[tuple[str, list[tuple[str, int]], bool]]:
    """Of each linear map: its name, the kinds and widths of what it reads, and whether it reads an old state."""

    def parts(i: int) -> list[tuple[Node, int]]:
        node = network.nodes[i]
        if isinstance(node.primitive, Concatenation):
            return [part for source in node.inputs for part in parts(source)]
        return [(node, network.shapes[i][0])]

    found = []
    for node in network.nodes:
        if isinstance(node.primitive, Linear):
            read = parts(node.inputs[0])
            kinds = [("input" if isinstance(part.primitive, Input) else "hidden", width) for part, width in read]
            found.append((node.name, kinds, any(isinstance(part.primitive, StateIn) for part, _ in read)))
    return found


def hidden_node(network: Network, place: str | None = None) -> int:
    """The node whose vector one time step of a cell hands on.

    Args:
        network: the time step.
        place: where it stands, for the error.

    Raises:
        InvalidNetwork: it is none.
    """
    outputs = dict(network.outputs)
    if network.task.kind != "language" or "hidden" not in outputs:
        raise InvalidNetwork(
            "not one time step of a recurrent cell",
            value=f"{network.task.kind}, outputs {', '.join(outputs)}",
            place=place,
            expected='a network for language with the output "hidden"',
        )
    return outputs["hidden"]


def _check(networks: tuple[Network, ...], tied: bool) -> list[int]:
    """The width of the words' vectors, then of each layer's output."""
    if not networks:
        raise InvalidNetwork("a language model needs a layer", value=0)
    widths = list(networks[0].task.input_shape)
    for i, network in enumerate(networks):
        place = f"layer {i}"
        hidden = hidden_node(network, place)
        if list(network.task.input_shape) != widths[-1:]:
            raise InvalidNetwork("a layer of another width", value=network.task.input_shape, place=place)
        widths += network.shapes[hidden]
    if tied and widths[-1] != widths[0]:
        raise InvalidNetwork(
            "tied weights need a last layer as wide as the words' vectors", value=widths[-1], expected=str(widths[0])
        )
    return widths
