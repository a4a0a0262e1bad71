import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pouch.agents.sandboxes.cloning import Sources, check_address, check_ref, clone
from pouch.agents.sandboxes.errors import CloneFailed, SourceRefused
from pouch.agents.sandboxes.host import Outside
from pouch.agents.sandboxes.types import Repository
from support.git_host import BACKEND, GitHost, git_host
from support.sandboxes import SUMS, box, git, needs_bubblewrap, repository

needs_git_host = pytest.mark.skipif(
    not BACKEND.exists() or shutil.which("openssl") is None, reason="only with git's http server and openssl"
)
LOCAL = Outside(private_hosts=("localhost",))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return repository(tmp_path / "source", SUMS)


@pytest.fixture
def host(tmp_path: Path, source: Path) -> Iterator[GitHost]:
    folder = tmp_path / "host"
    folder.mkdir()
    git(source, "checkout", "-q", "-b", "side")
    git(source, "commit", "-q", "--allow-empty", "-m", "Aside")
    git(source, "tag", "v1")
    git(source, "checkout", "-q", "main")
    git(folder, "clone", "-q", "--bare", str(source), "sums.git")
    with git_host(folder) as host:
        yield host


def sources(host: GitHost) -> Sources:
    return Sources(private_hosts=("localhost",), certificates=host.certificate)


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("", "Name the repository"),
        ("http://example.com/x", "https only"),
        ("ssh://git@example.com/x", "https only"),
        ("git@example.com:x/y", "https only"),
        ("ext::sh -c id", "https only"),
        ("https://alice:secret@example.com/x", "Leave name and password out"),
        ("https://example.com:8443/x", "port 443"),
        ("https://127.0.0.1/x", "not its number"),
        ("https://[::1]/x", "names no host"),
        ("https://2130706433/x", "names no host"),
        ("https://localhost/x", "names no host"),
        ("https://-oProxyCommand=id/x", "names no host"),
        ("https://example.com/x?y", "do not belong"),
        ("https://example.com/x y", "do not belong"),
        ("https://example.com/../x", "do not belong"),
        ("https://example.com/$(id)", "do not belong"),
        ("https://example.com:99999/x", "cannot be read"),
        ("/etc", "operator named"),
        ("file:///etc", "operator named"),
        ("../etc", "operator named"),
        ("x" * 2000, "Name the repository"),
        ("https://example.com/x\n", "Name the repository"),
    ],
)
def test_addresses_that_may_not_be_cloned_say_why(address: str, reason: str) -> None:
    with pytest.raises(SourceRefused, match=reason) as refused:
        check_address(address, Sources())
    assert refused.value.field == "repository"


def test_an_https_address_is_taken_as_it_is() -> None:
    address = check_address("https://Example.com/team/sums.git", Sources())
    assert (address.text, address.host, address.port) == ("https://example.com/team/sums.git", "example.com", 443)


def test_a_folder_is_only_for_where_the_operator_said(tmp_path: Path, source: Path) -> None:
    roots = Sources(local_roots=[tmp_path])
    assert check_address(str(source), roots).folder == source
    outside = tmp_path.parent / f"{tmp_path.name}-outside"
    repository(outside, SUMS)
    (tmp_path / "link").symlink_to(outside)
    for address in (str(outside), f"{source}/../../{outside.name}", str(tmp_path / "link")):
        with pytest.raises(SourceRefused, match="operator named"):
            check_address(address, roots)
    with pytest.raises(SourceRefused, match="no repository"):
        check_address(str(tmp_path), roots)


@pytest.mark.parametrize(
    "ref",
    ["-x", "--upload-pack=id", "a..b", "a b", "a~1", "a^", "a:b", "@{1}", ".a", "a/.b", "a.lock", "a\n", "a\\b", "@"],
)
def test_refs_that_git_would_not_make_are_refused(ref: str) -> None:
    with pytest.raises(SourceRefused):
        check_ref(ref)


def test_refs_that_git_makes_are_taken() -> None:
    for ref in ("", "main", "feature/a-b_c.d", "v1.0", "a" * 40, "größe"):
        assert check_ref(ref) == ref


