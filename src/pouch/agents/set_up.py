"""Setting a run up: from what an earlier set-up of the same made, where this machine has it, else by its commands."""

from collections.abc import Sequence

from pouch.agents.journal import Journal
from pouch.agents.sandboxes.layers import LayerName
from pouch.agents.sandboxes.types import Cloned, Sandbox
from pouch.agents.types import Run
from pouch.agents.workshop import Place, Workshop


def layer_of(run: Run, place: Place, cloned: Cloned) -> LayerName:
    """The name of what a set-up makes: everything that it sees has a part in it."""
    variables = {**place.variables, **{f"setup {name}": value for name, value in place.setup_secrets.items()}}
    return LayerName.of(
        run.organization_id,
        run.repository,
        run.branch or cloned.branch,
        cloned.locks,
        place.changed,
        "\n".join(place.commands),
        "\n".join(place.tools),
        *(f"{name}={variables[name]}" for name in sorted(variables)),
    )


async def set_up_once(
    workshop: Workshop, sandbox: Sandbox, commands: Sequence[str], layer: LayerName | None, journal: Journal
) -> None:
    """Set the workspace up, and write down what that made. Raises SetupFailed, SandboxFailed."""
    if layer is not None and await workshop.recall(sandbox, layer):
        journal.note("setup_log", command="Taken from an earlier set-up; nothing that it depends on has changed.")
    else:
        await workshop.set_up(sandbox, commands, journal.note_event)
        if layer is not None:
            await workshop.remember(sandbox, layer)
    await workshop.note_made(sandbox)
