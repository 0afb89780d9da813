"""The store on an SQL database: SQLite in one file by default, PostgreSQL with the same tables.

What `finish` has returned for has been synchronised to the disk. What `begin` records is committed, which a killed
process cannot undo, and reaches the disk with the next result: a proposal that a power failure takes has no result yet,
and the optimizer makes it again. So a trial costs one synchronisation of the disk.

While somebody holds the lease (`acquire`), nobody else can write: every transaction that writes asks who holds it.

Where results are look-ups that cost nothing to repeat, `gather` lets many calls share one transaction. A process that
is killed then loses what it wrote last, all of it from one moment on: the study goes on as if it had been killed then.
"""

from __future__ import annotations

import json
import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, replace
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Any, Self, final

from sqlalchemy import Connection, Engine, Table, Transaction, Update, delete, insert, inspect, select, update
from sqlalchemy.exc import IntegrityError

from nas_core.architecture import Architecture
from nas_core.errors import StaleAttempt, StoreError
from nas_core.optimizer import State
from nas_core.trial import Failure, Measurement, Proposal, Status, Trial
from nas_search.store import schema
from nas_search.store.blobs import Blob, pack, unpack
from nas_search.store.database import Database, check_intact, keep_copy, synchronise, use_wal
from nas_search.store.lease import BEAT, Driver, Heart, driver_of, given_up
from nas_search.store.rows import as_stored, plain, proposal_row, result_row, trial_of
from nas_search.store.statements import Blobs, Statements

_NOBODY = ""