@needs_bubblewrap
@needs_git_host
@pytest.mark.anyio
class TestCloningOverHttps:
    async def test_the_default_branch(self, root: Path, source: Path, host: GitHost) -> None:
        async with box(root, outside=LOCAL) as sandbox:
            found = await clone(sandbox.sandbox, Repository(host.url("sums.git")), sources(host))
            log = await sandbox.bash("git log --format=%s -1; git status --short --branch; cat .git/config; ls -A ~")
        assert (found.base_sha, found.branch) == (git(source, "rev-parse", "main"), "main")
        assert log.out.startswith("Begin\n## main\n")
        assert sandbox.notices == []

    @pytest.mark.parametrize(("ref", "branch"), [("side", "side"), ("v1", ""), ("SHA", "")])
    async def test_a_branch_a_tag_or_a_commit(
        self, root: Path, source: Path, host: GitHost, ref: str, branch: str
    ) -> None:
        side = git(source, "rev-parse", "side")
        async with box(root, outside=LOCAL) as sandbox:
            asked = Repository(host.url("sums.git"), side if ref == "SHA" else ref)
            found = await clone(sandbox.sandbox, asked, sources(host))
        assert (found.base_sha, found.branch) == (side, branch)

    async def test_a_token_is_used_and_never_seen_by_the_agent(self, root: Path, host: GitHost) -> None:
        host.password = "ghs-secret"
        async with box(root, outside=LOCAL) as sandbox:
            with pytest.raises(CloneFailed):
                await clone(sandbox.sandbox, Repository(host.url("sums.git")), sources(host))
        async with box(root, outside=LOCAL) as sandbox:
            await clone(sandbox.sandbox, Repository(host.url("sums.git"), password="ghs-secret"), sources(host))
            # The words are put together in there: what is looked for must not be found in the search itself.
            words = "printf 'ghs-%s\\n' secret eC1hY2Nlc3MtdG9rZW4 | sed 's/ghs-eC/eC/' > /tmp/words"
            everywhere = "grep -rls -f /tmp/words --exclude-dir={usr,proc,sys} --exclude=words /"
            found = await sandbox.bash(
                f"{words}; {everywhere}; cat /proc/*/environ | grep -a -f /tmp/words; echo looked"
            )
        assert found.out == "looked\n"

    async def test_redirects_are_not_followed(self, root: Path, host: GitHost) -> None:
        host.redirect_to = "https://elsewhere.example"
        async with box(root, outside=LOCAL) as sandbox:
            with pytest.raises(CloneFailed):
                await clone(sandbox.sandbox, Repository(host.url("sums.git")), sources(host))
        assert sandbox.notices == [], "nobody was even asked"

    async def test_a_private_address_is_refused_unless_the_operator_names_it(self, root: Path, host: GitHost) -> None:
        async def lookup(name: str, port: int) -> list[str]:
            assert (name, port) == ("git.example.com", 443)
            return ["127.0.0.1"]

        async with box(root, outside=Outside(lookup=lookup)) as sandbox:
            with pytest.raises(CloneFailed):
                await clone(sandbox.sandbox, Repository("https://git.example.com/sums.git"), sources(host))
        assert host.seen == []
        assert [notice.text for notice in sandbox.notices] == ["git.example.com is not on the public Internet."]

    async def test_an_unknown_ref_is_said(self, root: Path, host: GitHost) -> None:
        async with box(root, outside=LOCAL) as sandbox:
            with pytest.raises(CloneFailed, match="no branch, tag or commit nowhere"):
                await clone(sandbox.sandbox, Repository(host.url("sums.git"), "nowhere"), sources(host))

    async def test_a_certificate_that_nobody_trusts_is_refused(self, root: Path, host: GitHost) -> None:
        async with box(root, outside=LOCAL) as sandbox:
            with pytest.raises(CloneFailed, match="certificate"):
                await clone(
                    sandbox.sandbox, Repository(host.url("sums.git")), replace(sources(host), certificates=None)
                )


@needs_bubblewrap
@pytest.mark.anyio
class TestCloningAFolder:
    async def test_of_the_operator(self, root: Path, tmp_path: Path, source: Path) -> None:
        async with box(root) as sandbox:
            asked = Repository(str(source))
            found = await clone(sandbox.sandbox, asked, Sources(local_roots=[tmp_path]))
            seen = await sandbox.bash("ls / /source; cat .git/config")
        assert (found.base_sha, found.branch) == (git(source, "rev-parse", "HEAD"), "main")
        assert str(tmp_path) not in seen.said
        assert str(source) not in Path("/proc/self/mountinfo").read_text()

    async def test_that_is_empty_is_said(self, root: Path, tmp_path: Path) -> None:
        (tmp_path / "empty").mkdir()
        git(tmp_path / "empty", "init", "-q")
        async with box(root) as sandbox:
            with pytest.raises(CloneFailed):
                await clone(sandbox.sandbox, Repository(str(tmp_path / "empty")), Sources(local_roots=[tmp_path]))

    async def test_the_agent_cannot_change_what_it_began_with(self, root: Path, tmp_path: Path, source: Path) -> None:
        async with box(root) as sandbox:
            await clone(sandbox.sandbox, Repository(str(source)), Sources(local_roots=[tmp_path]))
            done = await sandbox.bash("rm -rf /base.git/objects; git -C /base.git update-ref -d refs/pouch/base")
            assert done.err.count("Read-only file system") >= 2
