"""Telling an organization's own server that a run has ended or waits: signed, at least once, tried again for a day."""

import hashlib
import hmac
import secrets
import time
from collections.abc import Collection
from uuid import UUID

import orjson
import structlog

from pouch.agents.shown import run_json
from pouch.agents.store import read_run
from pouch.agents.types import OVER, Run, RunState
from pouch.base.database import Connection, Database
from pouch.base.errors import InvalidInput
from pouch.base.ids import new_id, show_id
from pouch.base.outgoing import NotDelivered, check_url, post
from pouch.base.sealing import CannotOpen, Seal
from pouch.jobs import claims
from pouch.jobs.claims import Retries
from pouch.jobs.doorbell import ring
from pouch.jobs.registry import Jobs

TABLE = "agent_hook_deliveries"
JOB = "agents.tell"
PURPOSE = "agent-hooks"
LEASE_S = 40
RETRIES = Retries(delays_s=(10, 60, 600, 3600), attempts_max=27, waiting="waiting", stuck="failed")
"""A day, counting the pauses."""
TELLS: frozenset[RunState] = OVER | {"paused_no_credit", "waiting_user"}

log = structlog.get_logger(__name__)


async def set_hook(
    db: Connection, seal: Seal, organization_id: UUID, url: str, *, private_hosts: Collection[str] = ()
) -> str:
    """Tell this address from now on; the secret that signs, which is shown this once. Raises InvalidInput."""
    check_url(url, private_hosts)
    secret = f"whsec_{secrets.token_urlsafe(32)}"
    await db.execute(
        """
        INSERT INTO agent_hooks (organization_id, url, sealed_secret) VALUES (%s, %s, %s)
        ON CONFLICT (organization_id) DO UPDATE
           SET url = excluded.url, sealed_secret = excluded.sealed_secret, changed_at = clock_timestamp()
        """,
        (organization_id, url, seal.seal(secret, str(organization_id))),
    )
    return secret


async def remove_hook(db: Connection, organization_id: UUID) -> None:
    """Tell nobody any more."""
    await db.execute("DELETE FROM agent_hooks WHERE organization_id = %s", (organization_id,))


async def hook_url(db: Connection, organization_id: UUID) -> str:
    """Where is told, or nothing."""
    rows = await db.execute("SELECT url FROM agent_hooks WHERE organization_id = %s", (organization_id,))
    row = await rows.fetchone()
    return row[0] if row else ""


async def tell(db: Connection, run: Run, state: RunState) -> None:
    """Have it told, in the transaction that brings the run to this state, if somebody wants to know."""
    if state not in TELLS or not await hook_url(db, run.organization_id):
        return
    delivery_id = new_id()
    await db.execute(
        "INSERT INTO agent_hook_deliveries (id, run_id, run_state) VALUES (%s, %s, %s)", (delivery_id, run.id, state)
    )
    await ring(db, JOB, delivery_id)


class HookJobs:
    """Delivers what is to be told."""

    def __init__(self, database: Database, seal: Seal, *, private_hosts: Collection[str] = ()) -> None:
        self._database = database
        self._seal = seal
        self._private_hosts = frozenset(private_hosts)

    def register(self, jobs: Jobs) -> None:
        """Deliver in this process."""
        jobs.register(JOB, self.deliver, _due)

    async def deliver(self, delivery_id: UUID) -> None:
        """Deliver one telling, if it is due and nobody else does. It may arrive twice; its id says so."""
        async with self._database.transaction() as db:
            claim = await claims.claim(db, TABLE, delivery_id, LEASE_S)
            if claim is None:
                return
            rows = await db.execute(
                """
                SELECT d.run_state, d.created_at, d.run_id, h.url, h.sealed_secret FROM agent_hook_deliveries AS d
                  JOIN agent_runs AS r ON r.id = d.run_id
                  LEFT JOIN agent_hooks AS h ON h.organization_id = r.organization_id
                 WHERE d.id = %s
                """,
                (delivery_id,),
            )
            row = await rows.fetchone()
            assert row is not None
            state, created_at, run_id, url, sealed = row
            run = await read_run(db, run_id)
            assert run is not None
            if url is None:
                await claims.finish(db, claim, "failed")
                return
        body = orjson.dumps(
            {
                "id": show_id("tell", delivery_id),
                "type": "run.finished" if state in OVER else "run.paused",
                "created_at": created_at.isoformat(),
                "run": run_json(run),
            }
        )
        retries = RETRIES
        try:
            secret = self._seal.open(bytes(sealed), str(run.organization_id))
            headers = {
                "content-type": "application/json",
                "pouch-delivery": show_id("tell", delivery_id),
                "pouch-signature": sign(body, secret, int(time.time())),
            }
            status = await post(url, body, headers, private_hosts=self._private_hosts)
            problem = "" if 200 <= status < 300 else f"It answered {status}."
        except NotDelivered as error:
            problem = str(error)
        except (InvalidInput, CannotOpen) as error:
            problem, retries = str(error) or "The secret cannot be opened.", RETRIES.none_left()
        async with self._database.transaction() as db:
            if problem:
                await claims.fail(db, claim, problem, retries)
            else:
                await claims.finish(db, claim, "sent")
        if problem:
            log.info("agent_hook_not_delivered", delivery=show_id("tell", delivery_id), problem=problem)


def sign(body: bytes, secret: str, moment: int) -> str:
    """The signature's header: the time, and the HMAC-SHA256 of the time, a dot and the body."""
    mac = hmac.new(secret.encode(), f"{moment}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={moment},v1={mac}"


async def _due(db: Connection) -> list[UUID]:
    return await claims.due(db, TABLE)
