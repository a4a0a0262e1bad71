"""Everything that this room answers, put together."""

from starlette.routing import BaseRoute

from pouch.base.database import Database
from pouch.base.signed_ids import SignedIds
from pouch.identity import tickets
from pouch.identity.session_tokens import SessionTokens
from pouch.identity.throttles import Throttles
from pouch.identity.token_ring import TokenRing
from pouch.roo import shares
from pouch.roo.clerk import Clerk, Desk
from pouch.roo.cli_pages import CliPages
from pouch.roo.cloud_api import CloudApi
from pouch.roo.connect import ConnectPage
from pouch.roo.editor_pages import EditorPages, Models
from pouch.roo.events_api import BACKFILL_BYTES_MAX, BACKFILL_PATH, EventsApi
from pouch.roo.marketplace import Marketplace
from pouch.roo.old_links import OldLinks
from pouch.roo.settings_api import SettingsApi
from pouch.roo.settings_pages import SettingsPages
from pouch.roo.shared_page import SharedPage
from pouch.roo.sharing_api import SharingApi
from pouch.roo.task_pages import TaskPages
from pouch.roo.trpc import Trpc
from pouch.web.pages import Web


class RooRoom:
    """The routes of Roo's clients, and the pages around them."""

    def __init__(  # noqa: PLR0913 -- what these pages need, by name
        self,
        web: Web,
        database: Database,
        models: Models,
        *,
        tokens: SessionTokens,
        ring: TokenRing,
        throttles: Throttles,
    ) -> None:
        settings = web.settings
        desk = Desk(database, SignedIds(settings.secret_keys, tickets.PURPOSE), tokens, ring, throttles)
        links = SignedIds(settings.secret_keys, shares.PURPOSE)
        web.body_bytes_max[BACKFILL_PATH] = BACKFILL_BYTES_MAX
        self._parts = (
            Clerk(desk),
            EditorPages(web, desk, models),
            CliPages(web, desk),
            Trpc(database, ring),
            ConnectPage(web, models),
            OldLinks(),
            Marketplace(),
            SettingsApi(database, ring),
            SettingsPages(web, database),
            EventsApi(database, ring, throttles),
            SharingApi(database, ring, links, site_url=settings.url),
            TaskPages(web, database, links),
            SharedPage(web, database, links),
            CloudApi(database, ring, site_url=settings.url),
        )

    def routes(self) -> list[BaseRoute]:
        """The routes of all parts."""
        return [route for part in self._parts for route in part.routes()]
