"""Reading pickles without trusting them: a pickle machine that knows plain data and can do nothing else.

Published benchmarks come as pickles, and Python's own reader runs whatever code a pickle names. This one reads the same
opcodes (protocols 0 to 5) but imports nothing and calls nothing that a file names. It admits

    None, truth values, whole numbers of up to 255 bytes, floats, texts, bytes, lists, tuples, dicts, sets
    collections.OrderedDict, and collections.defaultdict without a factory    as dicts
    numpy scalars of truth values, whole numbers and floats                   as Python's numbers
    numpy arrays of these, and of plain dicts, texts and numbers ("O", one axis)

and refuses every other name. Keys of dicts and members of sets are scalars or short tuples of scalars. Sizes are
checked against the bytes that are there before anything is made, so that the memory is in proportion to the file; data
that is nested too deeply, or contains itself, is refused.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Mapping
from math import prod
from mmap import mmap
from typing import Any, Final, NamedTuple, NoReturn, TypeAlias, final

import numpy as np

from nas_core.errors import InvalidTable

Buffer: TypeAlias = bytes | mmap

DEEPEST: Final = 64
"""How deeply containers may be nested."""

_LONGEST_LINE = 1 << 16
_LONGEST_NUMBER = 616  # digits of a whole number of 255 bytes
_LONGEST_KEY = 16
_BYTES_A_CONTAINER = 8  # an honest file spends more on each, and makes no more than this
_FREE_CONTAINERS = 1000
_MOST_AXES = 8
_DTYPE = re.compile(r"b1|[iu][1248]|f[248]|O8?")
_ASCII = re.compile(rb"'([ -&(-\[\]-~]*)'|\"([ !#-\[\]-~]*)\"")
_MULTIARRAY = ("numpy.core.multiarray", "numpy._core.multiarray")
_NUMERIC = ("numpy.core.numeric", "numpy._core.numeric")
_SCALARS = frozenset({type(None), bool, int, float, str, bytes})
_CONTAINERS = frozenset({list, tuple, dict, set, np.ndarray})
_ADMITTED: Mapping[tuple[str, str], str] = {
    ("collections", "OrderedDict"): "dict",
    ("collections", "defaultdict"): "defaultdict",
    ("builtins", "set"): "set",
    ("__builtin__", "set"): "set",
    **{(module, name): "bytes" for module in ("builtins", "__builtin__") for name in ("bytes", "bytearray")},
    ("_codecs", "encode"): "encode",
    ("numpy", "dtype"): "dtype",
    ("numpy", "ndarray"): "ndarray",
    **{(module, "_reconstruct"): "array" for module in _MULTIARRAY},
    **{(module, "scalar"): "scalar" for module in _MULTIARRAY},
    **{(module, "_frombuffer"): "frombuffer" for module in _NUMERIC},
}
_DAMAGE = (IndexError, KeyError, ValueError, OverflowError, struct.error)


class Unpickled(NamedTuple):
    """What a pickle holds, and where in the data it ends."""

    value: Any
    end: int


def unpickle(data: Buffer, start: int = 0) -> Unpickled:
    """Read one pickle.

    Args:
        data: it and whatever follows.
        start: where it begins.

    Raises:
        InvalidTable: it is damaged or cut off, names anything that is not admitted (the message says what), declares
            more than it holds, or is nested too deeply.
    """
    machine = _Machine(data, start)
    try:
        value = machine.run()
    except InvalidTable as error:
        raise error.at(f"byte {machine.begun} of the pickle") from None
    except _DAMAGE as error:
        raise InvalidTable(f"not an intact pickle ({error})", place=f"byte {machine.begun}") from None
    _check_nesting(value)
    return Unpickled(value, machine.at)


class _Name(NamedTuple):
    """Something that a pickle may name, and what is done instead of calling it."""

    does: str


@final
class _Dtype:
    """A numpy dtype in the making: its code, and the order of its bytes once that has been told."""

    def __init__(self, code: str) -> None:
        self.code = code
        self.order = "="

    def made(self) -> np.dtype[Any]:
        return np.dtype("O" if self.code.startswith("O") else self.order + self.code)


@final
class _Machine:
    """The pickle machine: a stack, the stacks below the marks, a memo."""

    def __init__(self, data: Buffer, start: int) -> None:
        self._data = data
        self._size = len(data)
        self.at = self.begun = start
        self._stack: list[Any] = []
        self._below: list[list[Any]] = []
        self._memo: dict[int, Any] = {}
        self._room = _FREE_CONTAINERS + (self._size - start) // _BYTES_A_CONTAINER

    def run(self) -> Any:
        """Do what the pickle says up to its end."""
        data, size, table = self._data, self._size, _OPCODES
        while self.at < size:
            self.begun = self.at
            code = data[self.at]
            self.at += 1
            if code == _STOP:
                return self._result()
            operation = table.get(code)
            if operation is None:
                raise InvalidTable("the pickle holds an opcode that is not read", value=bytes([code]))
            operation(self)
        raise InvalidTable("the pickle is cut off")

    def _result(self) -> Any:
        if self._below or len(self._stack) != 1:
            raise InvalidTable("the pickle ends in the middle of something")
        value = self._stack[0]
        if type(value) not in _SCALARS and type(value) not in _CONTAINERS:
            raise InvalidTable("the pickle holds a name and no data")
        return value

    # what is read

    def _take(self, count: int) -> bytes:
        if count > self._size - self.at:
            raise InvalidTable("the pickle declares more than it holds", value=count)
        taken = self._data[self.at : self.at + count]
        self.at += count
        return taken

    def _number(self, count: int) -> int:
        return int.from_bytes(self._take(count), "little")

    def _line(self) -> bytes:
        end = self._data.find(b"\n", self.at, self.at + _LONGEST_LINE)
        if end < 0:
            raise InvalidTable("a line of the pickle does not end")
        line = self._take(end - self.at)
        self.at += 1
        return line

    def _protocol(self) -> None:
        if self._take(1)[0] > 5:
            raise InvalidTable("the pickle is of a later protocol", expected="0 to 5")

    def _frame(self) -> None:
        length = self._number(8)
        if length > self._size - self.at:
            raise InvalidTable("the pickle declares more than it holds", value=length)

    # what is made

    def _push(self, value: Any) -> None:
        self._stack.append(value)

    def _contain(self, value: Any) -> None:
        """Push a new container, of which there may be only so many."""
        self._room -= 1
        if self._room < 0:
            raise InvalidTable("the pickle makes more containers than an honest one of its size")
        self._stack.append(value)

    def _marked(self) -> list[Any]:
        """What stands above the last mark, which goes."""
        items, self._stack = self._stack, self._below.pop()
        return items

    def _top(self, kind: type) -> Any:
        if type(self._stack[-1]) is not kind:
            raise InvalidTable(f"the pickle adds to what is no {kind.__name__}")
        return self._stack[-1]

    def _mark(self) -> None:
        self._below.append(self._stack)
        self._stack = []

    def _pop(self) -> None:
        if self._stack:
            self._stack.pop()
        else:
            self._stack = self._below.pop()

    def _pop_mark(self) -> None:
        self._marked()

    def _duplicate(self) -> None:
        self._push(self._stack[-1])

    def _int_line(self) -> None:
        line = self._line()
        self._push(bool(int(line)) if line in (b"00", b"01") else _whole(line))

    def _long_line(self) -> None:
        self._push(_whole(self._line().removesuffix(b"L")))

    def _long(self, length_bytes: int) -> None:
        length = self._number(length_bytes)
        if length > 255:
            raise InvalidTable("the pickle holds a number that is too large", value=length, expected="255 bytes")
        self._push(int.from_bytes(self._take(length), "little", signed=True))

    def _float_line(self) -> None:
        line = self._line()
        if len(line) > _LONGEST_NUMBER:
            raise InvalidTable("the pickle holds a number that is too long")
        self._push(float(line))

    def _text_line(self) -> None:
        self._push(self._line().decode("raw-unicode-escape"))

    def _string_line(self) -> None:
        match = _ASCII.fullmatch(self._line())
        if match is None:
            raise InvalidTable("the pickle holds a text in an escaped form that is not read")
        self._push(match[match.lastindex or 1].decode("ascii"))

    def _text(self, length_bytes: int) -> None:
        self._push(str(self._take(self._number(length_bytes)), "utf-8", "surrogatepass"))

    def _old_text(self, length_bytes: int) -> None:
        """A text of Python 2, which is bytes; numpy's data among them."""
        self._push(str(self._take(self._number(length_bytes)), "latin-1"))

    def _bytes(self, length_bytes: int) -> None:
        self._push(self._take(self._number(length_bytes)))

    def _tuple(self, count: int) -> None:
        if count > len(self._stack):
            raise InvalidTable("the pickle takes more than there is")
        items = tuple(self._stack[len(self._stack) - count :])
        del self._stack[len(self._stack) - count :]
        self._contain(items)

    def _marked_tuple(self) -> None:
        self._contain(tuple(self._marked()))

    def _marked_list(self) -> None:
        self._contain(self._marked())

    def _marked_dict(self) -> None:
        items = self._marked()
        self._contain({})
        self._fill(items)

    def _append(self) -> None:
        value = self._stack.pop()
        self._top(list).append(value)

    def _extend(self) -> None:
        items = self._marked()
        self._top(list).extend(items)

    def _set_item(self) -> None:
        items = self._stack[-2:]
        del self._stack[-2:]
        self._fill(items)

    def _set_items(self) -> None:
        self._fill(self._marked())

    def _fill(self, items: list[Any]) -> None:
        filled = self._top(dict)
        keys, values = items[::2], items[1::2]
        if len(keys) != len(values):
            raise InvalidTable("the pickle holds a key without a value")
        for key, value in zip(keys, values, strict=True):
            if type(key) not in _SCALARS:
                _check_key(key)
            filled[key] = value

    def _add_items(self) -> None:
        items = self._marked()
        for item in items:
            _check_key(item)
        self._top(set).update(items)

    # the memo

    def _put(self, place: int) -> None:
        self._memo[place] = self._stack[-1]

    def _get(self, place: int) -> None:
        self._stack.append(self._memo[place])

    # names, and what stands for calling them

    def _global_line(self) -> None:
        module, name = self._line(), self._line()
        self._name(module.decode("utf-8"), name.decode("utf-8"))

    def _stack_global(self) -> None:
        name, module = self._stack.pop(), self._stack.pop()
        self._name(module, name)

    def _name(self, module: Any, name: Any) -> None:
        does = _ADMITTED.get((module, name)) if isinstance(module, str) and isinstance(name, str) else None
        if does is None:
            shown = f"{module}.{name}" if isinstance(module, str) and isinstance(name, str) else "no text"
            raise InvalidTable(
                "the pickle names what is not plain data, which is never loaded",
                value=shown,
                expected="plain numbers, texts and containers, and numpy's arrays of numbers",
            )
        self._push(_Name(does))

    def _refuse_call(self) -> NoReturn:
        raise InvalidTable("the pickle makes objects of classes, which is never done")

    def _refuse_reference(self) -> NoReturn:
        raise InvalidTable("the pickle refers to data outside it, such as torch's tensors, which is not read")

    def _reduce(self) -> None:
        arguments, called = self._stack.pop(), self._stack.pop()
        if type(called) is not _Name or called.does not in _CALLS or type(arguments) is not tuple:
            raise InvalidTable("the pickle calls what is no function")
        self._room -= 1
        if self._room < 0:
            raise InvalidTable("the pickle makes more containers than an honest one of its size")
        self._push(_CALLS[called.does](arguments))

    def _build(self) -> None:
        state = self._stack.pop()
        built = self._stack[-1]
        if type(built) is _Dtype:
            _set_order(built, state)
        elif type(built) is np.ndarray:
            _set_array(built, state)
        else:
            raise InvalidTable("the pickle sets the state of what has none")


