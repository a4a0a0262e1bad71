"""The desk and the money pages on a real card processor; Olga and Otto run this Pouch, Alice buys, Carol looks."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from uuid import UUID

import httpx
from starlette.requests import Request

from payments.shop import Shop, shop_on
from pouch.admin.pages import AdminPages
from pouch.app.letters import letter_templates
from pouch.base.ids import new_id
from pouch.billing.header import MoneyHeaders
from pouch.billing.pages import BillingPages
from pouch.billing.top_up_pages import TopUpPages
from pouch.identity.people import add_person
from pouch.mail.templates import Templates
from pouch.payments.reconciling import Reconciling
from pouch.settings import Settings
from pouch.topups.room import TopUps
from pouch.web.application import application
from pouch.web.pages import Web
from pouch.web.security import Security
from pouch.web.viewer import Viewer

TEMPLATES = [("pouch.billing", "templates"), ("pouch.admin", "templates"), ("pouch.payments", "templates")]
Name = Literal["olga", "otto", "alice", "carol"]


@dataclass(frozen=True, slots=True)
class Somebody:
    """A signed-in person. The name in the cookie says who."""

    email: str
    organization_id: UUID
    person_id: UUID
    is_operator: bool = False
    session_id: UUID = field(default_factory=new_id)
    is_verified: bool = True


@dataclass
class Office:
    """The application and who is known to it. `shop` is Alice's side of things."""

    app: Security
    settings: Settings
    shop: Shop
    people: dict[str, Somebody]
    letters: Templates
    web: Web

    @asynccontextmanager
    async def browser(self, name: Name | None = "olga") -> AsyncIterator[httpx.AsyncClient]:
        """A client that behaves like a browser on our own pages."""
        headers = {"origin": self.settings.url, "sec-fetch-site": "same-origin"}
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(self.app),
            base_url=self.settings.url,
            headers=headers,
            cookies={"pouch": name} if name else {},
        ) as client:
            yield client

    async def page(self, path: str, name: Name | None = "olga", status: int = 200) -> str:
        """Look at a page."""
        async with self.browser(name) as browser:
            answer = await browser.get(path)
        assert answer.status_code == status, answer.text
        return answer.text

    async def post(self, path: str, form: dict[str, str], name: Name = "olga") -> httpx.Response:
        """Send a form."""
        async with self.browser(name) as browser:
            return await browser.post(path, data=form)


async def _recent(_viewer: Viewer) -> bool:
    return True


@asynccontextmanager
async def opened(database_url: str, folder: Path, *, port: int = 8080, toml: str = "") -> AsyncIterator[Office]:
    """Open it."""
    async with shop_on(database_url) as shop:
        async with shop.database.transaction() as db:
            olga = await add_person(db, "olga@pouch.example", None, verified=True, operator=True)
            otto = await add_person(db, "otto@pouch.example", None, verified=True, operator=True)
            carol = await add_person(db, "carol@elsewhere.example", None, verified=True)
        people = {
            "olga": Somebody(olga.email, olga.organization_id, olga.id, is_operator=True),
            "otto": Somebody(otto.email, otto.organization_id, otto.id, is_operator=True),
            "alice": Somebody("alice@example.com", shop.alice, shop.alice),
            "carol": Somebody(carol.email, carol.organization_id, carol.id),
        }
        config = folder / "pouch.toml"
        config.write_text(toml)
        settings = Settings(config=str(config), data_dir=folder, port=port)
        web = Web(settings=settings, templates=TEMPLATES)

        async def find_viewer(request: Request) -> Viewer | None:
            return people.get(request.cookies.get("pouch", ""))

        pouch = shop.pouch
        topups = TopUps.of(shop.database, pouch.processor, pouch.checkout, settings)
        web.find_viewer, web.find_header = find_viewer, MoneyHeaders(shop.database, topups.switch).find
        billing = BillingPages(web, shop.database, pouch.checkout, topups, pouch.refunding)
        reconciling = Reconciling(shop.database, pouch.processor, pouch.sync, pouch.inbox)
        letters = letter_templates(settings)
        desk = AdminPages(web, shop.database, pouch.refunding, reconciling, letters)
        top_ups = TopUpPages(web, shop.database, pouch.checkout, topups, _recent)
        routes = [*billing.routes(), *top_ups.routes(), *desk.routes()]
        yield Office(application(web, routes), settings, shop, people, letters, web)
