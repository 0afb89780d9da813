"""Genotypes: the text in which cells of the DARTS family are published (Liu et al. 2019).

    Genotype(normal=[('sep_conv_3x3', 0), …], normal_concat=range(2, 6), reduce=[…], reduce_concat=range(2, 6))

The branches of a cell stand in a row, two for each node, each an operation and its source. The text is read by a
grammar of its own, and no part of it is run.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any, Final, NamedTuple

from nas_core.errors import InvalidArchitecture
from nas_spaces.two_input_cells import Branch, Cell

FORM: Final = (
    "Genotype(normal=[('operation', source), …], normal_concat=range(2, 6), reduce=[…], reduce_concat=range(2, 6))"
)

_FIELDS = ("normal", "normal_concat", "reduce", "reduce_concat")
_TOKEN = re.compile(
    r"""\s*(?:(?P<number>\d{1,4})(?!\w)|'(?P<single>\w*)'|"(?P<double>\w*)"|(?P<word>[A-Za-z]\w*)|(?P<mark>[()\[\],=]))""",
    re.ASCII,
)
_WANTED = {"number": "a number", "text": "an operation in quotes", "end": "the end of the text"}
_LONGEST = 10_000
_SHOWN = 20


def write(normal: Cell, reduction: Cell) -> str:
    """The text of a pair of cells, all of whose nodes are concatenated."""
    return (
        f"Genotype(normal={_written(normal)}, normal_concat=range(2, {len(normal) + 2}), "
        f"reduce={_written(reduction)}, reduce_concat=range(2, {len(reduction) + 2}))"
    )


def _written(cell: Cell) -> str:
    return "[" + ", ".join(f"('{operation}', {source})" for node in cell for source, operation in node) + "]"


def read(text: str, operations: Collection[str], nodes: int) -> tuple[Cell, Cell]:
    """The normal and the reduction cell of a text, branches in the order in which they stand.

    Fields may stand in any order; a concatenation is a range or a list.

    Raises:
        InvalidArchitecture: the text is no genotype, an operation is unknown, a source is no earlier node, or a cell
            does not have `nodes` nodes, all of which are concatenated.
    """
    fields = _Reader(text).genotype()
    cells = []
    for kind in ("normal", "reduce"):
        branches, concatenated = fields[kind], fields[f"{kind}_concat"]
        if len(branches) != 2 * nodes:
            raise InvalidArchitecture(
                f"{kind} has {len(branches)} branches", value=text, expected=f"{2 * nodes}, two for each node"
            )
        if sorted(concatenated) != list(range(2, nodes + 2)):
            raise InvalidArchitecture(
                f"{kind}_concat leaves out a node or names others",
                value=concatenated,
                expected=f"range(2, {nodes + 2}): the output of a cell concatenates all its nodes",
            )
        checked = [_checked(branch, i, kind, operations) for i, branch in enumerate(branches)]
        cells.append(tuple((checked[i], checked[i + 1]) for i in range(0, len(checked), 2)))
    return cells[0], cells[1]


def _checked(branch: Branch, i: int, kind: str, operations: Collection[str]) -> Branch:
    source, operation = branch
    where = f"branch {i % 2 + 1} of node {i // 2 + 2} of {kind}"
    if operation not in operations:
        raise InvalidArchitecture(
            f"unknown operation in {where}", value=operation, expected="one of " + ", ".join(operations)
        )
    if source >= i // 2 + 2:
        raise InvalidArchitecture(f"wrong source in {where}", value=source, expected=f"0 to {i // 2 + 1}")
    return branch


class _Token(NamedTuple):
    kind: str
    text: str
    start: int


class _Reader:
    """Reads the tokens of a text from left to right."""

    def __init__(self, text: str) -> None:
        if not isinstance(text, str) or len(text) > _LONGEST:
            raise InvalidArchitecture("not the text of a genotype", value=text, expected=FORM)
        self.text = text
        self.tokens = self._tokens()
        self.next = 0

    def genotype(self) -> dict[str, list[Any]]:
        """All fields by name: branches as (source, operation), concatenations as numbers."""
        self._take("word", "Genotype")
        self._take("mark", "(")
        fields: dict[str, list[Any]] = {}
        while not self._at(")"):
            name = self._take("word", *_FIELDS)
            if name in fields:
                raise InvalidArchitecture(f"a genotype gives {name} twice", value=self.text)
            self._take("mark", "=")
            fields[name] = self._numbers() if name.endswith("_concat") else self._branches()
            self._separated(")")
        self._take("mark", ")")
        self._take("end")
        missing = [name for name in _FIELDS if name not in fields]
        if missing:
            raise InvalidArchitecture(f"a genotype without {missing[0]}", value=self.text, expected=FORM)
        return fields

    def _branches(self) -> list[Branch]:
        found: list[Branch] = []
        self._take("mark", "[")
        while not self._at("]"):
            self._take("mark", "(")
            operation = self._take("text")
            self._take("mark", ",")
            found.append((int(self._take("number")), operation))
            self._separated(")")
            self._take("mark", ")")
            self._separated("]")
        self._take("mark", "]")
        return found

    def _numbers(self) -> list[int]:
        if self._at("["):
            self._take("mark", "[")
            found = []
            while not self._at("]"):
                found.append(int(self._take("number")))
                self._separated("]")
            self._take("mark", "]")
            return found
        self._take("word", "range")
        self._take("mark", "(")
        first = int(self._take("number"))
        self._take("mark", ",")
        last = int(self._take("number"))
        self._take("mark", ")")
        return list(range(first, last))

    def _separated(self, end: str) -> None:
        """Past a comma, which may be left out before the end only."""
        if not self._at(end):
            self._take("mark", ",")

    def _at(self, mark: str) -> bool:
        return self.tokens[self.next][:2] == ("mark", mark)

    def _take(self, kind: str, *texts: str) -> str:
        token = self.tokens[self.next]
        if token.kind != kind or (texts and token.text not in texts):
            raise self._wrong(token.start, " or ".join(repr(text) for text in texts) or _WANTED[kind])
        self.next += 1
        return token.text

    def _tokens(self) -> list[_Token]:
        found: list[_Token] = []
        at, end = 0, len(self.text.rstrip())
        while at < end:
            match = _TOKEN.match(self.text, at)
            if match is None:
                raise self._wrong(at, "a name, a number, an operation in quotes or one of ( ) [ ] , =")
            kind = str(match.lastgroup)
            found.append(_Token("text" if kind in ("single", "double") else kind, match[kind], match.start(kind)))
            at = match.end()
        return [*found, _Token("end", "", end)]

    def _wrong(self, at: int, expected: str) -> InvalidArchitecture:
        return InvalidArchitecture(
            f"a genotype cannot be read from character {at + 1} on",
            value=self.text[at : at + _SHOWN],
            expected=expected,
            remedy=f"A genotype looks like {FORM}.",
        )
