"""What a run is in a cluster, as its API takes it: a Job, a Secret, a NetworkPolicy. Pure functions of the run.

Containers stand for phases, because what a container sees is fixed when it starts:

    fetch    clone: writes the base, the workspace and the home
    work     restore, set-up, and the agent of a kind that writes: the base is to be read
    look     the agent of a kind that only reads: the workspace is to be read
    collect  makes what is kept: workspace, home and base are to be read
"""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pouch.agents import inside
from pouch.agents.sandboxes.types import MIB, Limits, Phase, RunSpec

LABEL = "pouch.dev/run"
MANAGED = {"app.kubernetes.io/managed-by": "pouch"}
UID = 64_001
PASSWD = "passwd"  # noqa: S105 -- a file of accounts
DEADLINE_S = 25 * 3600
"""A run may take a day; this is for the case that nobody is left who could end it."""
FINISHED_TTL_S = 300
EPHEMERAL_MORE = 64 * MIB
HELPER_MEMORY = 512 * MIB
"""Of the containers that only fetch and save."""

Json = dict[str, object]


@dataclass(frozen=True, slots=True)
class Cluster:
    """Where pods run, and how they reach this worker."""

    namespace: str
    image: str
    relay_host: str
    """The address of this worker, as pods reach it."""
    relay_port: int
    runtime_class: str | None = None


def container_of(spec: RunSpec, phase: Phase) -> str:
    """The container in which programs of a phase run."""
    match phase:
        case "clone":
            return "fetch"
        case "collect":
            return "collect"
        case "agent" if not spec.may_write:
            return "look"
        case _:
            return "work"


def containers_of(spec: RunSpec) -> tuple[str, ...]:
    """The containers that a run needs."""
    return ("fetch", "work", "collect") if spec.may_write else ("fetch", "work", "look", "collect")


def object_name(spec: RunSpec) -> str:
    """The name of everything of a run."""
    return f"pouch-{spec.name}"


def secret_manifest(spec: RunSpec, cluster: Cluster, tokens: Mapping[str, str]) -> Json:
    """The tokens, each good for one connection, and our programs. No key of a gateway, and no secret of anybody."""
    files = {path.name: path.read_bytes() for path in sorted(Path(inside.FOLDER).glob("*.py"))}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": _metadata(spec, cluster),
        "type": "Opaque",
        "immutable": True,
        "data": {
            **{f"token-{name}": base64.b64encode(token.encode()).decode() for name, token in tokens.items()},
            **{name: base64.b64encode(content).decode() for name, content in files.items()},
            PASSWD: base64.b64encode(f"agent:x:{UID}:{UID}::/home/agent:/bin/bash\n".encode()).decode(),
        },
    }


def network_policy_manifest(spec: RunSpec, cluster: Cluster) -> Json:
    """Nobody comes in; the way out is this worker's relay. No names are looked up."""
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": _metadata(spec, cluster),
        "spec": {
            "podSelector": {"matchLabels": {LABEL: spec.name}},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [],
            "egress": [
                {
                    "to": [{"ipBlock": {"cidr": _cidr(cluster.relay_host)}}],
                    "ports": [{"protocol": "TCP", "port": cluster.relay_port}],
                }
            ],
        },
    }


def job_manifest(spec: RunSpec, cluster: Cluster) -> Json:
    """One pod that is never started again, without rights, and with an end."""
    pod: Json = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "hostNetwork": False,
        "hostPID": False,
        "hostIPC": False,
        "shareProcessNamespace": False,
        "dnsPolicy": "None",
        "dnsConfig": {"nameservers": ["127.0.0.1"]},
        "terminationGracePeriodSeconds": 5,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": UID,
            "runAsGroup": UID,
            "fsGroup": UID,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_container(spec, cluster, name) for name in containers_of(spec)],
        "volumes": _volumes(spec),
    }
    if cluster.runtime_class:
        pod["runtimeClassName"] = cluster.runtime_class
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": _metadata(spec, cluster),
        "spec": {
            "backoffLimit": 0,
            "completions": 1,
            "parallelism": 1,
            "activeDeadlineSeconds": DEADLINE_S,
            "ttlSecondsAfterFinished": FINISHED_TTL_S,
            "template": {"metadata": {"labels": _labels(spec)}, "spec": pod},
        },
    }


