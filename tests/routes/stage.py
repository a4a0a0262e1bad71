"""A whole Pouch in this process, as `pouch up` would start it, and people in front of it who have things."""

import re
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from urllib.parse import quote
from uuid import UUID

import httpx
from pydantic import TypeAdapter

from agents.house import model_of
from pouch.admin.orders import GrantOrder
from pouch.agents import artifacts
from pouch.agents.environments import save_environment
from pouch.agents.schedules import add_schedule
from pouch.agents.sharing import share
from pouch.agents.start import Asked, Starter, start_run
from pouch.agents.triggers.github.installations import Visit, connect, list_installations
from pouch.agents.triggers.rules import New as NewRule
from pouch.agents.triggers.rules import add_rule
from pouch.agents.types import Run
from pouch.agents.wishes import stop
from pouch.agents.workers import show
from pouch.app.root import Root
from pouch.app.serving import running
from pouch.base.database import Connection, Database
from pouch.base.ids import derived_id, new_id, read_id, show_id
from pouch.base.money import ZERO, Money
from pouch.base.signed_ids import SignedIds
from pouch.catalog.apply import apply
from pouch.embedded.ends import Ends
from pouch.embedded.mailbox.reading import Readable
from pouch.embedded.mailbox.store import keep
from pouch.identity.addresses import read_address
from pouch.identity.devices import add_device, new_secret
from pouch.identity.keys import add_key
from pouch.identity.links import LinkKind, Tokens, add_link
from pouch.identity.organizations import add_organization
from pouch.identity.passwords import Passwords
from pouch.identity.people import add_person
from pouch.identity.session_tokens import SessionTokens
from pouch.identity.sessions import find_session, start_session
from pouch.identity.tickets import give_ticket
from pouch.identity.types import DeviceId, KeyId, Person, SessionId
from pouch.ledger.grants import grant
from pouch.ledger.operations import Transfer
from pouch.ledger.posting import post
from pouch.oversight.requests import ask
from pouch.oversight.types import Ask, Operator
from pouch.payments.card_rows import add_card, add_setup, list_cards
from pouch.payments.purchases import add_purchase, get_purchase, mark_credited
from pouch.payments.refunds import NewRefund, add_refund, mark_failed
from pouch.payments.types import CardFacts, Order, Payment
from pouch.roo import shares
from pouch.roo.reported import About, Message
from pouch.roo.tasks import find_own, keep_messages, task_of
from pouch.settings import Settings
from pouch.topups.attempts import New, add_attempt, ask_to_confirm
from pouch.topups.recovery import ConfirmLinks
from pouch.topups.rules import save_rule
from pouch.topups.types import Wish
from pouch.vouchers.batches import make_batch
from pouch.vouchers.making import make
from pouch.vouchers.types import Wish as VoucherWish
from pouch.web.assets import Assets
from pouch.web.cookies import cookie_name
from support.cards import serving

PASSWORD = "correct horse battery"
VISA, ALWAYS_CONFIRM = "4242424242424242", "4000002760003184"
TIMEOUT_S = 60
CARD = CardFacts("visa", "4242", 12, 2034)
VOUCHER = "MATRX-CODE-4"
"""Good for everybody, once for each."""
PLACE = re.compile(r"\{(\w+)(?::\w+)?\}")

_numbers = count(1)


@dataclass(frozen=True, slots=True)
class Somebody:
    """A person with credits, signed in, with a key."""

    person: Person
    cookie: str
    session_id: SessionId
    key_id: KeyId
    secret: str
    device_id: DeviceId
    opens: dict[str, str]
    """What else opens things for them, by the table's word for it: of their editor and their terminal."""

    @property
    def email(self) -> str:
        """Their address, which appears on no page of anybody else."""
        return self.person.email


