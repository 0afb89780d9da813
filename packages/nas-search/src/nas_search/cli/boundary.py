"""Where the command line ends: errors become one line and an exit code, and no user sees a traceback.

0    done
1    a fault of the toolkit, or nobody reads the output any more
2    a mistake in the user's words: an option, a file, a value
130  stopped by Ctrl-C or SIGTERM
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from io import TextIOWrapper
from typing import NoReturn

import typer

from nas_core.errors import NasError
from nas_search.cli.app import app

# typer's usage errors stand in click, or in typer itself, depending on its version; BadParameter is public in both.
_UsageError: type[Exception] = typer.BadParameter.__mro__[1]


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run `nas` with these arguments, those of the process by default, and end with its exit code."""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal that lacks a character is no reason to fail
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def run(arguments: Sequence[str]) -> int:
    """Run `nas` and return its exit code; what went wrong is written to standard error."""
    try:
        result = app(args=list(arguments), prog_name="nas", standalone_mode=False)
        sys.stdout.flush()
    except BrokenPipeError:
        # the reader is gone: nothing is left to say, and the flush at exit must not complain either
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (KeyboardInterrupt, typer.Abort):
        return 130
    except Exception as error:  # the boundary: whatever has not been handled below ends here
        if "--debug" in arguments:
            traceback.print_exc()
        message, code = explained(error)
        print(f"error: {message}", file=sys.stderr)
        return code
    return result if isinstance(result, int) else 0


def explained(error: Exception) -> tuple[str, int]:
    """One line for an error, and its exit code."""
    if isinstance(error, NasError):
        return str(error), 2
    if isinstance(error, _UsageError):
        return _usage(error), 2
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.strerror}: {os.fspath(error.filename)!r}", 2
    what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return f"a fault of the toolkit, not of yours ({what}). Run the command again with --debug to see where.", 1


def _usage(error: Exception) -> str:
    message: str = error.format_message()  # type: ignore[attr-defined]
    context = getattr(error, "ctx", None)
    text = message.removesuffix(".")
    end = "" if text.endswith("?") else "."
    return text if context is None else f"{text}{end} `{context.command_path} --help` shows what there is."
