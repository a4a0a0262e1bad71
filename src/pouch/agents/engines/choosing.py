"""The engines of a machine: the native one, and those that its operator installed."""

from collections.abc import Mapping

from pouch.agents.engines.command_line import READY, CommandLine
from pouch.agents.engines.native import Native
from pouch.agents.engines.types import Engine
from pouch.settings import Agents, SettingsError


def engines_of(agents: Agents) -> Mapping[str, Engine]:
    """Every engine by its name. Raises SettingsError for one that is not known."""
    found: dict[str, Engine] = {"native": Native()}
    for name, configured in agents.engines.items():
        if name not in READY:
            raise SettingsError(f"[agents.engines.{name}] is not known; there are {', '.join(sorted(READY))}.")
        found[name] = CommandLine(READY[name], configured.folder)
    return found
