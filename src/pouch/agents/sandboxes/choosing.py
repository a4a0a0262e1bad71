"""The backend that the operator chose, and what a run may take there."""

from pathlib import Path

from pouch.agents.sandboxes.bubblewrap import Bubblewrap
from pouch.agents.sandboxes.cloning import Sources
from pouch.agents.sandboxes.docker import Docker
from pouch.agents.sandboxes.host import Outside
from pouch.agents.sandboxes.place import places_root
from pouch.agents.sandboxes.types import MIB, Backend, Limits
from pouch.settings import Agents


def choose_backend(agents: Agents, data_dir: Path) -> Backend:
    """What makes the sandboxes of this machine."""
    outside = Outside(private_hosts=frozenset(host.lower() for host in agents.private_hosts))
    match agents.sandbox:
        case "bubblewrap":
            return Bubblewrap(places_root(data_dir), outside=outside, allow_unsafe=agents.allow_unsafe_sandbox)
        case "docker":
            return Docker(places_root(data_dir), agents.image, outside=outside)


def sources_of(agents: Agents) -> Sources:
    """Where repositories may come from."""
    hosts = frozenset(host.lower() for host in agents.private_hosts)
    return Sources(agents.local_roots, hosts, agents.certificates)


def limits_of(agents: Agents) -> Limits:
    """What a run may take."""
    limits = agents.limits
    return Limits(
        memory_bytes=limits.memory_mib * MIB,
        processes=limits.processes,
        cpu_millis=limits.cpu_millis,
        disk_bytes=limits.disk_mib * MIB,
        tmp_bytes=limits.tmp_mib * MIB,
        file_bytes=limits.disk_mib * MIB,
    )
