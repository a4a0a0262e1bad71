"""A process that sends one letter, to be killed on its way."""

import asyncio
import sys
from uuid import UUID

from pouch.base.database import Database
from pouch.mail.compose import Sender
from pouch.mail.jobs import Postman
from pouch.mail.sending import Relay
from pouch.mail.templates import Templates


async def main(url: str, port: int, letter_id: UUID) -> None:
    async with Database(url) as database:
        templates = Templates([("mail", "templates")], site_name="Pouch", site_url="https://pouch.harbor.example")
        sender = Sender.parse("Pouch <pouch@harbor.example>")
        postman = Postman(database, templates=templates, relay=Relay("127.0.0.1", port), sender=sender)
        await postman.send(letter_id)


asyncio.run(main(sys.argv[1], int(sys.argv[2]), UUID(sys.argv[3])))
