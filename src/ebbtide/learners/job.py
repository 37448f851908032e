"""Finds users without any activity for some days, and writes P and S anew for each of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from time import monotonic
from typing import Any

import psycopg
from psycopg import IsolationLevel, sql
from psycopg.pq import TransactionStatus

from ebbtide.domain.errors import JobFailed, StoreUnavailable
from ebbtide.learners import formulas, statements
from ebbtide.learners.database import NumberedColumn, first_line, numbered_columns
from ebbtide.learners.report import InactivityReport, LearnerFailure, LearnerScore
from ebbtide.learners.settings import LearnerSettings
from ebbtide.learners.sources import ActivitySource, Sources
from ebbtide.learners.survey import RESULT_TABLE, Survey, survey

BATCH_USERS = 5_000
PAGE_USERS = 2_000
FAILURES_KEPT = 1_000  # in the report; each has its line of log
WITHOUT_P_NAMED = 20  # each with a line of log; the others are counted
#: A chain of ids of 2 ** 16 steps; whatever is longer goes in a ring.
RESOLVE_ROUNDS = 16
ATTEMPTS = 3  # of a batch that met another writer
#: How long one row that somebody else holds may hold us up; its user is then one that failed.
LOCK_TIMEOUT = "5s"
#: Sorting and grouping a million people in memory, not on disk; per step of one statement.
WORK_MEMORY = "64MB"

#: So often may the write of a batch wait in vain: a table that is locked as a whole, or a long
#: transaction over many rows, would otherwise cost 5 s for each user.
LOCK_TIMEOUTS_MAX = 60

#: Errors of a row: bad data, a violated constraint, an id too long for an index, an exception of
#: somebody's trigger.
_ROW_ERRORS = ("22", "23", "38", "39", "44", "54", "P0")
_LOCKED = "55P03"
#: Another writer came first; the same again will do.
_RETRIED = frozenset({"40001", "40P01"})

Progress = Callable[[int, int], None]
Say = Callable[[str], None]


def _nothing(*_: object) -> None:
    """Nobody listens."""


def detect_inactivity(
    connection: psycopg.Connection[Any],
    settings: LearnerSettings,
    *,
    as_of: datetime,
    threshold_days: int,
    dry_run: bool,
    sources: Sources,
    on_progress: Progress = _nothing,
    say: Say = _nothing,
) -> InactivityReport:
    """Run the job once.

    Args:
        connection: outside of any transaction; the job commits each batch by itself.
        as_of: the moment of the answer, with its zone; nothing later than it is looked at.
        threshold_days: users are inactive when their newest activity is older than so many
            days; exactly so old is active.
        dry_run: make every write and take it back, batch by batch.
        on_progress: told (users done, users in all) after every batch.
        say: told each line of log, without its time.

    Returns:
        What was done. Nobody inactive: all counts are 0.

    Raises:
        JobFailed: nothing could be done, and nothing was written; the message says why.
    """
    if as_of.utcoffset() is None:
        raise ValueError("as_of needs a zone")
    if threshold_days < 0:
        raise JobFailed("the threshold cannot be negative")
    if connection.info.transaction_status != TransactionStatus.IDLE:
        raise JobFailed("the connection is inside of a transaction")
    started = monotonic()
    try:
        as_of = as_of.astimezone(UTC)
        run = _Run(connection, settings, as_of, threshold_days, sources, dry_run, say)
    except OverflowError:
        raise JobFailed("the days before as_of lie outside of the calendar") from None
    before = connection.isolation_level
    try:
        found = run.compute()
        run.write(on_progress)
    except psycopg.Error as error:
        raise JobFailed(first_line(error)) from error
    finally:
        if not connection.closed:
            connection.isolation_level = before
    if not found:
        say(f"[INFO] No inactive users found (threshold={threshold_days} days)")
    elif dry_run:
        say("[INFO] Dry-run mode: rolled back all changes")
    report = run.report(round((monotonic() - started) * 1000))
    if found:
        say(
            f"[INFO] Summary: processed={report.processed}, failed={report.failed}, "
            f"threshold={threshold_days} days, duration_ms={report.duration_ms}"
        )
    return report


class _Run:
    """One run: what it was asked, and how far it is."""

    def __init__(
        self,
        connection: psycopg.Connection[Any],
        settings: LearnerSettings,
        as_of: datetime,
        threshold_days: int,
        sources: Sources,
        dry_run: bool,
        say: Say,
    ) -> None:
        self._connection = connection
        self._settings = settings
        self._as_of = as_of
        self._threshold_days = threshold_days
        self._sources = sources
        self._dry_run = dry_run
        self._say = say
        self._week: date = formulas.week_of(as_of)
        self._num_inactive = 0
        self._processed = 0
        self._reached = 0  # number of the last user that was written, or could not be
        self._without_p = 0
        self._without_p_named = 0
        self._lock_timeouts = 0
        self._failed = 0
        self._failures: list[LearnerFailure] = []
        self._skipped: tuple[str, ...] = ()
        self._unreadable: list[str] = []
        self._numbered: tuple[NumberedColumn, ...] = ()
        self._sequences_used: set[str] = set()
        self._write_sql: sql.Composed | None = None
        self._values = statements.values(as_of, threshold_days, settings)

    # -- what is read and computed -------------------------------------------------------------

    def compute(self) -> int:
        """Score every inactive user, at one state of the database; how many there are."""
        # One snapshot: whoever comes back meanwhile is either active or not, in all sources.
        with self._transaction(IsolationLevel.REPEATABLE_READ):
            seen = survey(self._connection, self._sources)
            if seen.blockers:
                raise JobFailed("; ".join(seen.blockers))
            self._skipped = seen.skipped
            if seen.skipped:
                self._say(f"[WARN] Skipped: {'; '.join(seen.skipped)}")
            if self._dry_run:
                self._numbered = numbered_columns(self._connection, RESULT_TABLE)
            self._write_sql = statements.write_batch(
                RESULT_TABLE, seen.has_updated_at, self._numbered
            )
            self._connection.execute(statements.TEMPORARY)
            self._read_activities(seen)
            self._unify(seen)
            self._execute(statements.FIND_INACTIVE)
            self._connection.execute("ANALYZE pg_temp.ebbtide_inactive")
            self._read_inputs(seen)
            self._execute(statements.SCORE)
            self._connection.execute("ANALYZE pg_temp.ebbtide_score")
            self._connection.execute(statements.FORGET)
            row = self._connection.execute(statements.COUNT).fetchone()
            assert row is not None
            self._num_inactive = row[0]
        if self._num_inactive:
            self._say(
                f"[INFO] Found {self._num_inactive} inactive users "
                f"(threshold={self._threshold_days} days); dry_run={self._dry_run}"
            )
        return self._num_inactive

    def _read_activities(self, seen: Survey) -> None:
        read = set()
        broken: list[tuple[ActivitySource, str]] = []
        for source, finding in seen.activities:
            if finding.problem is not None or finding.found is None:
                continue
            is_own = finding.found.columns[source.person] != "uuid"
            try:
                with self._connection.transaction():
                    self._execute(statements.read_activity(source, is_own))
            except (psycopg.DataError, psycopg.errors.InsufficientPrivilege) as error:
                broken.append((source, first_line(error)))
            else:
                read.add(source.name)
        for source, problem in broken:
            # Not to know whether somebody was active is not to know that nobody was.
            if source.covered_by not in read:
                raise JobFailed(f"{source.name} cannot be read: {problem}")
            self._unreadable.append(f"{source.name} ({problem})")
            self._say(
                f"[ERROR] {source.name} cannot be read: {problem}; "
                f"its activity is taken from {source.covered_by}"
            )

    def _unify(self, seen: Survey) -> None:
        goals, ability = self._sources.goals, self._sources.ability
        others = [
            (table.table, table.person, finding.found.columns[table.person] != "uuid")
            for table, finding in ((goals, seen.goals), (ability, seen.ability))
            if finding.problem is None and finding.found is not None
        ]
        self._execute(statements.know(others))
        self._connection.execute("ANALYZE pg_temp.ebbtide_seen, pg_temp.ebbtide_known")
        self._execute(statements.UNIFY)
        self._resolve()
        self._connection.execute("ANALYZE pg_temp.ebbtide_alias")

    def _resolve(self) -> None:
        """Let every id stand for the person at the end of its way."""
        for _ in range(RESOLVE_ROUNDS):
            if not self._connection.execute(statements.RESOLVE).rowcount:
                return
        raise JobFailed("some ids stand for one another in a ring, so nobody knows whose they are")

    def _read_inputs(self, seen: Survey) -> None:
        exams = self._sources.exams
        if seen.sessions.problem is None:
            self._execute(statements.read_regularity(exams))
        if seen.goals.problem is None:
            self._execute(statements.read_targets(self._sources.goals))
        if seen.ability.problem is None and not self._settings.metrics_use_bayesian:
            ability = self._sources.ability
            self._execute(statements.read_estimates(ability, seen.ability_moments))
        if seen.scores.problem is None and self._answer(statements.LACKS_ESTIMATES):
            for column in seen.score_columns:
                if self._answer(statements.holds_scores(exams, column)):
                    self._execute(statements.read_scores(exams, column))
                    break
        self._connection.execute(
            "ANALYZE pg_temp.ebbtide_regularity, pg_temp.ebbtide_target, "
            "pg_temp.ebbtide_estimate, pg_temp.ebbtide_exams"
        )

    # -- what is written -----------------------------------------------------------------------

    def write(self, on_progress: Progress) -> None:
        """Write all batches, each as a transaction of its own."""
        on_progress(0, self._num_inactive)
        for after in range(0, self._num_inactive, BATCH_USERS):
            upto = min(after + BATCH_USERS, self._num_inactive)
            stopped: psycopg.Error | None = None
            try:
                self._write(after, upto)
            except psycopg.Error as error:
                if not self._processed:
                    raise
                stopped = error
            try:
                self._tell(after, self._reached)
            except psycopg.Error as error:  # the connection is gone, and the table with it
                stopped = stopped or error
            if stopped is not None:
                # What is committed stays; whoever was not reached is counted, and told once.
                self._failed = self._num_inactive - self._processed
                self._say(f"[ERROR] stopped after {self._processed} users: {first_line(stopped)}")
                break
            on_progress(upto, self._num_inactive)
        if self._without_p:
            num_more = self._without_p - self._without_p_named
            self._say(
                f"[WARN] Could not calculate P for {self._without_p} users"
                f"{f', {num_more} of them not named here' if num_more else ''} "
                f"(neither an estimate of their ability nor scores enough); their S is written"
            )
        if self._sequences_used:
            self._say(
                f"[WARN] Dry-run mode: {', '.join(sorted(self._sequences_used))} gave numbers away "
                f"that no rollback returns (a trigger or a function of the database asked for them)"
            )

    def _write(self, after: int, upto: int) -> None:
        """Write some users; when that fails, half of them, until those are alone that cannot."""
        try:
            num, num_without_p, odd = self._write_once(after, upto)
        except psycopg.Error as error:
            code = error.sqlstate or ""
            if not (code[:2] in _ROW_ERRORS or code == _LOCKED or code in _RETRIED):
                raise
            self._lock_timeouts += code == _LOCKED
            if self._lock_timeouts >= LOCK_TIMEOUTS_MAX:
                raise
            if upto - after > 1:
                middle = (after + upto) // 2
                self._write(after, middle)
                self._write(middle, upto)
            else:
                error_text = sql.SQL(statements.SET_FAULT)
                self._set_fault(error_text, {"numbers": [upto], "fault": first_line(error)})
                self._reached = upto
            return
        self._processed += num
        self._without_p += num_without_p
        if odd:
            why = statements.set_not_kept(RESULT_TABLE)
            self._set_fault(why, {"numbers": odd, "week": self._week})
        self._reached = upto

    def _write_once(self, after: int, upto: int) -> tuple[int, int, list[int]]:
        assert self._write_sql is not None
        values = {"after": after, "upto": upto, "week": self._week}
        for attempt in range(1, ATTEMPTS + 1):
            try:
                with self._transaction(IsolationLevel.READ_COMMITTED, take_back=self._dry_run):
                    # A dry run must meet the constraints that only a commit would look at.
                    self._connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
                    row = self._connection.execute(self._write_sql, values).fetchone()
                    assert row is not None
                    if self._dry_run:
                        self._look_for_sequences()
                    return row[0], row[1], row[2]
            except psycopg.Error as error:
                if error.sqlstate not in _RETRIED or attempt == ATTEMPTS:
                    raise
        raise AssertionError("every attempt returns or raises")

    def _look_for_sequences(self) -> None:
        """Note what this transaction took from sequences, which its end will not bring back."""
        ours = {name for one in self._numbered for name in one.sequences}
        used = {name for (name,) in self._connection.execute(statements.SEQUENCES_USED)}
        self._sequences_used |= used - ours

    def _set_fault(self, statement: sql.SQL | sql.Composed, values: dict[str, Any]) -> None:
        with self._transaction(IsolationLevel.READ_COMMITTED):
            self._connection.execute(statement, values)

    def _tell(self, after: int, upto: int) -> None:
        """Count and name the users of a batch that failed, and some without P; with DEBUG, all."""
        span = {"after": after, "upto": upto, "limit": upto - after}
        with self._transaction(IsolationLevel.READ_COMMITTED):
            for _, user_id, fault in self._connection.execute(statements.READ_FAULTS, span):
                self._failed += 1
                if len(self._failures) < FAILURES_KEPT:
                    self._failures.append(LearnerFailure(user_id, fault))
                self._say(f"[ERROR] user={user_id} error={fault}")
            span["limit"] = WITHOUT_P_NAMED - self._without_p_named
            if span["limit"] > 0:
                for (user_id,) in self._connection.execute(statements.READ_WITHOUT_P, span):
                    self._without_p_named += 1
                    self._say(f"[WARN] Could not calculate P/S for user={user_id}")
            span["limit"] = upto - after
            if self._settings.debug:
                for _, user_id, s, p, *_ in self._connection.execute(statements.READ_PAGE, span):
                    self._say(f"[DEBUG] OK user={user_id} P={p} S={s}")

    # -- what is told --------------------------------------------------------------------------

    def report(self, duration_ms: int) -> InactivityReport:
        """How it ended."""
        return InactivityReport(
            as_of=self._as_of,
            threshold_days=self._threshold_days,
            dry_run=self._dry_run,
            week=self._week,
            num_inactive=self._num_inactive,
            processed=self._processed,
            failed=self._failed,
            num_without_p=self._without_p,
            failures=tuple(self._failures),
            skipped=self._skipped,
            unreadable=tuple(self._unreadable),
            duration_ms=duration_ms,
            _read=self._scores,
        )

    def _scores(self) -> Iterator[LearnerScore]:
        after = 0
        while True:
            span = {"after": after, "upto": self._reached, "limit": PAGE_USERS}
            try:
                with self._connection.transaction():
                    rows = self._connection.execute(statements.READ_PAGE, span).fetchall()
            except psycopg.Error as error:
                raise StoreUnavailable(f"the scores are gone: {first_line(error)}") from error
            for number, user_id, s, p, last_at, silent_days in rows:
                after = number
                yield LearnerScore(
                    user_id,
                    self._week,
                    float(s),
                    None if p is None else float(p),
                    last_at.astimezone(UTC),
                    silent_days,
                )
            if len(rows) < PAGE_USERS:
                return

    # -- how the database is spoken to ---------------------------------------------------------

    @contextmanager
    def _transaction(self, level: IsolationLevel, *, take_back: bool = False) -> Iterator[None]:
        self._connection.isolation_level = level
        with self._connection.transaction(force_rollback=take_back):
            # Columns without a zone, and dates, are UTC here.
            self._connection.execute("SET LOCAL TIME ZONE 'UTC'")
            # These would take longer than they save: compiling, looking closely at tables of
            # which only the size matters, and sorting everybody by a computed id for a join.
            self._connection.execute("SET LOCAL jit = off")
            self._connection.execute("SET LOCAL default_statistics_target = 10")
            self._connection.execute("SET LOCAL enable_mergejoin = off")
            self._connection.execute(f"SET LOCAL work_mem = '{WORK_MEMORY}'")
            self._connection.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
            yield

    def _execute(self, statement: str | sql.Composed) -> None:
        text = sql.SQL(statement) if isinstance(statement, str) else statement
        used = text.as_string(self._connection)
        values = {name: value for name, value in self._values.items() if f"%({name})s" in used}
        self._connection.execute(text, values)

    def _answer(self, statement: str | sql.Composed) -> bool:
        row = self._connection.execute(statement, {}).fetchone()
        return row is not None and bool(row[0])
