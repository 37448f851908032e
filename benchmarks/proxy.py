"""What the guard proxy adds to a call: the same local server asked directly and through it.

Both ways are asked in turn in one run, over lines that stay open, so that whatever else the
machine does falls on both alike. The provider answers at once; a real one takes a second.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.server_process import KEY, ServerProcess, free_port

GOALS = {"proxy_overhead_ms_p95": 5}

CLIENTS = 16
REQUEST = {
    "model": "gpt-4o-mini",
    "messages": [
        {"role": "system", "content": "You help customers of a shop. Be brief and kind."},
        {"role": "user", "content": "Could you tell me when my order will arrive? " * 8},
    ],
    "temperature": 0.2,
}
ANSWER = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "gpt-4o-mini",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "Your order is on its way to you. " * 12},
            "finish_reason": "stop",
        }
    ],
    "usage": {"prompt_tokens": 120, "completion_tokens": 90, "total_tokens": 210},
}


def measure_proxy(
    work: Path, part: Callable[[str, Callable[[], dict[str, Any]]], None], *, quick: bool
) -> None:
    """Start a provider and a server in front of it, and ask both."""
    port = free_port()
    work.mkdir(exist_ok=True)
    file = work / "upstreams.toml"
    file.write_text(
        f'[[upstream]]\nid = "local"\nbase_url = "http://127.0.0.1:{port}/v1"\n'
        "default = true\nallow_private = true\n"
    )
    provider = subprocess.Popen([sys.executable, "-m", "benchmarks.proxy", str(port)])
    try:
        env = {"EBBTIDE_UPSTREAMS": str(file), "EBBTIDE_SCHEDULER": "off"}
        with ServerProcess(work / "proxy", env=env) as server:
            part("proxy", lambda: asyncio.run(_measure(server, port, quick)))
    finally:
        provider.terminate()
        provider.wait()


async def _measure(server: ServerProcess, port: int, quick: bool) -> dict[str, Any]:
    num, seconds = (300, 2.0) if quick else (3_000, 10.0)
    direct, guarded = _Line(port), _Line(server.port)
    for _ in range(50):
        await direct.ask()
        await guarded.ask()
    times: dict[str, list[float]] = {"direct": [], "guarded": []}
    for _ in range(num):
        for name, line in (("direct", direct), ("guarded", guarded)):
            began = time.perf_counter()
            await line.ask()
            times[name].append((time.perf_counter() - began) * 1000)
    figures: dict[str, Any] = {"num_calls": num}
    for name, found in times.items():
        cuts = statistics.quantiles(found, n=100)
        figures |= {f"{name}_ms_p50": round(cuts[49], 3), f"{name}_ms_p95": round(cuts[94], 3)}
    added = statistics.quantiles(
        [b - a for a, b in zip(times["direct"], times["guarded"], strict=True)], n=100
    )
    figures |= {"overhead_ms_p50": round(added[49], 3), "overhead_ms_p95": round(added[94], 3)}
    before = server.cpu_s()
    for name, of in (("direct", port), ("guarded", server.port)):
        found, refused = await _throughput(of, seconds)
        figures[f"{name}_calls_per_s"] = found
        if name == "guarded":
            figures["guarded_refused_per_s"] = refused
    used = server.cpu_s() - before
    calls = figures["guarded_calls_per_s"] * seconds
    figures |= {"clients": CLIENTS, "server_cpu_ms_per_call": round(used / calls * 1000, 2)}
    return figures


async def _throughput(port: int, seconds: float) -> tuple[int, int]:
    """Calls a second that were answered, and those that were asked to come again.

    When the event log cannot follow, the proxy begins no further call until it has.
    """
    until = time.perf_counter() + seconds

    async def client() -> tuple[int, int]:
        line, num, num_refused = _Line(port), 0, 0
        while time.perf_counter() < until:
            if await line.ask():
                num += 1
            else:
                num_refused += 1
                await asyncio.sleep(0.1)
        return num, num_refused

    found = await asyncio.gather(*(client() for _ in range(CLIENTS)))
    nums, refused = zip(*found, strict=True)
    return round(sum(nums) / seconds), round(sum(refused) / seconds)


class _Line:
    """A connection that asks one thing again and again."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        body = json.dumps(REQUEST).encode()
        lines = [
            "POST /v1/chat/completions HTTP/1.1",
            f"Host: 127.0.0.1:{port}",
            "Content-Type: application/json",
            f"Authorization: Bearer {KEY}",
            "X-Ebbtide-Tenant: acme",
            f"Content-Length: {len(body)}",
        ]
        self._request = "\r\n".join([*lines, "", ""]).encode() + body

    async def ask(self) -> bool:
        """One call, from its first byte to the last of its answer; False: come again later."""
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._streams
        writer.write(self._request)
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(
            int(line.partition(b":")[2])
            for line in head.lower().split(b"\r\n")
            if line.startswith(b"content-length")
        )
        body = await reader.readexactly(length)
        if head.startswith(b"HTTP/1.1 503"):
            return False
        if not head.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(f"it was refused: {body[:300]!r}")
        return True


async def _provide(port: int) -> None:
    """A provider that answers each request at once with the same."""
    body = json.dumps(ANSWER).encode()
    head = (
        f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    answer = head.encode() + body

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                asked = (await reader.readuntil(b"\r\n\r\n")).lower()
                length = asked.partition(b"content-length:")[2].partition(b"\r\n")[0]
                await reader.readexactly(int(length))
                writer.write(answer)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    import uvloop

    uvloop.run(_provide(int(sys.argv[1])))
