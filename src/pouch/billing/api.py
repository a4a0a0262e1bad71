"""What a key may ask about its own organization's credits and calls, in the shapes that OpenRouter's clients read.

Amounts are JSON numbers with all their decimals, written from integers, and the same again as text (`…_usd`), since a
reader may take a number for a binary fraction.
"""

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from pouch.base.clock import Clock, system_clock
from pouch.base.database import Database
from pouch.base.errors import InvalidInput, NotAllowed, NotFound
from pouch.base.ids import read_id, show_id
from pouch.billing.callers import key_caller
from pouch.billing.key_api import amount, limit_fields
from pouch.identity.keyring import KeyRing
from pouch.identity.keys import find_key
from pouch.identity.types import Caller
from pouch.ledger.accounts import balance
from pouch.ledger.tally import Tallies
from pouch.usage.days import days_of_models, spent_with
from pouch.usage.store import find_call
from pouch.usage.types import Call

SCOPES = frozenset({"inference", "billing:read"})
"""Either allows to read. A key that may spend may see what is left."""
ACTIVITY_DAYS = 30


class AccountApi:
    """GET /api/v1/credits, /key, /generation and /activity."""

    def __init__(self, database: Database, keys: KeyRing, *, clock: Clock = system_clock) -> None:
        self._database = database
        self._keys = keys
        self._clock = clock
        self._tallies = Tallies()

    def routes(self) -> list[Route]:
        """Where they are. OpenRouter has the key's under two addresses."""
        return [
            Route("/api/v1/credits", self.credits),
            Route("/api/v1/key", self.key),
            Route("/api/v1/auth/key", self.key),
            Route("/api/v1/generation", self.generation),
            Route("/api/v1/activity", self.activity),
        ]

    async def credits(self, request: Request) -> Response:
        """All credits that ever came, and what of them was spent."""
        caller = await self._caller(request)
        async with self._database.transaction() as db:
            tally = await self._tallies.of(db, caller.organization_id, now=self._clock())
            has = await balance(db, caller.organization_id)
        return _answer(
            {
                **amount("total_credits", tally.total + tally.spent),
                **amount("total_usage", tally.spent),
                "balance_usd": has.posted.decimal(),
                "held_usd": has.held.decimal(),
                "available_usd": has.available.decimal(),
            }
        )

    async def key(self, request: Request) -> Response:
        """The key that asks: what it spent and what it may still spend."""
        caller = await self._caller(request)
        async with self._database.transaction() as db:
            key = await find_key(db, caller.organization_id, caller.key_id)
            spent = await spent_with(db, caller.organization_id, caller.key_id, now=self._clock())
        return _answer(
            {
                "label": key.name,
                **amount("usage", spent.ever),
                **amount("usage_daily", spent.day),
                **amount("usage_weekly", spent.week),
                **amount("usage_monthly", spent.month),
                **limit_fields(key),
                "is_free_tier": False,
                "is_management_key": "keys" in key.scopes,
                "scopes": list(key.scopes),
                "created_at": key.created_at.isoformat(),
                "rate_limit": {"requests": -1, "interval": "10s"},
            }
        )

    async def generation(self, request: Request) -> Response:
        """One call, by the id that came with its answer."""
        caller = await self._caller(request)
        call_id = read_id("gen", request.query_params.get("id", ""))
        async with self._database.transaction() as db:
            call = await find_call(db, caller.organization_id, call_id) if call_id else None
        if call is None:
            raise NotFound("There is no such generation, or it has not ended yet.")
        return _answer(_generation(call))

    async def activity(self, request: Request) -> Response:
        """What was used of each model on each whole day (UTC), of one `date` or of the last thirty; newest first."""
        caller = await self._caller(request)
        since, end = _days(request.query_params.get("date"), self._clock())
        async with self._database.transaction() as db:
            days = await days_of_models(db, caller.organization_id, since=since, end=end, now=self._clock())
        return _answer(
            [
                {
                    "date": each.day.isoformat(),
                    "model": each.model_id,
                    "model_permaslug": each.model_id,
                    **amount("usage", each.figures.charged),
                    "byok_usage_inference": 0,
                    "requests": each.figures.calls,
                    "prompt_tokens": each.figures.tokens_input,
                    "completion_tokens": each.figures.tokens_output,
                }
                for each in days
            ]
        )

    async def _caller(self, request: Request) -> Caller:
        caller = await key_caller(request, self._keys)
        if not caller.scopes & SCOPES:
            raise NotAllowed("This key may not read credits. It needs the scope inference or billing:read.")
        return caller


def _generation(call: Call) -> dict[str, object]:
    elapsed_ms = (call.finished_at - call.started_at) // timedelta(milliseconds=1)
    return {
        "id": show_id("gen", call.id),
        "model": call.model_id,
        "provider_name": call.upstream_id,
        "created_at": call.started_at.isoformat(),
        "streamed": call.is_streamed,
        "cancelled": call.outcome == "client_gone",
        "outcome": call.outcome,
        "is_estimated": call.is_estimated,
        "generation_time": elapsed_ms,
        "tokens_prompt": call.counts.input_total,
        "tokens_completion": call.counts.output_total,
        "native_tokens_prompt": call.counts.input_total,
        "native_tokens_completion": call.counts.output_total,
        "native_tokens_reasoning": call.counts.reasoning,
        "native_tokens_cached": call.counts.cache_read,
        "num_media_prompt": call.counts.image,
        "num_search_results": call.counts.search,
        **amount("usage", call.charged),
        **amount("total_cost", call.charged),
        "is_byok": False,
        "app": call.app or None,
        "task_id": call.task_id or None,
        "key": show_id("key", call.key_id),
    }


def _days(text: str | None, now: datetime) -> tuple[date, date]:
    today = now.astimezone(UTC).date()
    if text is None:
        return today - timedelta(days=ACTIVITY_DAYS), today
    try:
        day = date.fromisoformat(text[:10])
    except ValueError:
        raise InvalidInput("Write the date as 2026-11-24.", field="date") from None
    if not today - timedelta(days=ACTIVITY_DAYS) <= day < today:
        raise InvalidInput(f"The date must be one of the last {ACTIVITY_DAYS} whole days.", field="date")
    return day, day + timedelta(days=1)


def _answer(data: Mapping[str, object] | list[dict[str, object]]) -> Response:
    return Response(
        orjson.dumps({"data": data}), media_type="application/json", headers={"cache-control": "private, no-store"}
    )
