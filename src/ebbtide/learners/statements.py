"""The statements of the inactivity job: everything is computed where the rows are.

Results stand in temporary tables of the connection, always named with their schema: somebody's
``search_path`` may look elsewhere first. No statement reads a clock: ``as_of``,
``cutoff`` and ``since`` come in as values.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from psycopg import sql

from ebbtide.learners import formulas
from ebbtide.learners.database import NumberedColumn, identifier
from ebbtide.learners.settings import LearnerSettings
from ebbtide.learners.sources import AbilityTable, ActivitySource, ExamTable, GoalTable

# Every column of foreign tables is named in a statement of its own and compared in its own type:
# a user may have other types and more columns than we know of.

TEMPORARY = """
DROP TABLE IF EXISTS pg_temp.ebbtide_seen, pg_temp.ebbtide_known, pg_temp.ebbtide_alias,
    pg_temp.ebbtide_inactive, pg_temp.ebbtide_regularity, pg_temp.ebbtide_target,
    pg_temp.ebbtide_estimate, pg_temp.ebbtide_exams, pg_temp.ebbtide_score;
CREATE TEMPORARY TABLE pg_temp.ebbtide_seen (id text NOT NULL, is_own boolean NOT NULL,
    last_at timestamptz NOT NULL);
CREATE TEMPORARY TABLE pg_temp.ebbtide_known (id text NOT NULL, is_own boolean NOT NULL);
CREATE TEMPORARY TABLE pg_temp.ebbtide_alias (id text NOT NULL, person text NOT NULL);
CREATE TEMPORARY TABLE pg_temp.ebbtide_inactive (person text NOT NULL,
    last_at timestamptz NOT NULL);
CREATE TEMPORARY TABLE pg_temp.ebbtide_regularity (person text NOT NULL,
    num_sessions bigint NOT NULL, gap_days numeric NOT NULL);
CREATE TEMPORARY TABLE pg_temp.ebbtide_target (person text NOT NULL, target double precision,
    fault text);
CREATE TEMPORARY TABLE pg_temp.ebbtide_estimate (person text NOT NULL, mean double precision,
    sd double precision);
CREATE TEMPORARY TABLE pg_temp.ebbtide_exams (person text NOT NULL, num bigint NOT NULL,
    mean double precision NOT NULL, squares double precision NOT NULL,
    lowest double precision NOT NULL, highest double precision NOT NULL);
CREATE TEMPORARY TABLE pg_temp.ebbtide_score (number bigint PRIMARY KEY, user_id text NOT NULL,
    last_at timestamptz NOT NULL, silent_days integer NOT NULL, s numeric NOT NULL, p numeric,
    fault text);
"""

#: What only the computing needs; the scores stay for whoever asks for them.
FORGET = """
DROP TABLE pg_temp.ebbtide_seen, pg_temp.ebbtide_known, pg_temp.ebbtide_alias,
    pg_temp.ebbtide_inactive, pg_temp.ebbtide_regularity, pg_temp.ebbtide_target,
    pg_temp.ebbtide_estimate, pg_temp.ebbtide_exams;
