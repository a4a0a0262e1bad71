"""The embedded mailbox: an SMTP server, and the pages and JSON that show what it got."""

from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from pouch.base.database import Database
from pouch.base.ids import read_id, show_id
from pouch.embedded.mailbox.server import Server
from pouch.embedded.mailbox.store import Mail, find, newest
from pouch.web.pages import Web

PREFIX = "mail"

# The letter's own markup runs nothing and loads nothing, whoever opens its address and however. Its links open outside
# of the frame, when a person clicks them.
_SANDBOX = "allow-popups allow-popups-to-escape-sandbox"
_LETTER_HEADERS = {
    "content-security-policy": (
        f"sandbox {_SANDBOX}; default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
        "form-action 'none'; frame-ancestors 'self'"
    ),
    "x-frame-options": "SAMEORIGIN",
    "cache-control": "private, no-store",
}
_PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; frame-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)


class Mailbox:
    """The mail server of a machine that has none. `start` and `stop` it in the process that mounts its routes."""

    templates = ("pouch.embedded.mailbox", "templates")

    def __init__(self, web: Web, database: Database, smtp_port: int) -> None:
        self._web = web
        self._database = database
        self._server = Server(database, smtp_port)

    @property
    def smtp_port(self) -> int:
        """The port it listens on."""
        return self._server.port

    async def start(self) -> None:
        """Accept mail. Raises OSError when the port is taken."""
        await self._server.start()

    async def stop(self) -> None:
        """Accept no more mail."""
        await self._server.stop()

    def routes(self) -> list[Route]:
        """Mounted by app.py under the guard that keeps the embedded far ends on this machine."""
        return [
            Route("/embedded/mailbox", self.list_page),
            Route("/embedded/mailbox.json", self.list_json),
            Route("/embedded/mailbox/{mail_id}", self.mail_page),
            Route("/embedded/mailbox/{mail_id}/html", self.letter),
        ]

    async def list_page(self, request: Request) -> Response:
        """The newest messages, of one address when it is asked for."""
        to = _asked_address(request)
        async with self._database.transaction() as db:
            mails = await newest(db, to=to)
        rows = [(_path(mail), mail) for mail in mails]
        return await self._web.page(request, "mailbox/list.html", to=to or "", rows=rows)

    async def list_json(self, request: Request) -> Response:
        """The same for programs, with the bodies."""
        async with self._database.transaction() as db:
            mails = await newest(db, to=_asked_address(request))
        return JSONResponse([_as_json(mail) for mail in mails], headers={"cache-control": "no-store"})

    async def mail_page(self, request: Request) -> Response:
        """One message; its HTML in a frame that may do nothing."""
        mail = await self._find(request)
        page = await self._web.page(
            request, "mailbox/mail.html", mail=mail, address=_path(mail), to_query=quote(mail.to), sandbox=_SANDBOX
        )
        page.headers["content-security-policy"] = _PAGE_POLICY
        return page

    async def letter(self, request: Request) -> Response:
        """The HTML of one message, alone, as it came."""
        mail = await self._find(request)
        # A link that opens in the frame would find a page that refuses to be framed. At the end, since before the
        # doctype it would change how the letter is drawn; links look for it when they are followed.
        return HTMLResponse(f'{mail.html}<base target="_blank">', headers=_LETTER_HEADERS)

    async def _find(self, request: Request) -> Mail:
        async with self._database.transaction() as db:
            return await find(db, read_id(PREFIX, request.path_params["mail_id"]))


def _asked_address(request: Request) -> str | None:
    return request.query_params.get("to", "").replace("\x00", "").strip() or None


def _path(mail: Mail) -> str:
    return f"/embedded/mailbox/{show_id(PREFIX, mail.id)}"


def _as_json(mail: Mail) -> dict[str, str]:
    return {
        "id": show_id(PREFIX, mail.id),
        "to": mail.to,
        "subject": mail.subject,
        "text": mail.text,
        "html": mail.html,
        "at": mail.at.isoformat(),
    }