@final
class SqlStore:
    """One study's memory in a database; see `nas_core.store.Store`. Made by `create` and `open`.

    One thread uses it at a time. `notation` may be set to what writes an architecture as text (`Space.text`): the text
    is kept beside the values for whoever reads the tables, and never read back.
    """

    def __init__(self, database: Database, engine: Engine, *, read_only: bool) -> None:
        self.notation: Callable[[Architecture], str] | None = None
        self.read_only = read_only
        self._database = database
        self._engine = engine
        self._connection: Connection | None = None
        self._statements = Statements(engine.dialect)
        self._running: dict[int, Trial] = {}
        self._driver = _NOBODY
        self._heart: Heart | None = None
        self._spec: Mapping[str, Any] = {}
        self._gathering: float | None = None
        self._gathered: tuple[float, Transaction] | None = None  # when it was begun, by the system's clock
        self._beaten = 0.0

    @classmethod
    def create(cls, target: str | Path, spec: Mapping[str, Any]) -> SqlStore:
        """Make the store of a new study.

        Args:
            target: path of a new file in a directory that exists, or the URL of a database server.
            spec: what the study runs, as JSON.

        Raises:
            StoreError: there is a study already, or it cannot be written there.
        """
        database = Database.at(target)
        text = plain("what a study runs", dict(spec))
        if database.path is None:
            with database.errors(), database.engine().begin() as connection:
                if inspect(connection).has_table(schema.study.name):
                    raise StoreError("this database holds a study already", place=str(database))
                _fill(connection, text)
        else:
            _new_file(database.path, text)
        return cls.open(target)

    @classmethod
    def open(cls, target: str | Path, *, read_only: bool = False) -> SqlStore:
        """Open the store of a study. One of an older schema is copied and brought up to date.

        Args:
            target: as for `create`.
            read_only: never write; others may drive the study meanwhile.

        Raises:
            StoreError: there is none, it is damaged, or a newer nas-search wrote it.
        """
        database = Database.at(target)
        if database.path is not None and not database.path.is_file():
            raise StoreError("there is no store", place=str(database))
        store = cls(database, database.engine(read_only=read_only), read_only=read_only)
        try:
            store._check()
        except BaseException:
            store.close()
            raise
        return store

    @property
    def spec(self) -> Mapping[str, Any]:
        """What the study runs, as plain data, fixed when it was created."""
        return self._spec

    def begin(self, proposals: Sequence[Proposal], seen: tuple[int, int], state: State | None) -> list[Trial]:
        """Record proposals as running trials, in one transaction; see `nas_core.store.Store.begin`.

        Raises:
            StoreError: the database refuses, or the study is somebody else's now.
            InvalidOption: `info` or the state is no plain data.
        """
        rows = [{**proposal_row(proposal), "notation": self._noted(proposal.architecture)} for proposal in proposals]
        blob = pack(state) if state is not None else None
        length, seq = seen
        with self._writing(durable=False) as connection:
            holder, number = tuple(self._statements.place(connection).fetchone())
            self._check_holder(holder)
            begun = []
            for proposal, row in zip(proposals, rows, strict=True):
                self._statements.begin(
                    connection, **row, number=number, seen_length=length, seen_seq=seq, created=time.time()
                )
                begun.append(Trial(number, as_stored(proposal, row)))
                number += 1
            if blob is not None:
                self._keep(connection, self._statements.states, number, blob)
        self._running.update((trial.number, trial) for trial in begun)
        return begun

    def retry(self, number: int) -> Trial:
        """Start a running trial anew; see `nas_core.store.Store.retry`.

        Raises:
            StoreError: it is not running, or the study is somebody else's now.
        """
        with self._writing(durable=False) as connection:
            done = self._statements.retry(connection, at=number, driver=self._driver)
            trial = self._trial(connection, number)
            if done.rowcount != 1:
                self._check_holder(self._statements.place(connection).fetchone()[0])
                raise StoreError(f"trial {number} is not running", value=trial.status.value, place=str(self._database))
        self._running[number] = trial
        return trial

    def finish(self, number: int, attempt: int, result: Measurement | Failure) -> Trial:
        """Record a result; on the disk when this returns. See `nas_core.store.Store.finish`.

        Raises:
            StaleAttempt: the trial has been given to a newer attempt, or is finished.
            StoreError: no such trial, the database refuses, or the study is somebody else's now.
        """
        return self.finish_group([(number, attempt, result)], None)[0]

    def finish_group(
        self, results: Sequence[tuple[int, int, Measurement | Failure]], state: State | None
    ) -> list[Trial]:
        """Record results and the evaluator's state in one transaction; see `nas_core.store.Store.finish_group`.

        Raises:
            StaleAttempt: as in `finish`; then nothing is recorded.
            StoreError: no such trial, the database refuses, or the study is somebody else's now.
            InvalidOption: the state is no plain data.
        """
        blob = pack(state) if state is not None else None
        with self._writing(durable=True) as connection:
            trials = [self._finished(connection, *result) for result in results]
            if blob is not None:
                self._keep(connection, self._statements.banks, max(number for number, _, _ in results) + 1, blob)
        for trial in trials:
            self._running.pop(trial.number, None)
        return trials

    def _finished(self, connection: Connection, number: int, attempt: int, result: Measurement | Failure) -> Trial:
        row, metrics = result_row(result)
        done = self._statements.finish(
            connection, **row, finished=time.time(), at=number, of_attempt=attempt, driver=self._driver
        )
        if done.rowcount != 1:
            raise self._why_not(connection, number, attempt)
        if metrics:
            values = [{"trial": number, "name": name, "value": value} for name, value in metrics.items()]
            self._statements.measure.many(connection, values)
        trial = self._running.get(number)
        if trial is None or trial.attempt != attempt:
            trial = self._trial(connection, number)
        if isinstance(result, Measurement):
            result = replace(
                result,
                metrics=metrics,
                seconds=row["seconds"],
                artefacts=json.loads(row["artefacts"]),
                details=json.loads(row["details"]),
            )
        return replace(trial, status=Status(row["status"]), result=result)

    def trials(self) -> list[Trial]:
        """All trials in order of proposal, with full results."""
        measured: dict[int, dict[str, float]] = defaultdict(dict)
        with self._transaction() as connection:
            rows = connection.execute(select(schema.trials).order_by(schema.trials.c.number)).mappings().all()
            for trial, name, value in connection.execute(select(schema.metrics).order_by(schema.metrics.c.name)):
                measured[trial][name] = value
            return [trial_of(dict(row), measured[row["number"]]) for row in rows]

    def finished_order(self) -> list[int]:
        """Numbers of the finished trials in the order in which they finished."""
        column = schema.trials.c.finished_seq
        with self._transaction() as connection:
            return list(connection.scalars(select(schema.trials.c.number).where(column.is_not(None)).order_by(column)))

    def state(self) -> State | None:
        """The carried state after the newest proposals.

        Raises:
            StoreError: it is damaged.
        """
        return self._newest(schema.states)

    def evaluator_state(self) -> State | None:
        """The evaluator's state after the newest group; None before the first.

        Raises:
            StoreError: it is damaged.
        """
        return self._newest(schema.banks)

    def _newest(self, table: Table) -> State | None:
        columns = table.c
        with self._transaction() as connection:
            newest = select(columns.digest, columns.arrays, columns.plain).order_by(columns.id.desc()).limit(1)
            row = connection.execute(newest).first()
            return unpack(Blob(*row)) if row is not None else None

    def driver(self) -> Driver | None:
        """Who holds the lease, alive or not; None where the last driver gave it back."""
        with self._transaction() as connection:
            row = connection.execute(select(schema.lease)).first()
        return driver_of(row) if row is not None else None

    def acquire(self) -> None:
        """Become the study's driver.

        Raises:
            StoreError: another process drives it.
        """
        me = Driver.here()
        with self._writing(durable=True) as connection:
            row = connection.execute(select(schema.lease)).first()
            holder = driver_of(row) if row is not None else None
            if holder is not None and holder.alive:
                raise _driven(holder, str(self._database))
            if holder is not None:
                connection.execute(delete(schema.lease).where(schema.lease.c.driver == holder.id))
            try:
                values = {**asdict(me), "driver": me.id, "id": 1}
                connection.execute(insert(schema.lease).values(values))
            except IntegrityError:
                raise StoreError("another process has just taken over the study", place=str(self._database)) from None
        self._driver = me.id
        self._heart = Heart(self._renew)
        self._heart.start()

    @property
    def lost(self) -> bool:
        """Whether another process has taken the study over since `acquire`; this one can write no more."""
        return self._heart is not None and self._heart.lost

    def gather(self, seconds: float | None) -> None:
        """Let what is written within so many seconds share a transaction; None ends that, as `release` does.

        The transaction is written to the disk by the first call that ends later than that.

        Raises:
            StoreError: what was gathered cannot be written.
        """
        self._gathering = seconds
        if seconds is None:
            self._write_gathered()

    def release(self) -> None:
        """Give the study back; may be called twice. A full disk may keep the lease; it counts for nothing then."""
        if self._heart is None:
            return
        try:
            self.gather(None)
        finally:
            self._give_back(self._heart)

    def _give_back(self, heart: Heart) -> None:
        heart.stop()
        self._heart = None
        try:
            with self._writing(durable=True) as connection:
                connection.execute(delete(schema.lease).where(schema.lease.c.driver == self._driver))
        except StoreError:
            given_up.add(self._driver)
            self._drop_connection()
        self._driver = _NOBODY

    def close(self) -> None:
        """Give up what is held open; may be called twice."""
        self.release()
        self._drop_connection()
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _check(self) -> None:
        """Read the study's row; take an older schema further."""
        if not self.read_only:
            with self._database.errors():
                check_intact(self._connected(), str(self._database))
        with self._transaction() as connection:
            row = schema.version(connection) if inspect(connection).has_table(schema.study.name) else None
        if row is None:
            raise StoreError("this is not the store of a study", place=str(self._database))
        found, writer = row
        if found > schema.SCHEMA:
            raise StoreError(
                f"the store was written by a newer nas-search ({writer}, schema {found})",
                place=str(self._database),
                expected=f"schema {schema.SCHEMA}",
                remedy=f"Install nas-search {writer} or later.",
            )
        if found < schema.SCHEMA:
            self._migrate(found, writer)
        with self._transaction() as connection:
            self._spec = json.loads(connection.scalars(select(schema.study.c.spec)).one())

    def _migrate(self, found: int, writer: str) -> None:
        if self.read_only:
            raise StoreError(
                f"the store was written by an older nas-search ({writer}, schema {found})",
                place=str(self._database),
                expected=f"schema {schema.SCHEMA}",
                remedy="Resume the study once: that keeps a copy and brings it up to date.",
            )
        driver, path = self.driver(), self._database.path
        if driver is not None and driver.alive:
            raise _driven(driver, str(self._database))
        if path is not None:
            with self._database.errors():
                copy = path.with_name(f"{path.name}.schema-{found}")
                copy.unlink(missing_ok=True)
                keep_copy(self._connected(), copy)
        with self._writing(durable=True) as connection:
            schema.migrate(connection)

    def _connected(self) -> Connection:
        if self._connection is None:
            self._connection = self._engine.connect()
        return self._connection

    def _drop_connection(self) -> None:
        self._gathered = None
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        with self._database.errors():
            connection = self._connected()
            try:
                with nullcontext() if self._gathered is not None else connection.begin():
                    yield connection
            except BaseException as error:
                if not isinstance(error, Exception):  # Ctrl-C amid a statement leaves the connection in doubt
                    self._drop_connection()
                raise

    @contextmanager
    def _writing(self, *, durable: bool) -> Iterator[Connection]:
        if self.read_only:
            raise StoreError("the store was opened for reading only", place=str(self._database))
        gathering = self._gathering is not None
        if self._gathered is None:
            with self._database.errors():
                synchronise(self._connected(), durable or gathering)
                if gathering:
                    self._gathered = time.monotonic(), self._connected().begin()
        try:
            with self._transaction() as connection:
                yield connection
        except BaseException:
            if self._gathered is not None:
                self._drop_connection()
            raise
        if self._gathered is not None and time.monotonic() - self._gathered[0] >= (self._gathering or 0.0):
            self._write_gathered()

    def _write_gathered(self) -> None:
        """Commit, and beat: the heart has little chance to get in between."""
        if self._gathered is None:
            return
        _, transaction = self._gathered
        try:
            with self._database.errors():
                self._connected().execute(self._beat())
                transaction.commit()
        except BaseException:
            self._drop_connection()
            raise
        self._gathered, self._beaten = None, time.monotonic()

    def _beat(self) -> Update:
        return update(schema.lease).where(schema.lease.c.driver == self._driver).values(heartbeat=time.time())

    def _noted(self, architecture: Architecture) -> str | None:
        return self.notation(architecture) if self.notation is not None else None

    def _check_holder(self, holder: str) -> None:
        if holder != self._driver:
            raise StoreError("another process drives this study", place=str(self._database))

    def _why_not(self, connection: Connection, number: int, attempt: int) -> StoreError:
        trial = self._trial(connection, number)
        self._check_holder(self._statements.place(connection).fetchone()[0])
        known = "finished" if trial.status is not Status.RUNNING else f"running as attempt {trial.attempt}"
        return StaleAttempt(f"trial {number} is {known}", value=attempt, place=str(self._database))

    def _trial(self, connection: Connection, number: int) -> Trial:
        found = connection.execute(select(schema.trials).where(schema.trials.c.number == number)).mappings().first()
        if found is None:
            raise StoreError("there is no such trial", value=number, place=str(self._database))
        columns = schema.metrics.c
        measured = connection.execute(select(columns.name, columns.value).where(columns.trial == number))
        return trial_of(dict(found), {row["name"]: row["value"] for row in measured.mappings()})

    def _keep(self, connection: Connection, blobs: Blobs, trials: int, blob: Blob) -> None:
        newest: Any = blobs.newest(connection).fetchone()
        if newest is not None and newest[1] == blob.digest:
            return
        number = newest[0] + 1 if newest is not None else 0
        blobs.add(connection, id=number, trials=trials, **blob._asdict())
        blobs.drop(connection, before=number - 1)

    def _renew(self) -> bool | None:
        """Beat once, in the heart's thread; see `Heart`."""
        if self._gathering is not None and time.monotonic() - self._beaten < BEAT:
            return True
        try:
            with self._database.errors(), self._engine.begin() as connection:
                return connection.execute(self._beat()).rowcount == 1
        except StoreError:
            return None


