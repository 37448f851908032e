"""The job against a plain reading of its formulas, row by row, on many learners at once."""

from __future__ import annotations

import math
import random
from collections import defaultdict
from datetime import datetime, timedelta
from typing import Any

import pytest

from learner_tables import AS_OF, Learners, ago, md5_uuid

DAY = timedelta(days=1)


def known(*moments: datetime | None) -> datetime | None:
    """The first moment that is known by the time of the question."""
    return next((one for one in moments if one is not None and one <= AS_OF), None)


@pytest.mark.parametrize("seed", [1, 2])
def test_it_says_what_a_plain_reading_says(learners: Learners, seed: int) -> None:
    chance = random.Random(seed)
    activity: dict[str, list[datetime]] = defaultdict(list)
    sessions: dict[str, list[datetime]] = defaultdict(list)
    scores: dict[str, list[float]] = defaultdict(list)
    goals: dict[str, list[tuple[float | None, int]]] = defaultdict(list)
    rows: dict[str, list[tuple[Any, ...]]] = defaultdict(list)

    def moment(older: float = 0) -> datetime:
        days = older + chance.choice([7, 14, 56, chance.uniform(-5, 90), chance.randint(0, 70)])
        return ago(days) + chance.choice([0, 0, 1, -1]) * timedelta(microseconds=1)

    for n in range(150):
        person = f"user-{n}"
        older = 50 * (n % 9 == 0)  # some who left long ago
        for k in range(chance.randint(0, 6)):
            created, updated = sorted((moment(older), moment(older)))
            at, score = known(updated, created), chance.choice([None, chance.randint(0, 100)])
            who = chance.choice([person, person, md5_uuid(person)])
            rows["exam_results"].append((f"{n}/{k}", who, score, created, updated))
            if at is not None:
                activity[person].append(at)
                sessions[person] += [at] if at > AS_OF - 56 * DAY else []
                scores[person] += [] if score is None else [score]
        for k in range(chance.randint(0, 2)):
            began, ended = moment(older), chance.choice([None, moment(older)])
            rows["session"].append((f"{n}/{k}", person, began, ended))
            activity[person] += [one for one in [known(ended, began)] if one]
        for k in range(chance.randint(0, 2)):
            seen = chance.choice([None, moment(older)])
            rows["features_topic_daily"].append((md5_uuid(person), f"{k}", AS_OF.date(), seen))
            activity[person] += [one for one in [known(seen)] if one]
        rows["interest_goal"].append((person, "-", None, 0))  # so that every name is known
        for k in range(chance.randint(0, 3)):
            goal = (chance.choice([None, chance.randint(-2000, 2000) / 1000]), chance.randint(0, 3))
            rows["interest_goal"].append((person, f"{k}", *goal))
            goals[person].append(goal)
    columns = {
        "exam_results": "session_id, user_id, score_scaled, created_at, updated_at",
        "session": "id, user_id, started_at, ended_at",
        "features_topic_daily": "user_id, topic_id, date, last_seen_at",
        "interest_goal": "user_id, topic_id, target_level, priority",
    }
    for table, values in rows.items():
        with learners.connection.cursor().copy(f"COPY {table} ({columns[table]}) FROM STDIN") as to:
            for row in values:
                to.write_row(row)

    flat = [score for one in scores.values() for score in one]
    mean = sum(flat) / len(flat)
    sd = math.sqrt(sum((x - mean) ** 2 for x in flat) / len(flat))
    own_means = {person: sum(one) / len(one) for person, one in scores.items() if one}
    within = sum((x - own_means[who]) ** 2 for who, one in scores.items() for x in one)
    noise = max(0.01, within / (len(flat) - len(own_means)) / sd**2)

    expected = {}
    for person, moments in activity.items():
        if not moments or max(moments) >= AS_OF - 7 * DAY:
            continue
        silence = AS_OF - max(moments)
        sat = sorted(sessions[person])
        gap = (sat[-1] - sat[0]) / DAY / (len(sat) - 1) if len(sat) > 1 else 0
        s = 0.6 * min(1, silence.days / 14) + 0.25 * min(1, gap / 7)
        s += 0.15 * max(0, 1 - len(sat) / 10)
        p = None
        if person in own_means:
            num = len(scores[person])
            mu = (num / noise) * ((own_means[person] - mean) / sd) / (1 + num / noise)
            sigma = 1 / math.sqrt(1 + num / noise)
            levels = [(level, weight) for level, weight in goals[person] if level is not None]
            if not any(weight > 0 for _, weight in levels):
                levels = [(level, 1) for level, _ in levels]
            total = sum(weight for _, weight in levels)
            target = sum(x * weight for x, weight in levels) / total if levels else 0.0
            p = math.erfc((target - mu) / sigma / math.sqrt(2)) / 2
        expected[person] = (silence.days, 1.0 if silence > 56 * DAY else s, p)

    found = {one.user_id: (one.silent_days, one.s, one.p) for one in learners.run().scores()}
    assert set(found) == set(expected) and len(found) > 30
    for person, (days, s, p) in expected.items():
        assert found[person][0] == days
        assert found[person][1] == pytest.approx(s, abs=1e-10)
        assert found[person][2] == (None if p is None else pytest.approx(p, abs=1e-9))
    assert {p is None for _, _, p in found.values()} == {True, False}
    assert {s == 1.0 for _, s, _ in found.values()} == {True, False}
