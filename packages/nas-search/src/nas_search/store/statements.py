"""Every statement that a study runs for each trial, compiled once.

Written in SQLAlchemy Core, so that they are the same for every database; compiled to the driver's own SQL, because
going through the full machinery for each execution costs more than the statements themselves. SQLite's driver is called
itself, for the same reason; `nas_search.store.database` knows its errors.
"""

from __future__ import annotations

from typing import Any, Protocol

from sqlalchemy import (
    ClauseElement,
    ColumnElement,
    Connection,
    Dialect,
    Table,
    bindparam,
    delete,
    func,
    insert,
    literal_column,
    select,
    update,
)

from nas_search.store.database import driver_connection
from nas_search.store.rows import PROPOSED, RESULTS
from nas_search.store.schema import banks, lease, metrics, states, trials

_RUNNING: ColumnElement[str] = literal_column("'running'")


class Found(Protocol):
    """What a statement has found or done: a cursor of SQLAlchemy's or of SQLite's."""

    @property
    def rowcount(self) -> int:
        """Rows that were written."""
        ...

    def fetchone(self) -> Any:
        """The next row; None after the last."""
        ...


class Statement:
    """A statement for one driver; call it with values for its parameters.

    Args:
        clause: whose parameters all have names.
        dialect: of the database.
    """

    def __init__(self, clause: ClauseElement, dialect: Dialect) -> None:
        compiled: Any = clause.compile(dialect=dialect)
        self._text = str(compiled)
        self._direct = dialect.name == "sqlite"
        self._order: list[str] | None = compiled.positiontup
        self._constants = {name: value for name, value in compiled.params.items() if value is not None}

    def __call__(self, connection: Connection, **values: Any) -> Found:
        """Execute it."""
        arguments = self._arguments(values)
        if self._direct:
            return driver_connection(connection).execute(self._text, arguments)  # type: ignore[no-any-return]
        return connection.exec_driver_sql(self._text, arguments)

    def many(self, connection: Connection, rows: list[dict[str, Any]]) -> None:
        """Execute it for several rows."""
        arguments = [self._arguments(row) for row in rows]
        if self._direct:
            driver_connection(connection).executemany(self._text, arguments)
        else:
            connection.exec_driver_sql(self._text, arguments)

    def _arguments(self, values: dict[str, Any]) -> Any:
        values = {**self._constants, **values}
        return values if self._order is None else tuple([values[name] for name in self._order])


class Statements:
    """The statements of `SqlStore`."""

    def __init__(self, dialect: Dialect) -> None:
        driver = func.coalesce(select(lease.c.driver).scalar_subquery(), literal_column("''"))
        count = select(func.coalesce(func.max(trials.c.number) + 1, 0)).scalar_subquery()
        self.place = Statement(select(driver, count), dialect)
        """Who holds the lease ('' for nobody), and the number of the next trial."""

        proposed: dict[str, Any] = {
            name: bindparam(name) for name in (*PROPOSED, "number", "notation", "seen_length", "seen_seq")
        }
        row = insert(trials).values(
            **proposed, status=_RUNNING, attempt=literal_column("1"), created=bindparam("created")
        )
        self.begin = Statement(row, dialect)

        running = trials.c.number == bindparam("at"), trials.c.status == _RUNNING, driver == bindparam("driver")
        self.retry = Statement(update(trials).where(*running).values(attempt=trials.c.attempt + 1), dialect)

        others = trials.alias("others")
        order = select(func.coalesce(func.max(others.c.finished_seq) + 1, 0)).scalar_subquery()
        results: dict[str, Any] = {name: bindparam(name) for name in (*RESULTS, "finished")}
        of_attempt = (*running, trials.c.attempt == bindparam("of_attempt"))
        self.finish = Statement(update(trials).where(*of_attempt).values(**results, finished_seq=order), dialect)
        self.measure = Statement(
            insert(metrics).values(trial=bindparam("trial"), name=bindparam("name"), value=bindparam("value")), dialect
        )

        self.states = Blobs(states, dialect)
        """What the optimizer carries."""
        self.banks = Blobs(banks, dialect)
        """What the evaluator carries."""


class Blobs:
    """The statements of a table of blobs.

    Args:
        table: with the columns id, trials, digest, arrays and plain.
        dialect: of the database.
    """

    def __init__(self, table: Table, dialect: Dialect) -> None:
        columns = table.c
        self.newest = Statement(
            select(columns.id, columns.digest).order_by(columns.id.desc()).limit(literal_column("1")), dialect
        )
        blob: dict[str, Any] = {name: bindparam(name) for name in ("id", "trials", "digest", "arrays", "plain")}
        self.add = Statement(insert(table).values(**blob), dialect)
        self.drop = Statement(delete(table).where(columns.id < bindparam("before")), dialect)