def _fill(connection: Connection, spec: str) -> None:
    schema.metadata.create_all(connection)
    connection.execute(
        insert(schema.study).values(
            id=1,
            schema_version=schema.SCHEMA,
            written_by=installed_version("nas-search"),
            spec=spec,
            created=time.time(),
        )
    )


def _new_file(path: Path, spec: str) -> None:
    """Write a store under another name and rename it, so that there is a whole one or none."""
    if path.exists():
        raise StoreError("there is a store already", place=str(path))
    draft = path.with_name(f".{path.name}.new")
    database = Database.at(draft)
    try:
        for left in ("", "-wal", "-shm", "-journal"):  # by one that was killed
            path.with_name(f"{draft.name}{left}").unlink(missing_ok=True)
        draft.touch()
        with database.errors(), database.engine().connect() as connection:
            use_wal(connection)
            with connection.begin():
                _fill(connection, spec)
        draft.rename(path)
        folder = os.open(path.parent, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)
    except OSError as error:
        raise StoreError(
            f"the store cannot be written ({error.strerror})", place=str(path), remedy="Choose another directory."
        ) from error


def _driven(holder: Driver, place: str) -> StoreError:
    return StoreError(
        "another process drives this study",
        value=f"process {holder.pid} on {holder.host}",
        place=place,
        remedy="Wait until it ends, or stop it; `nas status` shows how far it is.",
    )
