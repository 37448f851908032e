"""Says how well the recognisers do on the labelled sets; ``make judge`` prints it."""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from ebbtide.domain.call import Call, Message
from ebbtide.domain.policy import Stage
from ebbtide.guard.detectors.content_accuracy import ContentAccuracy
from ebbtide.guard.detectors.pii import find

FOLDER = Path(__file__).parent
TUNED_LATER = 32  # cases of accuracy_later.tsv, the first ones
AT = datetime(2026, 3, 12, tzinfo=UTC)
_MARK = re.compile(r"«([a-z]+):([^»]*)»")


@dataclass
class Score:
    """How often it was right; ``missed`` and ``wrong`` say where it was not."""

    right: int = 0
    missed: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    @property
    def precision(self) -> float:
        """The share of what was found that is there."""
        return self.right / (self.right + len(self.wrong))

    @property
    def recall(self) -> float:
        """The share of what is there that was found."""
        return self.right / (self.right + len(self.missed))

    def __str__(self) -> str:
        found = f"{self.right} right, {len(self.wrong)} wrong, {len(self.missed)} missed"
        return f"precision {self.precision:.3f}  recall {self.recall:.3f}  ({found})"


def is_aside(number: int) -> bool:
    """Whether a case, by its number from 1 on, only judges."""
    return number % 3 == 0


def _lines(name: str) -> Iterator[tuple[int, str]]:
    text = (FOLDER / name).read_text("utf-8")
    kept = [line for line in text.splitlines() if not line.startswith("# ")]
    yield from enumerate(kept, 1)


def pii_lines(
    name: str = "pii_lines.txt",
) -> Iterator[tuple[int, str, list[tuple[str, int, int]]]]:
    """Number, plain text, and what is to be found: kind, start, end."""
    for number, line in _lines(name):
        text, spans, at = "", [], 0
        line = line.replace("¦", "")
        for mark in _MARK.finditer(line):
            text += line[at : mark.start()]
            spans.append((mark[1], len(text), len(text) + len(mark[2])))
            text += mark[2]
            at = mark.end()
        yield number, text + line[at:], spans


def judge_pii(name: str = "pii_lines.txt", *, aside: bool | None = None) -> dict[str, Score]:
    """Exact spans, by kind and under ``all``.

    Args:
        name: of the set.
        aside: True for the lines held aside alone, False for the others alone.
    """
    scores: dict[str, Score] = {"all": Score()}
    for number, text, spans in pii_lines(name):
        if aside is not None and is_aside(number) is not aside:
            continue
        found = {(one.kind, one.start, one.end) for one in find(text)}
        wanted = set(spans)
        for kind, start, end in found | wanted:
            said = f"{number} {kind} {text[start:end]!r} in {text!r}"
            for score in (scores["all"], scores.setdefault(kind, Score())):
                if (kind, start, end) not in found:
                    score.missed.append(said)
                elif (kind, start, end) not in wanted:
                    score.wrong.append(said)
                else:
                    score.right += 1
    return scores


def accuracy_cases(name: str = "accuracy_cases.tsv") -> Iterator[tuple[int, bool, Call]]:
    """Number, whether it is a claim, and the call."""
    for number, line in _lines(name):
        expected, context, question, answer = line.split("\t")
        assert expected in ("claim", "fine")
        messages = (Message("user", question),)
        call = Call(
            f"c{number}", "acme", AT, messages=messages, context=json.loads(context), output=answer
        )
        yield number, expected == "claim", call


def judge_accuracy(*, aside: bool | None = None) -> Score:
    """Claims of CONTENT_ACCURACY, one a case; arguments as for personal data."""
    return _judge_claims("accuracy_cases.tsv", lambda number: aside in (None, is_aside(number)))


def judge_later(*, is_fresh: bool) -> Score:
    """The same on answers that were written later; those that are fresh were not tuned on."""
    return _judge_claims("accuracy_later.tsv", lambda number: (number > TUNED_LATER) is is_fresh)


def _judge_claims(name: str, takes: Callable[[int], bool]) -> Score:
    score = Score()
    detector = ContentAccuracy({})
    for number, is_claim, call in accuracy_cases(name):
        if not takes(number):
            continue
        fires = bool(detector.look(call, Stage.OUTPUT).findings)
        said = f"{number} {call.context} {call.output!r}"
        if fires and is_claim:
            score.right += 1
        elif fires:
            score.wrong.append(said)
        elif is_claim:
            score.missed.append(said)
    return score


def main(shows_faults: bool) -> None:
    """Print it all; faults of the lines that are not held aside on request."""
    kinds = Counter(kind for _, _, spans in pii_lines() for kind, _, _ in spans)
    print(f"PII: {sum(1 for _ in pii_lines())} lines, {sum(kinds.values())} marks {dict(kinds)}")
    for name, aside in (("tuned on", False), ("held aside", True), ("all lines", None)):
        for kind, score in sorted(judge_pii(aside=aside).items()):
            if kind == "all" or aside is None:
                print(f"  {name:<10}  {kind:<6} {score}")
    print("PII on other lines, written later and tuned on since")
    print(f"  all lines   all    {judge_pii('pii_later.txt')['all']}")
    print("CONTENT_ACCURACY: 100 cases")
    for name, aside in (("tuned on", False), ("held aside", True), ("all cases", None)):
        print(f"  {name:<10}  {judge_accuracy(aside=aside)}")
    print("CONTENT_ACCURACY on other answers, written later: 62 cases")
    print(f"  tuned on    {judge_later(is_fresh=False)}")
    print(f"  fresh       {judge_later(is_fresh=True)}")
    if shows_faults:
        for score in (judge_pii(aside=False)["all"], judge_accuracy(aside=False)):
            for said in score.missed:
                print("missed", said)
            for said in score.wrong:
                print("wrong ", said)


if __name__ == "__main__":
    main("--faults" in sys.argv)