def _whole(line: bytes) -> int:
    if len(line) > _LONGEST_NUMBER:
        raise InvalidTable("the pickle holds a number that is too large", value=len(line), expected="255 bytes")
    return int(line)


def _check_key(key: Any) -> None:
    """Keys are hashed, which must be quick and must not go deep."""
    if type(key) in _SCALARS:
        return
    if type(key) is not tuple or len(key) > _LONGEST_KEY or any(type(part) not in _SCALARS for part in key):
        raise InvalidTable("the pickle has a key that is no scalar", value=type(key).__name__)


def _made_dict(arguments: tuple[Any, ...]) -> dict[Any, Any]:
    """An OrderedDict: empty, or of a list of pairs as Python 2 wrote it."""
    made: dict[Any, Any] = {}
    if len(arguments) > 1 or (arguments and type(arguments[0]) is not list):
        raise InvalidTable("the pickle makes a dict of no pairs")
    for pair in arguments[0] if arguments else ():
        if type(pair) not in (list, tuple) or len(pair) != 2:
            raise InvalidTable("the pickle makes a dict of no pairs")
        _check_key(pair[0])
        made[pair[0]] = pair[1]
    return made


def _made_default(arguments: tuple[Any, ...]) -> dict[Any, Any]:
    if len(arguments) > 1 or (arguments and arguments[0] is not None):
        raise InvalidTable("the pickle makes a defaultdict with a factory, which would be called")
    return {}


