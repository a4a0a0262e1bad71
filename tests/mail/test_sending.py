"""A relay's answer means: it has the letter, come again, or never."""

import asyncio
from datetime import UTC, datetime
from email.message import EmailMessage
from pathlib import Path

import pytest
from pydantic import SecretStr

from mail.fake_relay import FakeRelay
from pouch.base.ids import new_id
from pouch.mail import sending
from pouch.mail.compose import Sender, compose
from pouch.mail.sending import NotDelivered, Relay, deliver
from pouch.mail.templates import Words
from pouch.settings import Settings, SettingsError

pytestmark = pytest.mark.anyio

SENDER = Sender.parse("Pouch <pouch@harbor.example>")


async def test_a_letter_is_handed_in(relay: FakeRelay) -> None:
    await deliver(there(relay), letter(), sender=SENDER, to="alice@harbor.example")

    assert relay.accepted[0]["Subject"] == "Hello ✓"
    assert relay.envelopes[0].mail_from == "pouch@harbor.example"
    assert relay.envelopes[0].rcpt_tos == ["alice@harbor.example"]


@pytest.mark.parametrize(
    ("command", "answer", "is_final"),
    [
        ("RCPT", "451 4.7.1 Greylisted, come again", False),
        ("RCPT", "550 5.1.1 No such user", True),
        ("DATA", "452 4.3.1 Disk full", False),
        ("DATA", "554 5.7.1 Looks like spam", True),
        ("DATA", "550 5.7.1 Refused", True),
        # What is about us and not about the letter can be mended by the operator.
        ("MAIL", "550 5.7.1 You may not send from here", False),
        ("MAIL", "421 4.3.2 Shutting down", False),
    ],
)
async def test_an_answer_says_whether_to_come_again(
    relay: FakeRelay, command: str, answer: str, is_final: bool
) -> None:
    relay.answers[command] = answer

    with pytest.raises(NotDelivered) as refused:
        await deliver(there(relay), letter(), sender=SENDER, to="alice@harbor.example")

    assert refused.value.is_final is is_final
    assert answer[:3] in str(refused.value)
    assert relay.accepted == []


@pytest.mark.parametrize("command", ["EHLO", "MAIL", "RCPT", "DATA"])
async def test_a_line_that_is_cut_means_to_come_again(relay: FakeRelay, command: str) -> None:
    relay.answers[command] = None
    with pytest.raises(NotDelivered) as refused:
        await deliver(there(relay), letter(), sender=SENDER, to="alice@harbor.example")
    assert not refused.value.is_final


async def test_a_relay_that_is_not_there_means_to_come_again() -> None:
    with pytest.raises(NotDelivered) as refused:
        await deliver(Relay("127.0.0.1", 1), letter(), sender=SENDER, to="alice@harbor.example")
    assert not refused.value.is_final


async def test_a_relay_that_says_nothing_is_left(relay: FakeRelay, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "STEP_TIMEOUT_S", 0.05)
    relay.hold_at = "DATA"
    with pytest.raises(NotDelivered) as refused:
        await deliver(there(relay), letter(), sender=SENDER, to="alice@harbor.example")
    assert not refused.value.is_final


@pytest.mark.parametrize("answer", [None, "500 What?"])
async def test_how_the_good_bye_goes_does_not_matter(relay: FakeRelay, answer: str | None) -> None:
    """The relay has the letter: to send it again would be wrong."""
    relay.answers["QUIT"] = answer
    await deliver(there(relay), letter(), sender=SENDER, to="alice@harbor.example")
    assert len(relay.accepted) == 1


async def test_a_password_is_never_sent_in_the_clear(relay: FakeRelay) -> None:
    """Somebody on the way cuts STARTTLS out of the relay's answer."""
    relay.hold_at = "MAIL"
    guarded = Relay("127.0.0.1", relay.port, "required", "pouch", SecretStr("secret"))
    with pytest.raises(NotDelivered, match="STARTTLS"):
        await deliver(guarded, letter(), sender=SENDER, to="alice@harbor.example")
    assert not relay.reached.is_set()


async def test_a_cancelled_sender_hangs_up(relay: FakeRelay) -> None:
    relay.hold_at = "DATA"
    async with asyncio.TaskGroup() as group:
        task = group.create_task(deliver(there(relay), letter(), sender=SENDER, to="alice@harbor.example"))
        await relay.reached.wait()
        task.cancel()
    assert relay.accepted == []


@pytest.mark.parametrize(
    ("url", "username", "expected"),
    [
        ("smtp://relay.example:2525", None, ("relay.example", 2525, "when_offered")),
        ("smtp://relay.example", None, ("relay.example", 587, "when_offered")),
        ("smtp://relay.example", "pouch", ("relay.example", 587, "required")),
        ("smtps://relay.example", "pouch", ("relay.example", 465, "from_the_start")),
        ("smtp://127.0.0.1:25", None, ("127.0.0.1", 25, "none")),
        ("smtp://localhost:25", "pouch", ("localhost", 25, "none")),
    ],
)
def test_a_relay_is_read_from_the_settings(
    tmp_path: Path, url: str, username: str | None, expected: tuple[str, int, str]
) -> None:
    relay = Relay.of(settings(tmp_path, url, username), embedded_port=2500)
    assert relay
    assert (relay.host, relay.port, relay.tls) == expected
    assert relay.username == username
    assert "secret" not in repr(relay)


@pytest.mark.parametrize(
    "url", ["relay.example:25", "http://relay.example", "smtp://", "smtp://relay.example:x", "smtp://relay.example/x?y"]
)
def test_an_address_that_is_no_relay_is_named(tmp_path: Path, url: str) -> None:
    with pytest.raises(SettingsError, match=r"\[mail\] smtp_url"):
        Relay.of(settings(tmp_path, url), embedded_port=None)


def test_a_password_in_the_file_is_refused_without_showing_it(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="POUCH_SMTP_PASSWORD") as refused:
        Relay.of(settings(tmp_path, "smtp://pouch:hunter2@relay.example"), embedded_port=None)
    assert "hunter2" not in str(refused.value)


def test_without_a_relay_mail_goes_to_the_embedded_mailbox_or_nowhere() -> None:
    assert Relay.of(Settings(config=""), embedded_port=2500) == Relay("127.0.0.1", 2500)
    assert Relay.of(Settings(config=""), embedded_port=None) is None


def there(relay: FakeRelay) -> Relay:
    return Relay("127.0.0.1", relay.port)


def letter() -> EmailMessage:
    words = Words(subject="Hello ✓", text="Hello\n", html="<p>Hello</p>\n")
    return compose(new_id(), words, sender=SENDER, to="alice@harbor.example", written_at=datetime.now(UTC))


def settings(folder: Path, url: str, username: str | None = None) -> Settings:
    path = folder / "pouch.toml"
    path.write_text(f'[mail]\nsmtp_url = "{url}"\n', encoding="utf-8")
    return Settings(config=str(path), smtp_username=username, smtp_password=SecretStr("secret") if username else None)