"""

UUID_FORM = "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"


def values(as_of: datetime, threshold_days: int, settings: LearnerSettings) -> dict[str, Any]:
    """What the statements are told, by name; each takes some of it."""
    return {
        "as_of": as_of,
        "cutoff": as_of - timedelta(days=threshold_days),
        "since": as_of - formulas.HISTORY,
        "default_target": settings.metrics_default_target,
        "horizon": settings.metrics_churn_horizon_days,
        "variance_min": formulas.OBSERVATION_VARIANCE_MIN,
        "silence_weight": formulas.SILENCE_WEIGHT,
        "gap_weight": formulas.GAP_WEIGHT,
        "gap_full": formulas.GAP_FULL_DAYS,
        "rarity_weight": formulas.RARITY_WEIGHT,
        "sessions_full": formulas.SESSIONS_FULL,
        "decimals": formulas.STORED_DECIMALS,
    }


def _column(name: str) -> sql.Identifier:
    """A name for a statement that takes values: a percent sign in it is no place for one."""
    return sql.Identifier(name.replace("%", "%%"))


def _table(name: str) -> sql.Identifier:
    """As `_column`, of a table with or without its schema."""
    return identifier(name.replace("%", "%%"))


def moment(columns: Iterable[str]) -> sql.Composed:
    """When a row happened: the first column that is known and not after ``as_of``; else null.

    A row that was written again after ``as_of`` had its earlier moment then. A date may lie
    beyond every timestamp, so it is compared as what it is before it becomes one.
    """
    cases = sql.SQL(" ").join(
        sql.SQL(
            "WHEN CASE WHEN {0} > '-infinity' AND {0} < '10000-01-02'"
            " THEN {0}::timestamptz <= %(as_of)s END THEN {0}::timestamptz"
        ).format(_column(column))
        for column in columns
    )  # fmt: skip
    return sql.SQL("CASE {} END").format(cases)


def person_of(column: str) -> sql.Composed:
    """The column that says who, as text."""
    return sql.SQL("{}::text").format(_column(column))


def read_activity(source: ActivitySource, is_own: bool) -> sql.Composed:
    """The newest activity of everybody in one source.

    OFFSET 0 keeps the conditions out of the grouping, where a view would compute who and when
    for every row once more.
    """
    return sql.SQL("""
        INSERT INTO pg_temp.ebbtide_seen (id, is_own, last_at)
        SELECT id::text, {is_own}, last_at
        FROM (SELECT {person} AS id, max({moment}) AS last_at FROM {table} GROUP BY 1 OFFSET 0)
            AS activity
        WHERE id::text <> '' AND last_at IS NOT NULL
    """).format(
        is_own=sql.Literal(is_own),
        person=_column(source.person),
        moment=moment(source.moment),
        table=_table(source.table),
    )


def know(others: Iterable[tuple[str, str, bool]]) -> sql.Composed:
    """Every id that is known, once.

    Args:
        others: table, column of persons, and whether that column is a text, of tables whose ids
            may be those of whom a UUID stands for.
    """
    parts = [sql.SQL("SELECT id, is_own FROM pg_temp.ebbtide_seen")] + [
        sql.SQL("SELECT {}, {} FROM {}").format(
            person_of(person), sql.Literal(is_own), _table(table)
        )
        for table, person, is_own in others
    ]
    return sql.SQL("""
        INSERT INTO pg_temp.ebbtide_known (id, is_own)
        SELECT id, bool_or(is_own) FROM ({}) AS every WHERE id <> '' GROUP BY id
    """).format(sql.SQL(" UNION ALL ").join(parts))


# One person has one id. A UUID stands for the id whose md5 it is, else for the same UUID as a
# text column spells it. Every id that does not stand for itself has a row.
UNIFY = f"""
INSERT INTO pg_temp.ebbtide_alias (id, person)
WITH uuids AS MATERIALIZED (
    SELECT id, lower(id)::uuid AS key, is_own FROM pg_temp.ebbtide_known
    WHERE CASE WHEN is_own THEN length(id) = 36 AND lower(id) ~ '{UUID_FORM}' ELSE TRUE END
), owned AS (
    SELECT uuids.id, min(known.id COLLATE "C") AS person
    FROM pg_temp.ebbtide_known AS known JOIN uuids ON uuids.key = md5(known.id)::uuid
    GROUP BY uuids.id
), spelled AS (
    SELECT key, COALESCE(min(id COLLATE "C") FILTER (WHERE is_own), min(id COLLATE "C")) AS person
    FROM uuids GROUP BY key HAVING count(*) > 1
)
SELECT id, COALESCE(owned.person, spelled.person)
FROM uuids LEFT JOIN owned USING (id) LEFT JOIN spelled USING (key)
WHERE COALESCE(owned.person, spelled.person) <> id
"""

# A UUID may stand for an id that is a UUID itself and stands for another. Each round halves what is
# left of such a way, until nothing changes. The length spares the join where nobody's id is a UUID.
RESOLVE = """
UPDATE pg_temp.ebbtide_alias AS alias SET person = further.person
FROM pg_temp.ebbtide_alias AS further
WHERE length(alias.person) = 36 AND further.id = alias.person AND further.person <> alias.person
"""

FIND_INACTIVE = """
INSERT INTO pg_temp.ebbtide_inactive (person, last_at)
SELECT COALESCE(alias.person, seen.id), max(seen.last_at)
FROM pg_temp.ebbtide_seen AS seen LEFT JOIN pg_temp.ebbtide_alias AS alias ON alias.id = seen.id
GROUP BY 1 HAVING max(seen.last_at) < %(cutoff)s
"""


def read_regularity(exams: ExamTable) -> sql.Composed:
    """Sessions of the inactive since ``since``, one time each, and the mean gap between them."""
    return sql.SQL("""
        INSERT INTO pg_temp.ebbtide_regularity (person, num_sessions, gap_days)
        SELECT person, count(*), CASE WHEN count(*) < 2 THEN 0 ELSE
            EXTRACT(EPOCH FROM max(at) - min(at))::numeric / 86400 / (count(*) - 1) END
        FROM (
            SELECT inactive.person, sat.session, max(sat.at) AS at
            FROM (SELECT {person} AS id, {session}::text AS session, {moment} AS at FROM {table})
                AS sat
            LEFT JOIN pg_temp.ebbtide_alias AS alias ON alias.id = sat.id
            JOIN pg_temp.ebbtide_inactive AS inactive
                ON inactive.person = COALESCE(alias.person, sat.id)
            WHERE sat.at > %(since)s AND sat.session IS NOT NULL
            GROUP BY inactive.person, sat.session
        ) AS sessions
        GROUP BY person
    """).format(
        person=person_of(exams.person),
        session=_column(exams.session),
        moment=moment(exams.moment),
        table=_table(exams.table),
    )


# A number beyond this is no level and no score; NaN is greater than every number here.
_SANE = "{0} > -1e100 AND {0} < 1e100"
# So small a number is 0: its square is an error in PostgreSQL, and one row would stop everybody.
_DOUBLE = "CASE WHEN {0} > -1e-100 AND {0} < 1e-100 THEN 0 ELSE {0}::double precision END"


def read_targets(goals: GoalTable) -> sql.Composed:
    """The target of each inactive user with goals, or what is wrong with the goals."""
    level, priority = _column(goals.level), _column(goals.priority)
    return sql.SQL("""
        INSERT INTO pg_temp.ebbtide_target (person, target, fault)
        SELECT person,
            CASE
                WHEN bool_or(priority < 0 OR NOT is_sane) THEN NULL
                WHEN max(priority) FILTER (WHERE level IS NOT NULL) > 0
                THEN sum(level * priority) / sum(priority) FILTER (WHERE level IS NOT NULL)
                ELSE avg(level)
            END,
            CASE
                WHEN bool_or(priority < 0) THEN 'a goal has a negative priority'
                WHEN bool_or(NOT is_sane) THEN 'a goal has a level that is no number'
            END
        FROM (
            SELECT inactive.person, goal.is_sane, goal.level::double precision AS level,
                goal.priority::double precision AS priority
            FROM (
                SELECT {person} AS id,
                    COALESCE({sane_level}, TRUE) AND COALESCE({sane_priority}, TRUE) AS is_sane,
                    CASE WHEN {sane_level} THEN {double_level} END AS level,
                    CASE WHEN {priority} IS NULL THEN 0 WHEN {sane_priority} THEN {double_priority}
                        END AS priority
                FROM {table}
            ) AS goal
            LEFT JOIN pg_temp.ebbtide_alias AS alias ON alias.id = goal.id
            JOIN pg_temp.ebbtide_inactive AS inactive
                ON inactive.person = COALESCE(alias.person, goal.id)
        ) AS goals
        GROUP BY person
    """).format(
        person=person_of(goals.person),
        double_level=sql.SQL(_DOUBLE).format(level),
        priority=priority,
        double_priority=sql.SQL(_DOUBLE).format(priority),
        sane_level=sql.SQL(_SANE).format(level),
        sane_priority=sql.SQL(_SANE).format(priority),
        table=_table(goals.table),
    )


def read_estimates(ability: AbilityTable, moments: tuple[str, ...]) -> sql.Composed:
    """The newest complete estimate of each inactive user that was made by ``as_of``.

    Args:
        moments: which of the moment columns the table has; without any, one row a user is
            expected, and of several the one of the lowest mean counts.
    """
    at = moment(moments) if moments else sql.SQL("NULL::timestamptz")
    undated = sql.SQL(" AND ").join(
        [sql.SQL("TRUE"), *(sql.SQL("{} IS NULL").format(_column(one)) for one in moments)]
    )
    mean, sd = _column(ability.mean), _column(ability.sd)
    return sql.SQL("""
        INSERT INTO pg_temp.ebbtide_estimate (person, mean, sd)
        SELECT DISTINCT ON (inactive.person) inactive.person, estimate.mean, estimate.sd
        FROM (
            SELECT {person} AS id, {at} AS at, {undated} AS is_undated,
                CASE WHEN {sane_mean} THEN {double_mean} END AS mean,
                CASE WHEN {sane_sd} THEN {double_sd} END AS sd
            FROM {table} WHERE {mean} IS NOT NULL AND {sd} IS NOT NULL
        ) AS estimate
        LEFT JOIN pg_temp.ebbtide_alias AS alias ON alias.id = estimate.id
        JOIN pg_temp.ebbtide_inactive AS inactive
            ON inactive.person = COALESCE(alias.person, estimate.id)
        WHERE estimate.at IS NOT NULL OR estimate.is_undated
        ORDER BY inactive.person, estimate.at DESC NULLS LAST, estimate.mean, estimate.sd
    """).format(
        person=person_of(ability.person),
        at=at,
        undated=undated,
        mean=mean,
        sd=sd,
        double_mean=sql.SQL(_DOUBLE).format(mean),
        double_sd=sql.SQL(_DOUBLE).format(sd),
        sane_mean=sql.SQL(_SANE).format(mean),
        sane_sd=sql.SQL(_SANE).format(sd),
        table=_table(ability.table),
    )


LACKS_ESTIMATES = """
SELECT EXISTS (SELECT FROM pg_temp.ebbtide_inactive AS inactive WHERE NOT EXISTS (
    SELECT FROM pg_temp.ebbtide_estimate AS estimate WHERE estimate.person = inactive.person))