def _made_set(arguments: tuple[Any, ...]) -> set[Any]:
    if len(arguments) > 1 or (arguments and type(arguments[0]) is not list):
        raise InvalidTable("the pickle makes a set of no list")
    for item in arguments[0] if arguments else ():
        _check_key(item)
    return set(arguments[0]) if arguments else set()


def _made_bytes(arguments: tuple[Any, ...]) -> bytes:
    if [type(a) for a in arguments] not in ([], [bytes]):
        raise InvalidTable("the pickle makes bytes of no bytes")
    return arguments[0] if arguments else b""


def _encoded(arguments: tuple[Any, ...]) -> bytes:
    """How protocols 0 to 2 write bytes."""
    if [type(a) for a in arguments] != [str, str] or arguments[1] not in ("latin1", "latin-1"):
        raise InvalidTable("the pickle encodes a text in a way that is not read")
    encoded: bytes = arguments[0].encode("latin-1")
    return encoded


def _made_dtype(arguments: tuple[Any, ...]) -> _Dtype:
    code = arguments[0] if arguments else None
    if type(code) is not str or not _DTYPE.fullmatch(code.lstrip("<>|=")):
        raise InvalidTable("the pickle holds an array of a type that is not read", value=str(code)[:40])
    made = _Dtype(code.lstrip("<>|="))
    made.order = code[0] if code[0] in "<>" else "="
    return made


