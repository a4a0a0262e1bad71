"""The operator's commands as an operator types them: while `up` runs, and while it does not."""

from decimal import Decimal

import httpx
import pytest

from support.pouch import Funds, RunningPouch, until

PASSWORD = "correct horse battery\n"
PRICES = """
[embedded]
models = true
[[upstreams]]
id = "mine"
base_url = "http://127.0.0.1:9/v1"
api_key_env = "MINE_KEY"

[[models]]
id = "mine/small"
upstream = "mine"
upstream_model = "small"
name = "Small"
context_window = 1000
max_tokens = 100
price = { input = "INPUT", output = "2.00" }
"""


def refused(pouch: RunningPouch, *arguments: str, code: int = 1, input: str = "") -> str:  # noqa: A002 -- as `cli`
    """Run a command that must be refused: the sentence it says, without a traceback."""
    done = pouch.cli(*arguments, input=input)
    assert done.returncode == code, done.stdout + done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    return done.stderr


def test_people_organizations_and_keys(pouch: RunningPouch) -> None:
    does = pouch.does
    added = does("user", "add", "olga@example.com", "--password-stdin", "--admin", input=PASSWORD)
    assert added == "Added olga@example.com, operator.\n"
    assert "already" in refused(pouch, "user", "add", "Olga@example.com", "--password-stdin", input=PASSWORD)

    harbor = does("org", "add", "Harbor", "--owner", "olga@example.com").strip()
    assert harbor.startswith("org_")
    does("user", "add", "bert@example.com", "--password-stdin", input=PASSWORD)
    member = ("org", "member", "add", harbor, "bert@example.com", "--role")
    assert does(*member, "member") == "bert@example.com belongs to Harbor as member.\n"
    refused(pouch, *member, "king", code=2)

    key = does("key", "add", "bert@example.com", "one", "--limit", "0.000000001", "--scope", "keys").strip()
    assert key.startswith("sk-pouch-")
    refused(pouch, "key", "add", "nobody@example.com", "none")
    refused(pouch, "key", "add", "bert@example.com", "none", "--scope", "everything", code=2)


def test_a_grant_is_given_once_and_never_with_another_amount(pouch: RunningPouch) -> None:
    pouch.does("user", "add", "greta@example.com", "--password-stdin", input=PASSWORD)
    grant = ("grant", "greta@example.com")
    why = ("--key", "course", "--note", "Course credits")
    assert pouch.does(*grant, "12.345678901", *why) == "Granted $12.345678901 to greta@example.com.\n"
    assert "before" in pouch.does(*grant, "12.345678901", *why)
    refused(pouch, *grant, "12.345678902", *why)
    assert pouch.does("balance", "greta@example.com") == "available 12.345678901\nheld 0.000000000\n"

    refused(pouch, *grant, "0", "--key", "nothing", "--note", "")
    refused(pouch, *grant, "1.0000000001", "--key", "too fine", "--note", "", code=2)
    refused(pouch, "grant", "nobody@example.com", "1", *why)
    refused(pouch, "balance", "nobody@example.com")
    assert pouch.balance("greta@example.com") == Funds(Decimal("12.345678901"))
    assert pouch.does("ledger", "check").startswith("All is well: ")


def test_commands_work_while_up_does_not_run(new_pouch: RunningPouch) -> None:
    """They start the database for a moment; what they did is there when `up` comes back."""
    assert new_pouch.stop() == 0
    key = new_pouch.add_person("paul@example.com", usd="0.25")
    assert new_pouch.balance("paul@example.com") == Funds(Decimal("0.25"))
    assert new_pouch.does("ledger", "check").startswith("All is well: ")
    new_pouch.start()
    body = {"model": "pouch/paid", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 1}
    headers = {"authorization": f"Bearer {key}"}
    answer = httpx.post(f"{new_pouch.url}/v1/chat/completions", json=body, headers=headers, trust_env=False)
    assert answer.status_code == 200, answer.text
    assert new_pouch.balance("paul@example.com") == Funds(Decimal("0.249997"))


