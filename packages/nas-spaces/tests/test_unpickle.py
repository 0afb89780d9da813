"""Reading pickles that may be damaged or hostile: plain data comes back, everything else is one error."""

from __future__ import annotations

import decimal
import os
import pickle
import pickletools
import tracemalloc
from collections import Counter, OrderedDict, defaultdict
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas_core.errors import InvalidTable
from nas_spaces.tables.unpickle import DEEPEST, unpickle

PROTOCOLS = range(6)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**2030), 2**2030)
    | st.floats(allow_nan=False)
    | st.text(max_size=20)
    | st.binary(max_size=20)
)
KEYS = SCALARS | st.tuples(st.text(max_size=5), st.integers(0, 999))
DATA = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(KEYS, inner, max_size=4)
        | st.sets(SCALARS, max_size=4)
    ),
    max_leaves=12,
)


@given(DATA, st.sampled_from(PROTOCOLS))
def test_plain_data_comes_back(value: Any, protocol: int) -> None:
    """The same values of the same types, as Python's own reader has them."""
    data = pickle.dumps(value, protocol)
    found = unpickle(data + b"more")
    assert found.end == len(data)
    assert repr(found.value) == repr(pickle.loads(data))


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_what_else_is_admitted(protocol: int) -> None:
    shared = [1]
    value = {
        "ordered": OrderedDict(b=1, a=2),
        "default": defaultdict(None, {"x": 1}),
        "numbers": [np.float64(0.5), np.float32(0.25), np.int64(-3), np.bool_(True), np.uint8(255)],
        "shared": [shared, shared],
        "bytearray": bytearray(b"ab"),
    }
    found = unpickle(pickle.dumps(value, protocol)).value
    assert found == {
        "ordered": {"b": 1, "a": 2},
        "default": {"x": 1},
        "numbers": [0.5, 0.25, -3, True, 255],
        "shared": [[1], [1]],
        "bytearray": b"ab",
    }
    assert list(found["ordered"]) == ["b", "a"]
    assert [type(number) for number in found["numbers"]] == [float, float, int, bool, int]
    assert found["shared"][0] is found["shared"][1]


ARRAYS = [
    np.arange(6.0).reshape(2, 3),
    np.asfortranarray(np.arange(6, dtype=np.int16).reshape(2, 3)),
    np.arange(3, dtype=">f4"),
    np.array([True, False]),
    np.array(2.5),
    np.zeros((0, 3), dtype=np.uint8),
]


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("array", ARRAYS, ids=lambda array: f"{array.dtype}{array.shape}")
def test_arrays_come_back(array: np.ndarray[Any, Any], protocol: int) -> None:
    found = unpickle(pickle.dumps([array, array], protocol)).value
    assert found[0] is found[1]
    np.testing.assert_array_equal(found[0], array)
    assert (found[0].dtype.newbyteorder("="), found[0].shape) == (array.dtype.newbyteorder("="), array.shape)


def test_arrays_of_plain_objects_come_back() -> None:
    array = np.array([{"arch_str": "a"}, None, 3, "b"], dtype=object)
    for protocol in PROTOCOLS:
        assert unpickle(pickle.dumps(array, protocol)).value.tolist() == array.tolist()


def test_what_python_2_wrote_is_read() -> None:
    # {'a': array([1.0, -2.0]), 'b': float32(0.5)} as numpy under Python 2 writes it, opcode by opcode
    dtype = b"cnumpy\ndtype\n(U\x02f%dI0\nI1\ntR(I3\nU\x01<NNNI-1\nI-1\nI0\ntb"
    content = np.array([1.0, -2.0]).tobytes()
    data = b"(dU\x01acnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntU\x01btR(I1\n(I2\nt"
    data += dtype % 8 + b"I00\nU\x10" + content + b"tbs"
    data += b"S'b'\ncnumpy.core.multiarray\nscalar\n(" + dtype % 4 + b"U\x04" + np.float32(0.5).tobytes() + b"tRs."
    found = unpickle(data).value
    assert found["a"].tolist() == [1.0, -2.0]
    assert found["b"] == 0.5
    assert unpickle(b'(I01\nI00\nL-5L\nS"it\'s"\ntp0\n.').value == (True, False, -5, "it's")


