"""The small questions of a signed-in editor: what can be spent, where the bridge is, which agents there are."""

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from pouch.base.database import Database
from pouch.base.ids import show_id
from pouch.identity.token_ring import TokenRing
from pouch.ledger.accounts import balance
from pouch.roo.bearer import CLOUD_API, bearer, holder


class CloudApi:
    """GET /api/extension/credit-balance, /api/extension/bridge/config and /api/cloud-agents."""

    def __init__(self, database: Database, ring: TokenRing, *, site_url: str) -> None:
        self._database = database
        self._ring = ring
        self._site_url = site_url

    def routes(self) -> list[BaseRoute]:
        """The routes."""
        return [
            Route("/api/extension/credit-balance", self.credit_balance, methods=["GET"]),
            Route("/api/extension/bridge/config", self.bridge, methods=["GET"]),
            Route("/api/cloud-agents", self.agents, methods=["GET"]),
        ]

    async def credit_balance(self, request: Request) -> Response:
        """What the organization can spend now, in dollars: a JSON number with all its decimals."""
        who = await holder(request, self._ring, CLOUD_API)
        async with self._database.transaction() as db:
            has = await balance(db, who.organization_id)
        return answer({"balance": orjson.Fragment(has.available.decimal())})

    async def bridge(self, request: Request) -> Response:
        """Where editors before 3.50 would connect to be driven from elsewhere. Their settings say that this is off.

        The token in it is the one that was shown: only a client token makes session tokens, so that one that got into
        wrong hands ends after its two minutes.
        """
        who = await holder(request, self._ring, CLOUD_API)
        return answer(
            {
                "userId": show_id("usr", who.person_id),
                "socketBridgeUrl": self._site_url,
                "token": bearer(request),
            }
        )

    async def agents(self, request: Request) -> Response:
        """The agents that an editor could start: none, they are started on the Agents page."""
        await holder(request, self._ring, CLOUD_API)
        return answer({"success": True, "data": []})


def answer(document: object, status: int = 200) -> Response:
    """JSON that nobody keeps."""
    return Response(orjson.dumps(document), status, {"cache-control": "private, no-store"}, "application/json")
