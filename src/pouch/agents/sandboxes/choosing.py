"""The backend that the operator chose, and what a run may take there."""

import os
from pathlib import Path

from pouch.agents.sandboxes.bubblewrap import Bubblewrap
from pouch.agents.sandboxes.cloning import Sources
from pouch.agents.sandboxes.docker import Docker
from pouch.agents.sandboxes.host import Outside
from pouch.agents.sandboxes.kubernetes.api import ClusterApi
from pouch.agents.sandboxes.kubernetes.backend import Kubernetes
from pouch.agents.sandboxes.kubernetes.manifests import Cluster
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
        case "kubernetes":
            return _cluster(agents)


def _cluster(agents: Agents) -> Kubernetes:
    asked = agents.kubernetes
    ca_file = asked.ca_file if asked.api_base.startswith("https:") else None
    host = os.environ.get("POUCH_AGENTS_RELAY_HOST") or asked.relay_host
    return Kubernetes(
        ClusterApi(asked.api_base, asked.namespace, token_file=asked.token_file, ca_file=ca_file),
        Cluster(asked.namespace, agents.image, host, asked.relay_port, asked.runtime_class),
        is_enforced=asked.network_policies_enforced,
        private_hosts=frozenset(host.lower() for host in agents.private_hosts),
    )


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
