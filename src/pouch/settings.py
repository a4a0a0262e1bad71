"""Every POUCH_* variable and every pouch.toml field, typed, read once at start."""

import tomllib
from collections.abc import Mapping, Sequence
from functools import cached_property
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from email_validator import EmailNotValidError, validate_email
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    PositiveInt,
    SecretStr,
    ValidationError,
    model_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict

from pouch.base import languages
from pouch.base.money import NANOS_PER_CENT, Dollars, Money
from pouch.base.percent import Percent, PercentText
from pouch.base.secret_keys import SecretKeys

PriceClass = Literal[
    "input",
    "output",
    "cache_read",
    "cache_write_5m",
    "cache_write_1h",
    "reasoning",
    "image",
    "audio_minute",
    "search",
    "request",
]

Dialect = Literal["as_is", "openai", "plain"]
Droppable = Literal[
    "temperature",
    "top_p",
    "presence_penalty",
    "frequency_penalty",
    "stop",
    "seed",
    "logit_bias",
    "logprobs",
    "top_logprobs",
    "parallel_tool_calls",
    "reasoning",
    "reasoning_effort",
    "response_format",
    "user",
    "metadata",
    "store",
]
"""Fields of a request that cost nothing when they are left out. Those that bound the output are not among them."""

SECRET_KEY_FILE = "secret-key"  # noqa: S105 -- the name of the file, not what is in it
"""In the data folder, for its owner only."""
TOKENS_MAX = 1_000_000_000
"""No model reads or writes more at once."""


class SettingsError(Exception):
    """What the operator wrote cannot be used; the text names the place and the remedy."""


def _exact_price(value: object) -> Money:
    if not isinstance(value, str):
        # pydantic reports ValueError, not TypeError.
        raise ValueError('a price is written as text, such as "0.25": a number has already lost digits')  # noqa: TRY004
    try:
        return Money.parse(value)
    except ValueError as error:
        raise ValueError(f"{value[:40]!r} is not a price such as 0.25, with at most nine decimals") from error


def _server_address(value: str) -> str:
    address = urlsplit(value)
    if address.scheme not in {"http", "https"} or not address.hostname or {"?", "#", "@"} & set(value):
        raise ValueError("it must look like https://api.example.com/v1, without a key, a question mark or a hash in it")
    return value.rstrip("/")


def _mail_domain(value: str) -> str:
    address = f"x@{value.strip().removeprefix('@')}"
    try:
        # The spelling that folded addresses have, too.
        return validate_email(address, check_deliverability=False, globally_deliverable=False).ascii_domain
    except EmailNotValidError as error:
        raise ValueError(f"{value[:60]!r} is not a domain such as example.com") from error


def _installed(value: str) -> str:
    if value not in languages.installed():
        there = ", ".join(sorted(languages.installed()))
        raise ValueError(f"there is no catalogue of {value[:20]!r}; installed are {there}")
    return value


def _whole_cents(value: Money) -> Money:
    if value.nanos % NANOS_PER_CENT:
        raise ValueError("cards are charged in whole cents")
    return value


