"""`pouch user`, `invite`, `org` and `key` on a real database."""

import sys
from pathlib import Path

import psycopg
import pytest
import typer
from typer.testing import CliRunner, Result

from pouch.base.errors import Conflict, InvalidInput, NotAllowed, NotFound
from pouch.cli import accounts
from pouch.identity.keys import PREFIX, hash_secret
from pouch.settings import SECRET_KEY_FILE

PASSWORD = "correct horse battery\n"


class Shell:
    """Runs commands against the test's database."""

    def __init__(self, database_url: str) -> None:
        self._url = database_url
        self._app = typer.Typer()
        for name, commands in (("user", accounts.user), ("org", accounts.org), ("key", accounts.key)):
            self._app.add_typer(commands, name=name)
        self._app.command("invite")(accounts.invite)

    def run(self, *words: str, typed: str = "") -> Result:
        """Run and return what came of it; refusals are raised, as `main` expects."""
        result = CliRunner().invoke(self._app, words, input=typed)
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    def add(self, email: str, *more: str) -> Result:
        """Register somebody."""
        return self.run("user", "add", email, "--password-stdin", *more, typed=PASSWORD)

    def query(self, sql: str) -> list[tuple[object, ...]]:
        """Look into the database."""
        with psycopg.connect(self._url) as db:
            return db.execute(sql).fetchall()


