"""The tables of a store, and how a store of an older schema is brought up to date.

    study     one row: what runs, the schema's version and who wrote it
    trials    proposals with the history they saw, and what became of them
    metrics   measured numbers, exactly
    states    what the optimizer carries, as blobs with a digest; the newest two
    banks     what the evaluator carries from group to group (shared weights), likewise
    lease     at most one row: who drives the study; the same in every schema

Migrations go forward only. Each function of `MIGRATIONS` turns a store of the schema it is filed under into the next
one; `migrate` runs those that are missing in one transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Double,
    ForeignKey,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    select,
    update,
)
from sqlalchemy.types import TypeEngine, UserDefinedType

SCHEMA = 2


class _AsItIs(UserDefinedType[float]):
    """A column without a declared type: SQLite keeps a float in it bit by bit, which REAL does not do for -0.0."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        """No type."""
        return ""


def _exact() -> TypeEngine[Any]:
    return Double().with_variant(_AsItIs(), "sqlite")


metadata = MetaData()

study = Table(
    "study",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("schema_version", Integer, nullable=False),
    Column("written_by", Text, nullable=False),
    Column("spec", Text, nullable=False),
    Column("created", Double, nullable=False),
)

trials = Table(
    "trials",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("space", Text, nullable=False),
    Column("decisions", Text, nullable=False),
    Column("notation", Text),
    Column("fidelity", _exact()),
    Column("draw", BigInteger, nullable=False),
    Column("replicate", BigInteger, nullable=False),
    Column("resume_from", Integer),
    Column("grouped", Text),
    Column("info", Text, nullable=False),
    Column("seen_length", Integer, nullable=False),
    Column("seen_seq", Integer, nullable=False),
    Column("status", Text, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("created", Double, nullable=False),
    Column("finished", Double),
    Column("finished_seq", Integer, unique=True),
    Column("seconds", _exact()),
    Column("reason", Text),
    Column("message", Text),
    Column("artefacts", Text),
    Column("details", Text),
)

metrics = Table(
    "metrics",
    metadata,
    Column("trial", Integer, ForeignKey("trials.number"), primary_key=True, autoincrement=False),
    Column("name", Text, primary_key=True),
    Column("value", _exact(), nullable=False),
)

states = Table(
    "states",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("trials", Integer, nullable=False),
    Column("digest", Text, nullable=False),
    Column("arrays", LargeBinary, nullable=False),
    Column("plain", Text, nullable=False),
)

banks = Table(
    "banks",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("trials", Integer, nullable=False),
    Column("digest", Text, nullable=False),
    Column("arrays", LargeBinary, nullable=False),
    Column("plain", Text, nullable=False),
)

lease = Table(
    "lease",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("driver", Text, nullable=False),
    Column("host", Text, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("started", Text, nullable=False),
    Column("heartbeat", Double, nullable=False),
)


def _add_banks(connection: Connection) -> None:
    banks.create(connection)


MIGRATIONS: Mapping[int, Callable[[Connection], None]] = {1: _add_banks}
"""By schema, what turns a store of it into one of the next."""


def version(connection: Connection) -> tuple[int, str] | None:
    """The schema of a store and who wrote it; None where no study has been written into it."""
    row = connection.execute(select(study.c.schema_version, study.c.written_by)).first()
    return (int(row[0]), str(row[1])) if row is not None else None


def migrate(connection: Connection) -> None:
    """Bring a store to the present schema, inside the caller's transaction."""
    found = version(connection)
    for old in range(found[0] if found is not None else SCHEMA, SCHEMA):
        MIGRATIONS[old](connection)
        connection.execute(update(study).values(schema_version=old + 1))
