"""Functions run in a fresh interpreter: what depends on the order of a set of texts differs there and is found out."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from typing import Any

_LONGEST_SECONDS = 300

_PROGRAM = """
import json, sys
from nas_core.testing.processes import load_object
function, arguments = json.loads(sys.stdin.read())
print("\\n" + json.dumps(load_object(function)(*arguments)))
"""


def load_object(path: str) -> Any:
    """The object that "module:name" names, imported."""
    module, _, name = path.partition(":")
    return getattr(importlib.import_module(module), name)


def in_fresh_process(function: str, *arguments: Any, hash_seed: int = 1) -> Any:
    """What a function returns in a new interpreter that hashes texts in its own way.

    Args:
        function: "module:name"; whatever this process can import, the new one can.
        *arguments: JSON.
        hash_seed: PYTHONHASHSEED of the new interpreter.

    Returns:
        The function's result, as JSON reads it back (tuples become lists).

    Raises:
        RuntimeError: the function failed; the message is what the interpreter wrote.
    """
    paths = os.pathsep.join(path for path in sys.path if path)
    ended = subprocess.run(
        [sys.executable, "-c", _PROGRAM],
        input=json.dumps([function, arguments]),
        env={**os.environ, "PYTHONHASHSEED": str(hash_seed), "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=_LONGEST_SECONDS,
        check=False,
    )
    if ended.returncode != 0:
        raise RuntimeError(f"{function} failed in a fresh process:\n{ended.stderr}")
    return json.loads(ended.stdout.splitlines()[-1])
