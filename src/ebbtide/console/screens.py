"""The screens in their order, each with the one question that it answers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Screen:
    """A place in the console.

    ``shortcut`` is the key that leads to it. ``api`` and ``command`` answer its question outside
    of the console.
    """

    name: str
    path: str
    title: str
    question: str
    decision: str
    shortcut: str
    api: str
    command: str
    group: str = "questions"


SCREENS: tuple[Screen, ...] = (
    Screen(
        "today",
        "/today",
        "Today",
        "Who should I call today, and why?",
        "Decide whom to call first, and what to say.",
        "t",
        "/ops/customers/at-risk",
        "ebbtide today",
        group="daily",
    ),
    Screen(
        "pulse",
        "/pulse",
        "System Pulse",
        "Is my business healthy right now?",
        "Decide whether today is a normal day.",
        "1",
        "/ops/pulse",
        "ebbtide pulse",
    ),
    Screen(
        "customers",
        "/customers",
        "Customer Intelligence",
        "Who is this customer and are they slipping?",
        "Decide which customer needs you.",
        "2",
        "/ops/customers",
        "ebbtide customers",
    ),
    Screen(
        "incidents",
        "/incidents",
        "Incident Intelligence",
        "What is breaking and is it systemic?",
        "Decide whether to roll back a policy or a model.",
        "3",
        "/ops/incidents/patterns",
        "",
    ),
    Screen(
        "stickiness",
        "/stickiness",
        "Product Stickiness",
        "Which feature actually keeps users?",
        "Decide what to build on and what to let go.",
        "4",
        "/ops/stickiness",
        "ebbtide features",
    ),
    Screen(
        "revenue",
        "/revenue",
        "Revenue & Risk",
        "Am I making money safely?",
        "Decide whose price or use has to change.",
        "5",
        "/ops/revenue",
        "ebbtide revenue",
    ),
    Screen(
        "infra",
        "/infra",
        "Infra & Limits",
        "What breaks first if I grow?",
        "Decide what to enlarge, and when.",
        "6",
        "/ops/infra",
        "ebbtide limits",
    ),
    Screen(
        "replay",
        "/replay",
        "Replay Lab",
        "Can I reproduce and fix anything?",
        "Decide whether a fix is one: make the call of an incident again, compare, and promote.",
        "7",
        "/ops/replays",
        "ebbtide replay",
    ),
    Screen(
        "playbooks",
        "/playbooks",
        "Playbooks",
        "Does what we do help?",
        "Decide which playbook to keep.",
        "p",
        "/ops/playbooks",
        "ebbtide interventions list",
        group="workshop",
    ),
    Screen(
        "alerts",
        "/alerts",
        "Alerts",
        "What is wrong, and who is told?",
        "Decide who takes it on, and from where on it counts.",
        "a",
        "/ops/alerts",
        "ebbtide alerts list",
        group="workshop",
    ),
    Screen(
        "data",
        "/data",
        "Data",
        "Can I trust what I see?",
        "Decide whether something upstream has to be mended.",
        "d",
        "/v1/quarantine",
        "ebbtide quarantine list",
        group="workshop",
    ),
    Screen(
        "jobs",
        "/jobs",
        "Jobs",
        "Is everything computed that should be?",
        "Decide whether a number is late because a job is.",
        "j",
        "/ops/jobs",
        "ebbtide jobs list",
        group="workshop",
    ),
)

BY_NAME = {screen.name: screen for screen in SCREENS}
