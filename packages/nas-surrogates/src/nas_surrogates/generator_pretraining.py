"""Pretraining of AG-Net's generator on members drawn from a space, without labels, and the artefact that it leaves.

An artefact is a safetensors file (rules, codes, parameters) with a JSON file beside it that says of which space, which
version and which options it is. It lies in a folder of artefacts under a name digested from these, is read back where
it is there and made where it is not: the same samples and the same steps give the same parameters.

Choices. Members and latent vectors are tied by a code (`nas_surrogates.latent_codes`); tie=0 pairs them at random, as
the paper says, and z is then ignored. The paper's 2.5 million instances in batches of 32 become `steps` batches of 256
with a rate that cools to 0: scores that need not learn what is legal need fewer.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final, final

import numpy as np
import safetensors
import safetensors.numpy
import torch
from numpy.typing import NDArray

from nas_core.architecture import Architecture
from nas_core.errors import InvalidOption, StoreError
from nas_core.random import rng
from nas_core.space import Space, require
from nas_surrogates.adam import Adam
from nas_surrogates.graph_generator import GraphGenerator, numbered
from nas_surrogates.graph_rules import GraphArrays, GraphRules, rules_of
from nas_surrogates.latent_codes import LatentCodes, codes_of
from nas_surrogates.network_training import whole

FORMAT: Final = 1
_MOST_KEPT: Final = 4
_REMEMBERED: Final = 1 << 16
_FOLDER: Final = "nas-generators"

_kept: dict[str, Pretrained] = {}  # artefacts that this process has read, by their files: a derived cache


@final
@dataclass(frozen=True)
class Pretraining:
    """How a generator is made.

    Args:
        samples: members drawn from the space.
        steps: batches.
        batch: members in a batch.
        rate: Adam's at the beginning.
        latent: entries of z.
        width: of the network.
        tie: of latent vectors to codes, from 0 to 1.
        joint: one z for all graphs of an architecture instead of one each.
        seed: names everything random.

    Raises:
        InvalidOption: a number out of range.
    """

    samples: int = 10_000
    steps: int = 2000
    batch: int = 256
    rate: float = 2e-3
    latent: int = 32
    width: int = 32
    tie: float = 0.9
    joint: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("samples", "steps", "batch", "latent", "width"):
            whole(name, getattr(self, name))
        whole("seed", self.seed, least=0)
        for name, most in (("rate", 1.0), ("tie", 1.0)):
            value = getattr(self, name)
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if not number or not 0.0 <= value <= most:
                raise InvalidOption(f"{name} cannot be this", value=value, expected=f"a number from 0 to {most:g}")
        if not isinstance(self.joint, bool):
            raise InvalidOption("joint must be true or false", value=self.joint)


@final
class Pretrained:
    """A generator with the rules of its space and the codes of its graphs.

    Args:
        space: with graphs.
        options: how it was made.
        rules: of the space.
        codes: one a graph, or one for all where z is joint.
        network: with the parameters that pretraining left.
    """

    def __init__(
        self,
        space: Space,
        options: Pretraining,
        rules: GraphRules,
        codes: tuple[LatentCodes, ...],
        network: GraphGenerator,
    ) -> None:
        self.space, self.options, self.rules, self.codes, self.network = space, options, rules, codes, network
        self._columns = _columns(rules, options.joint)
        self._met: dict[bytes, Architecture | None] = {}

    def fresh_network(self) -> GraphGenerator:
        """A copy whose parameters may be trained on."""
        network = GraphGenerator(self.rules, self.options.latent, self.options.width, rng(self.options.seed, "copy"))
        network.load_state_dict(self.network.state_dict())
        return network

    def codes_of(self, one_hot: NDArray[np.float32]) -> NDArray[np.float64]:
        """Codes (n x g x l) of features (n x g x d); with one z for all graphs the g are the same."""
        return _codes(self.codes, self._columns, one_hot)

    def latents(
        self, codes: NDArray[np.float64], tie: NDArray[np.float64] | float, stream: np.random.Generator
    ) -> NDArray[np.float64]:
        """Latent vectors (n g x l) tied to codes (n x g x l) by one number or n."""
        n, g, latent = codes.shape
        each = np.broadcast_to(np.asarray(tie, dtype=np.float64), (n,))
        own = 1 if self.options.joint else g
        noise = stream.standard_normal((n, own, latent))
        parts = [self.codes[k].tied(codes[:, k], each, noise[:, k]) for k in range(own)]
        return np.repeat(np.stack(parts, axis=1), g // own, axis=1).reshape(n * g, latent)

    def generate(
        self,
        network: GraphGenerator,
        z: NDArray[np.float64],
        noise: NDArray[np.float64],
        kept: GraphArrays | None = None,
        searched: Sequence[int] = (),
    ) -> tuple[list[Architecture | None], NDArray[np.float32]]:
        """The members that n latent vectors give, None where the graphs are no member's, and scores (n x g d).

        Args:
            network: this one or one that was trained further.
            z: n x g x l, or n x 1 x l where z is joint.
            noise: uniform numbers (n x g x v x 2).
            kept: the graphs of one architecture, of which only those in `searched` are made anew; scores of the others
                are 0.
            searched: numbers of graphs, ascending.
        """
        n, g = len(z), len(self.rules.names)
        own = list(range(g)) if kept is None else list(searched)
        each = np.broadcast_to(z, (n, g, z.shape[2]))[:, own].reshape(n * len(own), -1)
        made = network.generate(np.tile(own, n), each, noise[:, own].reshape(n * len(own), -1, 2))
        v = self.rules.nodes
        labels, edges = np.empty((n, g, v), dtype=np.int64), np.empty((n, g, v, v), dtype=np.int64)
        if kept is not None:
            labels[:], edges[:] = kept.labels, kept.edges
        labels[:, own], edges[:, own] = made.labels.reshape(n, -1, v), made.edges.reshape(n, -1, v, v)
        scores = np.zeros((n, g, made.scores.shape[1]), dtype=np.float32)
        scores[:, own] = made.scores.reshape(n, len(own), -1)
        return [self._member(*one) for one in zip(labels, edges, strict=True)], scores.reshape(n, -1)

    def _member(self, labels: NDArray[np.int64], edges: NDArray[np.int64]) -> Architecture | None:
        """`GraphRules.member`, remembered: a generator that has learnt draws the same graphs again and again."""
        key = labels.astype(np.int8).tobytes() + edges.astype(np.int8).tobytes()
        if key not in self._met:
            if len(self._met) >= _REMEMBERED:
                self._met.clear()
            self._met[key] = self.rules.member(self.space, labels, edges)
        return self._met[key]


def pretrained(space: Space, options: Pretraining, cache: str | Path | None = None) -> Pretrained:
    """The artefact of a space and options, made where it is not there.

    Args:
        space: with graphs.
        options: how it is made.
        cache: a folder for artefacts; None takes `default_cache`.

    Raises:
        MissingCapability: the space has no graphs.
        StoreError: a file that cannot be read or written, or is of another space, version or options.
    """
    require(space, frozenset({"graphs"}), "the generator of AG-Net")
    folder = default_cache() if cache is None else Path(cache)
    identity = json.dumps(_identity(space, options), sort_keys=True)
    digest = hashlib.blake2b(identity.encode(), digest_size=12).hexdigest()
    place = folder / f"{space.name}-{digest}.safetensors"
    if str(place) not in _kept:
        if place.exists():
            made = load(place, space, options)
        else:
            made = pretrain(space, options)
            save(place, made)
        if len(_kept) >= _MOST_KEPT:
            _kept.clear()
        _kept[str(place)] = made
    return _kept[str(place)]


def default_cache() -> Path:
    """The user's folder for artefacts: under XDG_CACHE_HOME, by default ~/.cache."""
    given = os.environ.get("XDG_CACHE_HOME")
    return (Path(given) if given else Path.home() / ".cache") / _FOLDER


