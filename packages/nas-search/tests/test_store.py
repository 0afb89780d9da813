"""The SQL store keeps to its contract, and to the promises of its own: one driver, clear errors, nothing lost."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import Connection
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateTable

from nas_core.architecture import Architecture
from nas_core.errors import InvalidOption, StaleAttempt, StoreError
from nas_core.optimizer import State
from nas_core.testing import StoreContract
from nas_core.trial import Failure, Measurement, Proposal
from nas_search.config import StudyConfig
from nas_search.store import Driver, SqlStore, database, lease, schema
from nas_search.store.statements import Statement, Statements
from nas_search.study import Study

MEASURED = Measurement({"val_accuracy": 90.0, "params": 12.0})


def proposal(name: str = "a", **options: Any) -> Proposal:
    return Proposal(Architecture("toy", (name, 1)), **options)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "study.db"


@pytest.fixture
def store(path: Path) -> Iterator[SqlStore]:
    with SqlStore.create(path, {"seed": 0}) as made:
        yield made


def edit(path: Path, statement: str, *values: Any) -> None:
    """Change a store behind its back."""
    connection = sqlite3.connect(path)
    with connection:
        connection.execute(statement, values)
    connection.close()


def look(path: Path, query: str) -> list[Any]:
    connection = sqlite3.connect(path)
    rows = connection.execute(query).fetchall()
    connection.close()
    return rows


class TestSqlStore(StoreContract):
    @pytest.fixture
    def create_store(self) -> Callable[[Path, Mapping[str, Any]], SqlStore]:
        return lambda path, spec: SqlStore.create(path / "study.db", spec)

    @pytest.fixture
    def open_store(self) -> Callable[[Path], SqlStore]:
        return lambda path: SqlStore.open(path / "study.db")


@pytest.fixture
def server_url() -> Iterator[str]:
    """An empty schema on a real server."""
    server = os.environ.get("NAS_POSTGRES")
    if server is None:
        pytest.skip("NAS_POSTGRES names no PostgreSQL server (a URL whose user may create schemas)")
    name = f"nas_{uuid.uuid4().hex}"
    with database.Database.at(server).engine().connect() as connection:
        connection.exec_driver_sql(f"CREATE SCHEMA {name}")
        connection.commit()
        yield f"{server}?options=-csearch_path%3D{name}"
        connection.exec_driver_sql(f"DROP SCHEMA {name} CASCADE")
        connection.commit()


class TestOnPostgres(StoreContract):
    @pytest.fixture
    def create_store(self, server_url: str) -> Callable[[Path, Mapping[str, Any]], SqlStore]:
        return lambda path, spec: SqlStore.create(server_url, spec)

    @pytest.fixture
    def open_store(self, server_url: str) -> Callable[[Path], SqlStore]:
        return lambda path: SqlStore.open(server_url)

    def test_one_driver_a_study(self, server_url: str) -> None:
        with SqlStore.create(server_url, {}) as first, SqlStore.open(server_url) as second:
            first.acquire()
            with pytest.raises(StoreError, match="another process drives this study"):
                second.acquire()
            first.begin([proposal()], (0, 0), State({"w": np.ones(3)}))
            with pytest.raises(StoreError, match="another process drives this study"):
                second.finish(0, 1, MEASURED)
            assert second.trials() == first.trials()
            first.release()
            second.acquire()
            assert second.finish(second.retry(0).number, 2, MEASURED).result == MEASURED
            with pytest.raises(StoreError, match="holds a study already"):
                SqlStore.create(server_url, {})

    def test_a_study_on_a_server(self, server_url: str, tmp_path: Path) -> None:
        fakes = "nas_core.testing.fakes"
        config = StudyConfig.from_mapping(
            {
                "space": f"{fakes}:ToySpace",
                "optimizer": "evolution:population=4,tournament=2",
                "evaluator": f"{fakes}:FakeEvaluator",
                "objectives": ["max:val_accuracy"],
                "trials": 8,
            }
        )
        with Study.create(tmp_path / "server", config, store=server_url) as study:
            study.run(5)
        assert not (tmp_path / "server" / "study.db").exists()
        with Study.open(tmp_path / "server") as study, Study.create(tmp_path / "file", config) as other:
            study.run()
            other.run()
            assert study.trials() == other.trials()


class TestTables:
    def test_a_reader_of_the_tables_finds_what_happened(self, store: SqlStore, path: Path) -> None:
        store.notation = lambda architecture: f"<{architecture.values[0]}>"
        store.begin([proposal("a", info={"parent": None}), proposal("b")], (5, 3), None)
        store.finish(1, 1, MEASURED)
        store.finish(0, 1, Failure("diverged", "NaN", 2.0))
        columns = "number, decisions, notation, info, seen_length, seen_seq, status, finished_seq, reason"
        assert look(path, f"SELECT {columns} FROM trials ORDER BY number") == [
            (0, '["a", 1]', "<a>", '{"parent": null}', 5, 3, "failed", 1, "diverged"),
            (1, '["b", 1]', "<b>", "{}", 5, 3, "completed", 0, None),
        ]
        assert look(path, "SELECT * FROM metrics ORDER BY name") == [(1, "params", 12.0), (1, "val_accuracy", 90.0)]

    def test_begin_gives_back_what_will_be_read(self, store: SqlStore) -> None:
        (begun,) = store.begin([proposal(fidelity=3, info={"parents": (1, 2)})], (0, 0), None)
        assert begun == store.trials()[0]
        assert begun.proposal.info == {"parents": [1, 2]}
        assert isinstance(begun.proposal.fidelity, float)

    def test_finish_gives_back_what_will_be_read(self, store: SqlStore) -> None:
        store.begin([proposal()], (0, 0), None)
        finished = store.finish(0, 1, Measurement({"params": 3, "flops": 2}, 1, details={"sizes": (1, 2)}))
        assert finished == store.trials()[0]
        assert [*finished.metrics] == ["flops", "params"]
        assert {type(value) for value in finished.metrics.values()} == {float}

    @pytest.mark.parametrize("value", [float("nan"), float("inf")])
    def test_numbers_that_are_not_finite_are_refused(self, store: SqlStore, value: float) -> None:
        store.begin([proposal()], (0, 0), None)
        measured = Measurement({"params": 1.0})
        measured.metrics["params"] = value  # type: ignore[index]
        with pytest.raises(Exception, match="params must be a finite number"):
            store.finish(0, 1, measured)
        with pytest.raises(Exception, match="seconds must be a finite number"):
            store.finish(0, 1, Failure("diverged", "NaN", value))
        assert store.finished_order() == []

    def test_info_must_be_json(self, store: SqlStore) -> None:
        with pytest.raises(InvalidOption, match="info must be JSON"):
            store.begin([proposal(info={"x": object()})], (0, 0), None)
        assert store.trials() == []

    def test_objects_in_a_state_are_refused(self, store: SqlStore) -> None:
        with pytest.raises(InvalidOption, match="Python objects"):
            store.begin([proposal()], (0, 0), State({"weights": np.array([object()])}))
        assert store.trials() == []

    def test_two_states_are_kept_and_an_unchanged_one_once(self, store: SqlStore, path: Path) -> None:
        for round_ in (1, 1, 2, 3):
            store.begin([proposal()], (0, 0), State({"w": np.ones(round_)}, {"round": round_}))
        assert look(path, "SELECT trials, plain FROM states ORDER BY id") == [(3, '{"round": 2}'), (4, '{"round": 3}')]

    def test_a_damaged_state_is_noticed(self, store: SqlStore, path: Path) -> None:
        store.begin([proposal()], (0, 0), State(values={"round": 1}))
        edit(path, "UPDATE states SET plain = '{\"round\": 2}'")
        with pytest.raises(StoreError, match="state is damaged"):
            store.state()

    def test_results_are_synchronised_and_proposals_are_not(self, store: SqlStore) -> None:
        """One synchronisation of the disk a trial: that of its result."""
        raw: Any = store._connected().connection.dbapi_connection
        store.begin([proposal()], (0, 0), None)
        assert raw.execute("PRAGMA synchronous").fetchone() == (1,)
        store.finish(0, 1, MEASURED)
        assert raw.execute("PRAGMA synchronous").fetchone() == (2,)
        assert raw.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert raw.execute("PRAGMA foreign_keys").fetchone() == (1,)

    def test_the_schema_and_statements_compile_for_postgresql(self) -> None:
        dialect = postgresql.dialect(paramstyle="pyformat")  # type: ignore[no-untyped-call]
        texts = [str(CreateTable(table).compile(dialect=dialect)) for table in schema.metadata.sorted_tables]
        assert "value DOUBLE PRECISION NOT NULL" in "".join(texts)
        made = Statements(dialect)
        parts = [value for part in (made, made.states, made.banks) for value in vars(part).values()]
        statements = [value for value in parts if isinstance(value, Statement)]
        assert len(statements) == 5 + 2 * 3
        assert all("?" not in statement._text for statement in statements)


class TestBadInput:
    def test_a_missing_store(self, path: Path) -> None:
        with pytest.raises(StoreError, match="there is no store"):
            SqlStore.open(path)

    def test_a_store_that_is_there(self, store: SqlStore, path: Path) -> None:
        with pytest.raises(StoreError, match="there is a store already"):
            SqlStore.create(path, {})
        assert store.spec == {"seed": 0}

    @pytest.mark.parametrize("read_only", [False, True])
    def test_a_file_that_is_no_database(self, path: Path, read_only: bool) -> None:
        path.write_text("These are not the pages you are looking for. " * 100)
        with pytest.raises(StoreError, match=r"the file is damaged \(in .*study.db\)"):
            SqlStore.open(path, read_only=read_only)

    @pytest.mark.parametrize("read_only", [False, True])
    def test_an_empty_or_foreign_database(self, path: Path, read_only: bool) -> None:
        path.touch()
        with pytest.raises(StoreError, match="not the store of a study"):
            SqlStore.open(path, read_only=read_only)
        edit(path, "CREATE TABLE trials (number INTEGER)")
        with pytest.raises(StoreError, match="not the store of a study"):
            SqlStore.open(path, read_only=read_only)

    def test_damaged_pages(self, store: SqlStore, path: Path) -> None:
        store.begin([proposal(f"{i}" * 50) for i in range(400)], (0, 0), None)
        store.close()
        pages = bytearray(path.read_bytes())
        pages[len(pages) // 2 : len(pages) // 2 + 4096] = b"\xff" * 4096
        path.write_bytes(pages)
        with pytest.raises(StoreError, match="the file is damaged"):
            SqlStore.open(path)
        assert path.read_bytes() == pages

    def test_a_file_cut_short(self, store: SqlStore, path: Path) -> None:
        store.begin([proposal(f"{i}" * 50) for i in range(400)], (0, 0), None)
        store.close()
        path.write_bytes(path.read_bytes()[: 4096 * 3 + 100])
        with pytest.raises(StoreError, match="the file is damaged"):
            SqlStore.open(path)

    @pytest.mark.parametrize("column", ["decisions", "info"])
    def test_text_that_is_no_json(self, store: SqlStore, path: Path, column: str) -> None:
        store.begin([proposal()], (0, 0), None)
        edit(path, f"UPDATE trials SET {column} = '[1, '")
        with pytest.raises(StoreError, match="the file is damaged"):
            store.trials()

    def test_a_store_without_its_study(self, store: SqlStore, path: Path) -> None:
        store.close()
        edit(path, "DELETE FROM study")
        with pytest.raises(StoreError, match="not the store of a study"):
            SqlStore.open(path)

    def test_what_a_killed_creation_left_is_swept_away(self, store: SqlStore, path: Path) -> None:
        """A log that belongs to the half-written file must not be applied to the new one."""
        with SqlStore.open(path) as other:
            other.begin([proposal()], (0, 0), None)
            for end in ("", "-wal", "-shm"):
                left = path.with_name(f".second.db.new{end}")
                left.write_bytes(path.with_name(f"study.db{end}").read_bytes())
        with SqlStore.create(path.with_name("second.db"), {"seed": 1}) as second:
            assert second.spec == {"seed": 1}
            assert second.trials() == []
        assert [name for name in os.listdir(path.parent) if name.startswith(".")] == []

    @pytest.mark.parametrize("read_only", [False, True])
    def test_a_newer_schema(self, store: SqlStore, path: Path, read_only: bool) -> None:
        store.close()
        edit(path, "UPDATE study SET schema_version = ?, written_by = '0.9.2'", schema.SCHEMA + 1)
        with pytest.raises(StoreError, match=r"newer nas-search \(0\.9\.2, schema 3\).*Install nas-search 0\.9\.2"):
            SqlStore.open(path, read_only=read_only)

    @pytest.mark.skipif(os.geteuid() == 0, reason="nothing is read-only for root")
    def test_a_directory_that_cannot_be_written(self, store: SqlStore, path: Path) -> None:
        store.begin([proposal()], (0, 0), None)
        store.close()
        path.parent.chmod(0o500)
        try:
            with pytest.raises(StoreError, match="cannot be written"):
                SqlStore.create(path.with_name("other.db"), {})
            with SqlStore.open(path, read_only=True) as reader:
                assert len(reader.trials()) == 1
            with pytest.raises(StoreError, match="writable"), SqlStore.open(path) as writer:
                writer.acquire()
        finally:
            path.parent.chmod(0o700)

    def test_reading_only(self, store: SqlStore, path: Path) -> None:
        with SqlStore.open(path, read_only=True) as reader, pytest.raises(StoreError, match="for reading only"):
            reader.begin([proposal()], (0, 0), None)

    def test_a_full_disk_loses_nothing(self, store: SqlStore, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        store.begin([proposal("kept"), proposal("lost")], (0, 0), None)
        store.finish(0, 1, MEASURED)
        before = store.trials()
        store.close()
        pages = look(path, "PRAGMA page_count")[0][0]

        def small(*arguments: Any, **options: Any) -> sqlite3.Connection:
            connection = connect(*arguments, **options)
            connection.execute(f"PRAGMA max_page_count={pages}")
            return connection

        connect = sqlite3.connect
        monkeypatch.setattr(database.sqlite3, "connect", small)
        with SqlStore.open(path) as full:
            big = Measurement({"val_accuracy": 1.0}, details={"curve": list(range(20_000))})
            with pytest.raises(StoreError, match=r"no space left.*everything that has finished so far is safe"):
                full.finish(1, 1, big)
            assert full.trials() == before
            assert full.finish(1, 1, MEASURED).result == MEASURED  # room for a small one is left

    def test_a_locked_database(self, store: SqlStore, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(database, "_BUSY_SECONDS", 0.01)
        with SqlStore.open(path) as other:
            locker = sqlite3.connect(path, isolation_level=None)
            locker.execute("BEGIN IMMEDIATE")
            with pytest.raises(StoreError, match="another program holds the database"):
                other.begin([proposal()], (0, 0), None)
            locker.close()
            other.begin([proposal()], (0, 0), None)

    @pytest.mark.parametrize("url", ["postgresql://", "nothing://host/name", "://"])
    def test_urls_that_lead_nowhere(self, url: str) -> None:
        with pytest.raises((StoreError, InvalidOption)):
            SqlStore.open(url)

    def test_a_url_is_shown_without_its_password(self) -> None:
        assert str(database.Database.at("postgresql://me:secret@host/name")) == "postgresql+psycopg://me:***@host/name"


class TestMigration:
    @pytest.fixture
    def newer(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """As if this were the next version: its trials have a colour."""

        def add_colour(connection: Connection) -> None:
            connection.exec_driver_sql("ALTER TABLE trials ADD COLUMN colour TEXT DEFAULT 'blue'")

        monkeypatch.setattr(schema, "SCHEMA", 3)
        monkeypatch.setattr(schema, "MIGRATIONS", {2: add_colour})

    @pytest.fixture
    def old(self, store: SqlStore, path: Path) -> Path:
        store.begin([proposal()], (0, 0), None)
        store.finish(0, 1, MEASURED)
        store.close()
        return path

    def test_an_older_store_is_copied_and_brought_up_to_date(self, old: Path, newer: None) -> None:
        with SqlStore.open(old) as store:
            assert store.trials()[0].result == MEASURED
        assert look(old, "SELECT schema_version FROM study") == [(3,)]
        assert look(old, "SELECT colour FROM trials") == [("blue",)]
        copy = old.with_name("study.db.schema-2")
        assert look(copy, "SELECT schema_version FROM study") == [(2,)]
        assert look(copy, "SELECT name, value FROM metrics") == [("params", 12.0), ("val_accuracy", 90.0)]

    def test_readers_leave_an_older_store_alone(self, old: Path, newer: None) -> None:
        with pytest.raises(StoreError, match=r"older nas-search .*Resume the study once"):
            SqlStore.open(old, read_only=True)
        assert look(old, "SELECT schema_version FROM study") == [(2,)]

    def test_a_store_that_is_driven_is_not_changed(self, old: Path, newer: None) -> None:
        here = Driver.here()
        values = ("other", here.host, here.pid, here.started, here.heartbeat)
        edit(old, "INSERT INTO lease VALUES (1, ?, ?, ?, ?, ?)", *values)
        with pytest.raises(StoreError, match="another process drives this study"):
            SqlStore.open(old)
        assert look(old, "SELECT schema_version FROM study") == [(2,)]

    def test_a_migration_that_fails_changes_nothing(
        self, old: Path, newer: None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(connection: Connection) -> None:
            connection.exec_driver_sql("DELETE FROM metrics")
            connection.exec_driver_sql("SELECT * FROM missing_table")

        monkeypatch.setattr(schema, "MIGRATIONS", {2: fail})
        with pytest.raises(StoreError, match="no such table"):
            SqlStore.open(old)
        assert look(old, "SELECT schema_version FROM study") == [(2,)]
        assert len(look(old, "SELECT * FROM metrics")) == 2


HOLD = """
import sys, time
from nas_search.store import SqlStore
store = SqlStore.open(sys.argv[1])
store.acquire()
print("holding", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def holder(path: Path, store: SqlStore) -> Iterator[subprocess.Popen[str]]:
    """Another process that drives the study."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", HOLD, str(path)], text=True, **pipes) as process:  # type: ignore[call-overload]
        assert process.stdout.readline() == "holding\n"
        yield process
        process.kill()


class TestLease:
    def test_a_second_driver_is_refused(self, store: SqlStore, holder: subprocess.Popen[str]) -> None:
        with pytest.raises(StoreError, match=f"another process drives this study: 'process {holder.pid} on .+'"):
            store.acquire()
        driver = store.driver()
        assert driver is not None
        assert (driver.pid, driver.alive) == (holder.pid, True)
        with pytest.raises(StoreError, match="another process drives"):
            store.begin([proposal()], (0, 0), None)

    def test_a_killed_driver_is_replaced_at_once(self, store: SqlStore, holder: subprocess.Popen[str]) -> None:
        """Its remains are not collected (a zombie) at the first look, and are gone at the second."""
        holder.send_signal(signal.SIGKILL)
        os.waitid(os.P_PID, holder.pid, os.WEXITED | os.WNOWAIT)
        driver = store.driver()
        assert driver is not None
        assert not driver.alive
        holder.wait()
        assert not driver.alive
        store.acquire()
        store.begin([proposal()], (0, 0), None)

    def test_a_driver_that_ends_gives_the_study_back(self, store: SqlStore, path: Path) -> None:
        store.acquire()
        store.release()
        assert store.driver() is None
        with SqlStore.open(path) as other:
            other.acquire()
            with pytest.raises(StoreError, match=f"process {os.getpid()}"):
                store.acquire()
        store.acquire()
        store.release()
        store.release()

    def test_a_lease_that_cannot_be_given_back_is_no_hindrance(self, store: SqlStore, path: Path) -> None:
        store.acquire()
        edit(path, "CREATE TRIGGER full BEFORE DELETE ON lease BEGIN SELECT RAISE(ABORT, 'disk is full'); END")
        store.release()
        edit(path, "DROP TRIGGER full")
        assert store.driver() is not None
        with SqlStore.open(path) as other:
            other.acquire()

    def test_a_reader_disturbs_nobody(self, store: SqlStore, path: Path) -> None:
        store.acquire()
        store.begin([proposal()], (0, 0), None)
        with SqlStore.open(path, read_only=True) as reader:
            assert len(reader.trials()) == 1
            store.finish(0, 1, MEASURED)
            assert reader.trials()[0].result == MEASURED

    def test_who_has_lost_the_lease_cannot_write(self, store: SqlStore, path: Path) -> None:
        store.acquire()
        store.begin([proposal("a"), proposal("b")], (0, 0), None)
        edit(path, "UPDATE lease SET driver = 'somebody else'")
        before = store.trials()
        with pytest.raises(StoreError, match="another process drives"):
            store.begin([proposal("c")], (2, 0), None)
        with pytest.raises(StoreError, match="another process drives"):
            store.finish(0, 1, MEASURED)
        with pytest.raises(StoreError, match="another process drives"):
            store.retry(0)
        assert store.trials() == before

    def test_the_heart_beats_until_the_lease_is_lost(
        self, store: SqlStore, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(lease, "BEAT", 0.01)
        store.acquire()
        edit(path, "UPDATE lease SET heartbeat = 0")
        wait_until(lambda: look(path, "SELECT heartbeat FROM lease")[0][0] > 0)
        assert not store.lost
        edit(path, "UPDATE lease SET driver = 'somebody else'")
        wait_until(lambda: store.lost)

    @pytest.mark.parametrize(("age", "alive"), [(0.0, True), (lease.EXPIRY - 10, True), (lease.EXPIRY + 10, False)])
    @pytest.mark.parametrize("started", ["elsewhere/1", ""])
    def test_a_driver_elsewhere_lives_as_long_as_its_heart_beats(self, age: float, alive: bool, started: str) -> None:
        assert Driver("id", "another host", os.getpid(), started, time.time() - age).alive == alive
        assert Driver("id", Driver.here().host, os.getpid(), started, time.time() - age).alive == alive

    def test_a_driver_here_lives_as_long_as_its_process(self) -> None:
        here = Driver.here()
        assert Driver("id", here.host, here.pid, here.started, 0.0).alive
        other = f"{here.started}1"  # the process had this number before
        assert Driver("id", here.host, here.pid, other, time.time()).alive == (not here.started)


def wait_until(holds: Callable[[], bool]) -> None:
    """For what another thread brings about; a minute is never reached unless it does not."""
    deadline = time.monotonic() + 60.0
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.005)

    def test_a_store_of_the_first_schema_gets_a_place_for_shared_weights(self, old: Path) -> None:
        edit(old, "DROP TABLE banks")
        edit(old, "UPDATE study SET schema_version = 1")
        bank = State(arrays={"w": np.ones(3)})
        with SqlStore.open(old) as store:
            assert store.trials()[0].result == MEASURED
            assert store.evaluator_state() is None
            store.begin([proposal()], (1, 1), None)
            store.finish_group([(1, 1, MEASURED)], bank)
        with SqlStore.open(old, read_only=True) as store:
            assert store.evaluator_state() == bank
        assert look(old, "SELECT schema_version FROM study") == [(2,)]


def test_gathered_writes_are_one_transaction(store: SqlStore, path: Path) -> None:
    """Others see nothing before it ends, whoever writes sees all; with no time to gather in, each call ends it."""
    store.acquire()
    store.gather(1e9)
    for name in ("a", "b"):
        [trial] = store.begin([proposal(name)], (0, 0), None)
        store.finish(trial.number, 1, MEASURED)
    assert [trial.number for trial in store.trials()] == store.finished_order() == [0, 1]
    assert look(path, "SELECT count(*) FROM trials") == [(0,)]
    store.gather(None)
    assert look(path, "SELECT count(*), count(finished_seq) FROM trials") == [(2, 2)]
    store.gather(0.0)
    store.begin([proposal("c")], (2, 2), None)
    assert look(path, "SELECT count(*) FROM trials") == [(3,)]
    store.gather(1e9)
    store.begin([proposal("d")], (3, 2), None)
    store.release()
    assert look(path, "SELECT count(*) FROM trials") == [(4,)]
    assert look(path, "SELECT count(*) FROM lease") == [(0,)]


def test_what_was_gathered_is_lost_from_one_moment_on(store: SqlStore, path: Path) -> None:
    """By a process that is killed, and where a write is refused: then nothing that was gathered with it is left."""
    store.acquire()
    store.begin([proposal("a")], (0, 0), None)
    store.gather(1e9)
    store.finish(0, 1, MEASURED)
    store.begin([proposal("b")], (1, 1), None)
    with pytest.raises(StaleAttempt):
        store.finish(0, 1, MEASURED)
    assert look(path, "SELECT number, status FROM trials") == [(0, "running")]
    store.finish(0, 1, MEASURED)
    [trial] = store.begin([proposal("c")], (1, 1), None)
    assert trial.number == 1
    store.gather(None)
    assert look(path, "SELECT number, status FROM trials") == [(0, "completed"), (1, "running")]
