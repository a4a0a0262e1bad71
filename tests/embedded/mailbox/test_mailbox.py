"""What was sent by SMTP is shown as it was meant, and only here."""

import smtplib
from collections.abc import AsyncIterator
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTPUTF8

import anyio.to_thread
import httpx
import pytest
from aiosmtplib import SMTP, SMTPDataError, SMTPException, SMTPResponseException
from starlette.applications import Starlette

from pouch.base.database import Database
from pouch.embedded.mailbox import Mailbox, store
from pouch.settings import Settings
from pouch.web.pages import Web
from pouch.web.security import Security

pytestmark = pytest.mark.anyio


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with Database(database_url) as database:
        yield database


@pytest.fixture
async def mailbox(database: Database) -> AsyncIterator[Mailbox]:
    settings = Settings(config="")
    mailbox = Mailbox(Web(settings=settings, templates=[Mailbox.templates]), database, 0)
    await mailbox.start()
    yield mailbox
    await mailbox.stop()


@pytest.fixture
async def browser(mailbox: Mailbox) -> AsyncIterator[httpx.AsyncClient]:
    web = Web(settings=Settings(config=""), templates=[Mailbox.templates])
    app = Starlette(routes=[*web.routes(), *mailbox.routes()], exception_handlers=web.exception_handlers())
    transport = httpx.ASGITransport(app=Security(app, web))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080") as browser:
        yield browser


async def test_every_letter_and_sign_arrives_as_it_was_written(mailbox: Mailbox, browser: httpx.AsyncClient) -> None:
    """UTF-8 in subject and bodies, in quoted-printable and base64, with long lines and a line that is a dot."""
    message = letter("alice@harbor.example", "Crédits: 25 € für Zoë " + "x" * 100)
    message.set_content("Grüße, 世界 = ✓\n.\n" + "long " * 300 + "\n", cte="quoted-printable")
    message.add_alternative("<p>Grüße &amp; 世界 ✓</p>\n", subtype="html", cte="base64")
    await send(mailbox, message)

    (mail,) = (await browser.get("/embedded/mailbox.json?to=alice@harbor.example")).json()

    assert mail["to"] == "alice@harbor.example"
    assert mail["subject"] == "Crédits: 25 € für Zoë " + "x" * 100
    assert mail["text"] == "Grüße, 世界 = ✓\n.\n" + "long " * 300 + "\n"
    assert mail["html"] == "<p>Grüße &amp; 世界 ✓</p>\n"
    assert set(mail) == {"id", "to", "subject", "text", "html", "at"}
    assert mail["at"].endswith("+00:00")


async def test_the_newest_comes_first_and_each_sees_their_own(mailbox: Mailbox, browser: httpx.AsyncClient) -> None:
    for to, subject in [("alice@x.example", "one"), ("bob@x.example", "two"), ("Alice@x.example", "three")]:
        await send(mailbox, letter(to, subject))

    assert await subjects(browser, "?to=ALICE@x.example") == ["three", "one"]
    assert await subjects(browser, "?to=carol@x.example") == []
    assert await subjects(browser, "") == ["three", "two", "one"]


async def test_only_the_newest_are_kept(
    mailbox: Mailbox, browser: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "KEPT_MAX", 3)
    for number in range(5):
        await send(mailbox, letter("alice@x.example", str(number)))
    assert await subjects(browser, "") == ["4", "3", "2"]


async def test_a_message_that_is_too_large_is_refused(mailbox: Mailbox, browser: httpx.AsyncClient) -> None:
    message = letter("alice@x.example", "large")
    message.set_content("x" * 70 + "\n" + ("y" * 70 + "\n") * 15_000)
    with pytest.raises(SMTPResponseException) as refused:
        await send(mailbox, message)
    assert refused.value.code == 552
    assert await subjects(browser, "") == []


async def test_a_broken_message_is_kept_as_far_as_it_can_be_read(mailbox: Mailbox, browser: httpx.AsyncClient) -> None:
    raw = (
        b"Subject: =?no-such-charset?Q?a=FFb?=\r\nContent-Type: text/plain; charset=no-such\r\n\r\ncaf\xc3\xa9 \x00\r\n"
    )
    async with SMTP(hostname="127.0.0.1", port=mailbox.smtp_port, start_tls=False) as client:
        await client.sendmail("a@x.example", ["alice@x.example"], raw)

    (mail,) = (await browser.get("/embedded/mailbox.json")).json()

    assert mail["text"].startswith("café ")