def pretrain(space: Space, options: Pretraining) -> Pretrained:
    """Draw members, read the rules off them and train; deterministic."""
    seed = options.seed
    samples = space.sample(rng(seed, "generator", "samples", space.name), options.samples)
    rules, arrays = rules_of(space, samples)
    one_hot, columns = rules.one_hot(arrays), _columns(rules, options.joint)
    turn = rng(seed, "generator", "codes")
    codes = tuple(codes_of(_flat(one_hot, own), options.latent, turn) for own in columns)
    network = GraphGenerator(rules, options.latent, options.width, rng(seed, "generator", "parameters"))
    made = Pretrained(space, options, rules, codes, network)
    of_samples, rows = made.codes_of(one_hot), rules.row_numbers(arrays)
    weight_optimizer, stream = Adam(network, options.rate), rng(seed, "generator", "training")
    for step in range(options.steps):
        weight_optimizer.rate = options.rate * 0.5 * (1.0 + np.cos(np.pi * step / options.steps))
        batch = stream.integers(len(samples), size=options.batch)
        z = torch.from_numpy(made.latents(of_samples[batch], options.tie, stream).astype(np.float32))
        graph, labels, edges, numbers = numbered(arrays.rows(batch), rows[batch])
        losses = network.losses(network.scores(graph, labels, edges, z), labels, numbers)
        # where a space leaves no choice of edges, their parameters are not used
        weight_optimizer.apply(
            torch.autograd.grad(losses.mean(), weight_optimizer.parameters, allow_unused=True, materialize_grads=True)
        )
    return made