def _set_order(dtype: _Dtype, state: Any) -> None:
    if type(state) is not tuple or len(state) < 5 or any(part is not None for part in state[2:5]):
        raise InvalidTable("the pickle holds an array of a type that is not read")
    if type(state[1]) is not str or state[1] not in ("<", ">", "|", "="):
        raise InvalidTable("the pickle holds an array in an order of bytes that is not read")
    dtype.order = state[1] if state[1] in "<>" else "="


def _made_array(arguments: tuple[Any, ...]) -> np.ndarray[Any, Any]:
    """An empty array, whose contents `_set_array` fills in."""
    if not arguments or type(arguments[0]) is not _Name or arguments[0].does != "ndarray":
        raise InvalidTable("the pickle makes an array of an unknown class")
    return np.empty(0, dtype=np.uint8)


def _set_array(array: np.ndarray[Any, Any], state: Any) -> None:
    if type(state) is not tuple or len(state) != 5 or type(state[2]) is not _Dtype or array.size:
        raise InvalidTable("the pickle holds an array that cannot be read")
    _, shape, dtype, fortran, content = state
    if type(fortran) not in (bool, int):
        raise InvalidTable("the pickle holds an array that cannot be read")
    if type(content) is str:
        content = content.encode("latin-1")
    made = dtype.made()
    _check_content(shape, made, content)
    # numpy's own method: given a checked shape, a dtype of ours and as many bytes or objects as they say
    array.__setstate__((1, shape, made, bool(fortran), content))  # type: ignore[arg-type]


