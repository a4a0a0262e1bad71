"""A desk with something of everything on it: two operators, what Alice bought, and what became of it."""

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import httpx
import psycopg

from journeys.buyer import PASSWORD, buyer
from pouch.base.ids import new_id, show_id
from support.pouch import RunningPouch, until

OLGA, OTTO = "olga@pouch.example", "otto.with.a.rather.long.address@pouch-of-the-harbor.example"
ALICE = "alice.with.a.rather.long.address@long-harbor-street.example.com"


@asynccontextmanager
async def operator(pouch: RunningPouch, email: str) -> AsyncIterator[httpx.AsyncClient]:
    """Whoever runs this Pouch, signed in a moment ago."""
    pouch.cli("user", "add", email, "--admin", "--password-stdin", input=PASSWORD)
    headers = {"origin": pouch.url}
    async with httpx.AsyncClient(base_url=pouch.url, headers=headers, timeout=60, trust_env=False) as client:
        answer = await client.post("/sign-in", data={"email": email, "password": PASSWORD})
        assert answer.status_code == 303, answer.text
        yield client


async def busy_desk(pouch: RunningPouch) -> tuple[str, dict[str, str]]:
    """Olga's cookie, and an address for each of the desk's pages that is about one thing."""
    async with buyer(pouch, ALICE) as alice, operator(pouch, OLGA) as olga, operator(pouch, OTTO):
        purchases = []
        for usd in ("25", "40", "60"):
            receipt = await alice.pay(await alice.start(usd))
            await alice.visit(receipt)
            purchases.append(httpx.URL(receipt).path.rpartition("/")[2])
        await alice.start("12.50")
        refund = {"amount_usd": "10", "attempt": "desk", "note": "Sorry for the trouble with the boathouse"}
        assert (await olga.post(f"/admin/purchases/{purchases[0]}/refund", data=refund)).status_code == 303
        bearer = {"authorization": f"Bearer {pouch.ends.stripe_secret_key}"}
        charges = [each["data"]["object"] for each in await alice.events("charge.succeeded")]
        disputed = {"charge": next(each["id"] for each in charges if each["amount"] == 40_00)}
        made = await olga.post("/embedded/cards/v1/test_helpers/disputes", data=disputed, headers=bearer)
        assert made.status_code == 200, made.text
        for number, usd in enumerate(("5", "12.345678901")):
            gift = {
                "to": ALICE,
                "amount_usd": usd,
                "note": f"Gift number {number}",
                "attempt": f"gift {number}".replace(" ", "-"),
            }
            assert (await olga.post("/admin/grants", data=gift)).status_code == 303
        batch = {"amount_usd": "5", "count": "4", "note": "Workshop on a boat", "attempt": "batch"}
        shown = await olga.post("/admin/vouchers", data=batch)
        assert shown.status_code == 200
        code = re.findall(r"[0-9A-Z]{4}(?:-[0-9A-Z]{4}){3}", shown.text)[0]
        assert (await alice.client.post("/billing/redeem", data={"code": code, "attempt": "desk"})).status_code == 303
        await olga.post("/admin/reconciliation")
        until(lambda: len(pouch.mails(ALICE)) >= 3, what="letters", log=pouch.log)
        grants = await page(olga, "/admin/grants")
        vouchers = await page(olga, "/admin/vouchers")
        break_a_letter(pouch)
        cookie = olga.cookies["pouch"]
    return cookie, {
        "/admin/purchases/{id}": f"/admin/purchases/{purchases[1]}",
        "/admin/purchases/{id}/refund": f"/admin/purchases/{purchases[0]}/refund",
        "/admin/grants/{id}/revoke": found(r"/admin/grants/line_\w+/revoke", grants),
        "/admin/vouchers/{id}": found(r"/admin/vouchers/vou_\w+", vouchers),
        "/admin/approvals/{id}": f"/admin/approvals/{show_id('ask', ask_for_a_prize(pouch))}",
        "/admin/letters/{kind}": "/admin/letters/dispute_opened",
    }


async def page(client: httpx.AsyncClient, path: str) -> str:
    answer = await client.get(path)
    assert answer.status_code == 200, answer.text
    return answer.text


def found(pattern: str, text: str) -> str:
    hit = re.search(pattern, text)
    assert hit, f"nothing like {pattern} on the page"
    return hit[0]


def break_a_letter(pouch: RunningPouch) -> None:
    """A letter that no server took."""
    letter_id = new_id()
    with psycopg.connect(pouch.ends.database_url, autocommit=True) as db:
        db.execute(
            """
            INSERT INTO mail_letters (id, key, kind, to_address, context, state, due_at, error)
            VALUES (%s, %s, 'purchase', %s, '{}', 'failed', NULL, '550 5.1.1 There is no mailbox of this name here')
            """,
            (letter_id, str(letter_id), ALICE),
        )


def ask_for_a_prize(pouch: RunningPouch) -> UUID:
    """What Otto asks of Olga: without a limit there is no form that does it."""
    request_id = new_id()
    with psycopg.connect(pouch.ends.database_url, autocommit=True) as db:
        row = db.execute("SELECT id FROM identity_people WHERE email = %s", (OTTO,)).fetchone()
        assert row
        wish = {
            "organization_id": str(row[0]),
            "to": ALICE,
            "amount_nanos": 500 * 10**9,
            "note": "First prize of the regatta",
            "kind": "promotional",
            "last_day": None,
        }
        summary = f"Grant of $500.00 (promotional) to {ALICE}: First prize of the regatta"
        db.execute(
            """
            INSERT INTO oversight_requests
                   (id, kind, amount_nanos, summary, wish, asked_by, asked_email, expires_at)
            VALUES (%s, 'grant', 500000000000, %s, %s, %s, %s, now() + interval '3 days')
            """,
            (request_id, summary, json.dumps(wish), row[0], OTTO),
        )
    return request_id