@pytest.fixture
def shell(empty_database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    monkeypatch.setenv("POUCH_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("POUCH_DATABASE_URL", empty_database_url)
    monkeypatch.setenv("POUCH_CONFIG", "")
    return Shell(empty_database_url)


def test_a_person_is_added_verified_with_an_organization_and_a_password(shell: Shell) -> None:
    assert shell.add("alice@example.com").stdout == "Added alice@example.com.\n"
    assert shell.query("SELECT is_operator, verified_at IS NOT NULL FROM identity_people") == [(False, True)]
    assert shell.query("SELECT role FROM identity_memberships") == [("owner",)]
    ((stored,),) = shell.query("SELECT password_hash FROM identity_people")
    assert str(stored).startswith("$argon2id$v=19$m=65536,t=3,p=4$")


def test_an_operator_is_added_with_admin(shell: Shell) -> None:
    assert shell.add("alice@example.com", "--admin").stdout == "Added alice@example.com, operator.\n"
    assert shell.query("SELECT is_operator FROM identity_people") == [(True,)]


def test_a_person_is_added_once(shell: Shell) -> None:
    shell.add("alice@example.com")
    with pytest.raises(Conflict):
        shell.add("ALICE@example.com")
    assert shell.query("SELECT count(*) FROM identity_people") == [(1,)]


def test_a_short_password_and_no_address_are_refused(shell: Shell) -> None:
    with pytest.raises(InvalidInput):
        shell.run("user", "add", "alice@example.com", "--password-stdin", typed="short\n")
    with pytest.raises(InvalidInput):
        shell.add("alice")


def test_without_a_terminal_a_password_must_be_piped(shell: Shell) -> None:
    assert not sys.stdin.isatty()
    assert shell.run("user", "add", "alice@example.com").exit_code == 2


def test_bob_joins_alices_organization(shell: Shell) -> None:
    for email in ("alice@example.com", "bob@example.com"):
        shell.add(email)
    organization = shell.run("org", "add", "Harbor", "--owner", "alice@example.com").stdout.strip()
    assert organization.startswith("org_")
    shell.run("org", "member", "add", organization, "bob@example.com", "--role", "billing")
    with pytest.raises(Conflict):
        shell.run("org", "member", "add", "Harbor", "bob@example.com", "--role", "owner")
    members = shell.query(
        """
        SELECT p.email, m.role FROM identity_memberships m JOIN identity_people p ON p.id = m.person_id
          JOIN identity_organizations o ON o.id = m.organization_id WHERE o.name = 'Harbor' ORDER BY 1
        """
    )
    assert members == [("alice@example.com", "owner"), ("bob@example.com", "billing")]
    accounts_of = (
        "SELECT count(*) FROM ledger_accounts WHERE organization_id IN (SELECT id FROM identity_organizations)"
    )
    assert shell.query(accounts_of) == [(3,)]


def test_an_organization_must_be_the_only_one_of_its_name(shell: Shell) -> None:
    for email in ("alice@example.com", "bob@example.com"):
        shell.add(email)
    for _ in range(2):
        shell.run("org", "add", "Harbor", "--owner", "alice@example.com")
    for name, refusal in (("Harbor", Conflict), ("Port", NotFound), ("alice@example.com", NotFound)):
        with pytest.raises(refusal):
            shell.run("org", "member", "add", name, "bob@example.com", "--role", "member")


def test_a_key_is_printed_alone(shell: Shell) -> None:
    shell.add("alice@example.com")
    words = ("key", "add", "alice@example.com", "Server", "--limit", "12.345678901", "--scope", "inference")
    printed = shell.run(*words, "--scope", "keys").stdout
    assert printed.startswith(PREFIX)
    assert printed.count("\n") == 1
    ((digest, scopes),) = shell.query("SELECT secret_hash, scopes FROM identity_keys")
    assert digest == hash_secret(printed.strip())
    assert scopes == ["inference", "keys"]
    limits = shell.query(
        "SELECT l.kind, l.period, l.cap_nanos FROM ledger_limits l JOIN identity_keys k ON k.id = l.subject"
    )
    assert limits == [("key", "ever", 12_345_678_901)]


@pytest.mark.parametrize(
    "words",
    [
        ("key", "add", "alice@example.com", "Server", "--limit", "1e3"),
        ("key", "add", "alice@example.com", "Server", "--scope", "everything"),
        ("key", "add", "alice@example.com"),
        ("org", "member", "add", "Harbor", "alice@example.com", "--role", "king"),
        ("org", "add", "Harbor"),
    ],
)
def test_what_cannot_be_meant_is_a_usage_error(shell: Shell, words: tuple[str, ...]) -> None:
    assert shell.run(*words).exit_code == 2


@pytest.mark.parametrize(
    "words",
    [
        ("key", "add", "carol@example.com", "Server"),
        ("org", "add", "Harbor", "--owner", "carol@example.com"),
    ],
)
def test_who_is_not_registered_is_not_found(shell: Shell, words: tuple[str, ...]) -> None:
    with pytest.raises(NotFound):
        shell.run(*words)


def test_a_guest_is_invited_by_mail_and_the_link_is_printed(shell: Shell, tmp_path: Path) -> None:
    """With the same token that the mail will carry; a second invitation ends the first."""
    url = shell.run("invite", "Carol@example.com").stdout.strip()
    assert url.startswith("http://127.0.0.1:8080/invitation/")
    assert shell.run("invite", "carol@example.com").stdout.strip() != url
    assert shell.query("SELECT kind, to_address FROM mail_letters") == [
        ("invitation", "Carol@example.com"),
        ("invitation", "carol@example.com"),
    ]
    assert shell.query("SELECT count(*), count(ended_at) FROM identity_links WHERE kind = 'invite'") == [(2, 1)]
    assert (tmp_path / SECRET_KEY_FILE).exists()


def test_who_is_registered_cannot_be_invited(shell: Shell) -> None:
    shell.add("alice@example.com")
    with pytest.raises(Conflict):
        shell.run("invite", "ALICE@example.com")
    with pytest.raises(InvalidInput):
        shell.run("invite", "alice")


def test_nobody_is_invited_where_accounts_are_closed(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pouch.toml").write_text('[accounts]\nsign_up = "closed"\n')
    monkeypatch.setenv("POUCH_CONFIG", str(tmp_path / "pouch.toml"))
    with pytest.raises(NotAllowed):
        shell.run("invite", "carol@example.com")