def save(place: Path, made: Pretrained) -> None:
    """Write an artefact; whole files appear or none, the arrays first.

    Raises:
        StoreError: it cannot be written.
    """
    arrays = {f"rules.{name}": array for name, array in made.rules.arrays().items()}
    for k, codes in enumerate(made.codes):
        arrays |= {f"codes.{k}.{name}": array for name, array in codes._asdict().items()}
    arrays |= {f"network.{name}": tensor.numpy() for name, tensor in made.network.state_dict().items()}
    arrays = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    data = safetensors.numpy.save(arrays)
    values = {
        **_identity(made.space, made.options),
        "names": list(made.rules.names),
        "labels": list(made.rules.labels),
        "ports": [list(own) for own in made.rules.ports],
        "digest": hashlib.blake2b(data, digest_size=16).hexdigest(),
    }
    text = json.dumps(values, indent=1, sort_keys=True) + "\n"
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        for target, content in ((place.with_suffix(".json"), text.encode()), (place, data)):
            beside = target.with_name(f".{target.name}.{os.getpid()}")
            beside.write_bytes(content)
            beside.replace(target)
    except OSError as error:
        raise StoreError(f"a generator cannot be written ({error.strerror})", place=str(place)) from None


def load(place: str | Path, space: Space, options: Pretraining) -> Pretrained:
    """Read an artefact back.

    Raises:
        StoreError: it cannot be read, is damaged, or was made of another space, version or options.
    """
    place = Path(place)
    try:
        data = place.read_bytes()
        values = json.loads(place.with_suffix(".json").read_text())
    except OSError as error:
        raise StoreError(f"a generator cannot be read ({error.strerror})", place=str(place)) from None
    except ValueError:
        raise StoreError("no description of a generator", place=str(place.with_suffix(".json"))) from None
    wanted = json.loads(json.dumps(_identity(space, options)))
    for key, own in wanted.items():
        if not isinstance(values, dict) or values.get(key) != own:
            raise StoreError(
                f"a pretrained generator of another {key}",
                value=values.get(key) if isinstance(values, dict) else values,
                place=str(place),
                expected=json.dumps(own),
                remedy="Name another folder, or take the file away so that it is made anew.",
            )
    try:
        if hashlib.blake2b(data, digest_size=16).hexdigest() != values["digest"]:
            raise StoreError("a generator whose file and description do not belong together", place=str(place))
        return _restored(space, options, values, safetensors.numpy.load(data))
    except (safetensors.SafetensorError, KeyError, ValueError, TypeError, RuntimeError) as error:
        raise StoreError("no generator, or a damaged one", value=str(error), place=str(place)) from None


def _restored(
    space: Space, options: Pretraining, values: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]
) -> Pretrained:
    of_rules = {name[6:]: array for name, array in arrays.items() if name.startswith("rules.")}
    ports = tuple(tuple(own) for own in values["ports"])
    rules = GraphRules(names=tuple(values["names"]), labels=tuple(values["labels"]), ports=ports, **of_rules)
    count = 1 if options.joint else len(rules.names)
    codes = tuple(
        LatentCodes(*(arrays[f"codes.{k}.{name}"] for name in ("mean", "projection", "filled"))) for k in range(count)
    )
    network = GraphGenerator(rules, options.latent, options.width, rng(options.seed, "copy"))
    state = {name[8:]: torch.from_numpy(array) for name, array in arrays.items() if name.startswith("network.")}
    network.load_state_dict(state)
    return Pretrained(space, options, rules, codes, network)


def _identity(space: Space, options: Pretraining) -> dict[str, Any]:
    """What an artefact belongs to; another version of this package or of the space's may draw other samples."""
    versions = {name: _version(name) for name in ("nas_surrogates", type(space).__module__.partition(".")[0])}
    return {"format": FORMAT, "version": versions, "space": space.to_config(), "options": asdict(options)}


def _version(package: str) -> str | None:
    """The version of the distribution that is named like a package; None where there is none."""
    try:
        return version(package.replace("_", "-"))
    except PackageNotFoundError:
        return None


def _columns(rules: GraphRules, joint: bool) -> list[NDArray[np.bool_]]:
    """Which features (g x d) each code is made of."""
    if joint:
        return [rules.varying]
    each = []
    for k in range(len(rules.names)):
        own = np.zeros_like(rules.varying)
        own[k] = rules.varying[k]
        each.append(own)
    return each


def _flat(one_hot: NDArray[np.float32], columns: NDArray[np.bool_]) -> NDArray[np.float32]:
    return np.asarray(one_hot.reshape(len(one_hot), -1)[:, columns.reshape(-1)])


def _codes(
    codes: tuple[LatentCodes, ...], columns: list[NDArray[np.bool_]], one_hot: NDArray[np.float32]
) -> NDArray[np.float64]:
    parts = [own.of(_flat(one_hot, which)) for own, which in zip(codes, columns, strict=True)]
    g = one_hot.shape[1]
    return np.repeat(np.stack(parts, axis=1), g // len(parts), axis=1)
