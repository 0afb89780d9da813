"""Searchers: what a comparison asks for the next label, the toolkit's optimizers and the peers alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, final

from nas_core import registry
from nas_core.errors import Exhausted, RegistryError
from nas_core.objective import Objectives
from nas_core.optimizer import Optimizer
from nas_core.space import Space, require
from nas_core.trial import Failure, Measurement, Proposal
from nas_search.compare.peers import PEERS


class Searcher(Protocol):
    """Asked for one proposal at a time and told its result before the next."""

    def ask(self) -> Proposal:
        """The next proposal.

        Raises:
            Exhausted: nothing is left to propose.
        """
        ...

    def tell(self, result: Measurement | Failure) -> None:
        """The result of the last proposal."""
        ...


@final
class OptimizerSearcher:
    """An optimizer of the toolkit with its history.

    Args:
        optimizer: of a space.
        objectives: what it sees.
    """

    def __init__(self, optimizer: Optimizer, objectives: Objectives) -> None:
        self._optimizer = optimizer
        self._history = objectives.new_history()

    def ask(self) -> Proposal:
        """See `Searcher`."""
        proposals = self._optimizer.propose(self._history, 1)
        if not proposals:
            raise Exhausted("the optimizer proposes nothing though nothing is running")
        self._history.begin(proposals[0])
        return proposals[0]

    def tell(self, result: Measurement | Failure) -> None:
        """See `Searcher`."""
        self._history.finish(len(self._history) - 1, result)


def make_searcher(config: Mapping[str, Any], space: Space, objectives: Objectives, seed: int) -> Searcher:
    """The searcher of a component `{"name": …, **options}`.

    Raises:
        NasError: there is none such, an option is wrong, it needs what the space does not have, or it is a peer that
            is not installed.
    """
    name = config["name"]
    if name in PEERS:
        options = {key: value for key, value in config.items() if key != "name"}
        registry.check_options(PEERS[name], name, options, positional=3)
        peer: Searcher = PEERS[name](space, objectives, seed, **options)
        return peer
    try:
        kind = registry.load("optimizer", name)
    except RegistryError as error:
        raise RegistryError(f"{error} Or a peer: {', '.join(PEERS)}.") from None
    require(space, getattr(kind, "requires", frozenset()), f"the optimizer {name!r}")
    optimizer: Optimizer = registry.from_config("optimizer", config, space, objectives, seed)
    require(space, optimizer.requires, f"the optimizer {name!r}")
    return OptimizerSearcher(optimizer, objectives)
