"""Sends realistic batches from several clients as fast as the server answers them.

Bodies are made before the clock starts; a client only puts a fresh number into the ids. It runs
in a process of its own, so that the load does not share the server's interpreter.
"""

from __future__ import annotations

import argparse
import json
import random
import socket
import threading
import time
import uuid
from datetime import UTC, datetime, timedelta

TENANTS = 60
_MARK = b"RRRRRRRR"  # the first eight digits of every event id, replaced in each request


def make_event(rng: random.Random, now: datetime, users: list[str]) -> dict[str, object]:
    """One event as a proxy would send it; its id starts with the mark."""
    event: dict[str, object] = {
        "event_id": _MARK.decode() + str(uuid.UUID(int=rng.getrandbits(128), version=4))[8:],
        "timestamp": (now - timedelta(seconds=rng.random() * 60)).isoformat(),
        "tenant_id": f"tenant-{rng.randrange(TENANTS)}",
        "user_id": rng.choice(users),
        "session_id": rng.choice(users),
    }
    kind = rng.random()
    if kind < 0.45:
        event |= {
            "event_type": "LLM_CALL_MADE",
            "cost_usd": round(rng.random() / 100, 6),
            "latency_ms": rng.randrange(50, 4000),
            "metadata": {
                "model": rng.choice(["gpt-4o-mini", "gpt-4.1", "claude-3-haiku"]),
                "tokens_in": rng.randrange(1, 4000),
                "tokens_out": rng.randrange(1, 900),
            },
        }
    elif kind < 0.9:
        event |= {
            "event_type": "API_CALL_RECEIVED",
            "latency_ms": rng.randrange(5, 90),
            "metadata": {"endpoint": "/v1/chat", "method": "POST", "status_code": 200},
        }
    else:
        event |= {"event_type": rng.choice(["INCIDENT_VIEWED", "LOGIN", "EXPORT_GENERATED"])}
    return event


def run_load(
    port: int, key: str, *, seconds: float, clients: int, batch: int, seed: int
) -> dict[str, float]:
    """Send for some seconds; returns events/s and latency in ms."""
    rng = random.Random(seed)
    now = datetime.now(UTC)
    users = [str(uuid.UUID(int=rng.getrandbits(128), version=4)) for _ in range(500)]
    bodies = [
        json.dumps([make_event(rng, now, users) for _ in range(batch)]).encode() for _ in range(60)
    ]
    lock = threading.Lock()
    number = rng.getrandbits(31)
    latencies: list[float] = []
    refused = 0
    began = time.perf_counter()
    stop = began + seconds

    def client() -> None:
        nonlocal number, refused
        line = socket.create_connection(("127.0.0.1", port))
        answers = line.makefile("rb")
        head = (
            "POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            f"X-API-Key: {key}\r\nContent-Length: "
        ).encode()
        own: list[float] = []
        while time.perf_counter() < stop:
            with lock:
                number += 1
                mine = number & 0xFFFFFFFF
            body = bodies[mine % len(bodies)].replace(_MARK, b"%08x" % mine)
            start = time.perf_counter()
            line.sendall(head + b"%d\r\n\r\n" % len(body) + body)
            status = answers.readline()
            size = 0
            while (header := answers.readline()) not in (b"\r\n", b""):
                if header.lower().startswith(b"content-length:"):
                    size = int(header.split(b":")[1])
            text = answers.read(size)
            if b" 200 " not in status or b'"stored":%d,' % batch not in text:
                refused += 1
                continue
            own.append(time.perf_counter() - start)
        line.close()
        with lock:
            latencies.extend(own)

    threads = [threading.Thread(target=client) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    elapsed = time.perf_counter() - began
    latencies.sort()

    def quantile(q: float) -> float:
        return round(latencies[min(len(latencies) - 1, int(len(latencies) * q))] * 1000, 1)

    return {
        "events_per_s": round(len(latencies) * batch / elapsed),
        "num_events": len(latencies) * batch,
        "num_refused_requests": refused,
        "latency_ms_p50": quantile(0.5),
        "latency_ms_p95": quantile(0.95),
        "latency_ms_p99": quantile(0.99),
        "latency_ms_max": round(latencies[-1] * 1000, 1),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--key", required=True)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--batch", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    result = run_load(
        given.port,
        given.key,
        seconds=given.seconds,
        clients=given.clients,
        batch=given.batch,
        seed=given.seed,
    )
    print(json.dumps(result))
