"""Colours of the style sheet: every text stands out from what it is on, in both themes."""

from __future__ import annotations

import re

import pytest

from ebbtide.console.assets import FOLDER

AA = 4.5  # contrast that WCAG 2 asks of texts of a usual size
GROUNDS = ("paper", "card", "sunk")
#: What is written on what.
PAIRS = [
    *[
        (ink, ground)
        for ink in ("ink", "soft", "tide", "critical", "warning")
        for ground in GROUNDS
    ],
    *[("ink", f"{name}-wash") for name in ("tide", "critical", "warning", "calm")],
    *[(name, f"{name}-wash") for name in ("tide", "critical", "warning", "calm")],
    *[("calm", ground) for ground in GROUNDS],
    ("tide-ink", "tide"),
]


def themes() -> dict[str, dict[str, str]]:
    """The colours by name, of each place in the style sheet that sets them all."""
    text = (FOLDER / "console.css").read_text(encoding="utf-8")
    blocks = re.findall(r"([^{}]+)\{([^{}]*--paper: #[0-9a-f]{6};[^{}]*)\}", text)
    found = {
        head.strip().splitlines()[-1].strip(): dict(
            re.findall(r"--([a-z-]+): (#[0-9a-f]{6})\b", body)
        )
        for head, body in blocks
    }
    assert len(found) == 3, list(found)  # light, dark by the machine's choice, dark by the reader's
    return found


@pytest.mark.parametrize("theme", themes())
@pytest.mark.parametrize(("ink", "ground"), PAIRS)
def test_a_text_stands_out(theme: str, ink: str, ground: str) -> None:
    colours = themes()[theme]
    light, dark = sorted((luminance(colours[ink]), luminance(colours[ground])), reverse=True)
    assert (light + 0.05) / (dark + 0.05) >= AA


def test_both_ways_to_the_dark_theme_give_the_same() -> None:
    _, machine, reader = themes().values()
    assert machine == reader


def luminance(colour: str) -> float:
    """How bright a colour is, from 0 to 1, as WCAG 2 defines it."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    ]
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
