"""Every published value of the learners' formulas, as the job writes it on PostgreSQL."""

from __future__ import annotations

import math

import pytest

from ebbtide.learners import statements
from ebbtide.learners.settings import read_learner_settings
from learner_tables import AS_OF, WEEK, Learners, ago

ABILITY = """
CREATE TABLE ability_estimates (user_id text, mean double precision, sd double precision,
    fitted_at timestamptz)
"""


def normal_cdf(z: float) -> float:
    """The distribution by another way than the job's."""
    return math.erfc(-z / math.sqrt(2)) / 2


@pytest.mark.parametrize(
    ("silent_days", "num_sessions", "gap_days", "risk"),
    [
        (7, 1, 0, 0.435),
        (7, 4, 3.5, 0.515),
        (7, 1, 7, 0.685),
        (8, 1, 7, 0.727857),
        (10, 1, 0, 0.563571),
        (10, 4, 3.5, 0.643571),
        (14, 1, 0, 0.735),
        (14, 10, 7, 0.85),
        (30, 5, 7, 0.925),
    ],
)
def test_churn_risk(
    learners: Learners, silent_days: int, num_sessions: int, gap_days: float, risk: float
) -> None:
    """The statement itself, on numbers that no 56 days would hold together."""
    learners.connection.execute(statements.TEMPORARY)
    learners.execute("INSERT INTO pg_temp.ebbtide_inactive VALUES ('ada', %s)", ago(silent_days))
    learners.execute(
        "INSERT INTO pg_temp.ebbtide_regularity VALUES ('ada', %s, %s)", num_sessions, gap_days
    )
    learners.connection.execute(
        statements.SCORE, statements.values(AS_OF, 7, read_learner_settings())
    )
    ((found,),) = learners.execute("SELECT s FROM pg_temp.ebbtide_score")
    assert float(found) == pytest.approx(risk, abs=5e-7)


@pytest.mark.parametrize(
    ("days", "risk"),
    [
        ([7], 0.435),
        ([7, 10.5, 14, 17.5], 0.515),
        ([10, 13.5, 17, 20.5], 0.643571),
        ([30, 37, 44, 51], 0.94),
    ],
)
def test_churn_risk_of_exams(learners: Learners, days: list[float], risk: float) -> None:
    """The same from rows of exam_results to a row of weekly_kpi."""
    for one in days:
        learners.exam("ada", ago(one))
    (found,) = learners.run(threshold=6).scores()
    assert found.s == pytest.approx(risk, abs=5e-7)
    assert found.silent_days == days[0]
    assert learners.stored()["ada"]["S"] == found.s


@pytest.mark.parametrize(
    ("mean", "sd", "target", "chance"),
    [
        (0.3, 0.5, 0, 0.725747),
        (1, 1, 0, 0.841345),
        (-0.5, 0.8, 0, 0.265986),
        (0.3, 0.5, 1, 0.080757),
    ],
)
@pytest.mark.parametrize("is_goal", [False, True], ids=["default target", "a goal"])
def test_goal_probability(
    learners: Learners, mean: float, sd: float, target: float, chance: float, is_goal: bool
) -> None:
    learners.exam("ada", ago(9))
    learners.execute(ABILITY)
    learners.execute("INSERT INTO ability_estimates VALUES ('ada', %s, %s, %s)", mean, sd, ago(9))
    if is_goal:
        learners.goal("ada", target)
        settings = read_learner_settings(metrics_default_target=99.0)
    else:
        settings = read_learner_settings(metrics_default_target=target)
    found = learners.scores(settings=settings)["ada"]
    assert found.p == pytest.approx(chance, abs=5e-7)
    assert learners.stored()["ada"]["P"] == found.p


def test_the_distribution_is_exact_everywhere(learners: Learners) -> None:
    """Also in the tails, at the seam of the two approximations, and beyond all numbers."""
    learners.execute(ABILITY)
    seam = 7.07106781186547
    zs = [n / 8 for n in range(-80, 81)] + [seam, -seam, seam + 1e-9, 36.9, -37.5, 39.9, -50, 1e9]
    for n in range(len(zs)):
        learners.exam(f"user-{n}", ago(9))
    with learners.connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO ability_estimates VALUES (%s, %s, 1, %s)",
            [(f"user-{n}", z, ago(9)) for n, z in enumerate(zs)],
        )
    found = learners.scores()
    for n, z in enumerate(zs):
        assert found[f"user-{n}"].p == pytest.approx(normal_cdf(z), abs=2e-12)


