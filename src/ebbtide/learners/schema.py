"""The tables that the inactivity job reads and writes, for a demo, a test, or a first look.

An installation has these already; the job itself creates nothing but temporary tables.
"""

from __future__ import annotations

#: Everything but the optional tables; safe to run again.
TABLES = """
CREATE TABLE IF NOT EXISTS exam_results (
    id             uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    session_id     text NOT NULL UNIQUE,
    user_id        text,
    org_id         integer,
    exam_id        integer,
    status         text NOT NULL DEFAULT 'ready',
    result_json    jsonb NOT NULL DEFAULT '{}',
    score_raw      numeric,
    score_scaled   numeric,
    standard_error numeric,
    percentile     numeric,
    created_at     timestamptz NOT NULL DEFAULT now(),
    updated_at     timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE IF NOT EXISTS features_topic_daily (
    user_id        text NOT NULL,
    topic_id       text NOT NULL,
    date           date NOT NULL,
    attempts       integer NOT NULL DEFAULT 0,
    correct        integer NOT NULL DEFAULT 0,
    hints          integer NOT NULL DEFAULT 0,
    avg_time_ms    integer,
    theta_estimate numeric(6, 3),
    theta_sd       numeric(6, 3),
    rt_median      integer,
    improvement    numeric(6, 3),
    last_seen_at   timestamptz,
    computed_at    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, topic_id, date)
);

CREATE TABLE IF NOT EXISTS interest_goal (
    user_id      text NOT NULL,
    topic_id     text NOT NULL,
    target_level numeric(6, 3),
    priority     smallint NOT NULL DEFAULT 0,
    created_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, topic_id)
);

CREATE TABLE IF NOT EXISTS weekly_kpi (
    user_id    text NOT NULL,
    week_start date NOT NULL,
    kpis       jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, week_start)
);
"""

#: One row for each answered question. Answers come from other programs: what is no list, no
#: number and no UUID must give a null or no row here, never an error for everybody.
ATTEMPT_VIEW = r"""
CREATE OR REPLACE VIEW attempt AS
SELECT
    ('x' || substr(md5(exam.id::text || '-' || (answer.value ->> 'question_id')), 1, 16))
        ::bit(64)::bigint AS id,
    CASE
        WHEN exam.user_id ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' THEN exam.user_id::uuid
        ELSE md5(exam.user_id)::uuid
    END AS student_id,
    CASE
        WHEN answer.value ->> 'question_id' ~ '^[0-9]{1,18}$'
        THEN (answer.value ->> 'question_id')::bigint
    END AS item_id,
    COALESCE(
        lower(COALESCE(answer.value ->> 'is_correct', answer.value ->> 'correct')) = 'true', FALSE
    ) AS correct,
    CASE
        WHEN answer.value ->> 'time_spent_sec' ~ '^[0-9]{1,9}(\.[0-9]{1,9})?$'
        THEN round((answer.value ->> 'time_spent_sec')::numeric * 1000)
        ELSE 0
    END AS response_time_ms,
    COALESCE(answer.value ->> 'used_hints', 'false') NOT IN ('false', '0', '') AS hint_used,
    exam.updated_at AS completed_at,
    exam.created_at AS started_at,
    1 AS attempt_no,
    exam.session_id,
    answer.value ->> 'topic' AS topic_id
FROM exam_results AS exam
CROSS JOIN LATERAL jsonb_array_elements(
    CASE
        WHEN jsonb_typeof(exam.result_json -> 'questions') = 'array'
        THEN exam.result_json -> 'questions'
        ELSE '[]'::jsonb
    END
) AS answer
WHERE exam.user_id IS NOT NULL AND COALESCE(answer.value ->> 'question_id', '') <> '';
"""

#: Optional: who has been in, for how long.
SESSION_TABLE = """
CREATE TABLE IF NOT EXISTS session (
    id           text PRIMARY KEY,
    user_id      text,
    org_id       integer,
    classroom_id text,
    exam_id      text,
    started_at   timestamptz,
    ended_at     timestamptz,
    status       text,
    created_at   timestamptz NOT NULL DEFAULT now()
);
"""

#: Optional: what a model of the user's own says of each learner.
ABILITY_TABLE = """
CREATE TABLE IF NOT EXISTS ability_estimates (
    user_id    text NOT NULL,
    mean       double precision,
    sd         double precision,
    fitted_at  timestamptz NOT NULL DEFAULT now()
);
"""

#: All that an installation usually has: every table but ``ability_estimates``.
DDL = TABLES + ATTEMPT_VIEW + SESSION_TABLE
