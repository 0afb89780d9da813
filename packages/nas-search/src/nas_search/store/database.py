"""Where a store lies: a file or a database server, how it is opened, and its errors in the user's words.

SQLite runs in WAL mode, so that readers and the driver do not wait for each other. Everything specific to SQLite is in
this file.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError
from sqlalchemy.pool import NullPool

from nas_core.errors import InvalidOption, StoreError

_BUSY_SECONDS = 10.0


@dataclass(frozen=True)
class Database:
    """A file or a server.

    Args:
        path: the SQLite file; None for a server.
        url: the server; None for a file.
    """

    path: Path | None
    url: URL | None

    @classmethod
    def at(cls, target: str | Path) -> Database:
        """From a path, or a URL such as postgresql://host/name.

        Raises:
            InvalidOption: it looks like a URL and is none.
        """
        if isinstance(target, Path) or "://" not in target:
            return cls(Path(target), None)
        try:
            url = make_url(target)
        except ArgumentError:
            raise InvalidOption("not the URL of a database", value=target, expected="postgresql://…") from None
        if url.get_backend_name() == "sqlite":
            return cls(Path(url.database or ""), None)
        return cls(None, url.set(drivername="postgresql+psycopg") if url.drivername == "postgresql" else url)

    def __str__(self) -> str:
        return str(self.path) if self.url is None else self.url.render_as_string(hide_password=True)

    def engine(self, *, read_only: bool = False) -> Engine:
        """Makes connections; each is a new one.

        Raises:
            StoreError: the driver of the database is not installed.
        """
        try:
            if self.path is None:
                return create_engine(self.url or "", poolclass=NullPool)
            return _sqlite_engine(self.path, read_only)
        except (ImportError, NoSuchModuleError) as error:
            raise StoreError(
                f"the driver of this database is not installed ({error})",
                place=str(self),
                remedy="For PostgreSQL install the extra `postgres` of nas-search.",
            ) from error

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Turns the database's errors into the user's words.

        Raises:
            StoreError: what the database could not do.
        """
        try:
            yield
        except DBAPIError as error:
            raise _in_words(str(error.orig), str(self)) from error
        except sqlite3.Error as error:
            raise _in_words(str(error), str(self)) from error
        except ValueError as error:  # text that is no JSON, or no text
            raise _in_words(f"could not decode: {error}", str(self)) from error


def synchronise(connection: Connection, fully: bool) -> None:
    """Whether the following transactions are on the disk when they have been committed; outside a transaction.

    Without it a commit is safe from the end of the process and reaches the disk, in order, with the next full one.
    """
    if connection.dialect.name == "sqlite":
        driver_connection(connection).execute(f"PRAGMA synchronous={'FULL' if fully else 'NORMAL'}")


def use_wal(connection: Connection) -> None:
    """Let readers and a writer work side by side, from now on; outside a transaction."""
    driver_connection(connection).execute("PRAGMA journal_mode=WAL")


def check_intact(connection: Connection, place: str) -> None:
    """Read every page of a file; others can write meanwhile. Outside a transaction.

    Raises:
        StoreError: something in it is damaged.
    """
    if connection.dialect.name != "sqlite":
        return
    found = driver_connection(connection).execute("PRAGMA quick_check(1)").fetchone()[0]
    if found != "ok":
        raise _in_words(f"database disk image is malformed: {found}", place)


def keep_copy(connection: Connection, path: Path) -> None:
    """Write the database as it stands into a new file, on the disk before this returns; outside a transaction."""
    driver_connection(connection).execute("VACUUM INTO ?", (str(path),))
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def driver_connection(connection: Connection) -> Any:
    """The connection of the driver itself: SQLAlchemy would begin a transaction."""
    return connection.connection.dbapi_connection


def _sqlite_engine(path: Path, read_only: bool) -> Engine:
    """Transactions are begun by us: at once for writing (two writers never deadlock), deferred for reading."""
    mode = "ro" if read_only else "rw"
    alone = read_only and not os.access(path.parent, os.W_OK) and not path.with_name(path.name + "-wal").exists()
    name = f"file:{quote(str(path.absolute()))}?mode={mode}{'&immutable=1' if alone else ''}"

    def connect() -> sqlite3.Connection:
        connection = sqlite3.connect(
            name, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False, uri=True
        )
        connection.execute("PRAGMA foreign_keys=ON")
        return connection

    engine = create_engine("sqlite://", creator=connect, poolclass=NullPool)

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")

    return engine


def _in_words(message: str, place: str) -> StoreError:
    said = message.lower()
    if "disk is full" in said:
        return StoreError(
            "there is no space left to write to",
            place=place,
            remedy="Free some and resume: everything that has finished so far is safe.",
        )
    if "not a database" in said or "malformed" in said or "could not decode" in said:
        return StoreError("the file is damaged", place=place, remedy="Restore the run from a copy.")
    if "locked" in said or "busy" in said:
        return StoreError("another program holds the database", place=place, remedy="Close it and try again.")
    if "readonly" in said or "unable to open" in said:
        return StoreError(
            "the database cannot be opened for this", place=place, remedy="Are the file and its directory writable?"
        )
    message = " ".join(message.split())
    return StoreError(f"the database refuses ({message})", place=place)