async def test_an_address_in_other_letters_gets_its_mail(mailbox: Mailbox, browser: httpx.AsyncClient) -> None:
    message = EmailMessage(policy=SMTPUTF8)
    message["To"] = Address("", "jürgen", "x.example")
    message["Subject"] = "Grüße 世界"
    message.set_content("hello")
    async with SMTP(hostname="127.0.0.1", port=mailbox.smtp_port, start_tls=False) as client:
        await client.send_message(message, sender="a@x.example", recipients=["jürgen@x.example"])
    assert await subjects(browser, "?to=j%C3%BCrgen@x.example") == ["Grüße 世界"]


async def test_while_the_database_is_away_the_sender_is_told_to_come_again(
    mailbox: Mailbox, database: Database
) -> None:
    await database.close()
    with pytest.raises(SMTPDataError) as refused:
        await send(mailbox, letter("alice@x.example", "hello"))
    assert refused.value.code == 451


async def test_it_stops_in_the_middle_of_a_conversation(mailbox: Mailbox) -> None:
    client = SMTP(hostname="127.0.0.1", port=mailbox.smtp_port, start_tls=False)
    await client.connect()
    await mailbox.stop()
    with pytest.raises(SMTPException):
        await client.mail("a@x.example")
    client.close()


async def test_the_standard_librarys_client_is_understood_too(mailbox: Mailbox, browser: httpx.AsyncClient) -> None:
    def send_with_smtplib() -> None:
        with smtplib.SMTP("127.0.0.1", mailbox.smtp_port) as client:
            client.send_message(letter("alice@x.example", "from smtplib"))

    await anyio.to_thread.run_sync(send_with_smtplib)
    assert await subjects(browser, "") == ["from smtplib"]


async def test_the_pages_show_the_list_and_one_message(mailbox: Mailbox, browser: httpx.AsyncClient) -> None:
    message = letter("alice@x.example", "Ready <now>")
    message.set_content("See http://127.0.0.1:8080/billing\n")
    message.add_alternative("<!doctype html><p>Ready</p><script>alert(1)</script>", subtype="html")
    await send(mailbox, message)

    index = await browser.get("/embedded/mailbox?to=alice@x.example")
    assert index.status_code == 200
    assert "Ready &lt;now&gt;" in index.text
    (mail,) = (await browser.get("/embedded/mailbox.json")).json()
    assert f'href="/embedded/mailbox/{mail["id"]}"' in index.text

    page = await browser.get(f"/embedded/mailbox/{mail['id']}")
    assert f'<iframe src="/embedded/mailbox/{mail["id"]}/html"' in page.text
    assert "allow-scripts" not in page.text
    assert "allow-same-origin" not in page.text
    assert "frame-src 'self'" in page.headers["content-security-policy"]
    assert "alert(1)" not in page.text


async def test_the_letter_itself_can_do_nothing(mailbox: Mailbox, browser: httpx.AsyncClient) -> None:
    """Opened in the frame or by its address: no script, nothing loaded, an origin of its own."""
    message = letter("alice@x.example", "hello")
    message.add_alternative("<!doctype html><p>hello</p>", subtype="html")
    await send(mailbox, message)
    (mail,) = (await browser.get("/embedded/mailbox.json")).json()

    letter_page = await browser.get(f"/embedded/mailbox/{mail['id']}/html")

    policy = letter_page.headers["content-security-policy"]
    assert policy.startswith("sandbox allow-popups")
    assert "default-src 'none'" in policy
    assert "script" not in policy
    assert "same-origin" not in policy
    assert "frame-ancestors 'self'" in policy
    assert letter_page.headers["x-frame-options"] == "SAMEORIGIN"
    assert letter_page.headers["x-content-type-options"] == "nosniff"
    assert letter_page.text.startswith("<!doctype html>")


@pytest.mark.parametrize("mail_id", ["x", "mail_00000000000000000000000000", "../x"])
async def test_a_message_that_is_not_there_is_said_so(browser: httpx.AsyncClient, mail_id: str) -> None:
    assert (await browser.get(f"/embedded/mailbox/{mail_id}")).status_code == 404


def letter(to: str, subject: str) -> EmailMessage:
    message = EmailMessage()
    message["From"] = "Pouch <pouch@localhost>"
    message["To"] = to
    message["Subject"] = subject
    message.set_content("hello\n")
    return message


async def send(mailbox: Mailbox, message: EmailMessage) -> None:
    async with SMTP(
        hostname="127.0.0.1", port=mailbox.smtp_port, start_tls=False, local_hostname="localhost"
    ) as client:
        await client.send_message(message)


async def subjects(browser: httpx.AsyncClient, query: str) -> list[str]:
    return [mail["subject"] for mail in (await browser.get(f"/embedded/mailbox.json{query}")).json()]