"""


def holds_scores(exams: ExamTable, score: str) -> sql.Composed:
    """Whether a column holds any score at all."""
    return sql.SQL("SELECT EXISTS (SELECT FROM {} WHERE {} IS NOT NULL)").format(
        _table(exams.table), _column(score)
    )


def read_scores(exams: ExamTable, score: str) -> sql.Composed:
    """How many scores each learner has, active ones too; their mean and squared deviations.

    They are grouped by id first, and the few people with two ids are put together then.
    """
    column = _column(score)
    return sql.SQL("""
        INSERT INTO pg_temp.ebbtide_exams (person, num, mean, squares, lowest, highest)
        SELECT COALESCE(alias.person, exam.id), sum(num), sum(num * mean) / sum(num),
            CASE WHEN count(*) = 1 THEN max(squares)
                 WHEN min(lowest) = max(highest) THEN 0
                 ELSE sum(squares)
                     + greatest(0, sum(num * mean * mean) - power(sum(num * mean), 2) / sum(num))
            END,
            min(lowest), max(highest)
        FROM (
            SELECT {person} AS id, count(*) AS num, avg(score) AS mean, min(score) AS lowest,
                max(score) AS highest,
                CASE WHEN min(score) = max(score) THEN 0 ELSE var_pop(score) * count(*) END
                    AS squares
            FROM (
                SELECT {who}, {double} AS score FROM {table}
                WHERE {sane} AND {moment} IS NOT NULL
            ) AS scored
            GROUP BY 1
        ) AS exam
        LEFT JOIN pg_temp.ebbtide_alias AS alias ON alias.id = exam.id
        WHERE exam.id <> ''
        GROUP BY 1
    """).format(
        person=person_of(exams.person),
        who=_column(exams.person),
        double=sql.SQL(_DOUBLE).format(column),
        sane=sql.SQL(_SANE).format(column),
        moment=moment(exams.moment),
        table=_table(exams.table),
    )


# S is computed in exact decimals. P needs the normal distribution, which PostgreSQL has not
# before version 16: Hart's rational approximation in West's form (2005), good to 15 digits.
# MATERIALIZED keeps each step a column: pulled together, a polynomial would repeat all of the
# steps below it in each of its terms, and planning alone would take a quarter of a second.
SCORE = """
INSERT INTO pg_temp.ebbtide_score (number, user_id, last_at, silent_days, s, p, fault)
WITH population AS MATERIALIZED (
    SELECT n, mean, sqrt((within + between) / n) AS sd,
        within / (n - k) / ((within + between) / n) AS noise
    FROM (
        SELECT all_scores.n, all_scores.k, all_scores.mean, all_scores.within,
            (SELECT sum(num * power(exams.mean - all_scores.mean, 2))
                FROM pg_temp.ebbtide_exams AS exams) AS between
        FROM (
            SELECT sum(num)::double precision AS n, count(*)::double precision AS k,
                sum(num * mean) / sum(num) AS mean, sum(squares) AS within
            FROM pg_temp.ebbtide_exams HAVING count(*) >= 2 AND min(lowest) < max(highest)
        ) AS all_scores
    ) AS spread
    WHERE n > k AND within + between > 0
), input AS MATERIALIZED (
    SELECT inactive.person, inactive.last_at, target.fault,
        floor(EXTRACT(EPOCH FROM %(as_of)s::timestamptz - inactive.last_at) / 86400)::integer
            AS silent_days,
        COALESCE(regularity.num_sessions, 0) AS num_sessions,
        COALESCE(regularity.gap_days, 0) AS gap_days,
        COALESCE(target.target, %(default_target)s::double precision) AS target,
        CASE WHEN is_estimated THEN estimate.mean ELSE posterior.mean END AS mu,
        CASE WHEN is_estimated THEN estimate.sd ELSE posterior.sd END AS sigma
    FROM pg_temp.ebbtide_inactive AS inactive
    LEFT JOIN pg_temp.ebbtide_regularity AS regularity ON regularity.person = inactive.person
    LEFT JOIN pg_temp.ebbtide_target AS target ON target.person = inactive.person
    LEFT JOIN pg_temp.ebbtide_estimate AS estimate ON estimate.person = inactive.person
    LEFT JOIN (
        SELECT exams.person,
            (exams.num / v * ((exams.mean - population.mean) / population.sd))
                / (1 + exams.num / v) AS mean,
            1 / sqrt(1 + exams.num / v) AS sd
        FROM pg_temp.ebbtide_exams AS exams CROSS JOIN population
        CROSS JOIN LATERAL
            (SELECT greatest(%(variance_min)s::double precision, population.noise) AS v) AS floored
    ) AS posterior ON posterior.person = inactive.person
    CROSS JOIN LATERAL (SELECT estimate.person IS NOT NULL AS is_estimated) AS kind
), distance AS MATERIALIZED (
    SELECT input.*,
        CASE WHEN sigma > 0 AND sigma < 1e100 THEN
            CASE WHEN abs(mu - target) < 1e-30 * sigma THEN 0
                 WHEN abs(mu - target) < 40 * sigma THEN (mu - target) / sigma
                 ELSE 40 * sign(mu - target) END
        END AS z
    FROM input
), chance AS MATERIALIZED (
    SELECT distance.*,
        CASE WHEN z > 0 THEN 1 - tail ELSE tail END AS p
    FROM distance
    CROSS JOIN LATERAL (SELECT abs(z) AS a) AS size
    CROSS JOIN LATERAL (SELECT CASE WHEN a <= 37 THEN exp(-a * a / 2) ELSE 0 END AS e) AS density
    CROSS JOIN LATERAL (
        SELECT CASE
            WHEN a > 37 THEN 0
            WHEN a < 7.07106781186547 THEN
                e * ((((((0.0352624965998911 * a + 0.700383064443688) * a + 6.37396220353165) * a
                    + 33.912866078383) * a + 112.079291497871) * a + 221.213596169931) * a
                    + 220.206867912376)
                / (((((((0.0883883476483184 * a + 1.75566716318264) * a + 16.064177579207) * a
                    + 86.7807322029461) * a + 296.564248779674) * a + 637.333633378831) * a
                    + 793.826512519948) * a + 440.413735824752)
            ELSE e / (a + 1 / (a + 2 / (a + 3 / (a + 4 / (a + 0.65))))) / 2.506628274631
        END AS tail
    ) AS far
), risk AS (
    SELECT chance.*,
        CASE
            WHEN last_at < %(since)s THEN 1
            ELSE least(1, greatest(0,
                %(silence_weight)s::numeric * least(1, silent_days::numeric / %(horizon)s::integer)
                + %(gap_weight)s::numeric * least(1, gap_days / %(gap_full)s::integer)
                + %(rarity_weight)s::numeric
                    * greatest(0, 1 - num_sessions::numeric / %(sessions_full)s::integer)))
        END AS s
    FROM chance
)
SELECT row_number() OVER (ORDER BY person COLLATE "C"), person, last_at, silent_days,
    trim_scale(round(s::numeric, %(decimals)s::integer)),
    trim_scale(round(p::numeric, %(decimals)s::integer)), fault