@dataclass(frozen=True, slots=True)
class Stage:
    """The application, its database, and what makes things in it for somebody."""

    root: Root
    settings: Settings
    database: Database
    tokens: Tokens
    ends: Ends
    password_hash: str
    session_tokens: SessionTokens
    assets: Assets = field(default_factory=Assets)
    regulars: dict[tuple[str, bool, bool], Somebody] = field(default_factory=dict)

    async def regular(self, part: str, *, verified: bool = True, operator: bool = False) -> Somebody:
        """The same person each time for this part in a test, for whoever only looks."""
        who = part, verified, operator
        if who not in self.regulars:
            self.regulars[who] = await self.somebody(part, verified=verified, operator=operator)
        return self.regulars[who]

    async def somebody(self, part: str = "person", *, verified: bool = True, operator: bool = False) -> Somebody:
        """A new person, whose address begins with their part in the test."""
        email, session_id = f"{part}-{next(_numbers)}@harbor.example", SessionId(new_id())
        async with self.database.transaction() as db:
            # Somebody who could run agents, seen a moment ago.
            await show(db, derived_id("worker"), "test", {}, 4)
            person = await add_person(db, email, self.password_hash, verified=verified, operator=operator)
            await grant(db, person.organization_id, Money.parse("7"), key=f"first {email}", note=f"Gift to {email}")
            await add_card(db, person.organization_id, "embedded", f"pm_{new_id().hex}", CARD, email)
            key, secret = await add_key(db, person, f"Key of {email}", scopes=("inference", "agents", "keys"))
            cookie = await start_session(db, person.id, session_id=session_id)
            client = new_secret()
            whose = person.id, person.organization_id
            editor = await add_device(db, *whose, kind="editor", name=email, secret=client)
            terminal = await add_device(db, *whose, kind="cli", name=email)
            await add_task(db, person)
        token, terminal_token = (
            self.session_tokens.make(device, person.id, None, lifetime_s=600) for device in (editor, terminal)
        )
        opens = {"client": client, "token": token, "terminal": terminal_token}
        return Somebody(person, cookie, session_id, key.id, secret, editor, opens)

    def client(self) -> httpx.AsyncClient:
        """A client at a network address of its own, so that it has the throttles for itself."""
        number = next(_numbers)
        transport = httpx.AsyncHTTPTransport(local_address=f"127.1.{number // 250}.{number % 250 + 1}", verify=False)
        return httpx.AsyncClient(transport=transport, base_url=self.settings.url, timeout=TIMEOUT_S, trust_env=False)

    def headers(self, who: Somebody | None, *, by_key: bool = False, by: str = "") -> dict[str, str]:
        """What the requests of this person carry when they act on our own pages, or as a program with a key.

        `by` is the table's word for what opens the address.
        """
        if by in {"client", "token", "terminal"}:
            return {"authorization": f"Bearer {who.opens[by]}"} if who else {}
        if by_key or by == "key":
            return {"authorization": f"Bearer {who.secret}"} if who else {}
        ours = {"origin": self.settings.url, "sec-fetch-site": "same-origin"}
        return ours | ({"cookie": f"{cookie_name(self.settings)}={who.cookie}"} if who else {})

    async def address(self, path: str, owner: Somebody) -> str:
        """A route's path with things of the owner's in its places."""
        makers = {**THINGS, **THINGS_AT.get(path, {})}
        things = {name: await makers[name](self, owner) for name in PLACE.findall(path)}
        filled = PLACE.sub(lambda place: things[place[1]], path)
        if path not in ASKED:
            return filled
        name, maker = ASKED[path]
        return f"{filled}?{name}={await maker(self, owner)}"

    async def purchase(self, owner: Somebody) -> str:
        """A purchase that was paid."""
        person, mark = owner.person, new_id().hex
        async with self.database.transaction() as db:
            order = Order(person.organization_id, person.id, person.email, Money.from_cents(10_00), mark)
            bought = await add_purchase(db, order, "embedded", 3600)
            await mark_credited(db, bought.id, f"cs_{mark}", Payment(f"pi_{mark}", "succeeded", "usd"))
            key, to, amount = f"pi:pi_{mark}:credit", person.organization_id, bought.amount.nanos
            await post(db, [Transfer(key, "stripe_clearing", to, amount, "purchase", cause=bought.id)])
        return bought.shown_id

    async def line(self, owner: Somebody) -> str:
        """A line of the ledger that has no page but its own."""
        async with self.database.transaction() as db:
            rows = await db.execute(
                """
                SELECT t.id FROM ledger_transfers AS t JOIN ledger_accounts AS a ON a.id = t.customer_id
                 WHERE a.organization_id = %s ORDER BY t.seq LIMIT 1
                """,
                (owner.person.organization_id,),
            )
            row = await rows.fetchone()
        assert row is not None
        return show_id("line", row[0])

    async def call(self, owner: Somebody) -> str:
        """A call that has ended."""
        call_id = new_id()
        async with self.database.transaction() as db:
            await db.execute(
                """
                INSERT INTO usage_calls (id, organization_id, person_id, key_id, model_id, upstream_id, tokens_input,
                                         cost_nanos, charged_nanos, is_streamed, outcome, started_at, finished_at)
                VALUES (%s, %s, %s, %s, 'pouch/paid', 'test', 5, 3, 3, true, 'done', now(), now())
                """,
                (call_id, owner.person.organization_id, owner.person.id, owner.key_id),
            )
        return show_id("gen", call_id)

    async def run(self, owner: Somebody) -> str:
        """A run of theirs that waits in line; the same one each time. It left a patch before."""
        return (await self._run(owner, "waits")).shown_id

    async def past_run(self, owner: Somebody) -> str:
        """A run of theirs that is over."""
        run = await self._run(owner, "past")
        async with self.database.transaction() as db:
            await stop(db, run.organization_id, run.id)
        return run.shown_id

    async def artifact(self, owner: Somebody) -> str:
        """The patch of the run that waits."""
        run = await self._run(owner, "waits")
        async with self.database.transaction() as db:
            return (await artifacts.list_artifacts(db, run.id))[0].shown_id

    async def environment(self, owner: Somebody) -> str:
        """An environment of theirs."""
        async with self.database.transaction() as db:
            organization = owner.person.organization_id
            made = await save_environment(
                db, organization, environment_id=None, name=new_id().hex, commands="", hosts=""
            )
        return show_id("env", made)

    async def schedule(self, owner: Somebody) -> str:
        """An automation of theirs."""
        async with self.database.transaction() as db:
            fields = {"task": "Look", "repository": "https://git.example.com/a.git"}
            organization, person = owner.person.organization_id, owner.person.id
            made = await add_schedule(
                db, organization, person_id=person, name="Look", fields=fields, weekday=None, minute=0
            )
        return show_id("sched", made)

    async def trigger(self, owner: Somebody) -> str:
        """A rule of theirs about what happens outside."""
        async with self.database.transaction() as db:
            new = NewRule("github", "issue_mention", fields={"agent": "coder"})
            made = await add_rule(db, owner.person.organization_id, owner.person.id, new)
        return show_id("trig", made)

    async def installation(self, owner: Somebody) -> str:
        """An account on GitHub that they connected."""
        person = owner.person
        async with self.database.transaction() as db:
            await connect(db, Visit(person.organization_id, person.id, owner.session_id), next(_numbers), owner.email)
            found = await list_installations(db, person.organization_id)
        return found[0].shown_id

    async def shared_run(self, owner: Somebody) -> str:
        """The token of a link to the run that waits."""
        run = await self._run(owner, "waits")
        async with self.database.transaction() as db:
            return await share(db, run.organization_id, run.person_id, run.id)

    async def _run(self, owner: Somebody, key: str) -> Run:
        asked = Asked("coder", "Mend it", "https://git.example.com/a.git", "", Money.parse("1"), 600)
        starter = Starter(owner.person.organization_id, owner.person.id, "api", key)
        async with self.database.transaction() as db:
            run, is_new = await start_run(db, starter, asked, replace(model_of(None), id="pouch/paid"))
            if is_new:
                await artifacts.keep(db, run.id, 1, "patch", "run.patch", b"diff --git a/a b/a\n")
        return run

    async def card(self, owner: Somebody) -> str:
        """Their saved card."""
        async with self.database.transaction() as db:
            (card,) = await list_cards(db, owner.person.organization_id, "embedded")
        return card.shown_id

    async def card_setup(self, owner: Somebody) -> str:
        """A card that they began to save."""
        person = owner.person
        async with self.database.transaction() as db:
            made = await add_setup(
                db, person.organization_id, person.id, person.email, new_id().hex, "embedded", 82_800
            )
        return made.shown_id

    async def confirmation(self, owner: Somebody) -> str:
        """The token of a link by which they confirm a top-up with their bank."""
        person, attempt_id = owner.person, new_id()
        dollars = Money.parse
        async with self.database.transaction() as db:
            wish = Wish(dollars("5"), dollars("20"), None, dollars("100"), 3)
            await save_rule(db, person.organization_id, wish, person.id, person.email)
            await add_attempt(db, New(attempt_id, person.organization_id, dollars("20"), ZERO, ZERO))
            await ask_to_confirm(db, attempt_id, "", 72)
        return ConfirmLinks(self.settings.secret_keys, self.settings.url).token(attempt_id)

    async def voucher(self, _owner: Somebody) -> str:
        """One of two vouchers that an operator made together."""
        async with self.database.transaction() as db:
            made = await make_batch(db, new_id().hex, VoucherWish(Money.parse("1"), "Matrix"), 2, made_by="test")
        assert made is not None
        return made[0][0].shown_id

    async def request(self, owner: Somebody) -> str:
        """A grant to them that they asked the operators for."""
        order = GrantOrder(owner.person.organization_id, owner.email, 10**9, "Matrix", "promotional", None)
        wish = TypeAdapter(GrantOrder).dump_python(order, mode="json")
        asked = Ask(new_id().hex, "grant", order.amount, order.summary, wish)
        async with self.database.transaction() as db:
            return (await ask(db, Operator(owner.person.id, owner.email), asked)).shown_id

    async def key(self, owner: Somebody) -> str:
        """Their key."""
        return show_id("key", owner.key_id)

    async def session(self, owner: Somebody) -> str:
        """Their sign-in."""
        return show_id("ses", owner.session_id)

    async def device(self, owner: Somebody) -> str:
        """Their editor."""
        return show_id("dev", owner.device_id)

    async def static_token(self, owner: Somebody) -> str:
        """A static token that the operator made for them."""
        async with self.database.transaction() as db:
            person = owner.person
            device = await add_device(db, person.id, person.organization_id, kind="static", name="Static")
        return self.session_tokens.make(device, owner.person.id, None, lifetime_s=600)

    async def task(self, owner: Somebody) -> str:
        """Their task."""
        async with self.database.transaction() as db:
            task = await find_own(db, owner.person.id, task_name(owner))
        return show_id("task", task.id)

    async def share(self, owner: Somebody) -> str:
        """A link to it."""
        return show_id("shr", await self._share(owner))

    async def shared(self, owner: Somebody) -> str:
        """What opens that link."""
        return SignedIds(self.settings.secret_keys, shares.PURPOSE).write(await self._share(owner))

    async def _share(self, owner: Somebody) -> UUID:
        async with self.database.transaction() as db:
            task = await find_own(db, owner.person.id, task_name(owner))
            share, _ = await shares.share_task(db, task.id, "public", days=1)
        return share.id

    async def shared_organization(self, owner: Somebody) -> str:
        """An organization that they own."""
        async with self.database.transaction() as db:
            organization = await add_organization(db, f"Harbor of {owner.email}", owner.person)
        return show_id("org", organization.id)

    async def ticket(self, owner: Somebody) -> str:
        """Their permission for an editor."""
        async with self.database.transaction() as db:
            viewer = await find_session(db, owner.cookie)
            assert viewer is not None
            made = await give_ticket(
                db,
                viewer,
                owner.person.organization_id,
                state=new_id().hex,
                name=owner.email,
                callback_url="vscode://a.b/auth/clerk/callback?state=x",
            )
        return show_id("tick", made)

    async def organization(self, owner: Somebody) -> str:
        """Whose money it is."""
        return show_id("org", owner.person.organization_id)

    async def mail(self, owner: Somebody) -> str:
        """A letter to them in the embedded mailbox."""
        async with self.database.transaction() as db:
            await keep(db, Readable("Hello", "Hello", "<p>Hello"), sender="p@harbor.example", recipients=[owner.email])
            rows = await db.execute("SELECT id FROM embedded_mails WHERE to_address = %s", (owner.email,))
            row = await rows.fetchone()
        assert row is not None
        return show_id("mail", row[0])

    async def refund(self, owner: Somebody) -> str:
        """A refund of theirs."""
        purchase_id = read_id("pur", await self.purchase(owner))
        assert purchase_id is not None
        async with self.database.transaction() as db:
            bought, refund_id = await get_purchase(db, purchase_id), new_id()
            new = NewRefund(refund_id, "operator", Money.from_cents(100), Money(0), note=f"For {owner.email}")
            await add_refund(db, bought, new)
            await mark_failed(db, refund_id, "", is_returned=False)
        return show_id("ref", refund_id)

    async def given_up(self, owner: Somebody) -> str:
        """A letter to them that could not be delivered."""
        mark = new_id()
        async with self.database.transaction() as db:
            await db.execute(
                """
                INSERT INTO mail_letters (id, key, kind, to_address, context, state, due_at)
                VALUES (%s, %s, 'key_made', %s, '{}', 'failed', NULL)
                """,
                (mark, str(mark), owner.email),
            )
        return show_id("mail", mark)

    async def checkout(self, card: str | None = None) -> str:
        """The payment page of a purchase that somebody began; with a card, it was tried."""
        buyer = await self.somebody()
        async with self.client() as client:
            client.headers.update(self.headers(buyer, by_key=False))
            begun = await client.post("/billing/purchases", data={"amount_usd": "10", "attempt": new_id().hex})
            page = begun.headers["location"]
            if card:
                paid = await client.post(page, data={"number": card, "expiration": "12/34", "cvc": "123"})
                assert paid.status_code == 303, paid.text
        return str(page.rpartition("/")[2])

    async def charge(self) -> str:
        """What the card processor calls a payment."""
        await self.checkout(VISA)
        async with self.client() as client:
            client.headers["authorization"] = f"Bearer {self.ends.stripe_secret_key}"
            listed = await client.get("/embedded/cards/v1/charges")
        return str(listed.json()["data"][0]["id"])

    async def link(self, owner: Somebody, kind: LinkKind) -> str:
        """The token of a link that was mailed to them; a new address where the link is about one."""
        email = f"person-{next(_numbers)}@harbor.example" if kind in {"change", "invite"} else owner.email
        async with self.database.transaction() as db:
            made = await add_link(db, kind, read_address(email), None if kind == "invite" else owner.person.id)
        return self.tokens.path(kind, made.id).rpartition("/")[2]


