"""A whole Pouch that really runs: `pouch up` as a process of its own, on a data folder and a port of its own."""

import fcntl
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self, TypeVar

import httpx

from pouch.embedded.ends import FILE, Ends
from support.commands import run_commands
from support.postgres import quick_folder
from support.prepared import copy_prepared

START_TIMEOUT_S = 120
STOP_TIMEOUT_S = 120
COMMAND_TIMEOUT_S = 120
POLL_S = 0.02
READY = "Pouch is ready: "
FIRST = re.compile(r"The first person opens, once: (\S+)")

ChildName = Literal["serve", "work", "postgres"]
T = TypeVar("T")

_chance = random.SystemRandom()  # hypothesis seeds the other one


class Funds(NamedTuple):
    """What `pouch balance` says, in dollars."""

    available: Decimal
    held: Decimal = Decimal(0)


class RunningPouch:
    """`pouch up` between `start` and `stop`, and the operator's commands on the same data folder.

    The folder, the port and so the URL stay the same over any number of starts. As a context manager it starts, and in
    the end stops whatever still runs and forgets the folder.
    """

    def __init__(
        self, *, toml: str = "", environment: Mapping[str, str] | None = None, from_nothing: bool = False
    ) -> None:
        """`toml` is the text of pouch.toml; `environment` is added to ours, from which POUCH_* is taken out.

        `from_nothing`: without a data folder, as on a new machine; else with one whose tables are there already.
        """
        self.folder = Path(tempfile.mkdtemp(prefix="pouch-run-", dir=quick_folder()))
        # Postgres runs as another account when we are root, and must be able to pass.
        self.folder.chmod(0o711)
        self.data_dir = self.folder / "data"
        if not from_nothing:
            copy_prepared(self.data_dir)
        self.port = quiet_port()
        self.log_file = self.folder / "log"
        config = self.folder / "pouch.toml"
        config.write_text(toml)
        own = {
            "POUCH_DATA_DIR": str(self.data_dir),
            "POUCH_PORT": str(self.port),
            "POUCH_CONFIG": str(config) if toml else "",
        }
        foreign = {name: value for name, value in os.environ.items() if not name.startswith("POUCH_")}
        self.environment = foreign | own | dict(environment or {})
        self._process: subprocess.Popen[bytes] | None = None
        self._begin = 0

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """The number of `up` itself."""
        assert self._process is not None
        return self._process.pid

    @property
    def first_link(self) -> str:
        """The link for the first person, as this start printed it."""
        found = until(lambda: FIRST.search(self.log(of_this_start=True)), what="the first person's link")
        return found[1]

    @property
    def ends(self) -> Ends:
        """Keys and addresses of the embedded far ends."""
        return Ends.read(self.data_dir / FILE)

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.stop()
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)

    def launch(self) -> None:
        """Start `up` and return at once."""
        with self.log_file.open("ab") as log:
            self._begin = log.tell()
            self._process = subprocess.Popen(
                command("up"),
                cwd=self.folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def start(self) -> None:
        """Start `up` and return when it says that Pouch is ready."""
        self.launch()
        until(self._is_ready, what="Pouch to be ready", timeout_s=START_TIMEOUT_S, log=self.log)

    def stop(self) -> int:
        """Ask `up` to end and wait until it has: its code. Does nothing when it ended already."""
        if self._process is None:
            return 0
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            for pid in (*self.children().values(), self._process.pid):
                os.kill(pid, signal.SIGKILL)
            self._process.wait()
            raise AssertionError(f"`pouch up` did not stop.\n{self.log()}") from None

    def kill(self) -> None:
        """End `up` with SIGKILL. Its children find out by themselves; Postgres goes on until somebody comes."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def children(self) -> dict[str, int]:
        """The numbers of the processes that `up` keeps running right now: serve, work, postgres."""
        found: dict[str, int] = {}
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                parent = int(stat.read_text().rpartition(")")[2].split()[1])
                arguments = (stat.parent / "cmdline").read_bytes().split(b"\0")
            except OSError:  # it has just ended
                continue
            if parent != self.pid:
                continue
            if (name := _child_name(arguments)) is not None:
                found[name] = int(stat.parent.name)
        return found

    def child(self, name: ChildName, *, other_than: int = 0) -> int:
        """The number of one of them, once it runs; `other_than` is that of the one before."""
        return until(
            lambda: pid if (pid := self.children().get(name, 0)) != other_than else 0,
            what=f"{name} to run",
            timeout_s=START_TIMEOUT_S,
            log=self.log,
        )

    def is_answering(self) -> bool:
        """Whether /readyz answers 200 right now."""
        try:
            return httpx.get(f"{self.url}/readyz", timeout=5, trust_env=False).status_code == 200
        except httpx.HTTPError:
            return False

    def log(self, *, of_this_start: bool = False) -> str:
        """Everything that `up` and its children have said."""
        if not self.log_file.exists():
            return ""
        with self.log_file.open("rb") as log:
            log.seek(self._begin if of_this_start else 0)
            return log.read().decode(errors="replace")

    def cli(
        self,
        *arguments: str,
        input: str = "",  # noqa: A002 -- subprocess's own word
        environment: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run an operator's command to its end, whatever its code, as a shell would."""
        return subprocess.run(
            command(*arguments),
            cwd=self.folder,
            env=self.environment | dict(environment or {}),
            input=input,
            capture_output=True,
            text=True,
            timeout=COMMAND_TIMEOUT_S,
            check=False,
        )

    def does(self, *arguments: str, input: str = "") -> str:  # noqa: A002 -- the same
        """Run an operator's command that must succeed: what it printed."""
        done = run_commands(arguments, environment=self.environment, folder=self.folder, typed=input)
        assert done.returncode == 0, f"pouch {' '.join(arguments)}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout

    def add_person(self, email: str, *, usd: str = "", password: str = "correct horse battery") -> str:
        """Register a verified person, grant them credits, and make them a key: its secret."""
        commands = [["user", "add", email, "--password-stdin"], ["key", "add", email, "test"]]
        if usd:
            commands.insert(1, ["grant", email, usd, "--key", f"first {email}", "--note", "To begin with"])
        done = run_commands(*commands, environment=self.environment, folder=self.folder, typed=password)
        assert done.returncode == 0, f"{email} could not be added: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout.split()[-1]

    def balance(self, email: str) -> Funds:
        """What `pouch balance` says of a person."""
        words = self.does("balance", email).split()
        assert (words[0], words[2]) == ("available", "held")
        return Funds(Decimal(words[1]), Decimal(words[3]))

    def settled_balance(self, email: str) -> Funds:
        """The same once nothing is held for calls under way."""
        return until(
            lambda: funds if not (funds := self.balance(email)).held else None, what="holds to end", log=self.log
        )

    def mails(self, to: str) -> list[dict[str, Any]]:
        """The embedded mailbox of an address, newest first."""
        answer = httpx.get(f"{self.url}/embedded/mailbox.json", params={"to": to}, trust_env=False)
        assert answer.status_code == 200, answer.text
        found: list[dict[str, Any]] = json.loads(answer.text)
        return found

    def _is_ready(self) -> bool:
        assert self._process is not None
        if READY in self.log(of_this_start=True):
            return True
        code = self._process.poll()
        assert code is None, f"`pouch up` ended with {code}.\n{self.log()}"
        return False


def command(*arguments: str) -> list[str]:
    """The command line of `pouch …`."""
    return [sys.executable, "-P", "-m", "pouch.cli", *arguments]


def until(holds: Callable[[], T | None], *, what: str, timeout_s: float = 30, log: Callable[[], str] = lambda: "") -> T:
    """Wait for what another process does, and return it. Fails with `what`, and the log, when it does not come."""
    deadline = time.monotonic() + timeout_s
    while True:
        if found := holds():
            return found
        assert time.monotonic() < deadline, f"waited {timeout_s:g} s for {what}\n{log()}"
        time.sleep(POLL_S)


def quiet_port() -> int:
    """A free loopback port that nobody else gets, neither from the system nor from here, while this process lives.

    It is still ours after a restart of what listens there, and before its first start, which takes seconds.
    """
    folder = Path(tempfile.gettempdir()) / f"pouch-ports-{os.getuid()}"
    folder.mkdir(exist_ok=True)
    while True:
        port = _chance.randint(20_000, 32_000)
        lock = os.open(folder / str(port), os.O_CREAT | os.O_RDWR)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(("127.0.0.1", port))
        except OSError:
            os.close(lock)
            continue
        return port  # the lock ends with this process


def _child_name(arguments: list[bytes]) -> ChildName | None:
    if Path(arguments[0].decode()).name == "postgres":
        return "postgres"
    match arguments:
        case [*_, b"pouch.cli", b"serve", b""]:
            return "serve"
        case [*_, b"pouch.cli", b"work", b""]:
            return "work"
    return None
