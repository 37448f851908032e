"""Kills the server at random moments under load and counts what was lost or stored twice."""

from __future__ import annotations

import http.client
import json
import random
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from benchmarks.server_process import KEY, ServerProcess


@dataclass
class Tally:
    """What clients were promised, and what the store then held."""

    kills: int = 0
    acknowledged: set[str] = field(default_factory=set)
    num_requests: int = 0
    num_retries: int = 0
    num_answers: dict[str, int] = field(default_factory=dict)
    lost: int = 0
    twice: int = 0
    unacknowledged: int = 0
    wrong_content: int = 0
    rollup_differs: bool = False

    def summary(self) -> dict[str, object]:
        """Figures for the results file."""
        return {
            "kills": self.kills,
            "acknowledged_events": len(self.acknowledged),
            "requests": self.num_requests,
            "retries": self.num_retries,
            "answers": self.num_answers,
            "lost": self.lost,
            "stored_twice": self.twice,
            "stored_but_not_acknowledged": self.unacknowledged,
            "wrong_content": self.wrong_content,
            "rollup_differs": self.rollup_differs,
        }


class Client(threading.Thread):
    """Sends batches of random size, and each again with the same ids until it is answered."""

    def __init__(self, server: ServerProcess, seed: int, tally: Tally, lock: threading.Lock):
        super().__init__(daemon=True)
        self._server = server
        self._rng = random.Random(seed)
        self._tally = tally
        self._lock = lock
        self.stopping = threading.Event()

    def run(self) -> None:
        """Send until told to stop; a batch once begun is brought to its answer."""
        while not self.stopping.is_set():
            events = [self._event() for _ in range(self._rng.choice([1, 7, 50, 200, 500]))]
            body = json.dumps(events)
            tries = 0
            while True:
                tries += 1
                answer = self._send(body)
                if answer is not None:
                    break
                time.sleep(0.02)
            with self._lock:
                self._tally.num_requests += 1
                self._tally.num_retries += tries - 1
                for event, result in zip(events, answer["results"], strict=True):
                    word = result["result"]
                    counts = self._tally.num_answers
                    counts[word] = counts.get(word, 0) + 1
                    if word in ("stored", "duplicate"):
                        self._tally.acknowledged.add(str(event["event_id"]))

    def _event(self) -> dict[str, object]:
        now = datetime.now(UTC)
        age = timedelta(seconds=self._rng.choice([0, 1, 3600, 86_400 * 9]) * self._rng.random())
        event_id = str(uuid.UUID(int=self._rng.getrandbits(128), version=4))
        return {
            "event_id": event_id,
            "timestamp": (now - age).isoformat(),
            "tenant_id": f"tenant-{self._rng.randrange(9)}",
            "event_type": self._rng.choice(["LOGIN", "API_CALL_RECEIVED", "INCIDENT_VIEWED"]),
            "cost_usd": self._rng.randrange(10**6) / 10**6,
            "latency_ms": self._rng.randrange(1000),
            "user_id": f"of-{event_id[:8]}",
        }

    def _send(self, body: str) -> dict[str, list[dict[str, str]]] | None:
        line = http.client.HTTPConnection("127.0.0.1", self._server.port, timeout=30)
        try:
            line.request(
                "POST",
                "/v1/events",
                body,
                {"X-API-Key": KEY, "Content-Type": "application/json"},
            )
            answer = line.getresponse()
            text = answer.read()
            if answer.status == 503:
                return None
            if answer.status != 200:
                raise AssertionError(f"{answer.status}: {text[:300]!r}")
            found: dict[str, list[dict[str, str]]] = json.loads(text)
            return found
        except (OSError, http.client.HTTPException, ValueError):
            return None
        finally:
            line.close()


def kill_under_load(
    server: ServerProcess,
    *,
    num_kills: int,
    seed: int,
    num_clients: int = 4,
    on_kill: Callable[[int], None] = lambda _: None,
) -> Tally:
    """Kill a server again and again while clients write; ends with a clean stop.

    Args:
        server: not yet started.
        num_kills: how often.
        seed: of the moments and the events; print it, a failing one is worth keeping.
        on_kill: called after each restart.

    Returns:
        What was acknowledged; compare with the store by :func:`compare`.
    """
    rng = random.Random(seed)
    tally = Tally()
    lock = threading.Lock()
    server.start()
    clients = [Client(server, seed * 1000 + i, tally, lock) for i in range(num_clients)]
    for client in clients:
        client.start()
    for number in range(1, num_kills + 1):
        _wait_for_answers(tally, 3)
        time.sleep(rng.uniform(0, 0.4))
        server.kill()
        tally.kills = number
        server.start()
        on_kill(number)
    for client in clients:
        client.stopping.set()
    for client in clients:
        client.join(60)
        if client.is_alive():
            raise AssertionError("a client never got its answer")
    server.stop()
    return tally


def _wait_for_answers(tally: Tally, number: int) -> None:
    """Let some requests be answered first, for a kill of an idle server proves nothing."""
    wanted = tally.num_requests + number
    deadline = time.monotonic() + 20
    while tally.num_requests < wanted and time.monotonic() < deadline:
        time.sleep(0.005)


def compare(tally: Tally, rows: list[tuple[str, str | None]], rollup_num: int) -> Tally:
    """Hold what was promised against what is stored.

    Args:
        rows: event id and user id of every stored event.
        rollup_num: number of events by the roll-up.
    """
    stored = [event_id for event_id, _ in rows]
    distinct = set(stored)
    tally.lost = len(tally.acknowledged - distinct)
    tally.twice = len(stored) - len(distinct)
    tally.unacknowledged = len(distinct - tally.acknowledged)
    tally.wrong_content = sum(user_id != f"of-{event_id[:8]}" for event_id, user_id in rows)
    tally.rollup_differs = rollup_num != len(stored)
    return tally
