"""`pouch agent`: start a run and watch it in the terminal, list runs, stop them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from pouch.base.errors import NotFound
from pouch.base.money import Money

if TYPE_CHECKING:
    from uuid import UUID

    from pouch.agents.types import Run
    from pouch.base.database import Connection, Database
    from pouch.identity.types import Person
    from pouch.settings import Settings

LOOK_EVERY_S = 0.5

agent = typer.Typer(help="Cloud Agents.", no_args_is_help=True)


@agent.command("run")
def run(  # noqa: PLR0913 -- what a run may be asked for
    email: str,
    repository: Annotated[str, typer.Argument(help="Its https address, or a folder under [agents] local_roots.")],
    task: Annotated[str, typer.Argument(help="What should be done.")],
    *,
    kind: Annotated[str, typer.Option("--agent", help="planner, explainer, reviewer, coder or fixer.")] = "coder",
    branch: Annotated[str, typer.Option(help="Where to begin. Without it: the default branch.")] = "",
    model: Annotated[str, typer.Option(help="Without it: what is set up for the agent.")] = "",
    engine: Annotated[str, typer.Option(help="native, or one that a worker has, such as opencode.")] = "",
    environment: Annotated[str, typer.Option(help="The name or id (env_…) of an environment.")] = "",
    cap: Annotated[
        Money | None, typer.Option(parser=Money.parse, metavar="USD", help="What it may cost at most.")
    ] = None,
    minutes: Annotated[int | None, typer.Option(help="How long it may run.")] = None,
    detach: Annotated[bool, typer.Option("--detach", help="Print its id and do not wait for it.")] = False,
) -> None:
    """Start a run on somebody's credits and watch it until it is over. Ctrl-C leaves it running.

    Exit code 0 when it succeeded, 1 when it came to another end.

    For example:

      pouch agent run alice@example.com https://git.example.com/shop.git "Fix the flaky refund test" --cap 2
    """
    fields = {
        "agent": kind,
        "repository": repository,
        "task": task,
        "branch": branch,
        "model": model,
        "engine": engine,
        "environment": environment,
        "cap_usd": cap.decimal() if cap is not None else "",
        "minutes": str(minutes) if minutes is not None else "",
    }
    if not asyncio.run(_run(email, fields, detach=detach)):
        raise typer.Exit(1)


@agent.command("list")
def list_(
    email: str, *, every: Annotated[bool, typer.Option("--all", help="Also those that are over.")] = False
) -> None:
    """List somebody's runs: number, id, state, what each has cost, and its task.

    For example:

      pouch agent list alice@example.com
    """
    for line in asyncio.run(_list(email, every=every)):
        typer.echo(line)


@agent.command("stop")
def stop(
    email: str,
    run_id: Annotated[str | None, typer.Argument(metavar="RUN", help="Its id (run_…) or its number.")] = None,
    *,
    every: Annotated[bool, typer.Option("--all", help="Every run that is not over.")] = False,
) -> None:
    """Stop a run, or all of them. The work is saved.

    For example:

      pouch agent stop alice@example.com 212

      pouch agent stop alice@example.com --all
    """
    if (run_id is None) is not every:
        raise typer.BadParameter("name a run, or say --all.")
    typer.echo(asyncio.run(_stop(email, run_id)))


@agent.command("say")
def say(
    email: str,
    run_id: Annotated[str, typer.Argument(metavar="RUN", help="Its id (run_…) or its number.")],
    text: Annotated[str, typer.Argument(help="An answer, or what to do next.")],
) -> None:
    """Tell a run something. One that asked, or is over, goes on from its work, within the same cap.

    For example:

      pouch agent say alice@example.com 212 "Tabs, please."
    """
    typer.echo(asyncio.run(_say(email, run_id, text)))


@agent.command("pause")
def pause(
    email: str, run_id: Annotated[str, typer.Argument(metavar="RUN", help="Its id (run_…) or its number.")]
) -> None:
    """Freeze a run. From then on its time costs nothing.

    For example:

      pouch agent pause alice@example.com 212
    """
    typer.echo(asyncio.run(_steer(email, run_id, "pause")))


@agent.command("resume")
def resume(
    email: str, run_id: Annotated[str, typer.Argument(metavar="RUN", help="Its id (run_…) or its number.")]
) -> None:
    """Let a run go on that is paused, waits for an answer or for credits.

    For example:

      pouch agent resume alice@example.com 212
    """
    typer.echo(asyncio.run(_steer(email, run_id, "resume")))


@agent.command("cap")
def cap(
    email: str,
    run_id: Annotated[str, typer.Argument(metavar="RUN", help="Its id (run_…) or its number.")],
    usd: Annotated[Money, typer.Argument(parser=Money.parse, metavar="USD", help="What it may cost at most.")],
) -> None:
    """Allow a run more, or less.

    For example:

      pouch agent cap alice@example.com 212 7.50
    """
    typer.echo(asyncio.run(_change_cap(email, run_id, usd)))


@agent.command("workers")
def workers() -> None:
    """List the processes that run agents: host, process, what makes its sandboxes, runs, and when it was last seen.

    Then the runs whose worker is silent, which the next worker takes over.

    For example:

      pouch agent workers
    """
    for line in asyncio.run(_workers()):
        typer.echo(line)


async def _workers() -> list[str]:
    from pouch.agents.workers import list_silent, list_workers

    async with _database() as (_, database), database.transaction() as db:
        lines = [
            f"{each.host}\t{each.pid}\t{each.backend}\t{each.runs} of {each.width}\t"
            f"{each.seen_at:%Y-%m-%d %H:%M:%S}{'' if each.is_alive else ' silent'}{' drains' if each.drains else ''}"
            for each in await list_workers(db)
        ]
        return lines + [f"stuck\t{run_id}\t{state}" for run_id, state in await list_silent(db)]


async def _run(email: str, fields: dict[str, str], *, detach: bool) -> bool:
    from pouch.agents.asking import Asking, agent_model
    from pouch.agents.machine import address_check
    from pouch.agents.start import Starter
    from pouch.base.ids import new_id
    from pouch.catalog.snapshot import Catalog

    async with _database() as (settings, database):
        # The test models answer at `serve`; which address that is, only it needs to know.
        catalog = Catalog(database, test_base_url="http://serve")
        await catalog.load()
        asking = Asking(
            find=catalog.find, first=lambda: agent_model(catalog.models), check_address=address_check(settings)
        )
        async with database.transaction() as db:
            person = await _person(db, email)
            fields = fields | {"environment": await _environment(db, person, fields["environment"])}
            starter = Starter(person.organization_id, person.id, "cli", f"cli:{new_id().hex}")
            started, _ = await asking.start(db, starter, fields, is_operator=person.is_operator)
        if detach:
            typer.echo(started.shown_id)
            return True
        typer.echo(f"Run {started.number} ({settings.url}/agents/{started.shown_id})")
        over = await _watch(database, started)
    return over.state == "succeeded"


async def _environment(db: "Connection", person: "Person", text: str) -> str:
    """The id of an environment that is named by its name or its id, or nothing. Raises NotFound."""
    from pouch.agents.environments import list_environments

    if not text:
        return ""
    found = await list_environments(db, person.organization_id)
    each = next((each for each in found if text in {each.shown_id, each.name}), None)
    if each is None:
        raise NotFound(f"There is no environment {text}.")
    return each.shown_id


async def _watch(database: "Database", run: "Run") -> "Run":
    from pouch.agents.bill import bill_of
    from pouch.agents.events import events_after
    from pouch.agents.store import clock, find_run
    from pouch.agents.timeline import item_of
    from pouch.agents.types import RESTING
    from pouch.agents.words import duration_words
    from pouch.web.filters import exact

    seq = 0
    while True:
        async with database.transaction() as db:
            run = await find_run(db, run.organization_id, run.id)
            events = await events_after(db, run.id, seq)
            bill = await bill_of(db, run, await clock(db))
        for event in events:
            seq = event.seq
            if event.type == "log":
                typer.echo(f"         {event.body.get('text', '')}".rstrip())
            elif (item := item_of(event)) is not None:
                typer.echo(" ".join(part for part in (item.clock, item.text, item.code) if part))
                for text in (item.quote, item.output):
                    for line in text.splitlines():
                        typer.echo(f"         {line}")
        if not events and (run.is_over or (run.state in RESTING and not run.is_live)):
            typer.echo(
                f"It ran {duration_words(run.ran_s)} and cost {exact(bill.total)}: "
                f"{exact(bill.time)} running time, {exact(bill.inference)} models."
            )
            if run.state == "waiting_user":
                typer.echo(f'Answer with: pouch agent say EMAIL {run.number} "…"')
            return run
        await asyncio.sleep(LOOK_EVERY_S)


async def _list(email: str, *, every: bool) -> list[str]:
    from pouch.agents.bill import bill_of
    from pouch.agents.store import clock, list_runs
    from pouch.agents.wishes import NOT_OVER

    lines = []
    async with _database() as (_, database), database.transaction() as db:
        person = await _person(db, email)
        now = await clock(db)
        for each in await list_runs(db, person.organization_id, states=None if every else NOT_OVER, limit=100):
            bill = await bill_of(db, each, now)
            lines.append(f"{each.number}\t{each.shown_id}\t{each.state}\t{bill.total.decimal()}\t{each.title}")
    return lines


async def _stop(email: str, text: str | None) -> str:
    from pouch.agents import wishes

    async with _database() as (_, database), database.transaction() as db:
        person = await _person(db, email)
        if text is None:
            return f"Stopped {await wishes.stop_all(db, person.organization_id)} runs."
        run = await wishes.stop(db, person.organization_id, await _run_id(db, person, text))
        return f"Run {run.number} is over." if run.is_over else f"Run {run.number} is being stopped."


async def _steer(email: str, text: str, act: Literal["pause", "resume"]) -> str:
    from pouch.agents import wishes

    async with _database() as (_, database), database.transaction() as db:
        person = await _person(db, email)
        run_id = await _run_id(db, person, text)
        wish = wishes.pause if act == "pause" else wishes.resume
        run = await wish(db, person.organization_id, run_id)
        return f"Run {run.number} is {run.state}; asked to {act}."


async def _change_cap(email: str, text: str, most: Money) -> str:
    from pouch.agents import wishes

    async with _database() as (_, database), database.transaction() as db:
        person = await _person(db, email)
        run = await wishes.change_cap(db, person.organization_id, await _run_id(db, person, text), most)
        return f"Run {run.number} may cost up to {run.cap}."


async def _say(email: str, run_text: str, text: str) -> str:
    from pouch.agents import wishes

    async with _database() as (_, database), database.transaction() as db:
        person = await _person(db, email)
        run_id = await _run_id(db, person, run_text)
        run = await wishes.say(db, person.organization_id, person.id, run_id, text)
        return f"Run {run.number} has it and is {run.state}."


async def _run_id(db: "Connection", person: "Person", text: str) -> "UUID":
    from pouch.agents.store import list_runs
    from pouch.base.ids import read_id

    if (run_id := read_id("run", text)) is not None:
        return run_id
    for each in await list_runs(db, person.organization_id, limit=1000):
        if str(each.number) == text:
            return each.id
    raise NotFound(f"{person.email} has no run {text}.")


@asynccontextmanager
async def _database() -> "AsyncIterator[tuple[Settings, Database]]":
    from pouch.base.database import Database
    from pouch.cli.reading import read_settings
    from pouch.embedded.postgres.running import running_postgres
    from pouch.migrate import is_current
    from pouch.settings import SettingsError

    settings = read_settings()
    async with running_postgres(settings) as url, Database(url, size_max=2, name="pouch agent") as database:
        if not await is_current(url):
            raise SettingsError("The database is not of this version. Run `pouch migrate`.")
        yield settings, database


async def _person(db: "Connection", email: str) -> "Person":
    from pouch.identity.people import find_person

    if (person := await find_person(db, email)) is None:
        raise NotFound(f"Nobody is registered as {email}.")
    return person
