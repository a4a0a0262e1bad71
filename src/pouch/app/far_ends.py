"""The embedded far ends of a fresh machine: cards, mailbox, test models. Only this machine can reach them."""

from starlette.applications import Starlette
from starlette.routing import BaseRoute, Mount, Route
from starlette.types import ASGIApp

from pouch.app.process import Process
from pouch.app.processors import CARDS_PATH
from pouch.embedded.cards.app import CardProcessor
from pouch.embedded.cards.place import Place
from pouch.embedded.ends import Ends
from pouch.embedded.guard import LoopbackOnly
from pouch.embedded.mailbox.mailbox import Mailbox
from pouch.embedded.models import TestModelServer
from pouch.settings import Settings
from pouch.web.pages import Web

MODELS_PATH = "/embedded/models"


def test_models_url(settings: Settings, ends: Ends | None) -> str | None:
    """Where the test models answer; None when they do not."""
    return f"{settings.loopback_url}{MODELS_PATH}/v1" if ends is not None and settings.is_loopback else None


def test_models(settings: Settings, ends: Ends | None) -> ASGIApp | None:
    """The test models' server, when it may be reached at all."""
    if ends is None:
        return None
    return LoopbackOnly(TestModelServer(ends.models_key, settings.file.embedded.delay_ms), settings)


async def embedded_routes(process: Process, web: Web) -> list[BaseRoute]:
    """The card processor and the mailbox. None without `pouch up`."""
    settings, ends = process.settings, process.ends
    if ends is None:
        return []
    place = Place(
        secret_key=ends.stripe_secret_key,
        webhook_secret=ends.stripe_webhook_secret,
        webhook_url=f"{settings.loopback_url}/webhooks/stripe",
        pages_url=f"{settings.url}{CARDS_PATH}",
    )
    cards = CardProcessor(process.database, place)
    process.loops.append(cards.run())
    mailbox = Mailbox(web, process.database, ends.smtp_port)
    await mailbox.start()
    process.stack.push_async_callback(mailbox.stop)
    pages = Starlette(routes=mailbox.routes(), exception_handlers=dict(web.exception_handlers()))
    # The mailbox's routes name their whole paths, so the guard stands at each of them instead of at a mount.
    guarded = LoopbackOnly(pages, settings)
    return [
        Mount(CARDS_PATH, LoopbackOnly(cards.app, settings)),
        *(Route(route.path, guarded) for route in mailbox.routes()),
    ]
