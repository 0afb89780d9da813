"""Recipes of NAS-Bench-NLP as text: the JSON objects that the benchmark publishes, one entry a node.

`{"f":{"op":"linear","input":["x","h_prev_0"]},"h_new_0":{"op":"activation_tanh","input":["f"]}}`

The form that is written is canonical: no spaces, nodes in topological order, node i is called `node_<i>` unless it is
the new value of state s and so `h_new_<s>`, and sources that have no order are ascending (x, old states, nodes).

The form that is read may name nodes at will, list them in any order (the table has 101 references to nodes that come
later) and hold dead ones, which are left out. Nodes keep their order as far as their sources allow: the next one is
always the first whose sources are all there. As in the benchmark's own reader, `h_new_` and a number is a state, and
any other name beginning so is not (the table's LSTM has an `h_new_1_part1`).
"""

from __future__ import annotations

import heapq
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from nas_core.errors import InvalidArchitecture
from nas_spaces.nasbench_nlp_recipes import ARITY, FIRST, INPUTS, LINEAR, STATES, Recipe, pruned, step, unread

_FORM = '{"name":{"op":"linear","input":["x","h_prev_0"]},"h_new_0":{"op":"activation_tanh","input":["name"]}}'
_LONGEST = 100_000
_NEW = re.compile(r"h_new_(0|[1-9][0-9]{0,8})")
_OLD = re.compile(r"x|h_prev_[0-9]+")
_PUBLISHED = tuple(op for op in ARITY if op != "linear3")
_COUNTS: Mapping[str, tuple[int, ...]] = {op: (ARITY[op],) for op in _PUBLISHED} | {"linear": (2, 3)}


def write(recipe: Recipe) -> str:
    """The canonical text."""
    names = [f"node_{i}" for i in range(len(recipe.nodes))]
    for state, i in enumerate(recipe.hidden):
        names[i] = f"h_new_{state}"
    known = (*INPUTS, *names)
    entries = {
        name: {"op": "linear" if op in LINEAR else op, "input": [known[source] for source in sources]}
        for name, (op, sources) in zip(names, recipe.nodes, strict=True)
    }
    return json.dumps(entries, separators=(",", ":"))


def read(text: object) -> Recipe:
    """The recipe that a text describes.

    Raises:
        InvalidArchitecture: it describes none, with the node that is wrong.
    """
    if not isinstance(text, str) or len(text) > _LONGEST:
        raise InvalidArchitecture("not the text of a recipe", value=text, expected=_FORM)
    try:
        entries = json.loads(text, object_pairs_hook=_object)
    except (ValueError, RecursionError):
        raise InvalidArchitecture("a recipe must be JSON", value=text, expected=_FORM) from None
    return read_entries(entries)


def read_entries(entries: object) -> Recipe:
    """The recipe of an object as JSON gives it: {name: {"op": …, "input": […]}}.

    Raises:
        InvalidArchitecture: it is none, with the node that is wrong.
    """
    if not isinstance(entries, Mapping) or not entries:
        raise InvalidArchitecture("a recipe must be a JSON object of nodes", value=entries, expected=_FORM)
    for name, entry in entries.items():
        _check(name, entry, entries)
    news = {int(match[1]): name for name in entries if (match := _NEW.fullmatch(name))}
    if set(news) != set(range(len(news))) or not 1 <= len(news) <= STATES:
        raise InvalidArchitecture(
            "new states must be numbered from 0 without gaps",
            value=sorted(news.values()),
            expected=f"h_new_0 up to h_new_{STATES - 1} at most",
        )
    order = _order(entries)
    number = {name: i for i, name in enumerate(INPUTS)} | {name: FIRST + i for i, name in enumerate(order)}
    nodes = []
    for name in order:
        sources = [number[source] for source in entries[name]["input"]]
        op = "linear3" if entries[name]["op"] == "linear" and len(sources) == 3 else entries[name]["op"]
        for source in sources:
            if len(news) < source < FIRST:
                _refuse(name, f"there is no h_new_{source - 1}", INPUTS[source])
        nodes.append(step(op, sources))
    recipe = pruned(Recipe(tuple(nodes), tuple([number[news[state]] - FIRST for state in range(len(news))])))
    if missing := unread(recipe):
        raise InvalidArchitecture(
            "no new state depends on a source", value=INPUTS[min(missing)], expected="x and every old state to be read"
        )
    return recipe


def _check(name: str, entry: Any, entries: Mapping[str, Any]) -> None:
    """Refuse what is wrong with one node taken by itself."""
    if _OLD.fullmatch(name):
        _refuse(name, "this name is that of an input", name)
    if not isinstance(entry, Mapping) or set(entry) != {"op", "input"}:
        _refuse(name, 'a node must have "op" and "input" and nothing else', entry)
    op, sources = entry["op"], entry["input"]
    if not isinstance(op, str) or op not in _COUNTS:
        _refuse(name, "there is no such operation", op, "one of " + ", ".join(_PUBLISHED))
    if not isinstance(sources, Sequence) or isinstance(sources, str) or not all(isinstance(s, str) for s in sources):
        _refuse(name, "input must be a list of names", sources)
    if len(sources) not in _COUNTS[op]:
        _refuse(name, f"{op} with a wrong number of inputs", sources, " or ".join(map(str, _COUNTS[op])))
    if len(set(sources)) < len(sources):
        _refuse(name, "it reads one input twice", sources)
    for source in sources:
        if source not in INPUTS and source not in entries:
            _refuse(name, "it reads what there is not", source, "x, h_prev_0 to h_prev_2, or a node")
    if "x" in sources and op != "linear":
        _refuse(name, f"{op} cannot read x, whose width may be another", sources, "linear")


def _refuse(name: str, problem: str, value: object, expected: str | None = None) -> NoReturn:
    raise InvalidArchitecture(problem, value=value, place=f"node {name!r}", expected=expected)


def _order(entries: Mapping[str, Any]) -> list[str]:
    """The nodes in topological order: always the first in the text whose sources are all there."""
    names = list(entries)
    missing = [0] * len(names)
    readers: dict[str, list[int]] = {name: [] for name in names}
    for i, name in enumerate(names):
        for source in entries[name]["input"]:
            if source in entries:
                missing[i] += 1
                readers[source].append(i)
    ready = [i for i, count in enumerate(missing) if count == 0]
    order: list[str] = []
    while ready:
        name = names[heapq.heappop(ready)]
        order.append(name)
        for i in readers[name]:
            missing[i] -= 1
            if missing[i] == 0:
                heapq.heappush(ready, i)
    if len(order) < len(names):
        stuck = next(name for i, name in enumerate(names) if missing[i])
        _refuse(stuck, "it lies on or behind a cycle", entries[stuck]["input"], "a recipe without cycles")
    return order


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    entries = dict(pairs)
    if len(entries) < len(pairs):
        names = [name for name, _ in pairs]
        raise InvalidArchitecture(
            "a name is given twice", value=next(name for name in names if names.count(name) > 1), expected=_FORM
        )
    return entries