FROM risk
"""


def write_batch(
    result: str, has_updated_at: bool, numbered: Sequence[NumberedColumn] = ()
) -> sql.Composed:
    """Write P and S of the users ``(after, upto]`` in one statement; every other key stays.

    The database takes the row as it is when it is its turn, so a writer beside us loses nothing.
    The answer is how many were written, and the numbers of those whose row was not kept, such as
    those whose ``kpis`` of this week are no JSON object, which are left as they are. ``now()``
    only says when the row was written.

    Args:
        numbered: columns that are given what their sequence would say next, without asking it.
    """
    more = sql.SQL(", updated_at" if has_updated_at else "")
    now = sql.SQL(", now()" if has_updated_at else "")
    change = sql.SQL(", updated_at = now()" if has_updated_at else "")
    names = sql.SQL("").join(sql.SQL(", {}").format(_column(one.name)) for one in numbered)
    texts = sql.SQL("").join(
        sql.SQL(", {}").format(sql.SQL(one.value.replace("%", "%%"))) for one in numbered
    )
    return sql.SQL("""
        WITH batch AS (
            SELECT number, user_id, s, p FROM pg_temp.ebbtide_score
            WHERE number > %(after)s AND number <= %(upto)s AND fault IS NULL
        ), written AS (
            INSERT INTO {result} AS kept (user_id, week_start, kpis{more}{names}) {override}
            SELECT user_id, %(week)s::date, jsonb_build_object('P', p, 'S', s){now}{texts}
            FROM batch ORDER BY user_id COLLATE "C"
            ON CONFLICT (user_id, week_start) DO UPDATE
            SET kpis = COALESCE(kept.kpis, '{{}}') || EXCLUDED.kpis{change}
            WHERE jsonb_typeof(COALESCE(kept.kpis, '{{}}')) = 'object'
            RETURNING user_id::text
        )
        SELECT count(written.user_id), count(*) FILTER (WHERE written.user_id IS NOT NULL
                AND batch.p IS NULL),
            COALESCE(array_agg(batch.number) FILTER (WHERE written.user_id IS NULL), '{{}}')
        FROM batch LEFT JOIN written ON written.user_id = batch.user_id
    """).format(
        result=identifier(result),
        more=more,
        names=names,
        override=sql.SQL("OVERRIDING SYSTEM VALUE" if numbered else ""),
        now=now,
        texts=texts,
        change=change,
    )


def set_not_kept(result: str) -> sql.Composed:
    """Say of users whose row a batch did not keep why that is."""
    return sql.SQL("""
        UPDATE pg_temp.ebbtide_score AS score
        SET fault = CASE
            WHEN EXISTS (
                SELECT FROM {result} AS kept
                WHERE kept.user_id = score.user_id AND kept.week_start = %(week)s::date
                    AND jsonb_typeof(kept.kpis) <> 'object'
            ) THEN 'kpis of this week are no JSON object'
            ELSE 'a trigger of {name} did not let the row through, or gave it to another user'
        END
        WHERE number = ANY(%(numbers)s)
    """).format(result=identifier(result), name=sql.SQL(result))


# Whoever takes a number of a sequence holds this lock on it until the transaction ends.
SEQUENCES_USED = """
SELECT relation::regclass::text FROM pg_locks JOIN pg_class AS class ON class.oid = relation
WHERE pid = pg_backend_pid() AND locktype = 'relation' AND class.relkind = 'S'
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
ORDER BY 1
"""


COUNT = "SELECT count(*), count(*) FILTER (WHERE fault IS NOT NULL) FROM pg_temp.ebbtide_score"

SET_FAULT = "UPDATE pg_temp.ebbtide_score SET fault = %(fault)s WHERE number = ANY(%(numbers)s)"

READ_FAULTS = """
SELECT number, user_id, fault FROM pg_temp.ebbtide_score
WHERE number > %(after)s AND number <= %(upto)s AND fault IS NOT NULL ORDER BY number
"""

READ_WITHOUT_P = """
SELECT user_id FROM pg_temp.ebbtide_score
WHERE number > %(after)s AND number <= %(upto)s AND fault IS NULL AND p IS NULL
ORDER BY number LIMIT %(limit)s
"""

# Python has no moment before the year 1; a day of grace is for the zone of the connection.
READ_PAGE = """
SELECT number, user_id, s, p, greatest(last_at, '0001-01-02 00:00+00'), silent_days
FROM pg_temp.ebbtide_score
WHERE number > %(after)s AND number <= %(upto)s AND fault IS NULL ORDER BY number LIMIT %(limit)s
"""