Price = Annotated[Money, BeforeValidator(_exact_price)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Site(_Section):
    """How this Pouch calls itself."""

    name: str = "Pouch"
    support_email: str | None = None
    """Shown where a person may need help."""
    language: Annotated[str, AfterValidator(_installed)] = "en"
    """Spoken in mails, and on pages to whoever asks for no language that is installed."""


class Accounts(_Section):
    """Who may sign up."""

    sign_up: Literal["open", "invite", "closed"] = "open"
    """invite: only with a link that `pouch invite` made. closed: not even with one."""
    allowed_domains: tuple[Annotated[str, AfterValidator(_mail_domain)], ...] = ()
    """Strangers sign up, and addresses are changed, only to these. Empty: to any. Invitations may go anywhere."""


class Credits(_Section):
    """What a person may buy."""

    purchase_min_usd: Dollars = Money.from_cents(5_00)
    purchase_max_usd: Dollars = Money.from_cents(1000_00)
    welcome_grant_usd: Dollars = Money(0)
    """Given once to each new personal organization."""
    refund_window_hours: int = Field(default=24, ge=0, le=24 * 365)
    """So long after a purchase its buyer may have the unused part refunded by themselves. 0: only the operator can."""


class Limits(_Section):
    """Where a program that runs away is stopped. 0: no such limit. Each `serve` counts for itself, but for money.

    Why these figures: docs/self-hosting.md, "Programs that run away".
    """

    requests_per_minute: int = Field(default=6_000, ge=0, le=10_000_000)
    """Calls of one person."""
    concurrent_calls: int = Field(default=1_200, ge=0, le=100_000)
    """Calls of one person that are under way at once."""
    task_requests_per_minute: int = Field(default=120, ge=0, le=1_000_000)
    """Calls of one task of an agent (X-Roo-Task-ID)."""
    task_usd: Dollars | None = None
    """What one task may spend, over all processes. Unset: as much as the key and the credits allow."""
    loop_turns: int = Field(default=8, ge=0, le=1_000)
    """After so many answers in a row that call no tool a task is stopped; from the third on it is slowed."""


class AgentLimits(_Section):
    """What a run may take of its machine."""

    memory_mib: int = Field(default=2048, ge=64, le=1024 * 1024)
    processes: int = Field(default=256, ge=16, le=65_536)
    cpu_millis: int = Field(default=2000, ge=50, le=1_000_000)
    """Thousandths of a core."""
    disk_mib: int = Field(default=4096, ge=32, le=1024 * 1024)
    tmp_mib: int = Field(default=512, ge=8, le=1024 * 1024)


class AgentEngine(_Section):
    """A program that may run instead of the native engine."""

    folder: Path
    """Where it is installed, with everything it needs; seen in the sandbox at /opt/engine, to be read."""


class AgentCluster(_Section):
    """The Kubernetes cluster in which agents run, with `sandbox = "kubernetes"`."""

    api_base: str = "https://kubernetes.default.svc"
    """The address of its API server."""
    namespace: str = Field(default="pouch-agents", pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")
    token_file: Path = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")
    ca_file: Path | None = Path("/var/run/secrets/kubernetes.io/serviceaccount/ca.crt")
    relay_host: str = "127.0.0.1"
    """The IP address of this worker, as pods reach it; POUCH_AGENTS_RELAY_HOST says it for each worker."""
    relay_port: int = Field(default=8090, ge=1, le=65535)
    runtime_class: str | None = None
    """Such as gvisor or kata."""
    network_policies_enforced: bool = False
    """That the cluster enforces network policies: only its operator knows. Without it no agent runs."""


class GitHub(_Section):
    """The GitHub App through which people start agents from issues and pull requests. See docs/agents-triggers.md."""

    app_id: PositiveInt
    slug: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,98}$")
    """The App's name in addresses, github.com/apps/SLUG; people speak to it as @SLUG."""
    client_id: str = Field(pattern=r"^[A-Za-z0-9._-]{1,100}$")
    private_key_file: Path
    """The App's private key, as GitHub gave it (PEM)."""
    api_base: Annotated[str, AfterValidator(_server_address)] = "https://api.github.com"
    """https://HOST/api/v3 for GitHub Enterprise Server."""
    web_base: Annotated[str, AfterValidator(_server_address)] = "https://github.com"
    """Where pages and repositories are."""


class Workspace(_Section):
    """A workspace whose members may start runs of one organization here."""

    id: str = Field(pattern=r"^[A-Za-z0-9-]{1,100}$")
    organization: str = Field(pattern=r"^org_[0-9a-v]{26}$")
    """Whose credits its runs use, as `pouch org` shows it."""
    token_env: str = Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,126}$")
    """The environment variable with the token that we speak with there."""


class Slack(_Section):
    """Starting agents from Slack; the signing secret is POUCH_SLACK_SIGNING_SECRET. See docs/agents-triggers.md."""

    api_base: Annotated[str, AfterValidator(_server_address)] = "https://slack.com/api"
    workspaces: tuple[Workspace, ...] = ()


class Linear(_Section):
    """Starting agents from Linear; the webhook's secret is POUCH_LINEAR_WEBHOOK_SECRET. See docs/agents-triggers.md."""

    api_base: Annotated[str, AfterValidator(_server_address)] = "https://api.linear.app"
    name: str = Field(default="pouch", pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,60}$")
    """People speak to it as @NAME."""
    workspaces: tuple[Workspace, ...] = ()


