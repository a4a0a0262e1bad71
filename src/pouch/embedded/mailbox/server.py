"""The SMTP server: accepts mail for anybody, from this machine only."""

import asyncio

import structlog
from aiosmtpd.smtp import SMTP, Envelope, Session
from psycopg import Error
from psycopg_pool import PoolTimeout

from pouch.base.database import Database
from pouch.embedded.mailbox.reading import read
from pouch.embedded.mailbox.store import keep

log = structlog.get_logger(__name__)

HOST = "127.0.0.1"
"""Never another address: what is sent here is read by whoever can open the pages."""
MESSAGE_BYTES_MAX = 1_000_000
RECIPIENTS_MAX = 20
IDLE_TIMEOUT_S = 60


class Server:
    """Listens from `start` to `stop`. Port 0 takes any free one."""

    def __init__(self, database: Database, port: int) -> None:
        self.port = port
        self._inbox = _Inbox(database)
        self._open: set[_Conversation] = set()
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen. Raises OSError when the port is taken."""
        self._server = await asyncio.get_running_loop().create_server(self._conversation, HOST, self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Stop listening and hang up; who was cut off in the middle of a message sends it again."""
        if self._server is None:
            return
        self._server.close()
        for conversation in list(self._open):
            conversation.hang_up()
        await self._server.wait_closed()

    def _conversation(self) -> "_Conversation":
        return _Conversation(self._inbox, self._open)


class _Conversation(SMTP):
    def __init__(self, inbox: "_Inbox", others: "set[_Conversation]") -> None:
        super().__init__(
            inbox,
            data_size_limit=MESSAGE_BYTES_MAX,
            enable_SMTPUTF8=True,
            hostname="localhost",
            ident="Pouch mailbox",
            timeout=IDLE_TIMEOUT_S,
            loop=asyncio.get_running_loop(),
        )
        self._others = others

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._others.add(self)
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        self._others.discard(self)
        super().connection_lost(error)

    def hang_up(self) -> None:
        if self.transport is not None:
            self.transport.close()


class _Inbox:
    """What aiosmtpd asks while a message comes in. The names are its own."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def handle_RCPT(  # noqa: N802 -- aiosmtpd's name and arguments
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if len(envelope.rcpt_tos) >= RECIPIENTS_MAX:
            return "452 4.5.3 Too many recipients"
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(options)
        return "250 OK"

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802 -- aiosmtpd's
        assert isinstance(envelope.content, bytes)
        message = read(envelope.content)
        try:
            async with self._database.transaction() as db:
                await keep(db, message, sender=envelope.mail_from or "", recipients=envelope.rcpt_tos)
        except (Error, PoolTimeout) as error:
            # aiosmtpd would answer 500, after which nobody tries again.
            log.warning("mailbox.not_kept", error=repr(error))
            return "451 4.3.0 The database does not answer"
        return "250 OK"
