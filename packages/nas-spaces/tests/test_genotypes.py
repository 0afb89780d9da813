"""Genotypes: the published text, both ways, and what is wrong with a text."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from nas_core.errors import InvalidArchitecture
from nas_spaces import genotypes
from nas_spaces.two_input_cells import Cell

OPERATIONS = ("max_pool_3x3", "skip_connect", "sep_conv_3x3")
GOOD = (
    "Genotype(normal=[('sep_conv_3x3', 0), ('skip_connect', 1), ('max_pool_3x3', 2), ('sep_conv_3x3', 0)], "
    "normal_concat=range(2, 4), reduce=[('sep_conv_3x3', 1), ('sep_conv_3x3', 0), ('skip_connect', 0), "
    "('skip_connect', 1)], reduce_concat=[2, 3])"
)
NORMAL: Cell = (((0, "sep_conv_3x3"), (1, "skip_connect")), ((2, "max_pool_3x3"), (0, "sep_conv_3x3")))
REDUCTION: Cell = (((1, "sep_conv_3x3"), (0, "sep_conv_3x3")), ((0, "skip_connect"), (1, "skip_connect")))


def read(text: str) -> tuple[Cell, Cell]:
    return genotypes.read(text, OPERATIONS, 2)


def test_a_published_text_is_read_and_written() -> None:
    assert read(GOOD) == (NORMAL, REDUCTION)
    assert genotypes.write(NORMAL, REDUCTION) == GOOD.replace("[2, 3]", "range(2, 4)")
    assert read(genotypes.write(NORMAL, REDUCTION)) == (NORMAL, REDUCTION)


@pytest.mark.parametrize(
    "text",
    [
        f"  {GOOD}\n",
        GOOD.replace(" ", ""),
        GOOD.replace(", ", " ,\n\t"),
        GOOD.replace("'", '"'),
        GOOD.replace("range(2, 4)", "[3, 2]"),
        GOOD.replace(")]", "),]").replace("[2, 3])", "[2, 3,],)"),
    ],
)
def test_other_ways_to_write_it_are_read(text: str) -> None:
    assert read(text) == (NORMAL, REDUCTION)


def test_fields_may_stand_in_any_order() -> None:
    head, reduce = GOOD.removesuffix(")").split(", reduce=")
    text = f"Genotype(reduce={reduce}, {head.removeprefix('Genotype(')})"
    assert read(text) == (NORMAL, REDUCTION)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "from character 1 on: ''; expected 'Genotype'"),
        ("genotype()", "from character 1 on.*expected 'Genotype'"),
        ("Genotype()", "a genotype without normal"),
        (GOOD[:-1], r"expected ','|expected .*\)"),
        (GOOD + ")", "expected the end of the text"),
        (GOOD.replace("normal_concat", "norml_concat"), "expected 'normal' or 'normal_concat' or 'reduce'"),
        (GOOD.replace("reduce_concat=[2, 3]", "normal_concat=[2, 3]"), "gives normal_concat twice"),
        (GOOD.replace(", reduce_concat=[2, 3]", ""), "a genotype without reduce_concat"),
        (
            GOOD.replace("max_pool_3x3", "none"),
            "unknown operation in branch 1 of node 3 of normal: 'none'; expected one",
        ),
        (GOOD.replace("('max_pool_3x3', 2)", "('max_pool_3x3', 3)"), "wrong source in branch 1 of node 3 of normal: 3"),
        (GOOD.replace("('skip_connect', 1)]", "('skip_connect', -1)]"), "expected a name, a number, an operation"),
        (GOOD.replace(", ('skip_connect', 1)]", "]"), "reduce has 3 branches.*expected 4, two for each node"),
        (GOOD.replace("range(2, 4)", "range(2, 5)"), "normal_concat leaves out a node or names others"),
        (GOOD.replace("[2, 3]", "[3]"), "reduce_concat leaves out a node or names others"),
        (GOOD.replace("[2, 3]", "[2, 2, 3]"), "reduce_concat leaves out a node or names others"),
        (GOOD.replace("range(2, 4)", "range(2, 99999)"), "expected a name, a number"),
        (GOOD.replace("range(2, 4)", "range(4)"), "expected ','"),
        (GOOD.replace("'max_pool_3x3'", "max_pool_3x3"), "expected an operation in quotes"),
        (GOOD.replace("'max_pool_3x3'", "__import__('os')"), "from character .*expected a name"),
        (GOOD.replace("('sep_conv_3x3', 0), (", "('sep_conv_3x3', 0) (", 1), "expected ','"),
        (GOOD.replace("('sep_conv_3x3', 0)", "('sep_conv_3x3', 0, 1)", 1), r"expected '\)'"),
        (GOOD.replace("'sep_conv_3x3', 0", "'sep_conv_3x3', '0'", 1), "expected a number"),
        (GOOD + " " * 20_000, "not the text of a genotype"),
        (7, "not the text of a genotype"),
        (None, "not the text of a genotype"),
    ],
)
def test_what_is_wrong_is_told(text: str, message: str) -> None:
    with pytest.raises(InvalidArchitecture, match=message):
        read(text)


@given(
    st.one_of(
        st.text(max_size=200),
        st.lists(
            st.sampled_from(
                [
                    "Genotype",
                    "(",
                    ")",
                    "[",
                    "]",
                    ",",
                    "=",
                    "normal",
                    "reduce",
                    "normal_concat",
                    "range",
                    "'skip_connect'",
                    "2",
                    "'",
                ]
            ),
            max_size=40,
        ).map(" ".join),
    )
)
@example("(" * 9000)
@example("[" * 9000 + "\x00")
@example("Genotype(normal=" + "[(" * 3000)
@example("Genotype(normal=[('sep_conv_3x3', 9" + "9" * 5000)
@example("\ud800")
@example("Genotype(normal_concat=range(0, ٣))")
def test_junk_raises_invalid_architecture_only(text: str) -> None:
    with pytest.raises(InvalidArchitecture):
        read(text)


@given(st.data())
def test_damaged_texts_are_read_or_refused(data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(GOOD)))
    length = data.draw(st.integers(0, 30))
    piece = data.draw(st.one_of(st.text(max_size=5), st.sampled_from(["(", ")", "[", "]", ",", "'", "0", "9" * 40])))
    try:
        normal, reduction = read(GOOD[:at] + piece + GOOD[at + length :])
    except InvalidArchitecture:
        return
    assert read(genotypes.write(normal, reduction)) == (normal, reduction)