class Agents(_Section):
    """Cloud Agents."""

    price_usd_per_hour: Dollars = Money.from_cents(5_00)
    local_roots: tuple[Path, ...] = ()
    """Folders whose repositories may be named by their path."""
    sandbox: Literal["bubblewrap", "docker", "kubernetes"] = "bubblewrap"
    allow_unsafe_sandbox: bool = False
    """Run agents though this machine cannot keep them apart. Every page says so."""
    image: str = "pouch-agent:latest"
    """What containers are made of: git, bash and Python 3.9 or newer, and what your repositories need."""
    kubernetes: AgentCluster = AgentCluster()
    private_hosts: tuple[str, ...] = ()
    """Git hosts and package hosts that need not be on the public Internet."""
    certificates: Path | None = None
    """Further certificates that git trusts, as PEM."""
    set_up_hosts: tuple[str, ...] = ()
    """What set-ups may reach over https, such as a registry of packages; *.example.com is every name below."""
    tools: dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9+-]{0,30} [0-9][A-Za-z0-9.-]{0,20}$")], Path] = {}
    """Versions of tools that environments may ask for, such as "python 3.12", each with a folder that has a bin."""
    layers_mib: PositiveInt = 8192
    """What set-ups made is kept on this machine up to this size: the next run of an environment has it at once."""
    layers_days: PositiveInt = 14
    """What nobody used for so long is removed."""
    limits: AgentLimits = AgentLimits()
    engines: dict[str, AgentEngine] = {}
    running_max: PositiveInt = 2
    """Runs of one organization that are at work at once; further ones wait in line."""
    runs_at_once: Annotated[int, Field(ge=1, le=64)] = 4
    """Runs that one `pouch work` is at at once, whosever they are."""
    fetch_max_s: Annotated[int, Field(ge=10, le=3600)] = 120
    """How long fetching a repository may take. All branches come with their history, each time that a run begins."""
    keep_work_every_s: PositiveInt = 180
    """How often the work of a run is kept while it runs: a machine that is lost takes at most so much with it."""
    answer_days: PositiveInt = 7
    """A run that asked something ends when nobody answers for so long. It costs nothing meanwhile."""
    keep_days: PositiveInt = 90
    """So long after their end the timelines and files of runs are kept. Bills are kept for good."""
    github: GitHub | None = None
    slack: Slack | None = None
    linear: Linear | None = None


class Mail(_Section):
    """Where mail goes. Without `smtp_url` and under `pouch up` it goes to the embedded mailbox."""

    smtp_url: str | None = None
    """smtp://host:port or smtps://host:port; name and password come from the environment."""
    sender: Annotated[str, Field(alias="from")] = "Pouch <pouch@localhost>"


class Payments(_Section):
    """Who takes the cards."""

    processor: Literal["stripe", "embedded", "none"] | None = None
    """Unset: stripe when a key is set, else embedded under `pouch up` without real upstreams, else none."""
    stripe_api_base: str = "https://api.stripe.com"
    fee_percent: PercentText = Percent(0)
    """Of the credits bought, added on top and rounded up to the cent; text such as "4.4"."""
    fee_fixed_usd: Annotated[Dollars, AfterValidator(_whole_cents)] = Money(0)
    """Added on top of each purchase."""
    fee_comes_back: bool = False
    """When credits are refunded here, the fee goes back in proportion. Else it stays, as the processor's own does."""
    tax: Literal["off", "automatic", "fixed"] = "off"
    """automatic: Stripe Tax works it out from the buyer's address. fixed: `tax_percent` of credits and fee."""
    tax_percent: PercentText = Percent(0)
    tax_name: str = Field(default="Tax", min_length=1, max_length=40)
    """How it is called on receipts, such as "VAT"."""
    collect_tax_id: bool = False
    """Let buyers enter the tax id of their company on the payment page."""

    @model_validator(mode="after")
    def _check_tax(self) -> Self:
        if (self.tax == "fixed") != bool(self.tax_percent):
            raise ValueError('tax = "fixed" and a tax_percent above "0" go together')
        return self


class Operators(_Section):
    """What those who run this Pouch may do at the desk."""

    alone_usd_per_day: Dollars | None = None
    """What one operator may give away in grants, vouchers and refunds within 24 hours; beyond it another one must allow
    it. Unset: no limit."""


