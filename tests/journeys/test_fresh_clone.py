"""A fresh clone: `bin/run` as the README says, up to the first call, as this account and as an ordinary user."""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

import httpx
import pytest

from journeys.clients import run_readme
from support.accounts import NOBODY
from support.pouch import FIRST, READY, quiet_port, until

pytestmark = [pytest.mark.anyio, pytest.mark.long, pytest.mark.timeout(1500)]

ROOT = Path(__file__).parents[2]
SETUP_TIMEOUT_S = 900
STOP_TIMEOUT_S = 120
PLAIN_PATH = "/usr/local/bin:/usr/bin:/bin"
FORM = {"email": "first@example.com", "password": "correct horse battery"}
CARD = {"number": "4242424242424242", "expiration": "12/34", "cvc": "123"}


class Clone(NamedTuple):
    """Where it answers, and the link that it printed."""

    url: str
    first_link: str


@pytest.mark.parametrize("who", ["this account", "nobody"])
async def test_the_readme_from_the_clone_to_the_first_call(who: str) -> None:
    """The folder has a space in its name. What the README promises of the mail, the balance and the cost comes true."""
    with running_clone(as_nobody=who == "nobody") as clone:
        async with httpx.AsyncClient(
            base_url=clone.url, headers={"origin": clone.url}, timeout=60, trust_env=False
        ) as browser:
            assert (await browser.post(clone.first_link, data=FORM)).status_code == 303
            assert "Available $0.00" in words((await browser.get("/")).text)
            bought = {"amount_usd": "10", "attempt": str(uuid4())}
            checkout = (await browser.post("/billing/purchases", data=bought)).headers["location"]
            paid = (await browser.post(checkout, data=CARD)).headers["location"]
            assert "Available $10.00" in words((await browser.get(paid)).text)

            def confirmation() -> str | None:
                mails = httpx.get(f"{clone.url}/embedded/mailbox.json?to={FORM['email']}", trust_env=False).json()
                return next((mail["text"] for mail in mails if "$10.00" in mail["text"]), None)

            assert until(confirmation, what="the confirmation of the purchase")
            made = await browser.post("/keys", data={"name": "first", "attempt": str(uuid4())}, follow_redirects=True)
            key = re.search(r"sk-pouch-\w+", made.text)
            assert key, words(made.text)
            assert run_readme(clone.url, key[0])[-1] == "cost in dollars: 0.000018000"
            assert "Available $9.99" in words((await browser.get("/")).text)


@contextmanager
def running_clone(*, as_nobody: bool) -> Iterator[Clone]:
    """What git would clone, in a folder that its user owns, run by `bin/run` until the block ends."""
    if as_nobody and os.geteuid() != 0:
        pytest.skip("only for root: becomes another account")
    if as_nobody and not _python_of(PLAIN_PATH):
        pytest.skip("only where every account has a Python 3.11 or newer with venv")
    folder = Path(tempfile.mkdtemp(prefix="pouch clone "))
    try:
        clone, log = folder / "a clone", folder / "log"
        copy_tracked(clone)
        url = f"http://127.0.0.1:{quiet_port()}"
        environment = {name: text for name, text in os.environ.items() if not name.startswith(("POUCH_", "PYTHON"))}
        environment |= {"HOME": str(folder), "POUCH_PORT": url.rpartition(":")[2]}
        if as_nobody:
            environment["PATH"] = PLAIN_PATH
            subprocess.run(["chown", "-R", f"{NOBODY}:{NOBODY}", folder], check=True)
        with log.open("wb") as said:
            process = subprocess.Popen(
                [clone / "bin" / "run"],
                cwd="/",
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                user=NOBODY if as_nobody else None,
                group=NOBODY if as_nobody else None,
                extra_groups=[] if as_nobody else None,
            )

        def ready() -> str | None:
            assert process.poll() is None, log.read_text()
            text = log.read_text()
            found = FIRST.search(text)
            return found[1] if found and f"{READY}{url}" in text else None

        try:
            link = until(ready, what="the first link", timeout_s=SETUP_TIMEOUT_S, log=log.read_text)
            yield Clone(url, link)
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(STOP_TIMEOUT_S) == 0, log.read_text()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def copy_tracked(clone: Path) -> None:
    """The files that git knows, as they are now, so that a change can be tried before it is committed."""
    listed = subprocess.run(["git", "-C", ROOT, "ls-files", "-z"], capture_output=True, text=True, check=True)
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (clone / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, clone / name)


def words(page: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", page).split())


def _python_of(path: str) -> bool:
    check = f"import sys, venv, ensurepip; sys.exit(sys.version_info < {(3, 11)})"
    python = shutil.which("python3", path=path) or sys.executable
    try:
        return subprocess.run([python, "-I", "-c", check], user=NOBODY, cwd="/", check=False).returncode == 0
    except PermissionError:
        return False
