"""Headers are the standard library's: right for every mail program, and nothing can be slipped into them."""

from datetime import UTC, datetime
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default

import pytest

from pouch.base.ids import derived_id, show_id
from pouch.mail.compose import Sender, compose
from pouch.mail.templates import Words
from pouch.settings import SettingsError

SENDER = Sender.parse("Pouch at the Harbour ⚓ <billing@harbor.example>")
LETTER = derived_id("test letter")
WRITTEN_AT = datetime(2026, 11, 24, 14, 36, tzinfo=UTC)
WORDS = Words(subject="You bought 25 € of credits", text="Grüße\n", html="<p>Grüße</p>\n")


def test_a_letter_has_all_that_a_mail_program_asks_for() -> None:
    message = reread(compose(LETTER, WORDS, sender=SENDER, to="alice@harbor.example", written_at=WRITTEN_AT))

    assert message["Subject"] == WORDS.subject
    assert message["From"].addresses[0].display_name == "Pouch at the Harbour ⚓"
    assert message["From"].addresses[0].addr_spec == "billing@harbor.example"
    assert message["To"] == "alice@harbor.example"
    assert message["Date"].datetime == WRITTEN_AT
    assert message["Message-ID"] == f"<{show_id('mail', LETTER)}@harbor.example>"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message.get_content_type() == "multipart/alternative"
    parts = [(part.get_content_type(), part.get_content()) for part in message.iter_parts()]
    assert parts == [("text/plain", "Grüße\r\n"), ("text/html", "<p>Grüße</p>\r\n")]


def test_a_letter_that_is_sent_again_is_known_by_its_id() -> None:
    first, again = (
        compose(LETTER, WORDS, sender=SENDER, to="alice@harbor.example", written_at=WRITTEN_AT) for _ in range(2)
    )
    assert (first["Message-ID"], first["Date"]) == (again["Message-ID"], again["Date"])


@pytest.mark.parametrize("line_end", ["\r\n", "\n", "\r"])
def test_a_line_break_in_a_header_is_refused(line_end: str) -> None:
    """The templates leave none; should one come by another way, no message is made at all."""
    words = Words(subject=f"Hello{line_end}Bcc: carol@x.example", text="", html="")
    with pytest.raises(ValueError, match=r"linefeed|carriage return"):
        compose(LETTER, words, sender=SENDER, to="alice@harbor.example", written_at=WRITTEN_AT)
    with pytest.raises(ValueError, match=r"CR|LF|linefeed|carriage return"):
        compose(LETTER, WORDS, sender=SENDER, to=f"a{line_end}Bcc: b@x.example", written_at=WRITTEN_AT)


def test_an_address_in_other_letters_is_kept() -> None:
    message = compose(LETTER, WORDS, sender=SENDER, to="jürgen@harbor.example", written_at=WRITTEN_AT)
    assert "\r\nTo: jürgen@harbor.example\r\n".encode() in message.as_bytes()


@pytest.mark.parametrize("text", ["", "Pouch", "Pouch <>", "Pouch <a b@x.example>", "a@x.example, b@x.example"])
def test_a_sender_that_is_no_address_is_named(text: str) -> None:
    with pytest.raises(SettingsError, match=r"\[mail\] from"):
        Sender.parse(text)


def test_the_default_sender_is_one() -> None:
    assert Sender.parse("Pouch <pouch@localhost>") == Sender("Pouch", "pouch@localhost")


def reread(message: EmailMessage) -> EmailMessage:
    return message_from_bytes(message.as_bytes(), _class=EmailMessage, policy=default)