class Embedded(_Section):
    """The stand-ins of a fresh machine."""

    models: bool | None = None
    """Offer the test models beside real ones. Unset: only when no upstream is configured."""
    delay_ms: int = Field(default=0, ge=0, le=60_000)
    """How long the test models wait before each word."""
    i_know_this_is_play_money: bool = False
    """Lets the embedded card processor run beside a real upstream."""


class Upstream(_Section):
    """A server that runs models."""

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")
    kind: Literal["openai"] = "openai"
    """openai is any server that speaks OpenAI's chat completions."""
    base_url: Annotated[str, AfterValidator(_server_address)]
    api_key_env: str | None = Field(default=None, pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,126}$")
    """The environment variable with the key; the key itself never stands in the file."""
    dialect: Dialect | None = None
    """Which changes its requests need, see docs/self-hosting.md. Unset: openai for OpenAI's own servers, else as_is."""


class Tier(_Section):
    """Other prices for calls whose whole input is larger than a size."""

    above_tokens: PositiveInt
    price: dict[PriceClass, Price]
    """What is left out costs the same as below the size."""


class Model(_Section):
    """A model that callers may name."""

    id: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/-]{0,126}$")
    upstream: str
    upstream_model: str
    name: str
    description: str = ""
    context_window: int = Field(gt=0, le=TOKENS_MAX)
    max_tokens: int = Field(gt=0, le=TOKENS_MAX)
    tags: tuple[str, ...] = ()
    """ "free" makes it free."""
    drops: tuple[Droppable, ...] = ()
    """Fields of a request that this model refuses; they are left out, for clients that send them to every model."""
    deprecated: bool = False
    """Roo Code hides it from its list of models; whoever uses it already goes on."""
    default_temperature: float | None = Field(default=None, ge=0, le=2)
    """What Roo Code sends as temperature; else it sends 0."""
    settings: dict[str, JsonValue] = {}
    """What Roo Code adds to what it knows of the model, such as includedTools."""
    versioned_settings: dict[Annotated[str, Field(pattern=r"^\d+\.\d+\.\d+$")], dict[str, JsonValue]] = {}
    """The same from a version of Roo Code on, such as "3.36.4": the highest not above theirs is used instead."""
    price: dict[PriceClass, Price] | None = None
    """US dollars per million tokens (per image, minute, search, request), as text."""
    tiers: tuple[Tier, ...] = ()
    """Prices of long calls, in rising order of `above_tokens`."""


class File(_Section):
    """pouch.toml."""

    site: Site = Site()
    accounts: Accounts = Accounts()
    credits: Credits = Credits()
    limits: Limits = Limits()
    agents: Agents = Agents()
    mail: Mail = Mail()
    payments: Payments = Payments()
    operators: Operators = Operators()
    embedded: Embedded = Embedded()
    upstreams: tuple[Upstream, ...] = ()
    models: tuple[Model, ...] = ()