def test_silence_of_more_than_56_days_is_certain_whatever_the_horizon(learners: Learners) -> None:
    learners.features("exactly", ago(56))
    learners.features("longer", ago(56.00001))
    settings = read_learner_settings(metrics_churn_horizon_days=560)
    found = learners.scores(settings=settings)
    assert found["exactly"].s == pytest.approx(0.6 * 0.1 + 0.15)
    assert found["longer"].s == 1.0


def test_days_are_whole_and_the_week_is_that_of_utc(learners: Learners) -> None:
    learners.exam("ada", ago(8.9999))
    (found,) = learners.run().scores()
    assert (found.silent_days, found.week) == (8, WEEK)


def test_a_session_counts_once_and_old_ones_do_not(learners: Learners) -> None:
    """Two rows of one session have one time, that of the newer; the window is half-open."""
    learners.execute("ALTER TABLE exam_results DROP CONSTRAINT exam_results_session_id_key")
    learners.exam("ada", ago(30), session="one")
    learners.exam("ada", ago(20), session="one")
    learners.exam("ada", ago(10), session="two")
    learners.exam("ada", ago(56), session="too old")
    (found,) = learners.run().scores()
    assert found.s == pytest.approx(0.6 * 10 / 14 + 0.25 + 0.15 * 0.8)


def test_the_posterior_of_own_scores(learners: Learners) -> None:
    """By hand: mean 65, deviation sqrt(325 / 3), noise 25 / (325 / 3) of two scores for ada."""
    learners.exam("ada", ago(9), score=70)
    learners.exam("ada", ago(12), score=80)
    learners.exam("bob", ago(1), score=45)  # active, and part of the population all the same
    scores = [70.0, 80.0, 45.0]
    mean = sum(scores) / 3
    variance = sum((x - mean) ** 2 for x in scores) / 3
    noise = max(0.01, (25 + 25) / (3 - 2) / variance)
    x = (75 - mean) / math.sqrt(variance)
    mu = (2 / noise * x) / (1 + 2 / noise)
    sigma = 1 / math.sqrt(1 + 2 / noise)
    (found,) = learners.run().scores()
    assert found.p == pytest.approx(normal_cdf(mu / sigma), abs=1e-11)


def test_the_noise_of_scores_has_a_floor(learners: Learners) -> None:
    for day in (9, 10, 11):
        learners.exam("ada", ago(day), score=60)
        learners.exam("bob", ago(day), score=40)
    found = learners.scores(settings=read_learner_settings(metrics_default_target=0.99))
    mu, sigma = (3 / 0.01) / (1 + 3 / 0.01), 1 / math.sqrt(1 + 3 / 0.01)
    assert found["ada"].p == pytest.approx(normal_cdf((mu - 0.99) / sigma), abs=1e-11)


@pytest.mark.parametrize(
    "scores",
    [
        {},
        {"ada": [50, 60]},
        {"ada": [0.1, 0.1, 0.1], "bob": [0.1]},
        {"ada": [50], "bob": [60]},
        {"bob": [50, 60], "cid": [40]},
        {"ada": ["NaN", "NaN"], "bob": ["NaN"]},
    ],
    ids=["none", "one learner", "all alike", "one each", "none of her own", "no numbers"],
)
def test_too_few_scores_give_no_probability(
    learners: Learners, scores: dict[str, list[float]]
) -> None:
    """Without scores of her own, of others, or two of one learner, nothing is known."""
    for user_id, values in scores.items():
        for n, value in enumerate(values):
            learners.exam(user_id, ago(9 + n), score=value)
    learners.features("ada", ago(9))
    report = learners.run()
    assert {one.user_id: one.p for one in report.scores()}["ada"] is None
    assert learners.stored()["ada"]["P"] is None
    assert report.exit_code == 0
    assert "[WARN] Could not calculate P for" in "\n".join(learners.said)