def task_name(owner: Somebody) -> str:
    """What their editor calls the task."""
    return f"task of {owner.email}"


async def add_task(db: Connection, person: Person) -> None:
    """A task of somebody's editor that their name is in."""
    about = About(f"task of {person.email}", None, None, None, None)
    task_id = await task_of(db, person.id, person.organization_id, about)
    assert task_id is not None
    await keep_messages(db, task_id, [Message(1, "say", "text", f"Ask {person.email}", 0, is_partial=False)])


async def _client_task(_stage: Stage, owner: Somebody) -> str:
    return quote(task_name(owner))


@asynccontextmanager
async def opened(database_url: str, folder: Path, *, config: str = "") -> AsyncIterator[Stage]:
    """Open it on a database of its own and a free port; `config` is the pouch.toml, if it has one."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ends = Ends(database_url=database_url)
        ends.write(folder / "ends.json")
        settings = Settings(
            config=config, port=listener.getsockname()[1], data_dir=folder, under_up=str(folder / "ends.json")
        )
        async with Database(database_url) as database:
            async with database.transaction() as db:
                await apply(db, settings.file, source="pouch.toml", test_models="add")
            async with running(settings) as root, serving(root, listener):
                tokens = Tokens(settings.secret_keys, settings.url)
                password_hash = await Passwords().hash(PASSWORD)
                session_tokens = SessionTokens(settings.secret_keys)
                stage = Stage(root, settings, database, tokens, ends, password_hash, session_tokens)
                async with database.transaction() as db:
                    await make(db, VoucherWish(Money.parse("1"), "Matrix", 1000), made_by="test", own_code=VOUCHER)
                # With an operator among the people, the link for the first person has ended.
                await stage.somebody(operator=True)
                yield stage


Thing = Callable[[Stage, Somebody], Awaitable[str]]


def _named(text: str) -> Thing:
    async def name(_stage: Stage, _owner: Somebody) -> str:
        return text

    return name


def _mailed(kind: LinkKind) -> Thing:
    async def token(stage: Stage, owner: Somebody) -> str:
        return await stage.link(owner, kind)

    return token


async def _tag(stage: Stage, _owner: Somebody) -> str:
    return stage.assets.url("mark.svg").split("/")[2]


async def _checkout(stage: Stage, _owner: Somebody) -> str:
    return await stage.checkout()


async def _unconfirmed(stage: Stage, _owner: Somebody) -> str:
    return await stage.checkout(ALWAYS_CONFIRM)


async def _editor(_stage: Stage, _owner: Somebody) -> str:
    return f"vscode%3A%2F%2FRooVeterinaryInc.roo-cline&state={new_id().hex}"


async def _terminal(_stage: Stage, _owner: Somebody) -> str:
    return f"http%3A%2F%2F127.0.0.1%3A49152%2Fcallback&state={new_id().hex}"


async def _charge(stage: Stage, _owner: Somebody) -> str:
    return await stage.charge()


THINGS: dict[str, Thing] = {
    "tag": _tag,
    "name": _named("mark.svg"),
    "key": Stage.key,
    "hash": Stage.key,
    "session": Stage.session,
    "device": Stage.device,
    "ticket": Stage.ticket,
    "task": Stage.task,
    "share": Stage.share,
    "client_task": _client_task,
    "organization": Stage.shared_organization,
    "slug": _named("supernova"),
    "procedures": _named("auth.me"),
    "session_id": _checkout,
    "charge_id": _charge,
    "mail_id": Stage.mail,
    "model_id": _named("pouch/free"),
    "run": Stage.run,
    "artifact": Stage.artifact,
    "environment": Stage.environment,
    "schedule": Stage.schedule,
    "trigger": Stage.trigger,
    "installation": Stage.installation,
    "kind": _named("coder"),
    "id": _named("anything"),
    "rest": _named("anything"),
    "month": _named("2026-11"),
}
"""What stands in a place of this name."""
THINGS_AT: dict[str, dict[str, Thing]] = {
    "/provider/{id:path}": {"id": _named("pouch/free")},
    "/docs/{name}": {"name": _named("credits")},
    "/billing/purchases/{id}": {"id": Stage.purchase},
    "/billing/cards/added/{id}": {"id": Stage.card_setup},
    "/billing/cards/{id}/default": {"id": Stage.card},
    "/billing/cards/{id}/remove": {"id": Stage.card},
    "/top-up/confirm/{token}": {"token": Stage.confirmation},
    "/billing/purchases/{id}/receipt": {"id": Stage.purchase},
    "/billing/purchases/{id}/refund": {"id": Stage.purchase},
    "/api/v1/billing/refunds/{id}": {"id": Stage.refund},
    "/admin/purchases/{id}": {"id": Stage.purchase},
    "/admin/purchases/{id}/refund": {"id": Stage.purchase},
    "/admin/grants/{id}/revoke": {"id": Stage.line},
    "/admin/vouchers/{id}": {"id": Stage.voucher},
    "/admin/vouchers/{id}/void": {"id": Stage.voucher},
    "/admin/vouchers/{id}/void-batch": {"id": Stage.voucher},
    "/admin/approvals/{id}": {"id": Stage.request},
    "/admin/approvals/{id}/allow": {"id": Stage.request},
    "/admin/approvals/{id}/refuse": {"id": Stage.request},
    "/admin/approvals/{id}/codes": {"id": Stage.request},
    "/admin/mail/{letter}/again": {"letter": Stage.given_up},
    "/admin/letters/{kind}": {"kind": _named("refund")},
    "/admin/letters/{kind}/html": {"kind": _named("refund")},
    "/billing/ledger/{id}": {"id": Stage.line},
    "/api/v1/billing/purchases/{id}": {"id": Stage.purchase},
    "/usage/{id}": {"id": Stage.call},
    "/agents/{run}/events": {"run": Stage.past_run},
    "/agents/{run}/retry": {"run": Stage.past_run},
    "/agents/{run}/forget": {"run": Stage.past_run},
    "/shared/runs/{token}": {"token": Stage.shared_run},
    "/api/v1/agent-runs/{run}/retry": {"run": Stage.past_run},
    "/first/{token}": {"token": _named("anything")},
    "/verify/{token}": {"token": _mailed("verify")},
    "/reset/{token}": {"token": _mailed("reset")},
    "/change-address/{token}": {"token": _mailed("change")},
    "/undo-change/{token}": {"token": _mailed("undo")},
    "/invitation/{token}": {"token": _mailed("invite")},
    "/shared/{token}": {"token": Stage.shared},
    "/v1/client/sessions/{session}/tokens": {"session": Stage.device},
    "/v1/client/sessions/{session}/remove": {"session": Stage.device},
    "/embedded/cards/pay/{session_id}/authentication": {"session_id": _unconfirmed},
}
"""The same at these addresses."""
ASKED: dict[str, tuple[str, Thing]] = {
    "/api/v1/generation": ("id", Stage.call),
    "/events": ("of", Stage.organization),
    "/extension/sign-in": ("auth_redirect", _editor),
    "/extension/provider-sign-up": ("auth_redirect", _editor),
    "/l/{slug}": ("auth_redirect", _editor),
    "/cli/sign-in": ("callback", _terminal),
}
"""What is asked for after the path."""