class Settings(BaseSettings):
    """What an operator may set in the environment, and the file it names."""

    model_config = SettingsConfigDict(env_prefix="POUCH_", frozen=True, use_attribute_docstrings=True, extra="ignore")

    host: str = "127.0.0.1"
    """The address to listen on."""
    port: int = Field(default=8080, ge=0, le=65535)
    public_url: str | None = None
    """How browsers reach this Pouch, without a trailing slash. Unset: http://host:port."""
    data_dir: Path = Path(".pouch")
    """Where the embedded database, keys and the mailbox live."""
    database_url: str | None = None
    """Postgres 15 or newer. Unset: the embedded one in the data folder."""
    config: str = "pouch.toml"
    """The file with everything that is not a secret. Empty, or not there: none."""
    secret_key: SecretStr | None = None
    """Roots signing and encryption keys. Unset: a 0600 file in the data folder."""
    secret_key_previous: SecretStr | None = None
    """Earlier secret keys, separated by spaces: what they signed is still accepted."""
    gateway_url: str | None = None
    """How agents' workers reach `serve`, such as https://pouch.example.com. Unset: this machine's POUCH_PORT."""
    metrics_port: int = Field(default=0, ge=0, le=65535)
    """Loopback port of /metrics. 0: any free one."""
    stripe_secret_key: SecretStr | None = None
    stripe_webhook_secret: SecretStr | None = None
    github_webhook_secret: SecretStr | None = None
    github_client_secret: SecretStr | None = None
    slack_signing_secret: SecretStr | None = None
    linear_webhook_secret: SecretStr | None = None
    smtp_username: str | None = None
    smtp_password: SecretStr | None = None
    under_up: str | None = None
    """Set by `pouch up` for its children: the path of the file with the embedded far ends' addresses and keys."""

    @cached_property
    def file(self) -> File:
        """pouch.toml. Raises SettingsError with file, place and reason when it cannot be used."""
        if not self.config or not Path(self.config).exists():
            return File()
        return read_file(Path(self.config))

    @cached_property
    def url(self) -> str:
        """The public address without a trailing slash; what mail links and cookies are made for."""
        return (self.public_url or f"http://{self._host_in_url}:{self.port}").rstrip("/")

    @property
    def loopback_url(self) -> str:
        """How processes on this machine reach `serve`."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def is_https(self) -> bool:
        """Whether browsers arrive over https, so that cookies can be Secure."""
        return self.url.startswith("https://")

    @property
    def is_loopback(self) -> bool:
        """Whether both the bind address and the public address stay on this machine."""
        return is_loopback_host(self.host) and is_loopback_host(urlsplit(self.url).hostname or "")

    @property
    def _host_in_url(self) -> str:
        return f"[{self.host}]" if ":" in self.host else self.host

    @cached_property
    def secret_keys(self) -> SecretKeys:
        """The keys of POUCH_SECRET_KEY, else of the file in the data folder, which is made when it is not there.

        Raises SettingsError.
        """
        path = self.data_dir / SECRET_KEY_FILE
        try:
            if self.secret_key is None:
                return SecretKeys.of_file(path)
            previous = self.secret_key_previous.get_secret_value() if self.secret_key_previous else ""
            return SecretKeys(self.secret_key.get_secret_value(), previous.split())
        except OSError as error:
            raise SettingsError(f"{path}: {error.strerror}. Or set POUCH_SECRET_KEY.") from error
        except ValueError as error:
            place = path if self.secret_key is None else "POUCH_SECRET_KEY or POUCH_SECRET_KEY_PREVIOUS"
            raise SettingsError(f"{place}: {error}.") from error

    def check(self) -> None:
        """Refuse what can never be right. Raises SettingsError."""
        public = urlsplit(self.url)
        if public.scheme not in {"http", "https"} or not public.hostname or public.path or public.query:
            raise SettingsError(
                f"POUCH_PUBLIC_URL is {self.url!r}; it must look like https://pouch.example.com, without a path."
            )
        if public.scheme == "http" and not is_loopback_host(public.hostname):
            raise SettingsError(
                f"POUCH_PUBLIC_URL is {self.url}: plain http is only for this machine. "
                "Put a proxy with a certificate in front and set POUCH_PUBLIC_URL=https://…"
            )


def read_file(path: Path) -> File:
    """Read a pouch.toml. Raises SettingsError with file, place and reason when it cannot be used."""
    try:
        written = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"{path}: {error.strerror}") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"{path}: {error}") from error
    try:
        return File.model_validate(written)
    except ValidationError as error:
        lines = (f"{path}: {_place(problem['loc'], written)}: {_reason(problem['msg'])}" for problem in error.errors())
        raise SettingsError("\n".join(lines)) from error


def is_loopback_host(host: str) -> bool:
    """Whether a host name or address can only mean this machine."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _place(loc: tuple[int | str, ...], written: Mapping[str, object]) -> str:
    # models[2] says little in a file of fifty: entries that have an id are named by it too.
    match loc:
        case (str(table), int(index), *field) if isinstance(entries := written.get(table), list):
            name = entries[index].get("id") if isinstance(entries[index], dict) else None
            start = f"{table}[{index}] {name}" if isinstance(name, str) else f"{table}[{index}]"
            return f"{start} {_dotted(field)}".rstrip()
        case _:
            return _dotted(loc)


def _dotted(parts: Sequence[int | str]) -> str:
    # pydantic marks a key that is wrong itself, such as an unknown price class, with "[key]".
    named = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts if part != "[key]")
    return "".join(named).lstrip(".")


def _reason(message: str) -> str:
    return message.removeprefix("Value error, ")
