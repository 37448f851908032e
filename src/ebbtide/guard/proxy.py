"""The guard between a product and its models: judges what goes in and what comes out.

A call is stopped by the kill switch, judged by the policies of its tenant, sent to an upstream of
the operator's file, judged again, and handed to the event log without holding up its answer.
A stream passes as it comes and is judged at its end; where a policy of the tenant can block an
output it is held back until then, for what has left cannot be blocked.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from secrets import token_hex
from time import monotonic
from typing import Any

import msgspec

from ebbtide.catalog.policy import PolicyVersion
from ebbtide.domain.call import Call, ReportedCall
from ebbtide.domain.errors import EbbtideError, StoreUnavailable, Unprocessable
from ebbtide.domain.policy import Result, Stage, Verdict
from ebbtide.egress.models import Exchange, ModelCallFailed, ModelClient
from ebbtide.egress.upstreams import Upstream
from ebbtide.guard.answer import AnswerBroken, AnswerText, EventSplitter
from ebbtide.guard.assigned import AssignedPolicies
from ebbtide.guard.evaluate import evaluate
from ebbtide.guard.handover import Finished, Handover
from ebbtide.guard.kill_switch import KillSwitch
from ebbtide.guard.request import ModelRequest, read_request

CALLS_MAX = 512  # under way at once in one process
EVENT_STREAM = "text/event-stream"
JSON = "application/json"
#: Judged beside the event loop from here on; below, the change of threads costs more.
LONG_TEXT_CHARS = 4_000
_KNOWN_MAX = 1_500  # models whose prices were looked up
_THREADS = 4
_COST_MAX = Decimal(10) ** 6
#: Headers of a provider's answer that its callers read.
_PASSED_ON = ("retry-after", "retry-after-ms", "x-request-id", "x-should-retry")
_LIMITS = ("x-ratelimit-", "anthropic-ratelimit-")
_VALUE_MAX_CHARS = 200

#: The cost of one call by its metadata and moment, and the table that says so; None: not known.
CostOf = Callable[[Mapping[str, Any], datetime], tuple[Decimal, str] | None]


class CallBlocked(EbbtideError):
    """A policy blocked the call, or what came of it; the verdicts say which and why."""

    code = "policy-blocked"

    def __init__(self, verdicts: Sequence[Verdict], call_id: str) -> None:
        said = "; ".join(
            f"{one.policy_id} {one.policy_version}: {one.reason or 'it fired'}" for one in verdicts
        )
        super().__init__(f"blocked by {said}")
        self.verdicts = tuple(verdicts)
        self.call_id = call_id


class UpstreamFailed(EbbtideError):
    """The provider of the model gave no answer that can be passed on; ``reason`` says why."""

    code = "upstream-failed"

    def __init__(self, reason: str, call_id: str) -> None:
        super().__init__(f"the provider of the model failed: {reason}")
        self.reason = reason
        self.call_id = call_id


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: the tenant it is for, and the key that opened the door."""

    tenant_id: str
    key_id: str | None = None
    user_id: str | None = None
    session_id: str | None = None
    upstream_id: str | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """What the caller gets; ``body`` is whole, or comes piece by piece.

    ``end`` is called once when nothing more of it is wanted, however much was taken.
    """

    status: int
    headers: dict[str, str]
    media_type: str
    body: bytes | AsyncIterator[bytes]
    end: Callable[[], None] | None = None


@dataclass(slots=True)
class _Flight:
    """A call from its request to its end."""

    path: str
    request: ModelRequest
    caller: Caller
    upstream: Upstream
    versions: Sequence[PolicyVersion]
    call: Call
    began: float = 0.0
    took_s: float | None = None
    verdicts: list[Verdict] = field(default_factory=list)
    ratelimit: dict[str, str] = field(default_factory=dict)
    said_cost: Decimal | None = None
    tokens_cache_read: int | None = None
    cost_table: str | None = None
    pricing: asyncio.Future[Any] | None = None
    is_over: bool = False

    @property
    def can_block_output(self) -> bool:
        """Whether some policy can block what comes out."""
        return any(
            Stage.OUTPUT in one.stages and any(rule.action == "block" for rule in one.rules)
            for one in self.versions
        )


