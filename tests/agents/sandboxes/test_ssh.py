"""Deploy keys: a repository over ssh is fetched with the key, from a host whose key was confirmed, and nothing else."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from agents.house import House
from pouch.agents.asking import Asking
from pouch.agents.deploy_keys import (
    confirm_host,
    find_key,
    fingerprint,
    forget_host,
    list_hosts,
    make_key,
    note_hosts,
    open_key,
    remove_key,
)
from pouch.agents.environments import Environment, find_environment, save_environment
from pouch.agents.sandboxes.cloning import Sources, check_address, clone
from pouch.agents.sandboxes.errors import CloneFailed, HostUnknown, SourceRefused
from pouch.agents.sandboxes.host import Outside
from pouch.agents.sandboxes.ssh import read_ssh
from pouch.agents.sandboxes.types import Repository, SshAccess
from pouch.agents.start import Starter
from pouch.base.database import Connection
from pouch.base.errors import InvalidInput, NotFound
from pouch.base.sealing import CannotOpen, Seal
from pouch.base.secret_keys import SecretKeys
from support.sandboxes import SUMS, Box, box, git, needs_bubblewrap, repository
from support.ssh_host import SshHost, ssh_host

pytestmark = pytest.mark.anyio

SEAL = Seal(SecretKeys("the operator's secret"), "agent-environments")
LOCAL = Outside(private_hosts=("localhost",))
SOURCES = Sources(private_hosts=("localhost",))
needs_ssh = pytest.mark.skipif(shutil.which("ssh") is None, reason="only where ssh is installed")


@pytest.fixture
def host(tmp_path: Path) -> Iterator[SshHost]:
    source = repository(tmp_path / "source", SUMS)
    folder = tmp_path / "host"
    folder.mkdir()
    git(folder, "clone", "-q", "--bare", str(source), "sums.git")
    with ssh_host(folder) as host:
        yield host


async def environment_of(db: Connection, house: House) -> Environment:
    organization = house.alice.organization_id
    made = await save_environment(db, organization, environment_id=None, name="Shop", commands="", hosts="")
    return await find_environment(db, organization, made)


@pytest.mark.parametrize(
    ("address", "text"),
    [
        ("git@git.example.com:team/shop.git", "ssh://git@git.example.com:22/team/shop.git"),
        ("ssh://git.example.com/team/shop", "ssh://git@git.example.com:22/team/shop"),
        ("ssh://deploy@Git.Example.com:22/a/b.git", "ssh://deploy@git.example.com:22/a/b.git"),
    ],
)
def test_an_ssh_address_is_read_where_there_is_a_key(address: str, text: str) -> None:
    assert check_address(address, Sources(), has_key=True).text == text
    with pytest.raises(SourceRefused, match="deploy key"):
        check_address(address, Sources())


@pytest.mark.parametrize(
    "address",
    [
        "git@-oProxyCommand=id:x/y",
        "-oProxyCommand=id@example.com:x",
        "ssh://git@example.com:2222/x",
        "ssh://git@127.0.0.1/x",
        "ssh://git@localhost/x",
        "ssh://git:secret@example.com/x",
        "ssh://git@example.com/../x",
        "ssh://git@example.com/$(id)",
        "git@example.com:x y",
        "ssh+git://git@example.com/x",
    ],
)
def test_an_ssh_address_is_never_an_option_a_number_or_another_port(address: str) -> None:
    with pytest.raises(SourceRefused):
        check_address(address, Sources(), has_key=True)


async def test_the_private_half_is_sealed_and_opens_for_its_environment_alone(house: House) -> None:
    async with house.database.transaction() as db:
        environment = await environment_of(db, house)
        key = await make_key(db, SEAL, environment)
        assert key.public_key.startswith("ssh-ed25519 ")
        assert key.fingerprint.startswith("SHA256:")
        rows = await db.execute("SELECT string_agg(k::text, '') FROM agent_deploy_keys AS k")
        ((stored,),) = await rows.fetchall()
        assert "PRIVATE" not in stored
        access = await open_key(db, SEAL, environment.id)
        assert access is not None
        assert "BEGIN OPENSSH PRIVATE KEY" in access.private_key
        assert "PRIVATE" not in repr(access)
        with pytest.raises(CannotOpen):
            await open_key(db, Seal(SecretKeys("another secret of the operator"), "agent-environments"), environment.id)
        second = await make_key(db, SEAL, environment)
        assert second.public_key != key.public_key
        await remove_key(db, environment)
        assert await find_key(db, environment.id) is None
        assert await open_key(db, SEAL, environment.id) is None


async def test_a_host_is_believed_once_somebody_confirmed_its_key(house: House) -> None:
    line = "git.example.com ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ8FmjWnLpTWbU5rP5cLrwGDKbUeQF0b7vPjEXAMPLEk"
    async with house.database.transaction() as db:
        environment = await environment_of(db, house)
        await make_key(db, SEAL, environment)
        await note_hosts(db, environment.id, [line, line, "-x y", "git.example.com ssh-rsa $(id)"])
        (seen,) = await list_hosts(db, environment.id)
        assert not seen.is_confirmed
        access = await open_key(db, SEAL, environment.id)
        assert access is not None
        assert access.known_hosts == ""
        with pytest.raises(NotFound):
            await confirm_host(db, environment, "SHA256:another")
        await confirm_host(db, environment, fingerprint(seen.key))
        access = await open_key(db, SEAL, environment.id)
        assert access is not None
        assert access.known_hosts == f"{line}\n"
        await forget_host(db, environment, seen.fingerprint)
        assert await list_hosts(db, environment.id) == []


async def test_a_run_over_ssh_needs_an_environment_with_a_key(house: House) -> None:
    asking = Asking(find=lambda _: house.model, first=lambda: house.model, check_address=lambda *_: None)
    fields = {"task": "Look", "repository": "git@git.example.com:team/shop.git"}
    starter = Starter(house.alice.organization_id, house.alice.id, "api", "one")
    await house.show_worker()
    async with house.database.transaction() as db:
        environment = await environment_of(db, house)
        with pytest.raises(InvalidInput, match="deploy key"):
            await asking.start(db, starter, fields)
        with pytest.raises(InvalidInput, match="deploy key"):
            await asking.start(db, starter, fields, environment_id=environment.id)
        await make_key(db, SEAL, environment)
        run, _ = await asking.start(db, starter, fields, environment_id=environment.id)
    assert read_ssh(run.repository) is not None


async def access_of(house: House) -> tuple[SshAccess, str]:
    """A key, and its public half."""
    async with house.database.transaction() as db:
        environment = await environment_of(db, house)
        key = await make_key(db, SEAL, environment)
        access = await open_key(db, SEAL, environment.id)
    assert access is not None
    return access, key.public_key


async def fetched(sandbox: Box, host: SshHost, access: SshAccess, known_hosts: str) -> str:
    asked = Repository(host.url("sums.git"), ssh=SshAccess(access.private_key, known_hosts))
    return (await clone(sandbox.sandbox, asked, SOURCES)).base_sha


@needs_bubblewrap
@needs_ssh
async def test_a_repository_is_fetched_over_ssh_from_a_confirmed_host(house: House, root: Path, host: SshHost) -> None:
    access, public = await access_of(house)
    host.allowed.append(public)
    async with box(root, outside=LOCAL) as sandbox:
        with pytest.raises(HostUnknown) as unknown:
            await fetched(sandbox, host, access, "")
        assert list(unknown.value.lines) == [host.line]
        assert not any("comes in" in each for each in host.seen), "our key was shown to a host that nobody confirmed"
    async with box(root, name="run-2", outside=LOCAL) as sandbox:
        sha = await fetched(sandbox, host, access, f"{host.line}\n")
        assert len(sha) == 40
        assert (sandbox.work / "sums.py").exists()
        left = [path for path in sandbox.sandbox.place.folder.rglob("*") if path.is_file() and path.name != "image"]
        assert not any(b"PRIVATE KEY" in path.read_bytes() for path in left if path.stat().st_size < 100_000)


@needs_bubblewrap
@needs_ssh
async def test_another_key_of_the_host_or_of_ours_ends_the_clone(house: House, root: Path, host: SshHost) -> None:
    access, public = await access_of(house)
    async with box(root, outside=LOCAL) as sandbox:
        with pytest.raises(CloneFailed, match="could not be fetched"):
            await fetched(sandbox, host, access, f"{host.line}\n")
    assert "git is refused" in host.seen
    host.allowed.append(public)
    async with box(root, name="run-2", outside=LOCAL) as sandbox:
        with pytest.raises(CloneFailed):
            await fetched(sandbox, host, access, f"{host.another_line}\n")
    assert "git comes in" not in host.seen
