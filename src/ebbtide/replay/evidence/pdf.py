"""Evidence as a PDF that a person reads, with the JSON attached.

The fonts are those that every reader brings along, so nothing is embedded and equal evidence is
equal bytes. They have the letters of western Europe; every other character is shown by its code
point, ``<U+4E2D>``, and stands as it is in the attached JSON.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from typing import Any

from fpdf import FPDF
from fpdf.enums import Align, MethodReturnValue, WrapMode, XPos, YPos
from fpdf.errors import FPDFException

from ebbtide.domain.time import parse_instant

TEXT_MAX_CHARS = 12_000  # of one text, three or four pages; the JSON has all of it
WORD_MAX_CHARS = 2_000
ROWS_MAX = 60
TABLE_CELL_MAX_CHARS = 300
DASH = "-"

#: Stands for the number of pages until it is known; no shown text can hold it.
_NUM_PAGES = "\x7f\x7f"
_INK, _SOFT, _LINE, _GONE, _NEW = (20, 32, 38), (92, 108, 116), (205, 214, 218), (168, 32, 40), (
    18, 110, 66,
)  # fmt: skip
_WIDTH = 174  # mm between the margins of an A4 page
_CODE_POINT = re.compile("<(?=U\\+)")


def show(text: str) -> str:
    """Text in the letters of the core fonts; every other character as its code point.

    What already looks like a code point is told apart: its ``<`` becomes one itself.
    """
    text = _CODE_POINT.sub("<U+003C>", text.replace("\r\n", "\n"))
    return "".join(one if _is_shown(one) else f"<U+{ord(one):04X}>" for one in text)


def _is_shown(one: str) -> bool:
    if one == "\n" or " " <= one <= "~":
        return True
    if one < "\xa1" or one == "\xad":  # controls, the space that is none, the hyphen that hides
        return False
    try:
        one.encode("cp1252")
    except UnicodeEncodeError:
        return False
    return True


def cut(text: str, most: int) -> str:
    """Text up to a length as it is shown, saying how much is missing."""
    shown = show(text[:most])
    if len(text) <= most and len(shown) <= most:
        return shown
    num, length = 0, 0
    while num < len(text) and length < most:
        length += len(show(text[num]))
        num += 1
    return f"{show(text[:num])} [... {len(text) - num:,} more characters in the attached JSON]"


def render_pdf(evidence: dict[str, Any], signed_json: bytes) -> bytes:
    """The pages, with the signed JSON as attachment.

    Args:
        evidence: settled contents, as :mod:`contents` makes them.
        signed_json: the signed file of the same evidence.

    Raises:
        ValueError: it cannot be set in pages.
    """
    try:
        sheet = _Sheet(evidence, hashlib.sha256(signed_json).hexdigest())
        sheet.tell()
        sheet.embed_file(
            bytes=signed_json,
            basename=f"{evidence['certificate_id']}.json",
            mime_type="application/json",
            desc="The evidence itself, signed",
            creation_date=parse_instant(evidence["issued_at"]),
            modification_date=parse_instant(evidence["issued_at"]),
            compress=False,  # so that the check finds it without a reader of PDF
        )
        return bytes(sheet.output())
    except FPDFException as error:
        raise ValueError(f"no pages: {error}") from error


class _Sheet(FPDF):
    """Pages of one file of evidence."""

    def __init__(self, evidence: dict[str, Any], digest: str) -> None:
        super().__init__(format="A4")
        self.evidence = evidence
        self.attachment_digest = digest
        self.core_fonts_encoding = "cp1252"
        self.set_creation_date(parse_instant(evidence["issued_at"]))
        self.set_title(f"Evidence {evidence['certificate_id']}")
        self.set_producer("Ebbtide")
        self.set_creator("Ebbtide")
        self.set_lang("en")
        self.set_margins(18, 18)
        self.set_auto_page_break(True, 20)
        self.c_margin = 0
        self.alias_nb_pages(_NUM_PAGES)
        self.set_display_mode("default")  # no action when it is opened

    def header(self) -> None:
        """What a single page that got lost must still say."""
        if self.evidence["is_simulated"]:
            self._style("B", 9, _GONE)
            self.cell(_WIDTH, 5, "SIMULATED: a sample company; nothing in here is real.")
            self.ln(7)

    def footer(self) -> None:
        """Which file, which page."""
        self.set_y(-14)
        self._style("", 8, _SOFT)
        self.cell(_WIDTH, 5, show(self.evidence["certificate_id"]))
        self.set_x(18)
        self.cell(_WIDTH, 5, f"{self.page_no()} / {_NUM_PAGES}", align=Align.R)

    # -- what it says ------------------------------------------------------------------------

    def tell(self) -> None:
        """All of it."""
        body = self.evidence
        incident, is_replay = body["incident"], body["about"] == "replay"
        self.add_page()
        self._style("B", 20, _INK)
        self._line("Evidence of a replay" if is_replay else "Evidence of an incident", 9)
        self._style("", 10, _SOFT)
        self._line(f"Issued by Ebbtide {body['issuer']['version']} at {body['issued_at']}", 5)
        self.ln(3)
        self._facts(
            [
                ("Certificate", body["certificate_id"]),
                ("Incident", incident["incident_id"]),
                ("Customer", body["tenant_id"]),
                ("Happened at", incident["happened_at"]),
                ("Reported at", incident["received_at"]),
                ("Severity", _of(incident["severity"], " of 5")),
                ("Model", incident["model"]),
                ("Cause", _cause(incident["cause"])),
                ("Why that cause", incident["cause"]["evidence"]),
            ]
        )
        self._heading("Policy versions in force")
        self._table(
            ("Policy", "Version", "Result", "Reason"),
            (38, 24, 24, 88),
            [
                (one["policy_id"], one["policy_version"], one["result"], one["reason"])
                for one in body["policy_versions"]
            ],
            "The events name none.",
        )
        self._timeline(body["timeline"])
        self._call("Original", body["original"])
        if is_replay:
            self._replay(body["replay"])
        self._heading("All that the incident's event says")
        self._box(json.dumps(incident["metadata"], ensure_ascii=False, indent=1))
        self._how()

    def _timeline(self, timeline: dict[str, Any]) -> None:
        self._heading("Events of the call")
        if "left_out" in timeline:
            self._note(timeline["left_out"])
            return
        self._table(
            ("When", "Event", "Took", "Cost", "Details"),
            (44, 36, 16, 22, 56),
            [
                (
                    one["happened_at"],
                    one["event_type"],
                    _of(one["latency_ms"], " ms"),
                    _usd(one["cost_usd"]),
                    json.dumps(one["metadata"], ensure_ascii=False, separators=(", ", ": ")),
                )
                for one in timeline["events"]
            ],
            "No event of its call is known.",
        )

    def _call(self, title: str, part: dict[str, Any]) -> None:
        self._heading(title)
        call = part["call"]
        if call is None:
            self._note(part["reason"])
            return
        self._facts(_call_facts(call))
        if "texts" in call:
            self._note(call["texts"]["left_out"])
            return
        for message in call["messages"][:ROWS_MAX]:
            self._label(f"Input, {message['role']}")
            self._box(message["text"])
        if len(call["messages"]) > ROWS_MAX:
            self._note(f"{len(call['messages']) - ROWS_MAX} more messages in the attached JSON.")
        if call["context"] is not None:
            self._label("Context")
            self._box(json.dumps(call["context"], ensure_ascii=False, indent=1))
        self._output(call)

    def _output(self, call: dict[str, Any]) -> None:
        self._label("Output")
        if call["output"] is None:
            self._note("No output came.")
        else:
            self._box(call["output"])

    def _replay(self, replay: dict[str, Any]) -> None:
        self._heading("Replay")
        asked = replay["policy_versions_asked_for"]
        self._facts(
            [
                ("Replay", replay["replay_id"]),
                ("Model", _of(replay["model"], " (another)" if replay["is_model_changed"] else "")),
                (
                    "Policy versions",
                    ", ".join(f"{one['policy_id']} {one['policy_version']}" for one in asked)
                    or "those in force",
                ),
                ("Run", f"{replay['started_at']} to {replay['ended_at'] or DASH}"),
                ("State", _of(replay["state"], _because(replay["error_type"]))),
                ("Determinism", replay["match"]),
                ("Counted as spent", _usd(replay["spent_usd"])),
            ]
        )
        for sample in replay["samples"]:
            self._sample(sample)

    def _sample(self, sample: dict[str, Any]) -> None:
        self._heading(f"Sample {sample['number']}")
        call, found = sample["call"], sample["comparison"]
        if call is None:
            self._note(f"{sample['state']}{_because(sample['error_type'])}; no output is kept.")
        if found is not None:
            self._comparison(found)
        if call is not None:
            self._facts(_call_facts(call))
            if "texts" in call:
                self._note(call["texts"]["left_out"])
            else:
                self._output(call)
        if found is not None and found["diff"] is not None:
            self._diff(found["diff"])

    def _comparison(self, found: dict[str, Any]) -> None:
        level = found["determinism"]
        measured = ""
        if level["similarity"] is not None:
            measured = f" ({level['method']}: {level['similarity']}, from {level['threshold']} on)"
        self._facts(
            [
                ("Severity", _delta(found["severity"])),
                ("Cost, USD", _delta(found["cost_usd"])),
                ("Latency, ms", _delta(found["latency_ms"])),
                ("Determinism", f"{level['level']}: {level['reason']}{measured}"),
            ]
        )
        rows = [
            (of, one["policy_id"], one["policy_version"], one["result"], one["reason"])
            for of, verdicts in (
                ("original", found["original_verdicts"]),
                ("replay", found["replay_verdicts"]),
            )
            for one in verdicts
        ]
        self._table(
            ("Of", "Policy", "Version", "Verdict", "Reason"),
            (20, 38, 22, 22, 72),
            rows,
            "No policy was checked.",
        )

    def _diff(self, diff: dict[str, Any]) -> None:
        self._label("Word by word: [-only in the original-] {+only in the replay+}")
        if not diff["is_exact"]:
            self._note("Too long to look at word by word; the unlike middle stands as one.")
        left = TEXT_MAX_CHARS
        for span in diff["spans"]:
            if left <= 0:
                self._style("", 9, _SOFT)
                self.write(4.4, " [... more in the attached JSON]")
                break
            before, after = span["before"], span["after"]
            left -= len(before) + len(after)
            if span["kind"] == "equal":
                self._style("", 9, _INK)
                self.write(4.4, cut(before, WORD_MAX_CHARS))
                continue
            if before:
                self._style("", 9, _GONE)
                self.write(4.4, f"[-{cut(before, WORD_MAX_CHARS)}-]")
            if after:
                self._style("", 9, _NEW)
                self.write(4.4, f"{{+{cut(after, WORD_MAX_CHARS)}+}}")
        self.ln(6)

    def _how(self) -> None:
        self._heading("How to check this")
        self._style("", 9, _SOFT)
        self._paragraph(
            "The last line of this file signs all that stands before it (Ed25519). Run"
            " 'ebbtide verify FILE --keys KEYS' with the public keys that the issuer shows at"
            " /.well-known/ebbtide-keys.json; nobody else is asked. The attachment is the same"
            " evidence as JSON, signed by itself. Characters beyond western European letters are"
            " shown as code points, such as <U+4E2D>; the attachment has them as they are."
        )
        self._paragraph(f"SHA-256 of the attachment: {self.attachment_digest}")

    # -- how it looks ------------------------------------------------------------------------

    def _style(self, style: Any, size: float, color: tuple[int, int, int]) -> None:
        self.set_font("helvetica", style, size)
        self.set_text_color(*color)

    def _line(self, text: str, height: float) -> None:
        self.cell(_WIDTH, height, text, new_x=XPos.LMARGIN, new_y=YPos.NEXT)

    def _paragraph(self, text: str) -> None:
        self.multi_cell(
            _WIDTH, 4.6, text, align=Align.L, new_x=XPos.LMARGIN, new_y=YPos.NEXT
        )  # fmt: skip
        self.ln(1)

    def _heading(self, text: str) -> None:
        self.ln(4)
        if self.will_page_break(24):
            self.add_page()
        self._style("B", 12, _INK)
        self._line(show(text), 7)

    def _label(self, text: str) -> None:
        if self.will_page_break(14):
            self.add_page()
        self._style("B", 9, _SOFT)
        self._line(cut(text, 120), 6)

    def _note(self, text: str) -> None:
        self._style("I", 10, _SOFT)
        self._paragraph(cut(text, WORD_MAX_CHARS))

    def _box(self, text: str) -> None:
        """Foreign text, kept in its own lines, with a rule at its left."""
        self.set_font("courier", "", 8.5)
        self.set_text_color(*_INK)
        for line in cut(text, TEXT_MAX_CHARS).split("\n"):
            self.set_x(21)
            page, top = self.page, self.get_y()
            self.multi_cell(
                _WIDTH - 3,
                4.2,
                line or " ",
                align=Align.L,
                wrapmode=WrapMode.CHAR,
                new_x=XPos.LMARGIN,
                new_y=YPos.NEXT,
            )
            if page == self.page:
                self.set_draw_color(*_LINE)
                self.line(18.5, top, 18.5, self.get_y())
        self.ln(2)

    def _facts(self, rows: Iterable[tuple[str, object]]) -> None:
        for name, value in rows:
            text = DASH if value is None else cut(str(value), WORD_MAX_CHARS)
            self._style("", 9, _SOFT)
            if self.will_page_break(5):
                self.add_page()
            self.cell(36, 5, name)
            self._style("", 10, _INK)
            self.multi_cell(
                _WIDTH - 36,
                5,
                text,
                align=Align.L,
                new_x=XPos.LMARGIN,
                new_y=YPos.NEXT,
            )
        self.ln(1)

    def _table(
        self,
        head: Sequence[str],
        widths: Sequence[float],
        rows: Sequence[Sequence[object]],
        empty: str,
    ) -> None:
        if not rows:
            self._note(empty)
            return
        self._row(head, widths, is_head=True)
        for row in rows[:ROWS_MAX]:
            self._row(row, widths)
        if len(rows) > ROWS_MAX:
            self._note(f"{len(rows) - ROWS_MAX} more rows in the attached JSON.")
        self.ln(1)

    def _row(
        self, row: Sequence[object], widths: Sequence[float], *, is_head: bool = False
    ) -> None:
        self._style("B" if is_head else "", 8.5, _SOFT if is_head else _INK)
        texts = [
            DASH if one is None else cut(str(one), TABLE_CELL_MAX_CHARS).replace("\n", " ")
            for one in row
        ]
        height = max(self._height(text, width) for text, width in zip(texts, widths, strict=True))
        if self.will_page_break(height + 1):
            self.add_page()
            self._style("B" if is_head else "", 8.5, _SOFT if is_head else _INK)
        top, left = self.get_y(), 18.0
        for text, width in zip(texts, widths, strict=True):
            self.set_xy(left, top)
            self.multi_cell(width - 2, 4.2, text, align=Align.L)
            left += width
        self.set_draw_color(*_LINE)
        self.line(18, top + height + 0.5, 18 + _WIDTH, top + height + 0.5)
        self.set_xy(18, top + height + 1)

    def _height(self, text: str, width: float) -> float:
        """How high a cell will be, in mm."""
        height = self.multi_cell(
            width - 2, 4.2, text, dry_run=True, output=MethodReturnValue.HEIGHT, align=Align.L
        )
        assert isinstance(height, float | int)
        return height


def _cause(cause: dict[str, Any]) -> str:
    text = str(cause["attribution"])
    if cause["needs_review"]:
        text += " (not sure: nobody has looked yet)"
    if cause["by_rule"] is not None:
        text += f" (said by a person; the rules had said {cause['by_rule']})"
    return text


def _call_facts(call: dict[str, Any]) -> list[tuple[str, object]]:
    tokens = f"{_known(call['tokens_in'])} in, {_known(call['tokens_out'])} out"
    return [
        ("Call", call["call_id"]),
        ("At", call["at"]),
        ("Model", _of(call["model"], f" at {call['provider']}" if call["provider"] else "")),
        ("Parameters", json.dumps(call["parameters"], ensure_ascii=False)),
        ("Tokens", tokens),
        ("Cost", _usd(call["cost_usd"])),
        ("Latency", _of(call["latency_ms"], " ms")),
        ("Ended", call["error_type"] or call["finish_reason"]),
        ("Kept of it", _kept(call)),
    ]


def _kept(call: dict[str, Any]) -> str:
    kept = "all inputs" if call["holds_all_inputs"] else "text alone; more than text went in"
    return kept + (", personal data taken out" if call["personal_data_taken_out"] else "")


def _known(value: object) -> str:
    return DASH if value is None else str(value)


def _of(value: object, unit: str) -> str | None:
    return None if value is None else f"{value}{unit}"


def _usd(value: object) -> str | None:
    return None if value is None else f"${value}"


def _because(error_type: str | None) -> str:
    return f" ({error_type})" if error_type else ""


def _delta(delta: dict[str, Any]) -> str:
    change = delta["change"]
    text = f"{_known(delta['original'])} -> {_known(delta['replay'])}"
    if change is None:
        return text
    return f"{text} ({change if change.startswith('-') else '+' + change})"