class Calls:
    """Runs a command when a pickle of it is read by Python's own reader."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.file}",)


class Plain:
    def __init__(self) -> None:
        self.x = 1


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_code_is_never_run(tmp_path: Path, protocol: int) -> None:
    touched = tmp_path / "touched"
    data = pickle.dumps([1, Calls(touched)], protocol)
    with pytest.raises(InvalidTable, match=r"names what is not plain data.*'posix\.system'.*byte \d+"):
        unpickle(data)
    assert not touched.exists()
    pickle.loads(data)
    assert touched.exists()  # so it would have been


REFUSED = {
    "a class": (Plain(), "Plain|copy_reg"),
    "a function": (len, r"builtin.*\.len"),
    "a counter": (Counter("aab"), r"collections\.Counter"),
    "a factory": (defaultdict(int, a=1), r"builtin.*\.(int|long)"),
    "a decimal": (decimal.Decimal(1), r"decimal\.Decimal"),
    "a frozenset": (frozenset({1}), "frozenset|opcode"),
    "a complex number": (1j, r"complex"),
    "times": (np.array(["2020-01-01"], dtype="M8[D]"), "of a type that is not read"),
    "records": (np.zeros(1, dtype=[("a", "f8")]), "of a type that is not read"),
    "texts in an array": (np.array(["a"]), "of a type that is not read"),
    "objects in an array": (np.array([[1], None], dtype=object), "objects that are not plain"),
    "a huge number": (1 << 2048, "a number that is too large"),
    "a long key": ({tuple(range(17)): 1}, "a key that is no scalar"),
    "a deep key": ({((1,),): 1}, "a key that is no scalar"),
}


@pytest.mark.parametrize(("value", "message"), REFUSED.values(), ids=REFUSED)
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_everything_else_is_refused(value: Any, message: str, protocol: int) -> None:
    with pytest.raises(InvalidTable, match=message):
        unpickle(pickle.dumps(value, protocol))


def test_nesting_is_limited() -> None:
    value: list[Any] = []
    for _ in range(DEEPEST - 1):
        value = [value]
    assert unpickle(pickle.dumps(value)).value == value
    with pytest.raises(InvalidTable, match="nested too deeply"):
        unpickle(pickle.dumps([value]))
    levels = 100_000  # one around the other, from the memo: the stack stays low
    deep = b"]" + b"\x85" * levels
    with pytest.raises(InvalidTable, match="nested too deeply"):
        unpickle(deep + b"." + bytes(8 * levels))


def test_containers_in_themselves_are_refused() -> None:
    loop: list[Any] = [1]
    loop.append({"again": loop})
    with pytest.raises(InvalidTable, match="contains itself"):
        unpickle(pickle.dumps(loop))


def test_what_is_shared_is_looked_at_once() -> None:
    """Each level holds the one below twice: 2^50 paths, 50 containers."""
    value: Any = []
    for _ in range(50):
        value = [value, value]
    found = unpickle(pickle.dumps(value)).value
    assert len(found) == 2
    assert found[0] is found[1]


BOMBS = {
    "bytes": b"\x8e" + (1 << 40).to_bytes(8, "little"),
    "text": b"\x8d" + (1 << 40).to_bytes(8, "little"),
    "bytearray": b"\x96" + (1 << 40).to_bytes(8, "little"),
    "old text": b"T" + ((1 << 32) - 1).to_bytes(4, "little"),
    "frame": b"\x95" + (1 << 40).to_bytes(8, "little"),
    "memo": b"Nr" + ((1 << 32) - 1).to_bytes(4, "little"),
    "number": b"\x8b" + ((1 << 31) - 1).to_bytes(4, "little"),
    "digits": b"I" + b"9" * 60_000 + b"\n",
    "float": b"F" + b"9" * 60_000 + b"\n",
    "sets": b"(" + b"\x8f" * 60_000,
    "marks": b"(" * 60_000,
    "line": b"V" + b"a" * 100_000,
    "array": pickle.dumps(np.zeros(3), 4).replace(b"K\x03\x85", b"J\xff\xff\xff\x7f\x85"),
}


@pytest.mark.parametrize("data", BOMBS.values(), ids=BOMBS)
def test_no_more_memory_than_an_honest_file_of_its_size(data: bytes) -> None:
    tracemalloc.start()
    with pytest.raises(InvalidTable):
        unpickle(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 200_000 + 80 * len(data)


SAMPLE = [
    pickle.dumps({"a": [1.5, OrderedDict(x=np.float64(1)), {1, 2}], ("b", 7): np.arange(4)}, protocol)
    for protocol in PROTOCOLS
]


@pytest.mark.parametrize("data", SAMPLE, ids=PROTOCOLS)
def test_every_cut_is_seen(data: bytes) -> None:
    assert unpickle(data).end == len(data)
    for end in range(len(data)):
        with pytest.raises(InvalidTable):
            unpickle(data[:end])


def survives(data: bytes) -> None:
    """Nothing but InvalidTable comes of it."""
    with suppress(InvalidTable):
        unpickle(data)


@given(st.binary(max_size=200))
def test_noise(data: bytes) -> None:
    survives(data)


@given(st.sampled_from(SAMPLE), st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), min_size=1, max_size=4))
def test_changed_bytes(data: bytes, changes: list[tuple[int, int]]) -> None:
    changed = bytearray(data)
    for at, value in changes:
        changed[at % len(changed)] = value
    survives(bytes(changed))


CODES = [op.code.encode("latin-1") for op in pickletools.opcodes]
NAMES = [b"ccollections\nOrderedDict\n", b"cnumpy\ndtype\n", b"cnumpy\nndarray\n", b"c_codecs\nencode\n",
         b"cnumpy.core.multiarray\n_reconstruct\n", b"cnumpy.core.multiarray\nscalar\n",
         b"cnumpy.core.numeric\n_frombuffer\n", b"cbuiltins\nset\n", b"cbuiltins\nbytearray\n",
         b"ccollections\ndefaultdict\n"]  # fmt: skip
PARTS = [b"K\x01", b"N", b"U\x02f8", b"U\x01O", b"U\x01<", b"U\x06latin1", b"U\x01C", b"C\x08abcdefgh", b"]", b"}",
         b")", b"(", b"t", b"R", b"b", b"q\x00", b"h\x00", b"K\x01\x85", b"X\x01\x00\x00\x00a"]  # fmt: skip


@given(st.lists(st.sampled_from(CODES + NAMES * 3 + PARTS * 3), max_size=40))
def test_opcodes_in_any_order(parts: list[bytes]) -> None:
    survives(b"".join(parts) + b".")