def _frombuffer(arguments: tuple[Any, ...]) -> np.ndarray[Any, Any]:
    """An array as protocol 5 writes it: bytes, dtype, shape, order."""
    if [type(a) for a in arguments] != [bytes, _Dtype, tuple, str] or arguments[3] not in ("C", "F"):
        raise InvalidTable("the pickle holds an array that cannot be read")
    content, dtype, shape, order = arguments
    made = dtype.made()
    if made.kind == "O":
        raise InvalidTable("the pickle holds an array of objects as bytes")
    _check_content(shape, made, content)
    return np.frombuffer(content, made).reshape(shape, order=order)


def _scalar(arguments: tuple[Any, ...]) -> Any:
    if len(arguments) != 2 or type(arguments[0]) is not _Dtype:
        raise InvalidTable("the pickle holds a number that cannot be read")
    dtype, content = arguments[0].made(), arguments[1]
    content = content.encode("latin-1") if type(content) is str else content
    if dtype.kind == "O":
        raise InvalidTable("the pickle holds an object as a number")
    _check_content((), dtype, content)
    return np.frombuffer(content, dtype)[0].item()


def _check_content(shape: Any, dtype: np.dtype[Any], content: Any) -> None:
    """Check that an array's shape is one, and that its content is as large as that and the dtype say."""
    if type(shape) is not tuple or len(shape) > _MOST_AXES or any(type(n) is not int or n < 0 for n in shape):
        raise InvalidTable("the pickle holds an array without a shape")
    if dtype.kind == "O":
        plain = type(content) is list and all(type(item) in _SCALARS or type(item) is dict for item in content)
        if not plain or len(shape) != 1 or len(content) != shape[0]:
            raise InvalidTable("the pickle holds an array of objects that are not plain")
        return
    if type(content) is not bytes or len(content) != dtype.itemsize * prod(shape):
        raise InvalidTable("the pickle holds an array of another size than it says", value=str(shape)[:40])


def _check_nesting(value: Any) -> None:
    """Raise where containers are nested too deeply or contain themselves, without going deep oneself."""
    heights: dict[int, int] = {}
    path: list[tuple[Any, list[Any]]] = []
    if type(value) in _CONTAINERS:
        path.append((value, _inner(value)))
    while path:
        container, inner = path[-1]
        heights.setdefault(id(container), 0)  # 0: being looked at
        if len(path) > DEEPEST:
            raise InvalidTable("the pickle is nested too deeply", expected=f"at most {DEEPEST} levels")
        if inner:
            child = inner.pop()
            known = heights.get(id(child))
            if known == 0:
                raise InvalidTable("the pickle holds a container that contains itself")
            if known is None:
                path.append((child, _inner(child)))
            elif known + len(path) > DEEPEST:
                raise InvalidTable("the pickle is nested too deeply", expected=f"at most {DEEPEST} levels")
        else:
            heights[id(container)] = 1 + max((heights[id(child)] for child in _inner(container)), default=0)
            path.pop()


def _inner(container: Any) -> list[Any]:
    """The containers directly within a container."""
    if type(container) is np.ndarray:
        items = container.tolist() if container.dtype.kind == "O" else ()
    else:
        items = container.values() if type(container) is dict else container
    found = [item for item in items if type(item) not in _SCALARS]
    if any(type(item) not in _CONTAINERS for item in found):
        raise InvalidTable("the pickle holds a name where data is expected")
    return found


