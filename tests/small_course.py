"""A course of a few students in the files that a real one comes in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as parquet

KEY = {"code_module": "ZZZ", "code_presentation": "2020J"}

#: Student -> (day of registration, of withdrawal, result, days with clicks, scores by day).
#: A quits in silence, D was never there, E left before, F comes to the course late.
STUDENTS: dict[int, tuple[str, str, str, list[int], dict[int, str]]] = {
    1: ("-20", "20", "Withdrawn", [-3, 0, 2], {}),
    2: ("-20", "?", "Pass", list(range(0, 60, 2)), {5: "80", 12: "90"}),
    3: ("?", "?", "Fail", list(range(1, 60, 7)), {5: "30", 13: "35"}),
    4: ("-9", "?", "Fail", [], {}),
    5: ("-9", "4", "Withdrawn", [0, 1], {}),
    6: ("21", "?", "Distinction", list(range(22, 60)), {30: "?", 31: "95", 40: "99"}),
    7: ("-9", "40", "Withdrawn", [0, 1, 2, 3, 9], {5: "40"}),
}


def write_course(folder: Path, *, until: int = 1000) -> Path:
    """Write the files; ``until`` leaves out what was done later."""
    place = folder / "learners"
    place.mkdir(parents=True)

    def write(name: str, rows: list[dict[str, Any]], schema: dict[str, pa.DataType]) -> None:
        table = pa.Table.from_pylist(rows, pa.schema(list(schema.items())))
        parquet.write_table(table, place / f"{name}.parquet")

    text, number = pa.large_string(), pa.int64()
    key = {"code_module": text, "code_presentation": text, "id_student": number}
    people = {one: KEY | {"id_student": one} for one in STUDENTS}
    write(
        "students",
        [people[one] | {"final_result": told[2]} for one, told in STUDENTS.items()],
        key | {"final_result": text},
    )
    write(
        "registrations",
        [
            people[one] | {"date_registration": told[0], "date_unregistration": told[1]}
            for one, told in STUDENTS.items()
        ],
        key | {"date_registration": text, "date_unregistration": text},
    )
    write(
        "sites",
        [{"id_site": 1, "activity_type": "quiz"}, {"id_site": 2, "activity_type": "forum"}],
        {"id_site": number, "activity_type": text},
    )
    write(
        "clicks",
        [
            people[one] | {"id_site": 1 + n % 3, "date": day, "sum_click": 3 + n}
            for one, told in STUDENTS.items()
            for day in told[3]
            for n in range(4)
            if day <= until
        ],
        key | {"id_site": number, "date": number, "sum_click": number},
    )
    write(
        "assessments",
        [
            people[one] | {"id_assessment": 100 + n, "date_submitted": day, "score": score}
            for one, told in STUDENTS.items()
            for n, (day, score) in enumerate(told[4].items())
            if day <= until
        ],
        key | {"id_assessment": number, "date_submitted": number, "score": text},
    )
    return place
