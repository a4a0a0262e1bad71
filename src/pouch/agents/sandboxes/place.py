"""The folder of one sandbox on the host: a disk of limited size with the workspace, the home and the base on it.

NAME/meta.json     whose it is, and how its disk is limited
NAME/image         the disk, a file with a file system in it, where root may mount one
NAME/disk/work     /work, the workspace
NAME/disk/home     /home/agent
NAME/disk/base.git /base.git, what the run began with, which the agent can only read
NAME/out           /out of the sandbox that saves; not on the disk, which may be full
"""

import asyncio
import contextlib
import fcntl
import hashlib
import json
import os
import re
import shutil
import stat
import tempfile
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

from pouch.agents.sandboxes.accounts import Account, take_account
from pouch.agents.sandboxes.errors import PlaceInUse, SandboxFailed
from pouch.agents.sandboxes.types import Limits

NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,39}", re.ASCII)
SYSTEM = Path("/var/lib/pouch/agents")
LOCK = "lock"
DISK = "disk-name"
"""A file beside the places."""
PROGRAMS = "programs"
"""A copy of `agents/inside`."""
SOURCE = "source"
"""What was bound into the place for a clone; its name begins so."""
PARTS = ("work", "home", "base.git")
MAKE_TIMEOUT_S = 60
_ESCAPED = re.compile(r"\\([0-7]{3})")


@dataclass(slots=True)
class Place:
    """One sandbox's folder, made or found."""

    folder: Path
    account: Account
    sockets: Path
    """A short, private folder: the path of a socket has 107 bytes at most."""
    lock: int
    """Held as long as a living worker has the place."""
    has_quota: bool
    """Whether the disk is full when it is full. Else somebody must watch (`watching.py`)."""

    def part(self, name: str) -> Path:
        """A folder of the disk."""
        return self.folder / "disk" / name

    def release(self) -> None:
        """Let others have it, as the end of our process would. Repeats safely."""
        self.account.free()
        lock, self.lock = self.lock, -1
        if lock >= 0:
            os.close(lock)

    @property
    def out(self) -> Path:
        """Where the sandbox that saves may write."""
        return self.folder / "out"


def places_root(data_dir: Path) -> Path:
    """Where the places of this data folder are: there, unless a sandbox's account could not pass."""
    inside = data_dir.absolute() / "agents"
    if os.geteuid() != 0 or _is_passable(inside):
        return inside
    # Pouch's own folders must not meet those of another data folder of this machine.
    return SYSTEM / hashlib.sha256(os.fsencode(data_dir.absolute())).hexdigest()[:16]


def disk_of(root: Path) -> str:
    """A name for the disk that the places lie on, the same as long as it lasts, whatever its machine is called then."""
    path = root / DISK
    if not path.exists():
        _make_root(root)
        draft = root / f"{DISK}.{uuid.uuid4()}"
        draft.write_text(str(uuid.uuid4()))
        # Two processes may be here at once; the first one names it.
        with contextlib.suppress(FileExistsError):
            path.hardlink_to(draft)
        draft.unlink()
    return path.read_text()


async def make_place(root: Path, name: str, limits: Limits, *, may_mount: bool) -> Place:
    """Make an empty place. Raises SandboxFailed."""
    assert NAME.fullmatch(name), name
    folder = root / name
    account: Account | None = None
    lock: int | None = None
    try:
        _make_root(root)
        folder.mkdir(mode=0o711)
        folder.chmod(0o711)
        lock = _lock(folder)
        account = take_account(_taken(root))
        (folder / "disk").mkdir()
        has_quota = may_mount and await _mount(folder, limits, account)
        place = Place(folder, account, _sockets(account), lock, has_quota)
        place.out.mkdir(mode=0o700)
        for part in PARTS:
            place.part(part).mkdir(mode=0o700)
        account.give(place.out, *map(place.part, PARTS))
        meta = {"uid": account.uid, "sockets": str(place.sockets), "has_quota": has_quota}
        (folder / "meta.json").write_text(json.dumps(meta))
    except FileExistsError as error:
        raise SandboxFailed(f"There is a sandbox {name} already.") from error
    except BaseException as error:
        if account is not None:
            account.free()
        if lock is not None:
            os.close(lock)
        await _take_away(folder)
        if not isinstance(error, OSError):
            raise
        raise SandboxFailed(f"The sandbox's folder cannot be made: {error.strerror or error}") from error
    return place


async def find_place(root: Path, name: str) -> Place | None:
    """A place that a worker left behind, mounted again where it was not any more; None when there is none.

    Raises PlaceInUse when its worker is alive, or another sandbox of this machine has its account for now.
    """
    folder = root / name
    try:
        lock = _lock(folder)
    except BlockingIOError:
        raise PlaceInUse(f"The sandbox {name} is still in use.") from None
    except OSError:
        return None
    try:
        meta = json.loads((folder / "meta.json").read_text())
        wanted = int(meta["uid"])
    except (OSError, ValueError, KeyError):
        os.close(lock)
        return None
    try:
        account = take_account(set(), wanted=wanted)
    except OSError:
        os.close(lock)
        raise PlaceInUse(f"The account of the sandbox {name} is in use.") from None
    try:
        if not (folder / "disk/work").is_dir() and (folder / "image").exists():
            await run_program("mount", "-o", "loop,nodev,nosuid", str(folder / "image"), str(folder / "disk"))
    except OSError:
        account.free()
        os.close(lock)
        return None
    place = Place(folder, account, _sockets(account), lock, bool(meta["has_quota"]))
    if not place.part("work").is_dir():
        account.free()
        os.close(lock)
        return None
    shutil.rmtree(meta["sockets"], ignore_errors=True)
    shutil.rmtree(place.out, ignore_errors=True)
    place.out.mkdir(mode=0o700)
    account.give(place.out)
    return place


