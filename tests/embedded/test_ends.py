"""The file with which `up` tells its children about the embedded far ends."""

import socket
from pathlib import Path

import pytest

from pouch.embedded.ends import Ends, prepare_ends
from pouch.settings import SettingsError


def test_keys_stay_the_same_from_start_to_start(tmp_path: Path) -> None:
    first = Ends.read(prepare_ends(tmp_path, "postgresql://one"))
    second = Ends.read(prepare_ends(tmp_path, "postgresql://two"))
    assert second == first.model_copy(update={"database_url": "postgresql://two"})


def test_two_data_folders_share_no_key(tmp_path: Path) -> None:
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder in folders:
        folder.mkdir()
    one, two = (Ends.read(prepare_ends(folder, "postgresql://x")) for folder in folders)
    assert not {one.stripe_secret_key, one.stripe_webhook_secret, one.models_key} & {
        two.stripe_secret_key,
        two.stripe_webhook_secret,
        two.models_key,
    }


def test_only_the_owner_can_read_the_file(tmp_path: Path) -> None:
    assert prepare_ends(tmp_path, "postgresql://x").stat().st_mode & 0o777 == 0o600


def test_a_mail_port_that_something_else_took_is_replaced(tmp_path: Path) -> None:
    path = prepare_ends(tmp_path, "postgresql://x")
    with socket.socket() as other:
        other.bind(("127.0.0.1", Ends.read(path).smtp_port))
        other.listen()
        taken = other.getsockname()[1]
        assert Ends.read(prepare_ends(tmp_path, "postgresql://x")).smtp_port != taken


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "ends.json").write_text("{")
    with pytest.raises(SettingsError, match=r"ends\.json cannot be used"):
        prepare_ends(tmp_path, "postgresql://x")
