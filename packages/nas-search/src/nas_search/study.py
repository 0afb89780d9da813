"""A study: space, objectives, optimizer, evaluator, executor and store, run until a stop rule holds.

Its directory holds

    study.db      the store: what runs, every trial, every result
    config.json   what runs, for a reader
    artefacts/    files that evaluations leave
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, Self, final

from nas_core.errors import InvalidOption, StoreError
from nas_core.history import History
from nas_core.trial import Trial
from nas_search.components import completed, make_objectives, make_optimizer, make_space
from nas_search.config import StudyConfig
from nas_search.events import Event
from nas_search.executors import make_executor
from nas_search.executors.simulated import simulated_seconds
from nas_search.loop import Loop, Rules, history_of
from nas_search.provenance import machine, versions
from nas_search.store import SqlStore
from nas_search.store.database import Database
from nas_search.summary import StudyStatus, Summary, status_of, summarise

DATABASE = "study.db"
CONFIG = "config.json"
ARTEFACTS = "artefacts"


class Flag(Protocol):
    """What `threading.Event` is."""

    def is_set(self) -> bool:
        """Whether somebody has set it."""
        ...


@final
class Study:
    """One study in its directory. Made by `create` and `open`; a context manager that closes the store.

    Args:
        directory: where it lies.
        store: its memory.

    Raises:
        NasError: its space is not installed, or its configuration is of another nas-search.
    """

    def __init__(self, directory: Path, store: SqlStore) -> None:
        self.directory = directory
        self.store = store
        self.config = StudyConfig.from_mapping(store.spec["config"], place=str(directory))
        self.space = make_space(self.config)
        self.objectives = make_objectives(self.config)
        store.notation = self.space.text

    @classmethod
    def create(cls, directory: str | Path, config: StudyConfig, *, store: str | None = None) -> Self:
        """Begin a study in a directory of its own. Everything is checked before anything is written.

        Args:
            directory: new, or empty.
            config: what it runs; options that are left open are written out.
            store: URL of a database server, without a password; None for a file in the directory.

        Raises:
            StoreError: the directory holds something, or cannot be written.
            NasError: the configuration cannot run; see `nas_search.components.completed`.
        """
        directory = Path(directory)
        _check_unused(directory)
        if store is not None:
            _check_without_password(store)
        spec = {"config": completed(config).to_config(), "versions": versions(), "machine": machine()}
        try:
            (directory / ARTEFACTS).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _not_writable(directory, error) from error
        if store is not None:  # the only way to find it again
            _write_config(directory, spec, store)
        made = cls._opened(directory, SqlStore.create(store or directory / DATABASE, spec))
        _write_config(directory, spec, store)
        return made

    @classmethod
    def open(cls, directory: str | Path, *, read_only: bool = False) -> Self:
        """Take up a study.

        Args:
            directory: where it lies.
            read_only: look only; another process may run it meanwhile.

        Raises:
            StoreError: there is no study, or its store is damaged or of a newer nas-search.
            NasError: its space is not installed.
        """
        directory = Path(directory)
        if not directory.is_dir():
            raise StoreError("there is no such directory", value=str(directory))
        return cls._opened(directory, SqlStore.open(_store_of(directory), read_only=read_only))

    @classmethod
    def _opened(cls, directory: Path, store: SqlStore) -> Self:
        try:
            return cls(directory, store)
        except BaseException:
            store.close()
            raise

    def run(
        self,
        trials: int | None = None,
        on_event: Callable[[Event], None] | None = None,
        stop: Flag | Callable[[], bool] | None = None,
    ) -> Summary:
        """Go on until `trials` have finished, or another stop rule holds.

        Trials that were running when the study last stopped are run again first. Ctrl-C ends it at once: what was
        running then is run again next time.

        Args:
            trials: finished trials of the whole study; None for the configured number.
            on_event: is told what happens (`nas_search.events`).
            stop: an Event, or what says whether to stop: then nothing new is begun, and what runs is finished.

        Raises:
            InvalidOption: `trials` is less than 1.
            StoreError: another process drives the study, or a result cannot be written.
            NasError: too many trials fail, the evaluator cannot work, or the optimizer breaks its contract.
        """
        begun = time.monotonic()
        wanted = self.config.trials if trials is None else trials
        if wanted < 1:
            raise InvalidOption("a study needs at least one trial", value=wanted)
        rules = Rules(wanted, self.config.seconds, _asked(stop), self.config.failure_limit)
        self.store.acquire()
        try:
            reason = self._loop(rules, on_event).run()
        finally:
            self.store.release()
        seconds = time.monotonic() - begun
        found = self.trials()
        history = history_of(found, self.store.finished_order(), self.objectives)
        return summarise(reason, found, history, self.objectives, self.space, seconds)

    def _loop(self, rules: Rules, on_event: Callable[[Event], None] | None) -> Loop:
        optimizer = make_optimizer(self.config, self.space, self.objectives)
        state = self.store.state()
        if state is not None:
            optimizer.restore(state)
        return Loop(
            self.config,
            self.store,
            self.objectives,
            optimizer,
            make_executor(self.config.executor, simulated_seconds(self.trials()) or 0.0),
            self.directory / ARTEFACTS,
            rules,
            on_event,
        )

    def trials(self) -> list[Trial]:
        """All trials in order of proposal, with full results."""
        return self.store.trials()

    def history(self) -> History:
        """The history as an optimizer sees it: the metrics of objectives and constraints only."""
        return history_of(self.store.trials(), self.store.finished_order(), self.objectives)

    def status(self) -> StudyStatus:
        """How far it is, and whether a process drives it."""
        return status_of(self.store.trials(), self.config.trials, self.store.driver())

    def changed_versions(self) -> dict[str, tuple[str | None, str | None]]:
        """What differs from the versions that the study was begun with, as (then, now); {} lets results be repeated."""
        then, now = self.store.spec["versions"], versions()
        names = sorted({*then, *now})
        return {name: (then.get(name), now.get(name)) for name in names if then.get(name) != now.get(name)}

    def close(self) -> None:
        """Give up the store; may be called twice."""
        self.store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _asked(stop: Flag | Callable[[], bool] | None) -> Callable[[], bool]:
    if stop is None:
        return lambda: False
    return stop if callable(stop) else stop.is_set


def _check_unused(directory: Path) -> None:
    """A new or empty directory, or what a killed `create` left, that can be written."""
    if directory.exists() and not directory.is_dir():
        raise StoreError("this is no directory", value=str(directory))
    try:
        held = sorted(path.name for path in directory.iterdir()) if directory.exists() else []
        artefacts = ARTEFACTS in held and any((directory / ARTEFACTS).iterdir())
    except OSError as error:
        raise StoreError(f"the directory cannot be read ({error.strerror})", value=str(directory)) from error
    if DATABASE in held:
        raise StoreError(
            "the directory holds a study already",
            value=str(directory),
            remedy="Go on with it by `nas resume`, or choose another directory.",
        )
    others = [name for name in held if name != ARTEFACTS and not name.startswith(f".{DATABASE}.new")]
    if artefacts or others:
        raise StoreError("the directory is not empty", value=str(directory), expected="a new or empty directory")
    ground = next(path for path in (directory, *directory.absolute().parents) if path.exists())
    if not os.access(ground, os.W_OK | os.X_OK):
        raise StoreError("the directory cannot be written", value=str(directory), remedy="Choose another directory.")


def _check_without_password(url: str) -> None:
    server = Database.at(url).url
    if server is not None and server.password is not None:
        raise StoreError(
            "the URL of the store holds a password, and the run directory keeps the URL",
            value=server.render_as_string(hide_password=True),
            remedy="Leave it out and set PGPASSWORD, or write it into ~/.pgpass.",
        )


def _write_config(directory: Path, spec: Mapping[str, Any], store: str | None) -> None:
    text = json.dumps({**spec, "store": store or DATABASE}, indent=2, ensure_ascii=False) + "\n"
    try:
        (directory / CONFIG).write_text(text, encoding="utf-8")
    except OSError as error:
        raise _not_writable(directory, error) from error


def _not_writable(directory: Path, error: OSError) -> StoreError:
    return StoreError(
        f"the directory cannot be written ({error.strerror})", value=str(directory), remedy="Choose another directory."
    )


def _store_of(directory: Path) -> str | Path:
    """Where the store of a study is: the file, or the server that the configuration names."""
    if (directory / DATABASE).exists():
        return directory / DATABASE
    try:
        store = json.loads((directory / CONFIG).read_text(encoding="utf-8"))["store"]
    except (OSError, ValueError, KeyError, TypeError):
        store = None
    if not isinstance(store, str) or "://" not in store:
        raise StoreError("the directory holds no study", value=str(directory), expected=f"a file {DATABASE} in it")
    return store