_CALLS: Mapping[str, Callable[[tuple[Any, ...]], Any]] = {
    "dict": _made_dict,
    "defaultdict": _made_default,
    "set": _made_set,
    "bytes": _made_bytes,
    "encode": _encoded,
    "dtype": _made_dtype,
    "array": _made_array,
    "frombuffer": _frombuffer,
    "scalar": _scalar,
}

_FLOAT = struct.Struct(">d")
_STOP = ord(".")
_OPCODES: Mapping[int, Callable[[_Machine], None]] = {
    code[0]: operation
    for code, operation in (
        (b"(", _Machine._mark),
        (b"0", _Machine._pop),
        (b"1", _Machine._pop_mark),
        (b"2", _Machine._duplicate),
        (b"N", lambda m: m._push(None)),
        (b"\x88", lambda m: m._push(True)),
        (b"\x89", lambda m: m._push(False)),
        (b"I", _Machine._int_line),
        (b"L", _Machine._long_line),
        (b"F", _Machine._float_line),
        (b"J", lambda m: m._push(int.from_bytes(m._take(4), "little", signed=True))),
        (b"K", lambda m: m._push(m._take(1)[0])),
        (b"M", lambda m: m._push(m._number(2))),
        (b"\x8a", lambda m: m._long(1)),
        (b"\x8b", lambda m: m._long(4)),
        (b"G", lambda m: m._push(_FLOAT.unpack(m._take(8))[0])),
        (b"V", _Machine._text_line),
        (b"X", lambda m: m._text(4)),
        (b"\x8c", lambda m: m._text(1)),
        (b"\x8d", lambda m: m._text(8)),
        (b"S", _Machine._string_line),
        (b"T", lambda m: m._old_text(4)),
        (b"U", lambda m: m._old_text(1)),
        (b"B", lambda m: m._bytes(4)),
        (b"C", lambda m: m._bytes(1)),
        (b"\x8e", lambda m: m._bytes(8)),
        (b"\x96", lambda m: m._bytes(8)),
        (b"\x98", lambda m: None),
        (b")", lambda m: m._push(())),
        (b"\x85", lambda m: m._tuple(1)),
        (b"\x86", lambda m: m._tuple(2)),
        (b"\x87", lambda m: m._tuple(3)),
        (b"t", _Machine._marked_tuple),
        (b"]", lambda m: m._contain([])),
        (b"l", _Machine._marked_list),
        (b"a", _Machine._append),
        (b"e", _Machine._extend),
        (b"}", lambda m: m._contain({})),
        (b"d", _Machine._marked_dict),
        (b"s", _Machine._set_item),
        (b"u", _Machine._set_items),
        (b"\x8f", lambda m: m._contain(set())),
        (b"\x90", _Machine._add_items),
        (b"p", lambda m: m._put(_whole(m._line()))),
        (b"q", lambda m: m._put(m._take(1)[0])),
        (b"r", lambda m: m._put(m._number(4))),
        (b"\x94", lambda m: m._put(len(m._memo))),
        (b"g", lambda m: m._get(_whole(m._line()))),
        (b"h", lambda m: m._get(m._take(1)[0])),
        (b"j", lambda m: m._get(m._number(4))),
        (b"c", _Machine._global_line),
        (b"\x93", _Machine._stack_global),
        (b"R", _Machine._reduce),
        (b"b", _Machine._build),
        (b"\x80", _Machine._protocol),
        (b"\x95", _Machine._frame),
        (b"i", _Machine._refuse_call),
        (b"o", _Machine._refuse_call),
        (b"\x81", _Machine._refuse_call),
        (b"\x92", _Machine._refuse_call),
        (b"\x82", _Machine._refuse_call),
        (b"\x83", _Machine._refuse_call),
        (b"\x84", _Machine._refuse_call),
        (b"P", _Machine._refuse_reference),
        (b"Q", _Machine._refuse_reference),
        (b"\x97", _Machine._refuse_reference),
    )
}
