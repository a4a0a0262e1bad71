"""Operator commands. Each is a module; what it needs it imports when it runs, so `--help` answers at once."""

import sys

import typer

from pouch.base.cycles import look_seldom
from pouch.base.errors import PouchError
from pouch.cli import accounts, agent, catalog, config, ledger, migrate, payments, sandbox, serve, up, voucher, work
from pouch.cli.tokens import token
from pouch.embedded.postgres.errors import AlreadyRunning, PostgresUnavailable
from pouch.up.errors import RoleRefused

app = typer.Typer(
    name="pouch",
    help="A self-hosted Roo Code Cloud: prepaid credits, an OpenAI-compatible provider, and the pages around it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(up.up)
app.command()(serve.serve)
app.command()(work.work)
app.command()(migrate.migrate)
app.add_typer(accounts.user, name="user")
app.command()(accounts.invite)
app.add_typer(accounts.org, name="org")
app.add_typer(accounts.key, name="key")
app.add_typer(token, name="token")
app.command()(ledger.grant)
app.command()(ledger.balance)
app.add_typer(ledger.ledger, name="ledger")
app.add_typer(agent.agent, name="agent")
app.add_typer(voucher.voucher, name="voucher")
app.add_typer(catalog.catalog, name="catalog")
app.add_typer(payments.payments, name="payments")
app.add_typer(config.config, name="config")
app.add_typer(sandbox.sandbox, name="sandbox")


def main() -> None:
    """Run the command line. Exit code 0: done, 1: refused, 2: cannot be used like this."""
    look_seldom()
    try:
        app(prog_name="pouch")
    except (PouchError, AlreadyRunning, PostgresUnavailable) as error:
        typer.echo(str(error), err=True)
        sys.exit(1)
    except Exception as error:  # nothing is swallowed: what is not explained is raised again
        _explain(error)
        raise


def _explain(error: Exception) -> None:
    """End with the line for an error of a kind that is slow to import; returns for one that nobody expected."""
    from psycopg import OperationalError

    from pouch.settings import SettingsError

    if isinstance(error, SettingsError | RoleRefused):
        typer.echo(str(error), err=True)
        sys.exit(2)
    if isinstance(error, OperationalError):
        reason = " ".join(str(error).split())
        typer.echo(f"The database does not answer: {reason}. Is POUCH_DATABASE_URL right?", err=True)
        sys.exit(1)
