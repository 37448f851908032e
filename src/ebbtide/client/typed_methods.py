"""One method per event type, as ``python -m ebbtide.client.generate`` writes them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, TypeAlias, TypedDict, Unpack
from uuid import UUID

Number: TypeAlias = Decimal | float | int
Id: TypeAlias = str | UUID


class EventFields(TypedDict, total=False):
    """The fields that every event may have, as keywords of every method here."""

    timestamp: datetime | str | None
    event_id: Id | None
    user_id: Id | None
    session_id: Id | None
    entity_type: str | None
    entity_id: Id | None
    severity: int | None
    latency_ms: int | None
    cost_usd: Number | None
    metadata: Mapping[str, Any] | None


class TypedMethods(ABC):
    """The event types of the catalog as methods; each returns what ``emit`` returns.

    Metadata that is None is left out. ``metadata`` takes further keys of your own.
    """

    @abstractmethod
    def emit(
        self, event_type: str, tenant_id: Id | None = None, **event: Unpack[EventFields]
    ) -> str | None:
        """Queue one event of any type."""

    def _emit_typed(
        self,
        event_type: str,
        tenant_id: Id | None,
        event: EventFields,
        typed: dict[str, Any],
    ) -> str | None:
        given = {key: value for key, value in typed.items() if value is not None}
        own = event.get("metadata")
        if own is None:
            event["metadata"] = given
        elif isinstance(own, Mapping):
            event["metadata"] = {**own, **given}
        return self.emit(event_type, tenant_id, **event)

    def api_call_received(
        self,
        tenant_id: Id | None = None,
        *,
        endpoint: str | None = None,
        method: str | None = None,
        status_code: int | None = None,
        **event: Unpack[EventFields],
    ) -> str | None:
        """The product answered one API request of a customer.

        Args:
            endpoint: Path of the request, without host and query.
            method: HTTP method, such as POST.
            status_code: Status code of the answer (unit: HTTP status code).
        """
        return self._emit_typed(
            "API_CALL_RECEIVED",
            tenant_id,
            event,
            {
                "endpoint": endpoint,
                "method": method,
                "status_code": status_code,
            },
        )

    def billing_updated(
        self,
        tenant_id: Id | None = None,
        *,
        subscription_id: str | None = None,
        customer_id: str | None = None,
        status: str | None = None,
        plan: str | None = None,
        price_usd: Number | None = None,
        currency: str | None = None,
        has_discount: bool | None = None,
        is_leaving: bool | None = None,
        leaves_at: str | None = None,
        feedback: str | None = None,
        comment: str | None = None,
        **event: Unpack[EventFields],
    ) -> str | None:
        """A subscription changed at the billing provider without beginning or ending.

        Args:
            subscription_id: The subscription at the billing provider.
            customer_id: The customer at the billing provider.
            status: As the billing provider says it: active, past_due, trialing, paused, unpaid, ...
            plan: Name of the plan, such as pro.
            price_usd: Price of 30 days; absent when it is not known in USD before it is used (unit:
                USD per 30 d).
            currency: Currency of the price, such as usd.
            has_discount: Whether something is taken off the price; price_usd does not know how
                much.
            is_leaving: Whether it is to end: the customer's intent, weeks before the cancellation.
            leaves_at: When it is to end, ISO 8601.
            feedback: Why, in the billing provider's words: too_expensive, missing_features,
                switched_service, unused, ...
            comment: Why, in the customer's words.
        """
        return self._emit_typed(
            "BILLING_UPDATED",
            tenant_id,
            event,
            {
                "subscription_id": subscription_id,
                "customer_id": customer_id,
                "status": status,
                "plan": plan,
                "price_usd": price_usd,
                "currency": currency,
                "has_discount": has_discount,
                "is_leaving": is_leaving,
                "leaves_at": leaves_at,
                "feedback": feedback,
                "comment": comment,
            },
        )

    def cancellation_scheduled(
        self,
        tenant_id: Id | None = None,
        *,
        subscription_id: str | None = None,
        customer_id: str | None = None,
        status: str | None = None,
        plan: str | None = None,
        price_usd: Number | None = None,
        currency: str | None = None,
        has_discount: bool | None = None,
        is_leaving: bool | None = None,
        leaves_at: str | None = None,
        feedback: str | None = None,
        comment: str | None = None,
        **event: Unpack[EventFields],
    ) -> str | None:
        """A customer decided to leave at the end of the period.

        Args:
            subscription_id: The subscription at the billing provider.
            customer_id: The customer at the billing provider.
            status: As the billing provider says it: active, past_due, trialing, paused, unpaid, ...
            plan: Name of the plan, such as pro.
            price_usd: Price of 30 days; absent when it is not known in USD before it is used (unit:
                USD per 30 d).
            currency: Currency of the price, such as usd.
            has_discount: Whether something is taken off the price; price_usd does not know how
                much.
            is_leaving: Whether it is to end: the customer's intent, weeks before the cancellation.
            leaves_at: When it is to end, ISO 8601.
            feedback: Why, in the billing provider's words: too_expensive, missing_features,
                switched_service, unused, ...
            comment: Why, in the customer's words.
        """
        return self._emit_typed(
            "CANCELLATION_SCHEDULED",
            tenant_id,
            event,
            {
                "subscription_id": subscription_id,
                "customer_id": customer_id,
                "status": status,
                "plan": plan,
                "price_usd": price_usd,
                "currency": currency,
                "has_discount": has_discount,
                "is_leaving": is_leaving,
                "leaves_at": leaves_at,
                "feedback": feedback,
                "comment": comment,
            },
        )

    def cancellation_withdrawn(
        self,
        tenant_id: Id | None = None,
        *,
        subscription_id: str | None = None,
        customer_id: str | None = None,
        status: str | None = None,
        plan: str | None = None,
        price_usd: Number | None = None,
        currency: str | None = None,
        has_discount: bool | None = None,
        is_leaving: bool | None = None,
        leaves_at: str | None = None,
        **event: Unpack[EventFields],
    ) -> str | None:
        """A customer who was about to leave stays.

        Args:
            subscription_id: The subscription at the billing provider.
            customer_id: The customer at the billing provider.
            status: As the billing provider says it: active, past_due, trialing, paused, unpaid, ...
            plan: Name of the plan, such as pro.
            price_usd: Price of 30 days; absent when it is not known in USD before it is used (unit:
                USD per 30 d).
            currency: Currency of the price, such as usd.
            has_discount: Whether something is taken off the price; price_usd does not know how
                much.
            is_leaving: Whether it is to end: the customer's intent, weeks before the cancellation.
            leaves_at: When it is to end, ISO 8601.
        """
        return self._emit_typed(
            "CANCELLATION_WITHDRAWN",
            tenant_id,
            event,
            {
                "subscription_id": subscription_id,
                "customer_id": customer_id,
                "status": status,
                "plan": plan,
                "price_usd": price_usd,
                "currency": currency,
                "has_discount": has_discount,
                "is_leaving": is_leaving,
                "leaves_at": leaves_at,
            },
        )

    def cert_verified(
        self,
        tenant_id: Id | None = None,
        *,
        incident_id: str | None = None,
        source_ip: str | None = None,
        referrer: str | None = None,
        **event: Unpack[EventFields],
    ) -> str | None:
        """Somebody opened the verification page of a certificate.

        Args:
            incident_id: Incident that the certificate is about.
            source_ip: Address of the visitor; personal data, leave it out unless you need it.
            referrer: Page that the visitor came from.
        """
        return self._emit_typed(
            "CERT_VERIFIED",
            tenant_id,
            event,
            {
                "incident_id": incident_id,
                "source_ip": source_ip,
                "referrer": referrer,
            },
        )

    def change_recorded(
        self,
        tenant_id: Id | None = None,
        *,
        kind: str | None = None,
        policy_id: str | None = None,
        policy_version: str | None = None,
        model: str | None = None,
        plan: str | None = None,
        subject: str | None = None,
        value: str | None = None,
        previous: str | None = None,
        note: str | None = None,
        **event: Unpack[EventFields],
    ) -> str | None:
        """Something about the product was changed on purpose.

        Args:
            kind: What was changed: policy_version, model, price, rate_limit, deploy or plan.
            policy_id: The policy that has a new version.
            policy_version: Its new version.
            model: The model that is used from now on.
            plan: The plan from now on.
            subject: What was changed, where no other key names it, such as a service or an
                endpoint.
            value: What it is now, such as a release, a price or a limit.
            previous: What it was before.
            note: Why, in a person's words.
        """
        return self._emit_typed(
            "CHANGE_RECORDED",
            tenant_id,
            event,
            {
                "kind": kind,
                "policy_id": policy_id,
                "policy_version": policy_version,
                "model": model,
                "plan": plan,
                "subject": subject,
                "value": value,
                "previous": previous,
                "note": note,
            },
        )

    def export_aborted(
        self,
        tenant_id: Id | None = None,
        *,
        incident_id: str | None = None,
        format: str | None = None,
        abort_reason: str | None = None,
        **event: Unpack[EventFields],
    ) -> str | None:
        """A person gave up an export before it was created.

        Args:
            incident_id: Incident that was to be exported.
            format: Wanted format, such as pdf or json.
            abort_reason: Why, in the producer's word, such as closed_tab or too_slow.
        """
        return self._emit_typed(
            "EXPORT_ABORTED",
            tenant_id,
            event,
            {
                "incident_id": incident_id,
                "format": format,
                "abort_reason": abort_reason,
            },
        )

    def export_failed(
        self,
        tenant_id: Id | None = None,
        *,
        incident_id: str | None = None,
        format: str | None = None,
        error_type: str | None = None,
        error_message: str | None = None,
        **event: Unpack[EventFields],
    ) -> str | None:
        """An export stopped with an error of ours.

        Args:
            incident_id: Incident that was to be exported.
            format: Wanted format, such as pdf or json.
            error_type: Class of the error, such as render_error.
            error_message: Text of the error, without secrets and customer content.
        """
        return self._emit_typed(
            "EXPORT_FAILED",
            tenant_id,
            event,
            {
                "incident_id": incident_id,
                "format": format,
                "error_type": error_type,
                "error_message": error_message,
            },
        )

    def export_generated(
        self,
        tenant_id: Id | None = None,
        *,
        incident_id: str | None = None,
        format: str | None = None,
        include_flags: Mapping[str, Any] | None = None,
        **event: Unpack[EventFields],
    ) -> str | None:
        """An export of an incident was created.

        Args:
            incident_id: Incident that was exported.
            format: Format of the file, such as pdf or json.
            include_flags: Parts chosen for the export, each with true or false.
        """
        return self._emit_typed(
            "EXPORT_GENERATED",
            tenant_id,
            event,
            {
                "incident_id": incident_id,
                "format": format,
                "include_flags": include_flags,
            },
        )

    def export_started(
        self,
        tenant_id: Id | None = None,
        *,
        incident_id: str | None = None,
        format: str | None = None,
        **event: Unpack[EventFields],
    ) -> str | None:
        """A person asked for an export of an incident.

        Args:
            incident_id: Incident that is to be exported.
            format: Wanted format, such as pdf or json.
        """
        return self._emit_typed(
            "EXPORT_STARTED",
            tenant_id,
            event,
            {
                "incident_id": incident_id,
                "format": format,
            },
        )

    def freeze_activated(
        self,
        tenant_id: Id | None = None,
        *,
        scope: str | None = None,
        reason: str | None = None,
        auto_triggered: bool | None = None,
        **event: Unpack[EventFields],
    ) -> str | None:
        """The kill switch stopped a customer or one of its keys.

        Args:
            scope: What was stopped: tenant or key.
            reason: Why it was stopped.
            auto_triggered: Whether a rule did it, not a person.
        """
        return self._emit_typed(
            "FREEZE_ACTIVATED",
            tenant_id,
            event,
            {
                "scope": scope,
                "reason": reason,
                "auto_triggered": auto_triggered,
            },
        )

    def incident_created(
        self,
        tenant_id: Id | None = None,
        *,
        model: str | None = None,
        policy_id: str | None = None,
        policy_version: str | None = None,
        trigger_type: str | None = None,
        call_id: str | None = None,
        policies_fired: Sequence[Any] | None = None,
        context_empty: bool | None = None,
        input_violation: bool | None = None,
        error_type: str | None = None,
        http_status: int | None = None,
        limit: str | None = None,
        attribution: str | None = None,
        **event: Unpack[EventFields],
    ) -> str | None:
        """A policy violation or a failure was recorded as an incident.

        Args:
            model: Model that answered the call.
            policy_id: Policy that fired, such as CONTENT_ACCURACY.
            policy_version: Version of that policy, such as v12.
            trigger_type: What raised the incident, such as policy_violation or manual.
            call_id: The LLM call it belongs to: entity_id of its LLM_CALL_MADE or LLM_CALL_FAILED.
            policies_fired: Every policy that fired on the same call; two or more point to a policy
                conflict.
            context_empty: Whether the retrieved context was null or empty.
            input_violation: Whether the input itself broke a policy.
            error_type: Class of the upstream error, such as timeout.
            http_status: Status code of the upstream answer (unit: HTTP status code).
            limit: Which limit was reached, cost or token, when one was.
            attribution: Cause as the producer sees it: MODEL_HALLUCINATION, POLICY_CONFLICT,
                CONTEXT_MISSING, INFRA_TIMEOUT, BUDGET_EXCEEDED or USER_MISUSE.
        """
        return self._emit_typed(
            "INCIDENT_CREATED",
            tenant_id,
            event,
            {
                "model": model,
                "policy_id": policy_id,
                "policy_version": policy_version,
                "trigger_type": trigger_type,
                "call_id": call_id,
                "policies_fired": policies_fired,
                "context_empty": context_empty,
                "input_violation": input_violation,
                "error_type": error_type,
                "http_status": http_status,
                "limit": limit,
                "attribution": attribution,
            },
        )

    def incident_viewed(
        self,
        tenant_id: Id | None = None,
        *,
        time_on_page_ms: Number | None = None,
        **event: Unpack[EventFields],
    ) -> str | None:
        """A person opened the detail page of an incident.

        Args:
            time_on_page_ms: How long the page stayed open (unit: ms).
        """
        return self._emit_typed(
            "INCIDENT_VIEWED",
            tenant_id,
            event,
            {
                "time_on_page_ms": time_on_page_ms,
            },
        )

    def incident_viewed_no_action(
        self,
        tenant_id: Id | None = None,
        *,
        time_on_page_ms: Number | None = None,
        **event: Unpack[EventFields],
    ) -> str | None:
        """A person opened an incident and left without doing anything.

        Args:
            time_on_page_ms: How long the page stayed open (unit: ms).
        """
        return self._emit_typed(
            "INCIDENT_VIEWED_NO_ACTION",
            tenant_id,
            event,
            {
                "time_on_page_ms": time_on_page_ms,
            },
        )

    def infra_limit_hit(
        self,
        tenant_id: Id | None = None,
        *,
        resource: str,
        current: Number,
        limit: Number,
        unit: str | None = None,
        utilization_pct: Number | None = None,
        **event: Unpack[EventFields],
    ) -> str | None:
        """A resource crossed its warning threshold.

        Args:
            resource: What is getting full, such as redis_memory or db_connections.
            current: What is in use now (unit: unit of the resource).
            limit: What is available in all (unit: unit of the resource).
            unit: Unit of current and limit, such as MB or connections.
            utilization_pct: current in percent of limit (unit: percent).
        """
        return self._emit_typed(
            "INFRA_LIMIT_HIT",
            tenant_id,
            event,
            {
                "resource": resource,
                "current": current,
                "limit": limit,
                "unit": unit,
                "utilization_pct": utilization_pct,
            },
        )

    def llm_call_failed(
        self,
        tenant_id: Id | None = None,
        *,
        model: str | None = None,
        provider: str | None = None,
        tokens_in: int | None = None,
        tokens_out: int | None = None,
        tokens_cache_read: int | None = None,
        tokens_cache_write: int | None = None,
        error_type: str | None = None,
        retry_count: int | None = None,
        http_status: int | None = None,
        **event: Unpack[EventFields],
    ) -> str | None:
        """A call to an upstream model ended in an error.

        Args:
            model: Model as named in the request.
            provider: Provider that was called, such as openai or anthropic.
            tokens_in: Tokens of the prompt, when the provider counted them (unit: tokens).
            tokens_out: Tokens of the answer up to the error, when the provider counted them (unit:
                tokens).
            tokens_cache_read: Tokens of the prompt that came from the provider's cache; tokens_in
                counts them too (unit: tokens).
            tokens_cache_write: Tokens of the prompt that went into the provider's cache; tokens_in
                counts them too (unit: tokens).
            error_type: Class of the error, such as timeout or rate_limit.
            retry_count: Attempts before this one (unit: count).
            http_status: Status code of the provider's answer; absent when none came (unit: HTTP
                status code).
        """
        return self._emit_typed(
            "LLM_CALL_FAILED",
            tenant_id,
            event,
            {
                "model": model,
                "provider": provider,
                "tokens_in": tokens_in,
                "tokens_out": tokens_out,
                "tokens_cache_read": tokens_cache_read,
                "tokens_cache_write": tokens_cache_write,
                "error_type": error_type,
                "retry_count": retry_count,
                "http_status": http_status,
            },
        )

    def llm_call_made(
        self,
        tenant_id: Id | None = None,
        *,
        model: str | None = None,
        provider: str | None = None,
        tokens_in: int | None = None,
        tokens_out: int | None = None,
        tokens_cache_read: int | None = None,
        tokens_cache_write: int | None = None,
        retry_count: int | None = None,
        http_status: int | None = None,
        error_type: str | None = None,
        **event: Unpack[EventFields],
    ) -> str | None:
        """An upstream model was called and answered.

        Args:
            model: Model as named in the request.
            provider: Provider that was called, such as openai or anthropic.
            tokens_in: Tokens of the prompt (unit: tokens).
            tokens_out: Tokens of the answer (unit: tokens).
            tokens_cache_read: Tokens of the prompt that came from the provider's cache; tokens_in
                counts them too (unit: tokens).
            tokens_cache_write: Tokens of the prompt that went into the provider's cache; tokens_in
                counts them too (unit: tokens).
            retry_count: Attempts before this one (unit: count).
            http_status: Status code of the provider's answer (unit: HTTP status code).
            error_type: Class of an error that a retry overcame.
        """
        return self._emit_typed(
            "LLM_CALL_MADE",
            tenant_id,
            event,
            {
                "model": model,
                "provider": provider,
                "tokens_in": tokens_in,
                "tokens_out": tokens_out,
                "tokens_cache_read": tokens_cache_read,
                "tokens_cache_write": tokens_cache_write,
                "retry_count": retry_count,
                "http_status": http_status,
                "error_type": error_type,
            },
        )

    def login(
        self,
        tenant_id: Id | None = None,
        *,
        source: str | None = None,
        **event: Unpack[EventFields],
    ) -> str | None:
        """A person signed in to a console.

        Args:
            source: Which console: guard or operator.
        """
        return self._emit_typed(
            "LOGIN",
            tenant_id,
            event,
            {
                "source": source,
            },
        )

    def payment_failed(
        self,
        tenant_id: Id | None = None,
        *,
        invoice_id: str | None = None,
        subscription_id: str | None = None,
        customer_id: str | None = None,
        attempt_count: int | None = None,
        amount_usd: Number | None = None,
        currency: str | None = None,
        next_attempt_at: str | None = None,
        billing_reason: str | None = None,
        **event: Unpack[EventFields],
    ) -> str | None:
        """An invoice could not be collected.

        Args:
            invoice_id: The invoice.
            subscription_id: The subscription at the billing provider.
            customer_id: The customer at the billing provider.
            attempt_count: Attempts to collect it so far (unit: count).
            amount_usd: Amount of the invoice; absent in another currency (unit: USD).
            currency: Currency of the price, such as usd.
            next_attempt_at: When it is tried again, ISO 8601; absent after the last attempt.
            billing_reason: Why there is an invoice, such as subscription_cycle.
        """
        return self._emit_typed(
            "PAYMENT_FAILED",
            tenant_id,
            event,
            {
                "invoice_id": invoice_id,
                "subscription_id": subscription_id,
                "customer_id": customer_id,
                "attempt_count": attempt_count,
                "amount_usd": amount_usd,
                "currency": currency,
                "next_attempt_at": next_attempt_at,
                "billing_reason": billing_reason,
            },
        )

    def payment_recovered(
        self,
        tenant_id: Id | None = None,
        *,
        invoice_id: str | None = None,
        subscription_id: str | None = None,
        customer_id: str | None = None,
        attempt_count: int | None = None,
        amount_usd: Number | None = None,
        currency: str | None = None,
        **event: Unpack[EventFields],
    ) -> str | None:
        """An invoice was paid after attempts that failed.

        Args:
            invoice_id: The invoice.
            subscription_id: The subscription at the billing provider.
            customer_id: The customer at the billing provider.
            attempt_count: Attempts to collect it so far (unit: count).
            amount_usd: Amount of the invoice; absent in another currency (unit: USD).
            currency: Currency of the price, such as usd.
        """
        return self._emit_typed(
            "PAYMENT_RECOVERED",
            tenant_id,
            event,
            {
                "invoice_id": invoice_id,
                "subscription_id": subscription_id,
                "customer_id": customer_id,
                "attempt_count": attempt_count,
                "amount_usd": amount_usd,
                "currency": currency,
            },
        )

    def policy_blocked(
        self,
        tenant_id: Id | None = None,
        *,
        policy_id: str | None = None,
        policy_version: str | None = None,
        reason: str | None = None,
        call_id: str | None = None,
        model: str | None = None,
        **event: Unpack[EventFields],
    ) -> str | None:
        """A policy held back the output of a call.

        Args:
            policy_id: Policy that blocked.
            policy_version: Version of that policy, such as v12.
            reason: Why, in the policy's words.
            call_id: The LLM call whose output was held back.
            model: Model that was called.
        """
        return self._emit_typed(
            "POLICY_BLOCKED",
            tenant_id,
            event,
            {
                "policy_id": policy_id,
                "policy_version": policy_version,
                "reason": reason,
                "call_id": call_id,
                "model": model,
            },
        )

    def policy_block_repeat(
        self,
        tenant_id: Id | None = None,
        *,
        policy_id: str,
        policy_version: str | None = None,
        block_count: int | None = None,
        time_window_hours: Number | None = None,
        reason: str | None = None,
        **event: Unpack[EventFields],
    ) -> str | None:
        """The same policy blocked the same customer again and again.

        Args:
            policy_id: Policy that keeps blocking; without it the event belongs to no policy.
            policy_version: Version of that policy, such as v12.
            block_count: Number of blocks in the time window (unit: count).
            time_window_hours: Length of the time window that was counted (unit: h).
            reason: Most frequent reason, in the policy's words.
        """
        return self._emit_typed(
            "POLICY_BLOCK_REPEAT",
            tenant_id,
            event,
            {
                "policy_id": policy_id,
                "policy_version": policy_version,
                "block_count": block_count,
                "time_window_hours": time_window_hours,
                "reason": reason,
            },
        )

    def policy_evaluated(
        self,
        tenant_id: Id | None = None,
        *,
        policy_id: str | None = None,
        policy_version: str | None = None,
        result: str | None = None,
        reason: str | None = None,
        call_id: str | None = None,
        model: str | None = None,
        **event: Unpack[EventFields],
    ) -> str | None:
        """A policy was checked on one call.

        Args:
            policy_id: Policy that was checked.
            policy_version: Version of that policy, such as v12.
            result: What came out, such as allowed or blocked.
            reason: Why, in the policy's words.
            call_id: The LLM call that was checked.
            model: Model that was called.
        """
        return self._emit_typed(
            "POLICY_EVALUATED",
            tenant_id,
            event,
            {
                "policy_id": policy_id,
                "policy_version": policy_version,
                "result": result,
                "reason": reason,
                "call_id": call_id,
                "model": model,
            },
        )

    def replay_aborted(
        self,
        tenant_id: Id | None = None,
        *,
        incident_id: str | None = None,
        abort_reason: str | None = None,
        step_reached: str | None = None,
        **event: Unpack[EventFields],
    ) -> str | None:
        """A person gave up a replay before it ended.

        Args:
            incident_id: Incident that was to be replayed.
            abort_reason: Why, in the producer's word, such as closed_tab or too_slow.
            step_reached: Last step of the replay form that was reached.
        """
        return self._emit_typed(
            "REPLAY_ABORTED",
            tenant_id,
            event,
            {
                "incident_id": incident_id,
                "abort_reason": abort_reason,
                "step_reached": step_reached,
            },
        )

    def replay_executed(
        self,
        tenant_id: Id | None = None,
        *,
        incident_id: str | None = None,
        match_level: str | None = None,
        cost_delta: Number | None = None,
        **event: Unpack[EventFields],
    ) -> str | None:
        """A replay of an incident ran to its end.

        Args:
            incident_id: Incident that was replayed.
            match_level: How well the two outputs agree, such as exact, logical, semantic or
                mismatch.
            cost_delta: Cost of the replay minus cost of the recorded call; negative when it became
                cheaper (unit: USD).
        """
        return self._emit_typed(
            "REPLAY_EXECUTED",
            tenant_id,
            event,
            {
                "incident_id": incident_id,
                "match_level": match_level,
                "cost_delta": cost_delta,
            },
        )

    def replay_failed(
        self,
        tenant_id: Id | None = None,
        *,
        incident_id: str | None = None,
        error_type: str | None = None,
        error_message: str | None = None,
        **event: Unpack[EventFields],
    ) -> str | None:
        """A replay stopped with an error of ours.

        Args:
            incident_id: Incident that was to be replayed.
            error_type: Class of the error, such as upstream_timeout.
            error_message: Text of the error, without secrets and customer content.
        """
        return self._emit_typed(
            "REPLAY_FAILED",
            tenant_id,
            event,
            {
                "incident_id": incident_id,
                "error_type": error_type,
                "error_message": error_message,
            },
        )

    def replay_started(
        self,
        tenant_id: Id | None = None,
        *,
        incident_id: str | None = None,
        **event: Unpack[EventFields],
    ) -> str | None:
        """A person started to set up a replay of an incident.

        Args:
            incident_id: Incident that is to be replayed.
        """
        return self._emit_typed(
            "REPLAY_STARTED",
            tenant_id,
            event,
            {
                "incident_id": incident_id,
            },
        )

    def session_ended(
        self,
        tenant_id: Id | None = None,
        *,
        duration_seconds: Number | None = None,
        events_count: int | None = None,
        **event: Unpack[EventFields],
    ) -> str | None:
        """A person ended the work in the console in the normal way.

        Args:
            duration_seconds: Length of the session (unit: s).
            events_count: Number of events in the session (unit: count).
        """
        return self._emit_typed(
            "SESSION_ENDED",
            tenant_id,
            event,
            {
                "duration_seconds": duration_seconds,
                "events_count": events_count,
            },
        )

    def session_idle_timeout(
        self,
        tenant_id: Id | None = None,
        *,
        idle_seconds: Number | None = None,
        last_event_type: str | None = None,
        **event: Unpack[EventFields],
    ) -> str | None:
        """A session ended because nobody did anything any more.

        Args:
            idle_seconds: Time without any action (unit: s).
            last_event_type: Type of the last event of the session.
        """
        return self._emit_typed(
            "SESSION_IDLE_TIMEOUT",
            tenant_id,
            event,
            {
                "idle_seconds": idle_seconds,
                "last_event_type": last_event_type,
            },
        )

    def session_started(
        self,
        tenant_id: Id | None = None,
        *,
        source: str | None = None,
        user_agent: str | None = None,
        **event: Unpack[EventFields],
    ) -> str | None:
        """A person began to work in the console.

        Args:
            source: Which console: guard or operator.
            user_agent: The browser's own description.
        """
        return self._emit_typed(
            "SESSION_STARTED",
            tenant_id,
            event,
            {
                "source": source,
                "user_agent": user_agent,
            },
        )

    def subscription_cancelled(
        self,
        tenant_id: Id | None = None,
        *,
        reason: str | None = None,
        tenure_days: Number | None = None,
        subscription_id: str | None = None,
        customer_id: str | None = None,
        feedback: str | None = None,
        comment: str | None = None,
        is_involuntary: bool | None = None,
        **event: Unpack[EventFields],
    ) -> str | None:
        """A customer ended the subscription.

        Args:
            reason: Why, when the customer said so.
            tenure_days: How long the subscription had lasted (unit: d).
            subscription_id: The subscription at the billing provider.
            customer_id: The customer at the billing provider.
            feedback: Why, in the billing provider's words: too_expensive, missing_features,
                switched_service, unused, ...
            comment: Why, in the customer's words.
            is_involuntary: Whether it ended because payments failed; no behaviour foretells that.
        """
        return self._emit_typed(
            "SUBSCRIPTION_CANCELLED",
            tenant_id,
            event,
            {
                "reason": reason,
                "tenure_days": tenure_days,
                "subscription_id": subscription_id,
                "customer_id": customer_id,
                "feedback": feedback,
                "comment": comment,
                "is_involuntary": is_involuntary,
            },
        )

    def subscription_started(
        self,
        tenant_id: Id | None = None,
        *,
        plan: str | None = None,
        source: str | None = None,
        price_usd: Number | None = None,
        subscription_id: str | None = None,
        customer_id: str | None = None,
        status: str | None = None,
        currency: str | None = None,
        has_discount: bool | None = None,
        is_leaving: bool | None = None,
        leaves_at: str | None = None,
        **event: Unpack[EventFields],
    ) -> str | None:
        """A customer started to pay.

        Args:
            plan: Name of the plan, such as pro.
            source: Where the customer came from, such as organic or referral.
            price_usd: Price of 30 days; without it the plan table decides (unit: USD per 30 d).
            subscription_id: The subscription at the billing provider.
            customer_id: The customer at the billing provider.
            status: As the billing provider says it: active, past_due, trialing, paused, unpaid, ...
            currency: Currency of the price, such as usd.
            has_discount: Whether something is taken off the price; price_usd does not know how
                much.
            is_leaving: Whether it is to end: the customer's intent, weeks before the cancellation.
            leaves_at: When it is to end, ISO 8601.
        """
        return self._emit_typed(
            "SUBSCRIPTION_STARTED",
            tenant_id,
            event,
            {
                "plan": plan,
                "source": source,
                "price_usd": price_usd,
                "subscription_id": subscription_id,
                "customer_id": customer_id,
                "status": status,
                "currency": currency,
                "has_discount": has_discount,
                "is_leaving": is_leaving,
                "leaves_at": leaves_at,
            },
        )
