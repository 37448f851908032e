"""How ``ebbtide backtest learners`` shows its figures."""

from __future__ import annotations

from typing import Any

from ebbtide.cli.output import console, inert, print_table


def tell_learners(found: dict[str, Any]) -> None:
    """Print the figures of a back-test."""
    days = found["horizon_days"]
    console.print(
        inert(
            f"{found['course']}: {found['num_students']} students; whoever had left by a day is "
            "left out of it. AUC: how often one who did has the higher value than one who did "
            "not; 0.5 is chance. In brackets: 95 of 100 draws of students."
        )
    )
    console.print()
    console.print(f"Who leaves within {days} days: S, and days of silence alone beside it")
    print_table(
        ("day", "had left", "here", "never active", "scored", "leave", "AUC of S",
         "AUC of recency"),
        [
            (
                name,
                one.get("num_left"),
                one["num_cases"],
                one["num_never_active"],
                one["withdrawal"]["num"],
                one["withdrawal"]["num_leaving"],
                _auc(one["withdrawal"]["s"]),
                _auc(one["withdrawal"]["recency"]),
            )
            for name, one in _rows(found)
        ],
    )  # fmt: skip
    console.print()
    console.print("Who passes in the end, or with distinction: P, and recency beside it")
    print_table(
        ("day", "with P", "pass", "AUC of P", "AUC of recency", "mean P", "share"),
        [
            (
                name,
                one["success"]["num"],
                one["success"]["num_passing"],
                _auc(one["success"]["p"]),
                _auc(one["success"]["recency"]),
                _number(one["success"]["mean_p"]),
                _share(one["success"]["num_passing"], one["success"]["num"]),
            )
            for name, one in _rows(found)
        ],
    )
    for name, title, what in (
        ("calibration_s", f"S beside the share who left within {days} days", "left"),
        ("calibration_p", "P beside the share who passed", "passed"),
    ):
        console.print()
        console.print(f"{title}, all days together")
        print_table(
            ("said", "cases", "mean said", what),
            [
                (
                    f"{one['from']:.1f} to {one['to']:.1f}",
                    one["num"],
                    _number(one["mean_said"]),
                    _number(one["share_came"]),
                )
                for one in found[name]
            ],
        )


def _rows(found: dict[str, Any]) -> list[tuple[Any, dict[str, Any]]]:
    return [*((one["day"], one) for one in found["days"]), ("all", found["all"])]


def _auc(one: dict[str, Any]) -> str | None:
    if one["auc"] is None:
        return None
    low, high = one["auc_95"]
    return f"{one['auc']:.3f} ({low:.3f} to {high:.3f})"


def _number(value: float | None) -> str | None:
    return None if value is None else f"{value:.3f}"


def _share(num: int, of: int) -> str | None:
    return f"{num / of:.3f}" if of else None