def _container(spec: RunSpec, cluster: Cluster, name: str) -> Json:
    token = {"name": object_name(spec), "key": f"token-{name}"}
    return {
        "name": name,
        "image": cluster.image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["python3", "-I", "-S", "-B", f"{inside.TARGET}/pod.py"],
        "workingDir": "/",
        "env": [
            {"name": "POUCH_CONTAINER", "value": name},
            {"name": "POUCH_RELAY", "value": f"{cluster.relay_host}:{cluster.relay_port}"},
            {"name": "POUCH_TOKEN", "valueFrom": {"secretKeyRef": token}},
        ],
        "resources": _resources(spec.limits, is_helper=name in {"fetch", "collect"}),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "privileged": False,
            "readOnlyRootFilesystem": True,
            "runAsNonRoot": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": _mounts(name),
    }


def _resources(limits: Limits, *, is_helper: bool) -> Json:
    memory = min(limits.memory_bytes, HELPER_MEMORY) if is_helper else limits.memory_bytes
    most: Json = {
        "cpu": f"{limits.cpu_millis}m",
        "memory": str(memory),
        "ephemeral-storage": str(limits.disk_bytes + EPHEMERAL_MORE),
    }
    return {"limits": most, "requests": {"cpu": "50m", "memory": str(min(memory, 64 * MIB)), "ephemeral-storage": "0"}}


def _mounts(name: str) -> list[Json]:
    writes = {
        "fetch": {"work", "home", "base"},
        "work": {"work", "home"},
        "look": {"home"},
        "collect": {"out"},
    }[name]
    places = {"work": "/work", "home": "/home/agent", "base": "/base.git"} | (
        {"out": "/out"} if "out" in writes else {}
    )
    mounts: list[Json] = [
        {"name": volume, "mountPath": path, "readOnly": volume not in writes} for volume, path in places.items()
    ]
    mounts.append({"name": f"tmp-{name}", "mountPath": "/tmp", "readOnly": False})  # noqa: S108 -- the container's own
    mounts.append({"name": "programs", "mountPath": inside.TARGET, "readOnly": True})
    # ssh asks who it is.
    mounts.append({"name": "programs", "mountPath": "/etc/passwd", "subPath": PASSWD, "readOnly": True})
    return mounts


def _volumes(spec: RunSpec) -> list[Json]:
    disk = str(spec.limits.disk_bytes)
    volumes: list[Json] = [{"name": name, "emptyDir": {"sizeLimit": disk}} for name in ("work", "home", "base", "out")]
    for name in containers_of(spec):
        memory = {"medium": "Memory", "sizeLimit": str(spec.limits.tmp_bytes)}
        volumes.append({"name": f"tmp-{name}", "emptyDir": memory})
    names = [*(path.name for path in sorted(Path(inside.FOLDER).glob("*.py"))), PASSWD]
    items = [{"key": name, "path": name} for name in names]
    volumes.append(
        {"name": "programs", "secret": {"secretName": object_name(spec), "defaultMode": 0o444, "items": items}}
    )
    return volumes


def _metadata(spec: RunSpec, cluster: Cluster) -> Json:
    return {"name": object_name(spec), "namespace": cluster.namespace, "labels": _labels(spec)}


def _labels(spec: RunSpec) -> dict[str, str]:
    return {**MANAGED, LABEL: spec.name}


def _cidr(address: str) -> str:
    return f"{address}/128" if ":" in address else f"{address}/32"


def names_of(listed: Sequence[Mapping[str, object]]) -> list[str]:
    """The runs of a list of Jobs."""
    found: list[str] = []
    for each in listed:
        metadata = each.get("metadata")
        labels = metadata.get("labels") if isinstance(metadata, Mapping) else None
        name = labels.get(LABEL) if isinstance(labels, Mapping) else None
        if isinstance(name, str):
            found.append(name)
    return sorted(found)