def names_of_places(root: Path) -> list[str]:
    """Every place that is there."""
    if not root.is_dir():
        return []
    return sorted(each.name for each in root.iterdir() if NAME.fullmatch(each.name) and each.is_dir())


async def remove_place(place: Place) -> None:
    """Remove it with everything in it. Repeats safely. Raises SandboxFailed when it is still in use."""
    shutil.rmtree(place.sockets, ignore_errors=True)
    await _take_away(place.folder)
    place.release()


def leave_place(place: Place) -> None:
    """Let others have it, with everything in it."""
    shutil.rmtree(place.sockets, ignore_errors=True)
    place.release()


async def sweep_places(root: Path, *, older_than_s: float) -> list[str]:
    """Remove places that no living worker has and that are older: what a crash left, and nobody came to save."""
    swept: list[str] = []
    for name in names_of_places(root):
        folder = root / name
        try:
            if time.time() - folder.stat().st_mtime < older_than_s:
                continue
            lock = _lock(folder)
        except OSError:
            continue
        try:
            with contextlib.suppress(OSError, ValueError, KeyError):
                shutil.rmtree(json.loads((folder / "meta.json").read_text())["sockets"], ignore_errors=True)
            await _take_away(folder)
            swept.append(name)
        except SandboxFailed:
            continue
        finally:
            os.close(lock)
    return swept


def _make_root(root: Path) -> None:
    for parent in [*reversed(root.parents), root]:
        if not parent.exists():
            parent.mkdir(mode=0o711, exist_ok=True)
            parent.chmod(0o711)


async def _mount(folder: Path, limits: Limits, account: Account) -> bool:
    image, disk = folder / "image", folder / "disk"
    try:
        with image.open("xb") as file:
            file.truncate(limits.disk_bytes)
        image.chmod(0o600)
        # No journal: nobody needs this disk after a crash of the machine.
        options = "lazy_itable_init=1,nodiscard"
        await run_program("mkfs.ext4", "-q", "-F", "-m", "0", "-O", "^has_journal", "-E", options, str(image))
        await run_program("mount", "-o", "loop,nodev,nosuid,noatime", str(image), str(disk))
    except OSError:
        image.unlink(missing_ok=True)
        return False
    with contextlib.suppress(OSError):
        (disk / "lost+found").rmdir()
    disk.chmod(0o711)
    account.give(image)
    os.chown(image, 0, 0)
    return True


async def _take_away(folder: Path) -> None:
    if not folder.exists():
        return
    for mounted in mounts_below(folder):
        try:
            await run_program("umount", mounted)
        except OSError as error:
            raise SandboxFailed(f"{mounted} is still in use.") from error
    # What is mounted from elsewhere must never be removed with the folder.
    if mounts_below(folder):
        raise SandboxFailed(f"Something is still mounted in {folder}.")
    await asyncio.to_thread(_remove, folder)


def _remove(folder: Path) -> None:
    """Remove a tree whose folders may have lost their rights."""
    for parent, names, _ in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                path = Path(parent, name)
                if not path.is_symlink():
                    path.chmod(stat.S_IRWXU)
    shutil.rmtree(folder, ignore_errors=True)


def mounts_below(folder: Path) -> list[str]:
    """What is mounted in a folder, the innermost first. A folder bound from the same disk looks like any other."""
    found: list[str] = []
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/mountinfo").read_text().splitlines():
            mounted = _ESCAPED.sub(lambda escape: chr(int(escape[1], 8)), line.split(" ")[4])
            if Path(mounted).is_relative_to(folder):
                found.append(mounted)
    return found[::-1]


async def run_program(*words: str) -> None:
    """Run a program of the system. Raises OSError when it fails or is not there."""
    process = await asyncio.create_subprocess_exec(
        *words,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"},
    )
    try:
        async with asyncio.timeout(MAKE_TIMEOUT_S):
            _, said = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        raise OSError(f"{words[0]} took too long") from None
    if process.returncode:
        raise OSError(f"{words[0]}: {said.decode(errors='replace').strip()[-300:]}")


def _lock(folder: Path) -> int:
    """Take a place for this process. Raises OSError when another one has it."""
    lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        raise
    return lock


def _sockets(account: Account) -> Path:
    folder = Path(
        tempfile.mkdtemp(prefix="pouch-s-", dir="/run" if os.geteuid() == 0 and os.access("/run", os.W_OK) else None)
    )
    account.give(folder)
    return folder


def _taken(root: Path) -> set[int]:
    taken: set[int] = set()
    for name in names_of_places(root):
        with contextlib.suppress(OSError, ValueError, KeyError):
            taken.add(json.loads((root / name / "meta.json").read_text())["uid"])
    return taken


def _is_passable(folder: Path) -> bool:
    """Whether everybody may go through all folders above, as far as they exist."""
    return all(not parent.exists() or parent.stat().st_mode & stat.S_IXOTH for parent in [folder, *folder.parents])