class Proxy:
    """Takes calls to models; on an event loop."""

    def __init__(
        self,
        models: ModelClient,
        policies: AssignedPolicies,
        switch: KillSwitch,
        handover: Handover,
        cost_of: CostOf,
        clock: Callable[[], datetime],
    ) -> None:
        """Put it together.

        Args:
            policies: who has which version.
            cost_of: what a call cost by its tokens.
        """
        self._models = models
        self._policies = policies
        self._switch = switch
        self._handover = handover
        self._cost_of = cost_of
        self._clock = clock
        self._num_calls = 0
        self._priced: set[tuple[str, str | None]] = set()
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="ebbtide-guard")

    @property
    def is_open(self) -> bool:
        """Whether any model can be called."""
        return len(self._models.upstreams) > 0

    def close(self) -> None:
        """Let the threads go."""
        self._threads.shutdown(cancel_futures=True)

    async def call(self, path: str, body: bytes, caller: Caller) -> Reply:
        """Take one call.

        Args:
            path: of the provider: ``CHAT`` or ``EMBEDDINGS``.

        Raises:
            BadRequest, Unprocessable: the request cannot be used.
            Frozen: the kill switch stopped its tenant or its key.
            CallBlocked: a policy did.
            UpstreamFailed: the provider did not answer as it should.
            StoreUnavailable: nobody could be told of it now, so it is not made.
        """
        request = read_request(body, path)
        upstream = self._upstream(request, caller)
        if self._num_calls >= CALLS_MAX or not self._handover.has_room:
            raise StoreUnavailable("too many calls are under way", retry_after_s=1)
        self._num_calls += 1
        is_handed_on = False
        try:
            loop = asyncio.get_running_loop()
            if self._switch.is_stale:
                await loop.run_in_executor(self._threads, self._switch.refresh)
            self._switch.check(caller.tenant_id, caller.key_id)
            versions = self._policies.remembered(caller.tenant_id)
            if versions is None:
                versions = await loop.run_in_executor(
                    self._threads, self._policies.versions_for, caller.tenant_id
                )
            call = Call(
                call_id=f"call_{token_hex(12)}",
                tenant_id=caller.tenant_id,
                at=self._clock(),
                model=request.model,
                provider=upstream.upstream_id,
                messages=request.messages,
                context=request.context,
                parameters=request.parameters,
                is_whole=request.is_whole,
            )
            flight = _Flight(path, request, caller, upstream, versions, call)
            await self._judge_input(flight)
            # What was frozen while this waited must not be sent either.
            self._switch.check(caller.tenant_id, caller.key_id)
            reply = await self._ask(flight)
            is_handed_on = reply.end is not None
            return reply
        finally:
            if not is_handed_on:
                self._num_calls -= 1

    def _look_up_price(
        self, model: str, provider: str | None, at: datetime
    ) -> asyncio.Future[Any] | None:
        """Have the price of a model looked up beside its first call: the table is large."""
        if (model, provider) in self._priced:
            return None
        if len(self._priced) >= _KNOWN_MAX:
            self._priced.clear()
        self._priced.add((model, provider))
        any_call = {"model": model, "provider": provider, "tokens_in": 1, "tokens_out": 1}
        loop = asyncio.get_running_loop()
        return loop.run_in_executor(self._threads, self._cost_of, any_call, at)

    def _upstream(self, request: ModelRequest, caller: Caller) -> Upstream:
        upstreams = self._models.upstreams
        asked = caller.upstream_id or request.upstream_id
        found = upstreams.of_model(request.model) if asked is None else upstreams.get(asked)
        if found is None:
            what = "this model has no upstream" if asked is None else "there is no such upstream"
            raise Unprocessable(f"{what}: the operator's file EBBTIDE_UPSTREAMS names them")
        return found

    async def _judge_input(self, flight: _Flight) -> None:
        blocking = await self._judge(flight, Stage.INPUT)
        if blocking:
            self._end(flight, was_made=False)
            raise CallBlocked(blocking, flight.call.call_id)

    async def _judge(self, flight: _Flight, stage: Stage) -> list[Verdict]:
        """Judge one side of a call; returns what blocks it."""
        if not any(stage in one.stages for one in flight.versions):
            return []
        call = flight.call
        length = sum(len(one.text) for one in call.messages) + len(call.output or "")
        if length <= LONG_TEXT_CHARS:
            found = evaluate(call, flight.versions, stage)
        else:
            found = await asyncio.get_running_loop().run_in_executor(
                self._threads, evaluate, call, flight.versions, stage
            )
        flight.verdicts += found
        return [one for one in found if one.result is Result.BLOCKED]

    async def _ask(self, flight: _Flight) -> Reply:
        request, upstream = flight.request, flight.upstream
        body = request.body(counts_usage=upstream.has_stream_usage)
        flight.pricing = self._look_up_price(request.model, upstream.prices, flight.call.at)
        flight.began = monotonic()
        try:
            exchange = await self._models.send(
                upstream, flight.path, body, is_stream=request.is_stream
            )
        except ModelCallFailed as error:
            raise self._failed(flight, error.reason, None) from error
        except asyncio.CancelledError:
            self._hung_up(flight, AnswerText())
            raise
        flight.ratelimit = _ratelimit(exchange.headers)
        flight.said_cost = _said_cost(exchange.headers)
        kind = exchange.headers.get("content-type", "").partition(";")[0].strip().lower()
        if exchange.status == 200 and request.is_stream and kind == EVENT_STREAM:
            return await self._stream(flight, exchange)
        return await self._whole(flight, exchange)

    async def _whole(self, flight: _Flight, exchange: Exchange) -> Reply:
        status = exchange.status
        answer = AnswerText()
        try:
            body = await exchange.read()
            flight.took_s = monotonic() - flight.began
            await _done(flight.pricing)
            if status == 200:
                answer.read_whole(body)
        except ModelCallFailed as error:
            raise self._failed(flight, error.reason, status) from error
        except AnswerBroken as error:
            raise self._failed(flight, "broken_answer", status) from error
        except asyncio.CancelledError:
            exchange.close()
            self._hung_up(flight, answer)
            raise
        if status != 200:
            return self._refused(flight, exchange, body)
        self._settle(flight, answer, status)
        await self._judge_output(flight)
        return Reply(200, _headers(flight, exchange), JSON, body)

    async def _judge_output(self, flight: _Flight) -> None:
        blocking = await self._judge(flight, Stage.OUTPUT)
        self._end(flight)
        if blocking:
            raise CallBlocked(blocking, flight.call.call_id)

    def _refused(self, flight: _Flight, exchange: Exchange, body: bytes) -> Reply:
        """Pass on what the provider said against the request."""
        status = exchange.status
        if status in (401, 403):
            # It is our key that the provider does not like; the caller's was good.
            raise self._failed(flight, "key_refused", status)
        if not 400 <= status <= 599:
            raise self._failed(flight, "broken_answer", status)
        word = "rate_limit" if status == 429 else "client_error"
        self._settle(flight, AnswerText(), status, word if status < 500 else "server_error")
        self._end(flight)
        try:
            AnswerText().read_whole(body)
        except AnswerBroken:
            raise UpstreamFailed(f"http_{status}", flight.call.call_id) from None
        return Reply(status, _headers(flight, exchange), JSON, body)

    # -- streams ----------------------------------------------------------------------------

    async def _stream(self, flight: _Flight, exchange: Exchange) -> Reply:
        pieces = self._pieces(flight, exchange)
        headers = _headers(flight, exchange)
        if flight.can_block_output:
            # Held back to its end: what has left cannot be blocked.
            held = [piece async for piece in pieces]
            return Reply(200, headers, EVENT_STREAM, b"".join(held))

        def end() -> None:
            exchange.close()
            self._num_calls -= 1
            self._hung_up(flight, AnswerText())

        return Reply(200, headers, EVENT_STREAM, _as_it_comes(pieces), end)

    async def _pieces(self, flight: _Flight, exchange: Exchange) -> AsyncIterator[bytes]:
        """The events of a stream; its end is judged, and may raise."""
        answer = AnswerText()
        splitter = EventSplitter()
        drops_usage = not flight.request.wants_usage
        reason = None
        try:
            while (chunk := await exchange.next_chunk()) is not None:
                for event, data in splitter.feed(chunk):
                    if data is not None and answer.read_event(data) and drops_usage:
                        continue  # the caller did not ask for it, and may stumble over it
                    yield event
                if answer.is_complete:
                    await exchange.drain()
                    break
            for event, data in splitter.end():
                if not (data is not None and answer.read_event(data) and drops_usage):
                    yield event
        except ModelCallFailed as error:
            reason = error.reason
        except AnswerBroken:
            reason = "broken_answer"
        except (asyncio.CancelledError, GeneratorExit):
            self._hung_up(flight, answer)
            raise
        finally:
            exchange.close()
        if reason is None and not answer.is_complete and answer.finish_reason is None:
            reason = "half_answer"
        reason = reason or answer.error_type
        if reason is not None:
            raise self._failed(flight, reason, 200, answer)
        flight.took_s = monotonic() - flight.began
        await _done(flight.pricing)
        self._settle(flight, answer, 200)
        await self._judge_output(flight)

    # -- ends -------------------------------------------------------------------------------

    def _failed(
        self, flight: _Flight, reason: str, status: int | None, answer: AnswerText | None = None
    ) -> UpstreamFailed:
        """End a call that the provider did not answer as it should."""
        self._settle(flight, answer or AnswerText(), status, reason)
        self._end(flight)
        return UpstreamFailed(reason, flight.call.call_id)

    def _hung_up(self, flight: _Flight, answer: AnswerText) -> None:
        """End a call whose caller did not wait for it: the model may well have been paid."""
        if not flight.is_over:
            answer.finish_reason = "caller_hung_up"
            self._settle(flight, answer, None)
            self._end(flight)

    def _settle(
        self,
        flight: _Flight,
        answer: AnswerText,
        status: int | None,
        error_type: str | None = None,
    ) -> None:
        """Write into the call what came of it."""
        took_s = monotonic() - flight.began if flight.took_s is None else flight.took_s
        flight.tokens_cache_read = answer.tokens_cache_read
        cost = flight.said_cost
        if cost is None and answer.tokens_in is not None:
            counted = {
                "model": flight.call.model,
                "provider": flight.upstream.prices,
                "tokens_in": answer.tokens_in,
                "tokens_out": answer.tokens_out,
                "tokens_cache_read": answer.tokens_cache_read,
            }
            found = self._cost_of(counted, flight.call.at)
            if found is not None:
                cost, flight.cost_table = found
        flight.call = replace(
            flight.call,
            output=answer.text,
            tokens_in=answer.tokens_in,
            tokens_out=answer.tokens_out,
            cost_usd=cost,
            latency_ms=math.ceil(took_s * 1000),
            http_status=status,
            error_type=error_type,
            finish_reason=answer.finish_reason,
        )

    def _end(self, flight: _Flight, *, was_made: bool = True) -> None:
        """Hand the call over to the event log."""
        flight.is_over = True
        metadata: dict[str, Any] = {}
        if flight.ratelimit:
            metadata["ratelimit"] = flight.ratelimit
        if flight.cost_table is not None:
            metadata["cost_table"] = flight.cost_table
        if flight.request.is_stream:
            metadata["is_stream"] = True
        caller, request = flight.caller, flight.request
        reported = ReportedCall(
            flight.call,
            "proxy",
            caller.user_id or request.user_id,
            caller.session_id or request.session_id,
            flight.tokens_cache_read,
            retry_count=0,
            metadata=metadata,
        )
        self._handover.put(Finished(reported, tuple(flight.verdicts), was_made))


