"""/connect: how an editor, a command line and any other program find this Pouch."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from pouch.roo.clients import FORMS, snippets_for
from pouch.roo.editor_pages import Models
from pouch.web.pages import Web

EXTENSION = "rooveterinaryinc.roo-cline"


def addresses(site_url: str) -> dict[str, str]:
    """The environment variables by which Roo Code finds a server. None ends with a slash: the client appends paths."""
    return {
        "CLERK_BASE_URL": site_url,
        "ROO_CODE_API_URL": site_url,
        "ROO_CODE_PROVIDER_URL": f"{site_url}/proxy",
    }


def snippets(site_url: str) -> dict[str, str]:
    """What the page offers to copy. `tests/roo/test_connect` runs each as it stands, PowerShell's where that is."""
    known = addresses(site_url)
    lines = [f"{name}={value}" for name, value in known.items()]
    quoted = " ".join(f"'{line}'" for line in lines)
    listed = ", ".join(f"'{line}'" for line in lines)
    # The command line runs the extension, which reads the three; the two are its own.
    terminal = known | {"ROO_AUTH_BASE_URL": site_url, "ROO_SDK_BASE_URL": site_url}
    return {
        "env": "\n".join(lines),
        "shell": (
            f"for folder in ~/.vscode/extensions/{EXTENSION}-*/; do\n"
            f"  printf '\\n%s' {quoted} >> \"${{folder}}.env\"\n"
            "done"
        ),
        "powershell": (
            f'Get-ChildItem "$HOME\\.vscode\\extensions\\{EXTENSION}-*" | ForEach-Object {{\n'
            f"  Add-Content (Join-Path $_.FullName '.env') @('', {listed})\n"
            "}"
        ),
        "start": " \\\n".join([f"env {lines[0]}", *(f"    {line}" for line in lines[1:]), "    code"]),
        "cli": "\n".join([*(f"export {name}={value}" for name, value in terminal.items()), "roo auth login"]),
    }


class ConnectPage:
    """The page. Anybody may read it."""

    def __init__(self, web: Web, models: Models) -> None:
        self._web = web
        self._models = models

    def routes(self) -> list[BaseRoute]:
        """The route."""
        return [Route("/connect", self.show, methods=["GET"])]

    async def show(self, request: Request) -> Response:
        """How to connect."""
        url, models = self._web.settings.url, self._models.offered
        # A free one works for whoever has not paid yet.
        model_id = next((model.id for model in models if model.is_free), models[0].id if models else "MODEL")
        return await self._web.page(
            request,
            "roo/connect.html",
            snippets=snippets(url),
            clients=snippets_for(url, model_id),
            forms=FORMS,
            model_id=model_id,
        )