def test_the_catalog_is_planned_applied_and_followed(pouch: RunningPouch) -> None:
    """What a running Pouch lists changes within a moment; a price 100 times off waits for a word."""
    file = pouch.folder / "wanted.toml"
    file.write_text(PRICES.replace("INPUT", "1.00"))
    assert "New model mine/small: input $1, output $2." in pouch.does("catalog", "plan", str(file))
    assert "New model mine/small: input $1, output $2." in pouch.does("catalog", "apply", str(file))
    assert pouch.does("catalog", "plan", str(file)) == "Nothing changes.\n"
    until(lambda: "mine/small" in httpx.get(f"{pouch.url}/v1/models", trust_env=False).text, what="the new model")

    file.write_text(PRICES.replace("INPUT", "1000.00"))
    unsure = pouch.cli("catalog", "apply", str(file))
    assert unsure.returncode == 1
    assert "mine/small" in unsure.stdout
    assert pouch.cli("catalog", "apply", str(file), "--confirm").returncode == 0

    file.write_text(PRICES.replace('"INPUT"', "1.5"))
    why = refused(pouch, "catalog", "plan", str(file), code=2)
    assert "wanted.toml" in why
    assert "mine/small price.input" in why
    refused(pouch, "catalog", "plan", str(pouch.folder / "missing.toml"), code=2)


def test_the_configuration_is_checked_without_its_secrets(pouch: RunningPouch) -> None:
    secrets = {"POUCH_SECRET_KEY": "s3cret-root", "POUCH_DATABASE_URL": "postgresql://pouch:s3cret-db@db.example/pouch"}
    said = pouch.cli("config", "check", environment=secrets | {"OPENAI_API_KEY": "s3cret-vendor"})
    assert said.returncode == 0, said.stderr
    assert "s3cret" not in said.stdout
    assert "seen, not used until pouch.toml names it" in said.stdout
    for wrong in ({"POUCH_PORT": "many"}, {"POUCH_PUBLIC_URL": "http://pouch.example"}):
        done = pouch.cli("config", "check", environment=wrong)
        assert done.returncode == 2
        assert next(iter(wrong)) in done.stderr
        assert "Traceback" not in done.stderr


def test_commands_explain_themselves(pouch: RunningPouch) -> None:
    assert "grant" in pouch.does("--help")
    assert "For example:" in pouch.does("grant", "--help")
    refused(pouch, "fly", code=2)


def test_a_second_up_on_the_same_folder_or_port_says_so(pouch: RunningPouch) -> None:
    same_folder = refused(pouch, "up")
    assert str(pouch.data_dir) in same_folder
    elsewhere = {"POUCH_DATA_DIR": str(pouch.folder / "other")}
    same_port = pouch.cli("up", environment=elsewhere)
    assert same_port.returncode == 2
    assert str(pouch.port) in same_port.stderr
    assert pouch.is_answering()


def test_serve_and_work_need_a_database(pouch: RunningPouch) -> None:
    for role in ("serve", "work"):
        assert "POUCH_DATABASE_URL" in refused(pouch, role, code=2)


@pytest.mark.parametrize(
    "path",
    [
        "/embedded/mailbox",
        "/embedded/mailbox.json?to=alice@example.com",
        "/embedded/cards/v1/events",
        "/embedded/cards/pay/cs_test_1",
        "/embedded/models/v1/models",
    ],
)
def test_the_far_ends_are_not_there_for_others(pouch: RunningPouch, path: str) -> None:
    """A page of another site that points its own name at this machine finds nothing."""
    key = pouch.ends.stripe_secret_key
    models = pouch.ends.models_key

    def status(**headers: str) -> int:
        bearer = models if "models" in path else key
        headers |= {"authorization": f"Bearer {bearer}"}
        return httpx.get(f"{pouch.url}{path}", headers=headers, trust_env=False).status_code

    here = 404 if "cs_test_1" in path else 200
    assert status() == here
    assert status(host="localhost:1") == here
    for foreign in ("evil.example", f"evil.example:{pouch.port}", "127.0.0.1.evil.example", "10.0.0.1"):
        assert status(host=foreign) == 404
    assert status(**{"x-forwarded-for": "10.0.0.1"}) == 404


def test_the_far_ends_are_not_there_behind_a_public_address() -> None:
    """With an https address nothing embedded answers, not even on this machine, and cards are not taken."""
    with RunningPouch(environment={"POUCH_PUBLIC_URL": "https://pouch.example"}) as pouch:
        for path in ("/embedded/mailbox", "/embedded/mailbox.json", "/embedded/cards/v1/events", "/embedded/models/v1"):
            assert httpx.get(f"{pouch.url}{path}", trust_env=False).status_code == 404
        assert httpx.get(f"{pouch.url}/readyz", trust_env=False).status_code == 200
        assert pouch.first_link.startswith("https://pouch.example/first/")


def test_the_folders_secrets_are_for_their_owner_alone(pouch: RunningPouch) -> None:
    assert (pouch.data_dir / "ends.json").stat().st_mode & 0o777 == 0o600
