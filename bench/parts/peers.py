"""Other gateways, in the same run: nginx (no policy at all), LiteLLM's proxy, TensorZero's embedded gateway.

They are installed into a folder of the system's temporary folder, never among our own dependencies: the Python ones
from the package index that pip is set up with, nginx by unpacking Debian's packages. One that cannot be had is a gap
that is named. None of them keeps money here: no database, no budgets, no logging of calls.
"""

import asyncio
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from bench.parts.targets import START_TIMEOUT_S, Target, free_port, started, until_answering

KEPT = Path(tempfile.gettempdir()) / "pouch-bench-peers"
LITELLM = "litellm[proxy]==1.106.2"
TENSORZERO = "tensorzero==2026.6.0"
INSTALL_TIMEOUT_S = 900
NAMES = ("nginx", "LiteLLM", "TensorZero")


class PeerMissing(Exception):
    """A peer cannot be installed or started here."""


@asynccontextmanager
async def peer(name: str, folder: Path, upstream: Target, *, core: int | None) -> AsyncIterator[Target]:
    """A peer in front of the upstream, until the end of the block. Raises PeerMissing."""
    make = {"nginx": _nginx, "LiteLLM": _litellm, "TensorZero": _tensorzero}[name]
    try:
        target = make(folder, upstream, core)
        running = await target.__aenter__()
    except (OSError, subprocess.SubprocessError, TimeoutError) as error:
        raise PeerMissing(f"{name}: {str(error)[:500] or type(error).__name__}") from error
    try:
        yield running
    finally:
        await target.__aexit__(None, None, None)


@asynccontextmanager
async def _nginx(folder: Path, upstream: Target, core: int | None) -> AsyncIterator[Target]:
    program, port = _nginx_program(), free_port()
    config, log = folder / "nginx.conf", folder / "nginx.log"
    config.write_text(
        f"""
        worker_processes 1; daemon off; pid {folder}/nginx.pid; error_log stderr warn; user root;
        events {{ worker_connections 8192; }}
        http {{
            access_log off; keepalive_requests 100000000;
            client_body_temp_path {folder}/nginx-body; proxy_temp_path {folder}/nginx-proxy;
            fastcgi_temp_path {folder}/nginx-f; uwsgi_temp_path {folder}/nginx-u; scgi_temp_path {folder}/nginx-s;
            upstream mock {{ server 127.0.0.1:{upstream.port}; keepalive 1024; keepalive_requests 100000000; }}
            server {{
                listen 127.0.0.1:{port};
                location / {{
                    proxy_pass http://mock; proxy_http_version 1.1; proxy_set_header Connection "";
                    proxy_buffering off; client_body_buffer_size 1m;
                }}
            }}
        }}
        """
    )
    with started([program, "-c", str(config), "-p", str(folder), "-e", "stderr"], log, core=core) as process:
        yield await until_answering(Target("nginx, no policy", port, process.pid), process, log)


@asynccontextmanager
async def _litellm(folder: Path, upstream: Target, core: int | None) -> AsyncIterator[Target]:
    python, port = _virtual_environment("litellm", [LITELLM]), free_port()
    config, log = folder / "litellm.yaml", folder / "litellm.log"
    config.write_text(
        f"""
model_list:
  - model_name: mock
    litellm_params:
      model: openai/mock
      api_base: "http://127.0.0.1:{upstream.port}/v1"
      api_key: sk-upstream
      input_cost_per_token: 0.00000025
      output_cost_per_token: 0.000002
litellm_settings: {{telemetry: false, callbacks: [], num_retries: 0, request_timeout: 60, set_verbose: false}}
general_settings: {{master_key: sk-bench}}
"""
    )
    environment = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_MODE": "PRODUCTION", "LITELLM_LOG": "ERROR"}
    program = str(python.with_name("litellm"))
    command = [program, "--config", str(config), "--host", "127.0.0.1", "--port", str(port), "--num_workers", "1"]
    with started(command, log, core=core, environment=environment) as process:
        yield await until_answering(Target(LITELLM.replace("[proxy]==", " "), port, process.pid), process, log)


# The wheel's gateway serves HTTP on a port of its own choice as long as the patched client lives.
_EMBED = """
import sys, time, warnings
warnings.simplefilter("ignore")
import openai, tensorzero
client = tensorzero.patch_openai_client(openai.OpenAI(api_key="none"), config_file=sys.argv[1], async_setup=False)
open(sys.argv[2], "w").write(str(client.base_url))
while True:
    time.sleep(3600)
"""


@asynccontextmanager
async def _tensorzero(folder: Path, upstream: Target, core: int | None) -> AsyncIterator[Target]:
    python = _virtual_environment("tensorzero", [TENSORZERO, "openai"])
    config, log, told = folder / "tensorzero.toml", folder / "tensorzero.log", folder / "tensorzero.url"
    config.write_text(
        f"""
[gateway]
observability.enabled = false
[models.mock]
routing = ["mock"]
[models.mock.providers.mock]
type = "openai"
api_base = "http://127.0.0.1:{upstream.port}/v1/"
model_name = "mock"
api_key_location = "none"
"""
    )
    with started([str(python), "-c", _EMBED, str(config), str(told)], log, core=core) as process:
        async with asyncio.timeout(START_TIMEOUT_S):
            while not (told.exists() and told.read_text()):
                if process.poll() is not None:
                    raise OSError(log.read_text(errors="replace")[-500:])
                await asyncio.sleep(0.1)
        port = int(told.read_text().split(":")[2].split("/")[0])
        target = Target(
            f"{TENSORZERO.replace('==', ' ')} embedded",
            port,
            process.pid,
            path="/openai/v1/chat/completions",
            model="tensorzero::model_name::mock",
        )
        yield await until_answering(target, process, log)


def _virtual_environment(name: str, packages: list[str]) -> Path:
    """The Python of a virtual environment with the packages in it, made when it is not there."""
    folder = KEPT / name
    python = folder / "bin" / "python"
    done = folder / "installed"
    if not done.exists():
        print(f"Installing {packages[0]} into {folder}.", file=sys.stderr, flush=True)
        shutil.rmtree(folder, ignore_errors=True)
        _run([sys.executable, "-m", "venv", str(folder)])
        _run([str(python), "-m", "pip", "install", "--quiet", *packages])
        done.touch()
    return python


def _nginx_program() -> str:
    if found := shutil.which("nginx"):
        return found
    folder = KEPT / "nginx"
    program = folder / "usr" / "sbin" / "nginx"
    if not program.exists():
        print(f"Unpacking nginx into {folder}.", file=sys.stderr, flush=True)
        folder.mkdir(parents=True, exist_ok=True)
        _run(["apt-get", "download", "--quiet", "nginx"], folder)
        for package in folder.glob("*.deb"):
            _run(["dpkg", "-x", str(package), str(folder)])
    return str(program)


def _run(command: list[str], folder: Path | None = None) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=INSTALL_TIMEOUT_S)
    if done.returncode:
        raise OSError(f"{command[0]}: {(done.stderr or done.stdout).strip()[-400:]}")
