"""Everything that an agent might try, and the control that stops it (docs/agents-sandboxes.md has the same list)."""

import asyncio
import contextlib
import ctypes
import os
import platform
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from pouch.agents.sandboxes.bubblewrap import counts_in_namespaces
from pouch.agents.sandboxes.cgroups import find_hierarchies
from support.sandboxes import RUN_KEY, SMALL, Box, box, needs_bubblewrap, needs_root

pytestmark = [pytest.mark.anyio, needs_bubblewrap]

HIERARCHIES = find_hierarchies()
has_memory_limit = pytest.mark.skipif(
    "memory" not in HIERARCHIES.limits, reason="only where control groups limit memory"
)
has_pids_limit = pytest.mark.skipif(
    "pids" not in HIERARCHIES.limits and not counts_in_namespaces(),
    reason="only where processes are counted for each sandbox",
)
is_x86 = pytest.mark.skipif(platform.machine() != "x86_64", reason="only with the call numbers of x86_64")

# Tries system calls by number, and says what each answered.
CALLS = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
def call(name, number, *arguments):
    ctypes.set_errno(0)
    result = libc.syscall(number, *arguments)
    print(name, "allowed" if result >= 0 else os.strerror(ctypes.get_errno()), flush=True)
"""


async def answers(sandbox: Box, lines: str) -> dict[str, str]:
    done = await sandbox.python(CALLS + lines)
    assert done.ending.code == 0, done.said
    return dict(line.split(" ", 1) for line in done.out.splitlines())


async def test_files_of_the_host_are_not_there(root: Path, tmp_path: Path) -> None:
    """Mount namespace: /usr, a few files of /etc, and the run's own places."""
    secret = tmp_path / "secret"
    secret.write_text("of the host")
    places = [str(secret), "/root", "/etc/shadow", "/var", "/srv", "/boot", "/sys", "/home/agent/../../mnt", str(root)]
    async with box(root) as sandbox:
        for place in places:
            done = await sandbox.run("/bin/ls", place)
            assert "No such file or directory" in done.err, place
        listed = (await sandbox.bash("ls /tmp /home; cat /etc/passwd; ls -A /")).out
    assert "pouch-" not in listed
    assert "www-data" not in listed
    names = "base.git bin dev etc home lib lib32 lib64 libx32 opt proc run sbin tmp usr work"
    assert set(listed.split("bash\n")[-1].split()) <= set(names.split())


async def test_another_runs_files_are_not_there(root: Path) -> None:
    """Mount namespace, and an account of its own."""
    async with box(root) as first, box(root, name="run-2") as second:
        await first.bash("echo mine > /work/mine; echo mine > /tmp/mine; echo mine > ~/mine")
        found = await second.bash("ls /work /tmp ~; ls -d /proc/[0-9]*/root/work")
        assert "mine" not in found.out
        if os.geteuid() == 0:
            assert first.work.stat().st_uid != second.work.stat().st_uid