async def _done(future: asyncio.Future[Any] | None) -> None:
    if future is not None:
        await asyncio.wait([future])


async def _as_it_comes(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The pieces of a stream whose head is gone already: a failure is one more piece."""
    try:
        async for piece in pieces:
            yield piece
    except UpstreamFailed as error:
        said = {"message": str(error), "type": error.code, "code": error.reason}
        yield b"data: " + msgspec.json.encode({"error": said}) + b"\n\n"


def _headers(flight: _Flight, exchange: Exchange) -> dict[str, str]:
    """Headers of our answer: of the provider's only those that its callers read."""
    found = {
        name: value
        for name, value in exchange.headers.items()
        if (name in _PASSED_ON or name.startswith(_LIMITS)) and _is_plain(value)
    }
    return found | {"x-ebbtide-call-id": flight.call.call_id}


def _ratelimit(headers: Mapping[str, str]) -> dict[str, str]:
    return {
        name: value
        for name, value in headers.items()
        if name.startswith(_LIMITS) and _is_plain(value)
    }


def _said_cost(headers: Mapping[str, str]) -> Decimal | None:
    """What the call cost, as another proxy on the way says."""
    text = headers.get("x-litellm-response-cost", "")
    try:
        cost = Decimal(text) if 0 < len(text) <= 40 else None
    except ArithmeticError:
        return None
    return cost if cost is not None and cost.is_finite() and 0 <= cost < _COST_MAX else None


def _is_plain(value: str) -> bool:
    return len(value) <= _VALUE_MAX_CHARS and value.isascii() and value.isprintable()
