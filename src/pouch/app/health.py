"""/livez: this process answers. /readyz: it can do its work."""

import asyncio

import psycopg
from psycopg_pool import PoolTimeout
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from pouch.base.database import Database
from pouch.jobs.heartbeat import heartbeat

TIMEOUT_S = 2.0


class Health:
    """The two addresses that supervisors and load balancers ask."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def routes(self) -> list[Route]:
        """The routes."""
        return [Route("/livez", self.live), Route("/readyz", self.ready)]

    async def live(self, _request: Request) -> Response:
        """200 as long as this process answers at all."""
        return JSONResponse({"status": "ok"})

    async def ready(self, _request: Request) -> Response:
        """200 when the database answers, else 503. A silent worker is told but takes nobody out of service."""
        try:
            async with asyncio.timeout(TIMEOUT_S), self._database.transaction() as db:
                has_worker = await heartbeat(db)
        except (psycopg.Error, PoolTimeout, TimeoutError, OSError):
            return JSONResponse({"status": "database does not answer"}, 503, {"retry-after": "1"})
        return JSONResponse({"status": "ok", "worker": "ok" if has_worker else "silent"})
