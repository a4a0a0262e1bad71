"""A relay that answers as a test tells it to."""

import asyncio
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default

from aiosmtpd.smtp import SMTP, Envelope, Session


class FakeRelay:
    """An SMTP server on loopback. `answers` are given instead of its own, by command; None hangs up instead.

    When the client reaches the command `hold_at`, `reached` is set and no answer is given.
    """

    def __init__(self) -> None:
        self.port = 0
        self.answers: dict[str, str | None] = {}
        self.hold_at: str | None = None
        self.reached = asyncio.Event()
        self.accepted: list[EmailMessage] = []
        self.envelopes: list[Envelope] = []

    async def answer(self, server: SMTP, command: str, usual: str) -> str:
        if command == self.hold_at:
            self.reached.set()
            await asyncio.Event().wait()
        answer = self.answers.get(command, usual)
        if answer is None:
            assert server.transport is not None
            server.transport.close()
            return usual
        return answer

    async def handle_EHLO(  # noqa: N802 -- aiosmtpd's name
        self, server: SMTP, session: Session, _envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        session.host_name = hostname
        answer = await self.answer(server, "EHLO", "")
        return [answer] if answer else responses

    async def handle_MAIL(  # noqa: N802 -- aiosmtpd's name
        self, server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        envelope.mail_from = address
        return await self.answer(server, "MAIL", "250 OK")

    async def handle_RCPT(  # noqa: N802 -- aiosmtpd's name
        self, server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        answer = await self.answer(server, "RCPT", "250 OK")
        if answer.startswith("2"):
            envelope.rcpt_tos.append(address)
        return answer

    async def handle_DATA(self, server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802 -- aiosmtpd's name
        answer = await self.answer(server, "DATA", "250 OK")
        if answer.startswith("2"):
            assert isinstance(envelope.content, bytes)
            self.accepted.append(message_from_bytes(envelope.content, _class=EmailMessage, policy=default))
            self.envelopes.append(envelope)
        return answer

    async def handle_QUIT(self, server: SMTP, _session: Session, _envelope: Envelope) -> str:  # noqa: N802 -- aiosmtpd's name
        return await self.answer(server, "QUIT", "221 Bye")
