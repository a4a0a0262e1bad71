"""What an operator wrote about the places outside is used whole, or refused with the place and the remedy."""

from pathlib import Path

import pytest

from pouch.agents.triggers.chat.workspaces import Workspaces
from pouch.agents.triggers.github.app import GitHub, Names
from pouch.base.ids import new_id, show_id
from pouch.settings import Settings, SettingsError, Workspace
from support.github import private_key

TOML = '[agents.github]\napp_id = 1\nslug = "pouch"\nclient_id = "Iv1.a"\nprivate_key_file = "{key}"\n'
SECRETS = {"github_webhook_secret": "a", "github_client_secret": "b"}


def settings(tmp_path: Path, key: Path, **secrets: str) -> Settings:
    config = tmp_path / "pouch.toml"
    config.write_text(TOML.format(key=key))
    return Settings(config=str(config), **secrets)  # type: ignore[arg-type]  # secrets are read from text


def test_without_an_app_there_is_none() -> None:
    assert GitHub.of(Settings(config="")) is None


def test_an_app_needs_both_secrets_and_its_key(tmp_path: Path) -> None:
    key = tmp_path / "key.pem"
    with pytest.raises(SettingsError, match="POUCH_GITHUB_WEBHOOK_SECRET"):
        GitHub.of(settings(tmp_path, key))
    with pytest.raises(SettingsError, match="POUCH_GITHUB_CLIENT_SECRET"):
        GitHub.of(settings(tmp_path, key, github_webhook_secret="a"))
    with pytest.raises(SettingsError, match=r"key\.pem"):
        GitHub.of(settings(tmp_path, key, **SECRETS))
    key.write_text("not a key")
    with pytest.raises(SettingsError, match="not a private key"):
        GitHub.of(settings(tmp_path, key, **SECRETS))
    key.write_text(private_key())
    assert GitHub.of(settings(tmp_path, key, **SECRETS)) is not None


def test_a_workspace_needs_an_organization_and_a_token(monkeypatch: pytest.MonkeyPatch) -> None:
    written = Workspace(id="T1", organization=show_id("org", new_id()), token_env="TOKEN_OF_T1")
    with pytest.raises(SettingsError, match="TOKEN_OF_T1"):
        Workspaces.of([written], "agents.slack")
    monkeypatch.setenv("TOKEN_OF_T1", "xoxb-1")
    known = Workspaces.of([written], "agents.slack")
    house = known.house("T1")
    assert house is not None
    assert (show_id("org", house.organization_id), known.token("T1")) == (written.organization, "xoxb-1")
    assert known.house("T2") is None


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("https://github.example/acme/app.git", "acme/app"),
        ("https://github.example/acme/app", "acme/app"),
        ("https://github.example/acme/app/", "acme/app"),
        ("https://github.example/acme", ""),
        ("https://github.example.evil.example/acme/app", ""),
        ("https://git.example/acme/app.git", ""),
        ("", ""),
    ],
)
def test_a_token_is_made_only_for_addresses_of_this_github(address: str, name: str) -> None:
    assert Names(1, "pouch", "Iv1.a", "https://github.example").full_name(address) == name
