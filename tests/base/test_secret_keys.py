"""The operator's secret, and the keys that are made from it."""

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pydantic import SecretStr

from pouch.base.secret_keys import SecretKeys
from pouch.settings import SECRET_KEY_FILE, Settings, SettingsError


def test_each_purpose_has_its_own_keys() -> None:
    keys = SecretKeys("s" * 32)
    signature = keys.sign("link", b"1")
    assert keys.is_signed("link", b"1", signature)
    assert keys.is_signed("link", b"1", signature[:24])
    assert not keys.is_signed("link", b"2", signature)
    assert not keys.is_signed("session", b"1", signature)
    assert not keys.is_signed("link", b"1", signature[:-1] + bytes([signature[-1] ^ 1]))
    assert len({keys.of_purpose(purpose) for purpose in ("a", "b", "c")}) == 3


def test_a_replaced_secret_still_reads_and_no_longer_signs() -> None:
    old, new = SecretKeys("o" * 32), SecretKeys("n" * 32, ["o" * 32])
    signature = old.sign("link", b"1")
    assert new.is_signed("link", b"1", signature)
    assert new.sign("link", b"1") != signature
    assert not SecretKeys("n" * 32).is_signed("link", b"1", signature)


def test_the_file_is_made_once_for_its_owner(tmp_path: Path) -> None:
    """By ten processes at once."""
    path = tmp_path / "data" / SECRET_KEY_FILE
    with ThreadPoolExecutor(10) as threads:
        made = list(threads.map(lambda _: SecretKeys.of_file(path).sign("link", b"1"), range(10)))
    assert len(set(made)) == 1
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [each.name for each in path.parent.iterdir()] == [SECRET_KEY_FILE]


def test_a_file_is_rotated_by_a_new_first_line(tmp_path: Path) -> None:
    path = tmp_path / SECRET_KEY_FILE
    before = SecretKeys.of_file(path).sign("link", b"1")
    path.write_text(f"{'n' * 32}\n{path.read_text()}")
    after = SecretKeys.of_file(path)
    assert after.sign("link", b"1") != before
    assert after.is_signed("link", b"1", before)


def test_the_environment_goes_before_the_file(tmp_path: Path) -> None:
    previous = SecretStr(f"{'o' * 32} {'p' * 32}")
    settings = Settings(config="", data_dir=tmp_path, secret_key=SecretStr("n" * 32), secret_key_previous=previous)
    assert settings.secret_keys.sign("x", b"1") == SecretKeys("n" * 32).sign("x", b"1")
    assert settings.secret_keys.is_signed("x", b"1", SecretKeys("p" * 32).sign("x", b"1"))
    assert list(tmp_path.iterdir()) == []


def test_what_could_be_guessed_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="POUCH_SECRET_KEY"):
        _ = Settings(config="", secret_key=SecretStr("short")).secret_keys
    (tmp_path / SECRET_KEY_FILE).write_text("\n")
    with pytest.raises(SettingsError, match=SECRET_KEY_FILE):
        _ = Settings(config="", data_dir=tmp_path).secret_keys
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match="POUCH_SECRET_KEY"):
        _ = Settings(config="", data_dir=tmp_path / "file" / "below").secret_keys
