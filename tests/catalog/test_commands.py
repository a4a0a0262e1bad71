from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from pouch.cli import app
from pouch.cli.config import effective
from pouch.settings import Settings

FILE = """
[[upstreams]]
id = "openai"
base_url = "https://api.example.com/v1"
api_key_env = "OPENAI_API_KEY"
[[models]]
id = "openai/gpt-5-mini"
upstream = "openai"
upstream_model = "gpt-5-mini"
name = "GPT-5 mini"
context_window = 400000
max_tokens = 128000
price = { input = "0.25", output = "2.00" }
"""


@pytest.fixture
def file(tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("POUCH_DATABASE_URL", database_url)
    monkeypatch.setenv("POUCH_CONFIG", "")
    path = tmp_path / "pouch.toml"
    path.write_text(FILE)
    return path


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_an_operator_plans_applies_and_repeats(file: Path) -> None:
    expected = "New upstream openai.\nNew model openai/gpt-5-mini: input $0.25, output $2.\n"
    assert run("catalog", "plan", file).output == expected
    assert run("catalog", "apply", file).output == expected
    assert run("catalog", "apply", file).output == "Nothing changes.\n"


def test_a_slip_is_refused_until_it_is_confirmed(file: Path) -> None:
    """Scripts see the refusal in the exit code."""
    run("catalog", "apply", file)
    file.write_text(FILE.replace('"0.25"', '"250"'))
    planned, refused = run("catalog", "plan", file), run("catalog", "apply", file)
    assert (planned.exit_code, refused.exit_code) == (0, 1)
    assert "100 times off" in refused.output
    confirmed = run("catalog", "apply", file, "--confirm")
    assert confirmed.exit_code == 0
    assert "until now input $0.25" in confirmed.output


def test_a_file_that_is_not_there_is_a_wrong_usage(file: Path) -> None:
    assert run("catalog", "plan", file.with_name("no.toml")).exit_code == 2


def test_the_configuration_is_shown_without_its_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "pouch.toml"
    path.write_text(FILE)
    monkeypatch.setenv("POUCH_CONFIG", str(path))
    monkeypatch.setenv("POUCH_DATABASE_URL", "postgresql://pouch:hush1@db.example/pouch")
    monkeypatch.setenv("POUCH_STRIPE_SECRET_KEY", "sk_test_hush2")
    monkeypatch.setenv("OPENAI_API_KEY", "hush3")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "hush4")
    output = run("config", "check").output
    assert "hush" not in output
    lines = {line[:34].rstrip(): line[35:] for line in output.splitlines()}
    assert lines["POUCH_DATABASE_URL"] == "postgresql://pouch:***@db.example/pouch"
    assert lines["POUCH_STRIPE_SECRET_KEY"] == "set"
    assert lines["credits.purchase_min_usd"] == "$5.000000000"
    assert lines["upstream openai"] == "https://api.example.com/v1, 1 models, OPENAI_API_KEY: set"
    assert lines["ANTHROPIC_API_KEY"] == "seen, not used until pouch.toml names it"


def test_every_way_to_write_a_password_is_masked() -> None:
    for url in (
        "postgresql://u:qua3gga@/pouch?host=/tmp",
        "postgresql://u:qua3@gga@db/pouch",
        "postgresql:///pouch?password=qua3gga&user=u",
        "host=db password=qua3gga user=u",
        "host=db password = 'a qua3gga' user=u",
    ):
        shown = "\n".join(effective(Settings(database_url=url, config=""), {}))
        assert "gga" not in shown


def test_a_section_within_a_section_has_a_line_for_each_setting() -> None:
    shown = [line.split(maxsplit=1) for line in effective(Settings(config=""), {})]
    assert ["agents.kubernetes.relay_host", "127.0.0.1"] in shown
    assert not [line for line in shown if "PosixPath" in line[1]]


def test_a_bad_price_fails_the_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "pouch.toml"
    path.write_text(FILE.replace('output = "2.00"', 'reasoning = "2.00"'))
    monkeypatch.setenv("POUCH_CONFIG", str(path))
    failed = run("config", "check")
    assert failed.exit_code != 0
    assert "models[0] openai/gpt-5-mini price.output: is missing" in str(failed.exception)