async def test_the_environment_holds_only_what_we_put_there(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """env -i, --clearenv, and a process namespace whose first process has nothing either."""
    monkeypatch.setenv("SECRET_HOST", "hunter2")
    async with box(root) as sandbox:
        seen = await sandbox.bash("env; tr '\\0' '\\n' < /proc/1/environ; cat /proc/*/environ | tr '\\0' '\\n'")
    assert "hunter2" not in seen.said
    assert RUN_KEY not in seen.said
    assert "OPENAI_API_KEY=run-key-is-added-outside" in seen.out


async def test_processes_of_the_host_are_not_there(root: Path) -> None:
    """Process namespace."""
    async with box(root) as sandbox:
        numbers = (await sandbox.bash("ls /proc | grep -c '^[0-9]*$'")).out
        killed = await sandbox.bash(f"kill -9 {os.getpid()}")
    assert int(numbers) <= 5
    assert "No such process" in killed.err


async def test_there_is_no_network_not_even_the_hosts_loopback(root: Path) -> None:
    """Network namespace with nothing in it."""
    with socket.create_server(("127.0.0.1", 0)) as gateway:
        port = gateway.getsockname()[1]
        async with box(root) as sandbox:
            devices = (await sandbox.bash("cat /proc/net/dev /proc/net/route")).out
            assert [line.split(":")[0].strip() for line in devices.splitlines() if ":" in line] == ["lo"]
            for target in (f"127.0.0.1/{port}", "192.0.2.1/80", "169.254.169.254/80"):
                done = await sandbox.bash(f"echo > /dev/tcp/{target}", timeout_s=10)
                assert "refused" in done.err or "unreachable" in done.err, done.said
            done = await sandbox.bash("getent hosts example.com")
            assert done.ending.code != 0


async def test_abstract_sockets_of_the_host_are_not_there(root: Path) -> None:
    """Network namespace: abstract names belong to it."""
    with socket.socket(socket.AF_UNIX) as desktop:
        desktop.bind("\0pouch-test-desktop")
        desktop.listen()
        async with box(root) as sandbox:
            done = await sandbox.python("import socket; socket.socket(socket.AF_UNIX).connect('\\0pouch-test-desktop')")
    assert "ConnectionRefusedError" in done.err


async def test_strange_socket_families_are_refused(root: Path) -> None:
    """System call filter: vsock (40) reaches a virtual machine's host, and no namespace holds it."""
    program = """
import socket
for family in (40, 38, 17, 44, 21):
    try:
        socket.socket(family, socket.SOCK_STREAM); print(family, "made")
    except OSError as error:
        print(family, error.strerror)
socket.socket(socket.AF_INET); socket.socket(socket.AF_UNIX); socket.socket(16, socket.SOCK_RAW)
"""
    async with box(root) as sandbox:
        done = await sandbox.python(program)
    assert done.ending.code == 0, done.said
    assert {line.split(" ", 1)[1] for line in done.out.splitlines()} == {"Address family not supported by protocol"}


async def test_the_system_cannot_be_written(root: Path) -> None:
    """Read-only mounts, also of the root folder and /dev, which would be memory without a limit."""
    async with box(root) as sandbox:
        for path in ("/usr/x", "/x", "/etc/x", "/dev/x", "/opt/pouch/x", "/run/x", "/base.git/x", "/run/pouch/x"):
            done = await sandbox.bash(f"echo x > {path}")
            assert "Read-only file system" in done.err or "Permission denied" in done.err, path
        done = await sandbox.bash("echo 1 > /proc/sys/kernel/hostname; echo b > /proc/sysrq-trigger")
        refusals = ("Permission denied", "Read-only file system", "No such file or directory")
        assert all(any(words in line for words in refusals) for line in done.err.splitlines())
        assert len(done.err.splitlines()) == 2


async def test_devices_are_not_there(root: Path) -> None:
    """A /dev of its own; the disk is mounted without devices, and no right to make any."""
    async with box(root) as sandbox:
        devices = (await sandbox.bash("ls /dev")).out.split()
        made = await sandbox.bash("mknod /work/disk b 254 0; mknod /tmp/disk b 254 0")
    known = "console core fd full null ptmx pts random shm stderr stdin stdout tty urandom zero"
    assert set(devices) <= set(known.split())
    assert made.err.count("Operation not permitted") == 2


@is_x86
async def test_doors_of_the_kernel_are_closed(root: Path) -> None:
    """System call filter. Without it, keyctl and ptrace of the sandbox's first process were allowed."""
    lines = """
call("mount", 165, b"none", b"/tmp", b"tmpfs", 0, 0)
call("umount2", 166, b"/tmp", 2)
call("unshare-user", 272, 0x10000000)
call("unshare-net", 272, 0x40000000)
call("clone-user", 56, 0x10000000 | 17, 0, 0, 0, 0)
call("setns", 308, 0, 0)
call("keyctl", 250, 0, -3, 1)
call("add_key", 248, b"user", b"x", b"y", 1, -3)
call("ptrace", 101, 16, 1, 0, 0)
call("process_vm_readv", 310, 1, 0, 0, 0, 0, 0)
call("bpf", 321, 0, 0, 0)
call("io_uring_setup", 425, 1, 0)
call("userfaultfd", 323, 0)
call("perf_event_open", 298, 0, 0, -1, -1, 0)
call("open_by_handle_at", 304, 0, 0, 0)
call("kexec_load", 246, 0, 0, 0, 0)
call("init_module", 175, 0, 0, 0)
call("reboot", 169, 0, 0, 0, 0)
call("pivot_root", 155, b"/", b"/")
call("chroot", 161, b"/tmp")
call("fsopen", 430, b"tmpfs", 0)
call("pidfd_getfd", 438, 0, 0, 0)
"""
    async with box(root) as sandbox:
        found = await answers(sandbox, lines)
    assert set(found.values()) == {"Operation not permitted"}, found
    assert len(found) == 22


@is_x86
async def test_calls_that_nobody_knows_yet_are_not_there(root: Path) -> None:
    """System call filter: clone3 hides its flags, x32 is another way to every call, and new ones are unknown."""
    async with box(root) as sandbox:
        found = await answers(
            sandbox, 'call("clone3", 435, 0, 0)\ncall("new", 463, 0)\ncall("x32", 0x40000000 | 101, 16, 1, 0, 0)\n'
        )
    assert set(found.values()) == {"Function not implemented"}


@is_x86
async def test_programs_for_the_older_32_bit_interface_are_ended(root: Path) -> None:
    """System call filter: int 0x80 has call numbers of its own."""
    program = """
import ctypes, mmap
code = mmap.mmap(-1, 4096, prot=7)
code.write(bytes([0xB8, 20, 0, 0, 0, 0xCD, 0x80, 0xC3]))
ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(code)))()
"""
    async with box(root) as sandbox:
        done = await sandbox.python(program)
    assert done.ending.code == -31, "SIGSYS"


async def test_keystrokes_cannot_be_put_into_a_terminal(root: Path) -> None:
    """--new-session and the system call filter; the command's upper half is not looked at by the kernel."""
    program = """
import ctypes, os, pty
libc = ctypes.CDLL(None, use_errno=True)
_, terminal = pty.openpty()
for command in (0x5412, 0x541C, 0x5412 | 1 << 32):
    libc.ioctl(terminal, ctypes.c_ulong(command), b"x")
    print(os.strerror(ctypes.get_errno()))
print(os.isatty(terminal))
"""
    async with box(root) as sandbox:
        done = await sandbox.python(program)
        controlling = await sandbox.bash("echo > /dev/tty")
    assert done.out.splitlines() == ["Operation not permitted"] * 3 + ["True"]
    assert "No such device or address" in controlling.err


async def test_programs_still_have_threads_and_children(root: Path) -> None:
    """What the filter refuses must not be what ordinary programs need."""
    program = """
import subprocess, threading
thread = threading.Thread(target=print, args=["thread"]); thread.start(); thread.join()
print(subprocess.run(["git", "--version"], capture_output=True, text=True, check=True).stdout)
"""
    async with box(root) as sandbox:
        done = await sandbox.python(program)
    assert done.ending.code == 0, done.said
    assert "thread\ngit version" in done.out


async def test_rights_cannot_be_gained(root: Path) -> None:
    """No new privileges, no capabilities, nosuid."""
    async with box(root) as sandbox:
        done = await sandbox.bash("grep -E '^(Cap|NoNewPrivs|Seccomp:)' /proc/self/status; su -c id; id -u")
    values = dict(line.split(":\t") for line in done.out.splitlines() if ":\t" in line)
    assert {value for name, value in values.items() if name.startswith("Cap")} == {"0000000000000000"}
    assert (values["NoNewPrivs"], values["Seccomp"]) == ("1", "2")
    assert done.out.splitlines()[-1] == "1000"


@has_pids_limit
async def test_a_fork_bomb_stops_at_the_runs_own_limit(root: Path) -> None:
    """Control group: processes; or the count of the sandbox's own user namespace."""
    line = "for i in $(seq 300); do sleep 20 & done 2>/dev/null; ls /proc | grep -c '^[0-9]*$'"
    async with box(root) as sandbox:
        done = await sandbox.bash(line, timeout_s=20)
        # The host is as quick as before.
        assert (await asyncio.to_thread(os.system, "true")) == 0
    assert "retry" in done.err or "Resource temporarily unavailable" in done.err or int(done.out or 0) <= 64


@has_memory_limit
async def test_a_memory_bomb_ends_itself_and_nothing_else(root: Path) -> None:
    """Control group: memory."""
    async with box(root) as sandbox:
        bomb = "python3 -c 'x = []\nwhile True: x.append(bytearray(10 << 20))'; echo code $?; echo still here"
        done = await sandbox.bash(bomb)
    assert "code 137" in done.out
    assert "still here" in done.out


async def test_one_large_file_is_cut(root: Path) -> None:
    """The limit of a process: file size."""
    async with box(root) as sandbox:
        await sandbox.bash("dd if=/dev/zero of=/work/big bs=1M count=50")
        assert (sandbox.work / "big").stat().st_size <= SMALL.file_bytes


async def test_many_files_stop_at_the_disks_size(root: Path) -> None:
    """A disk of the run's own where root can mount one; else the watcher ends what writes more."""
    line = "for i in 1 2 3 4 5 6 7 8; do dd if=/dev/urandom of=/work/f$i bs=1M count=15 status=none; sleep 0.3; done"
    async with box(root) as sandbox:
        has_quota = sandbox.sandbox.place.has_quota
        done = await sandbox.bash(line)
        used = sum(file.stat().st_blocks * 512 for file in sandbox.work.iterdir())
        again = await sandbox.bash("rm -f /work/f*; echo room > /work/room && cat /work/room")
    if has_quota:
        assert "No space left on device" in done.err
        assert used <= SMALL.disk_bytes
        assert again.out == "room\n"
    else:
        assert [notice.kind for notice in sandbox.notices] == ["disk_full"]
        assert done.ending.reason == "killed"


async def test_home_and_workspace_share_the_disk(root: Path) -> None:
    async with box(root) as sandbox:
        if not sandbox.sandbox.place.has_quota:
            pytest.skip("only where root can mount a disk")
        await sandbox.bash("for i in 1 2 3; do dd if=/dev/urandom of=$HOME/f$i bs=1M count=25 status=none; done")
        done = await sandbox.bash("dd if=/dev/urandom of=/work/f bs=1M count=10")
    assert "No space left on device" in done.err


async def test_temporary_folders_are_of_limited_size(root: Path) -> None:
    """Sized tmpfs."""
    async with box(root) as sandbox:
        for folder in ("/tmp", "/dev/shm"):
            done = await sandbox.bash(f"dd if=/dev/zero of={folder}/fill bs=1M count=24; df -m {folder} | tail -1")
            assert "No space left on device" in done.err, folder


async def test_a_program_that_says_too_much_is_ended(root: Path) -> None:
    """We read only so much."""
    async with box(root) as sandbox:
        done = await sandbox.bash("cat /dev/zero", output_bytes_max=1024 * 1024)
    assert done.ending.reason == "output_limit"
    assert len(done.out) <= 1024 * 1024


async def test_a_program_that_never_ends_is_ended(root: Path) -> None:
    """The wall clock of whoever watches it, from outside."""
    async with box(root) as sandbox:
        done = await sandbox.bash("trap '' TERM INT HUP; while true; do sleep 1; done", timeout_s=1)
    assert done.ending.reason == "timed_out"


async def test_an_agent_that_ignores_stop_is_ended_within_its_grace(root: Path) -> None:
    """SIGTERM, then the end of the whole process namespace, whatever it left in the background."""
    loop = asyncio.get_running_loop()
    async with box(root) as sandbox:
        line = "trap '' TERM; (setsid sleep 1000 & disown); touch /work/ready; while true; do sleep 1; done"
        running = asyncio.create_task(sandbox.bash(line, timeout_s=60))
        while not (sandbox.work / "ready").exists():
            await asyncio.sleep(0.02)
        begun = loop.time()
        await sandbox.sandbox.stop(1)
        took_s = loop.time() - begun
        done = await running
        assert os.geteuid() != 0 or sandbox.pids == set()
    assert done.ending.reason == "killed"
    assert 1 <= took_s < 6


async def test_an_agent_that_ends_when_asked_is_not_killed(root: Path) -> None:
    async with box(root) as sandbox:
        line = "trap 'echo bye; exit 3' TERM; touch /work/ready; while true; do sleep 0.1; done"
        running = asyncio.create_task(sandbox.bash(line))
        while not (sandbox.work / "ready").exists():
            await asyncio.sleep(0.02)
        await sandbox.sandbox.stop(10)
        done = await running
    assert (done.ending.code, done.ending.reason, done.out) == (3, "exited", "bye\n")


async def test_a_frozen_run_does_nothing_until_it_is_thawed(root: Path) -> None:
    """Control group freezer, or SIGSTOP where there is none."""
    async with box(root) as sandbox:
        line = "while true; do echo x >> /work/beats; sleep 0.02; done"
        running = asyncio.create_task(sandbox.bash(line))
        beats = sandbox.work / "beats"
        while not beats.exists() or beats.stat().st_size < 4:
            await asyncio.sleep(0.02)
        await sandbox.sandbox.freeze()
        frozen_at = beats.stat().st_size
        await asyncio.sleep(0.5)
        assert beats.stat().st_size == frozen_at
        await sandbox.sandbox.thaw()
        while beats.stat().st_size == frozen_at:
            await asyncio.sleep(0.02)
        await sandbox.sandbox.freeze()
        await sandbox.sandbox.stop(0.2)
        assert (await running).ending.reason in {"killed", "exited"}


async def test_set_up_secrets_are_gone_before_the_agent_begins(root: Path) -> None:
    """Each phase has an environment and processes of its own."""
    async with box(root, setup_secrets={"NPM_TOKEN": "npm-secret"}, run_secrets={"API_TOKEN": "run-secret"}) as sandbox:
        setup = await sandbox.bash("echo $NPM_TOKEN $API_TOKEN; (sleep 30 &) ", phase="setup")
        agent = await sandbox.bash("echo $API_TOKEN; env; cat /proc/*/environ", phase="agent")
        saving = await sandbox.bash("env", phase="collect")
    assert setup.out == "npm-secret\n"
    assert "run-secret" in agent.out
    assert "npm-secret" not in agent.out
    assert "secret" not in saving.out


async def test_the_sandbox_that_saves_can_only_read_the_work(root: Path) -> None:
    async with box(root) as sandbox:
        done = await sandbox.bash("echo x > /work/x; echo x > ~/x; ls /run/pouch; echo out > /out/x", phase="collect")
        assert done.err.count("Read-only file system") == 2
        assert "cannot access '/run/pouch'" in done.err
        again = await sandbox.bash("ls /out", phase="agent")
        assert "No such file" in again.err


async def test_hooks_and_settings_of_the_agents_repository_do_nothing_outside(root: Path, tmp_path: Path) -> None:
    """git never runs on the agent's tree outside of a sandbox, and inside it uses a git folder of our own."""
    from pouch.agents.sandboxes.saving import save  # noqa: PLC0415 -- the other tests need none of it
    from support.sandboxes import SUMS, cloned, repository  # noqa: PLC0415 -- the same

    traps = """
mkdir -p .git/hooks; for hook in post-checkout pre-commit post-commit reference-transaction post-index-change; do
  printf '#!/bin/sh\\ntouch /work/.trap /tmp/trap /out/trap\\n' > .git/hooks/$hook; chmod +x .git/hooks/$hook; done
git config core.fsmonitor 'touch /out/fsmonitor; false'
git config filter.evil.clean 'touch /out/filter; cat'; git config diff.external 'touch /out/external'
git config core.sshCommand 'touch /out/ssh'; git config uploadpack.packObjectsHook 'touch /out/pack'
echo '* filter=evil diff=evil' > .gitattributes; ln -s /etc/passwd link; echo changed >> sums.py
"""
    async with box(root) as sandbox:
        base = await cloned(sandbox, repository(tmp_path / "sums", SUMS))
        assert (await sandbox.bash(traps)).ending.code == 0
        saved = await save(sandbox.sandbox, base, "agent/x", tmp_path / "saved")
        left = sorted(path.name for path in sandbox.sandbox.place.out.iterdir())
    assert left == ["index", "repository.git", "run.bundle", "run.patch"]
    assert [file.path for file in saved.files] == [".gitattributes", "link", "sums.py"]
    assert saved.patch is not None
    assert "root:x" not in saved.patch.read_text()


@needs_root
async def test_nobody_else_can_use_the_relay(root: Path) -> None:
    """A folder and a socket that only the run's account may open, and the peer's account is asked of the kernel."""
    async with box(root) as sandbox:
        path = sandbox.sandbox.place.sockets / "gateway.sock"
        assert path.stat().st_mode & 0o777 == 0o600
        assert path.parent.stat().st_mode & 0o777 == 0o700
        assert path.stat().st_uid == path.parent.stat().st_uid == sandbox.sandbox.place.account.uid
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(b"GET /v1/models HTTP/1.1\r\nhost: x\r\n\r\n")
        with contextlib.suppress(ConnectionResetError):
            assert await reader.read() == b"", "root itself is not the run's account"
        writer.close()


@needs_root
async def test_an_account_is_shared_with_nothing_else(root: Path) -> None:
    async with box(root) as first, box(root, name="run-2") as second:
        uids = {each.sandbox.place.account.uid for each in (first, second)}
        assert len(uids) == 2
        assert all(uid >= 1_900_000_000 for uid in uids)


def test_the_filter_is_small_and_for_known_machines() -> None:
    from pouch.agents.sandboxes.seccomp import seccomp_filter  # noqa: PLC0415 -- beside its assertion

    for machine in ("x86_64", "aarch64"):
        program = seccomp_filter(machine)
        assert program is not None
        assert len(program) % 8 == 0
        assert len(program) // 8 < 256
    assert seccomp_filter("mips") is None


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    """No mount and no group of a sandbox outlasts it."""
    yield
    assert "run-1/disk" not in Path("/proc/self/mountinfo").read_text() or os.environ.get("PYTEST_XDIST_WORKER")
    assert ctypes.sizeof(ctypes.c_void_p) in {4, 8}
