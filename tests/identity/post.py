"""Letters as they arrive: what lies in the outbox goes by SMTP to a server on loopback and is read back there."""

import re
from dataclasses import dataclass

from mail.fake_relay import FakeRelay
from pouch.base.database import Database
from pouch.identity.links import Tokens
from pouch.mail.compose import Sender
from pouch.mail.jobs import Postman
from pouch.mail.sending import Relay
from pouch.mail.templates import Templates
from pouch.settings import Settings


@dataclass(frozen=True)
class Mail:
    """One letter that arrived."""

    to: str
    subject: str
    text: str
    html: str

    def path(self, below: str = "/") -> str:
        """Where its link leads on this site."""
        found = re.search(rf"https?://[^/\s]+({below}\S*)", self.text)
        assert found, self.text
        return found[1]


class PostOffice:
    """Sends what is due and hands over what arrived."""

    def __init__(self, database: Database, settings: Settings, relay: FakeRelay) -> None:
        self._database = database
        self._relay = relay
        self._postman = Postman(
            database,
            templates=Templates([("pouch.identity", "templates")], site_name="Pouch", site_url=settings.url),
            relay=Relay("127.0.0.1", relay.port),
            sender=Sender.parse("Pouch <pouch@harbor.example>"),
            complete=Tokens(settings.secret_keys, settings.url).complete,
        )

    async def deliver(self) -> list[Mail]:
        """The letters written since the last time, in the order of their writing."""
        seen = len(self._relay.accepted)
        async with self._database.transaction() as db:
            rows = await db.execute("SELECT id FROM mail_letters WHERE state = 'queued' ORDER BY created_at, id")
            waiting = await rows.fetchall()
        for (letter_id,) in waiting:
            await self._postman.send(letter_id)
        assert len(self._relay.accepted) - seen == len(waiting), "a letter could not be put into words"
        mails = []
        for message in self._relay.accepted[seen:]:
            text, html = (message.get_body((kind,)) for kind in ("plain", "html"))
            assert text is not None
            assert html is not None
            mails.append(Mail(message["To"], message["Subject"], text.get_content(), html.get_content()))
        return mails

    async def one(self, to: str) -> Mail:
        """The only letter since the last time, which is to this address."""
        (mail,) = await self.deliver()
        assert mail.to == to
        return mail