def test_raw_scores_are_used_where_no_scaled_one_is(learners: Learners) -> None:
    for user_id, score in (("ada", 60), ("ada", 62), ("bob", 40)):
        learners.exam(user_id, ago(9))
        learners.execute(
            "UPDATE exam_results SET score_raw = %s WHERE score_raw IS NULL AND user_id = %s",
            score,
            user_id,
        )
    assert learners.scores()["ada"].p is not None
    learners.exam("cid", ago(9), score=1)
    assert learners.scores()["ada"].p is None  # one scaled score: that scale counts, for everybody


@pytest.mark.parametrize(
    ("goals", "target"),
    [
        ([(1.0, 3), (2.0, 1)], 1.25),
        ([(1.0, 0), (2.0, 0)], 1.5),
        ([(1.0, 0), (2.0, 5)], 2.0),
        ([(1.0, 2), (None, 8)], 1.0),
        ([(None, 2)], 0.0),
        ([(None, 9), (1.0, 0), (3.0, 0)], 2.0),
    ],
)
def test_the_target_is_the_weighted_mean_of_goals(
    learners: Learners, goals: list[tuple[float | None, int]], target: float
) -> None:
    learners.exam("ada", ago(9))
    learners.execute(ABILITY)
    learners.execute("INSERT INTO ability_estimates VALUES ('ada', 1, 2, %s)", ago(9))
    for level, priority in goals:
        learners.goal("ada", level, priority)
    assert learners.scores()["ada"].p == pytest.approx(normal_cdf((1 - target) / 2), abs=1e-11)


def test_the_newest_estimate_by_then_counts(learners: Learners) -> None:
    """One that is made later does not exist yet; one without an own value is none."""
    learners.exam("ada", ago(9))
    learners.execute(ABILITY)
    rows = [(-3, 1, 30), (1, 2, 8), (9, 1, -1), (None, 1, 2)]
    for mean, sd, days in rows:
        learners.execute(
            "INSERT INTO ability_estimates VALUES ('ada', %s, %s, %s)", mean, sd, ago(days)
        )
    assert learners.scores()["ada"].p == pytest.approx(normal_cdf(0.5), abs=1e-11)


def test_the_bayesian_mode_computes_anew_and_never_takes_a_stored_value(learners: Learners) -> None:
    learners.execute(ABILITY)
    learners.execute("INSERT INTO ability_estimates VALUES ('ada', -5, 0.1, %s)", ago(9))
    for day, user_id, score in ((9, "ada", 80), (10, "ada", 82), (9, "bob", 40)):
        learners.exam(user_id, ago(day), score=score)
    learners.kpis("ada", {"P": 0.123})
    assert learners.scores()["ada"].p < 0.01
    bayesian = read_learner_settings(metrics_use_bayesian=True)
    assert learners.scores(settings=bayesian)["ada"].p > 0.5


@pytest.mark.parametrize("sd", [0, -1, "NaN", "Infinity"])
def test_an_estimate_without_spread_gives_no_probability(learners: Learners, sd: object) -> None:
    learners.exam("ada", ago(9), score=1)
    learners.exam("ada", ago(9), score=2)
    learners.exam("bob", ago(9), score=3)
    learners.execute(ABILITY)
    learners.execute("INSERT INTO ability_estimates VALUES ('ada', 1, %s::float8, %s)", sd, ago(9))
    found = learners.scores()
    assert found["ada"].p is None
    assert found["bob"].p is not None  # nobody estimated him: his own scores count


def test_as_of_is_everything(learners: Learners) -> None:
    """The past is answered from what was there: later rows, and later versions, are not yet."""
    learners.exam("ada", ago(10), score=10)
    learners.exam("ada", ago(-5), created=ago(9), score=20)  # corrected later
    learners.exam("ada", ago(-1), score=99)
    (found,) = learners.run().scores()
    assert found.last_active_at == ago(9)
    assert learners.run(as_of=ago(11)).num_inactive == 0
    assert AS_OF > found.last_active_at
