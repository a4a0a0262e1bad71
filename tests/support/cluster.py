"""The API server of a cluster, as far as runs need it, with nodes that run pods as the manifest says.

It answers in the shapes of the real one, refuses fields that it does not know, as the real one does when asked to be
strict, and starts each container with bubblewrap: its volumes, its environment, its account, and nothing else.
"""

import asyncio
import base64
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from support.serving import serving

TOKEN = "the token of a service account"
Json = dict[str, Any]

FIELDS: Mapping[str, set[str]] = {
    "metadata": {"name", "namespace", "labels", "annotations", "creationTimestamp"},
    "jobspec": {
        "backoffLimit",
        "completions",
        "parallelism",
        "activeDeadlineSeconds",
        "ttlSecondsAfterFinished",
        "template",
    },
    "podspec": {
        "restartPolicy",
        "automountServiceAccountToken",
        "enableServiceLinks",
        "hostNetwork",
        "hostPID",
        "hostIPC",
        "shareProcessNamespace",
        "dnsPolicy",
        "dnsConfig",
        "terminationGracePeriodSeconds",
        "securityContext",
        "containers",
        "volumes",
        "runtimeClassName",
    },
    "podsecurity": {"runAsNonRoot", "runAsUser", "runAsGroup", "fsGroup", "seccompProfile"},
    "container": {
        "name",
        "image",
        "imagePullPolicy",
        "command",
        "workingDir",
        "env",
        "resources",
        "securityContext",
        "volumeMounts",
    },
    "security": {
        "allowPrivilegeEscalation",
        "privileged",
        "readOnlyRootFilesystem",
        "runAsNonRoot",
        "capabilities",
    },
    "mount": {"name", "mountPath", "readOnly", "subPath"},
    "policyspec": {"podSelector", "policyTypes", "ingress", "egress"},
}
KINDS = {
    "jobs": ("batch/v1", "Job"),
    "secrets": ("v1", "Secret"),
    "networkpolicies": ("networking.k8s.io/v1", "NetworkPolicy"),
}


@dataclass
class FakeCluster:
    """One namespace."""

    url: str
    token_file: Path
    folder: Path
    objects: dict[str, dict[str, Json]] = field(default_factory=lambda: {kind: {} for kind in (*KINDS, "pods")})
    denied: set[tuple[str, str]] = field(default_factory=set)
    """What the service account may not do: verb and resource."""
    image_is_missing: bool = False
    processes: dict[str, list[subprocess.Popen[bytes]]] = field(default_factory=dict)
    roads: dict[str, asyncio.Server] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    async def create(self, kind: str, given: Json) -> JSONResponse:
        problem = _problem(kind, given)
        if problem:
            return _status(422 if problem.startswith("spec") else 400, problem)
        name = given["metadata"]["name"]
        if name in self.objects[kind]:
            return _status(409, f'{kind} "{name}" already exists')
        given["metadata"]["creationTimestamp"] = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        self.objects[kind][name] = given
        if kind == "jobs":
            await self._start(given)
        return JSONResponse(given, 201)

    async def delete(self, kind: str, name: str) -> JSONResponse:
        if name not in self.objects[kind]:
            return _status(404, f'{kind} "{name}" not found')
        if kind == "jobs":
            await self.stop(name)
        del self.objects[kind][name]
        return JSONResponse({"kind": "Status", "apiVersion": "v1", "status": "Success"})

    async def stop(self, name: str) -> None:
        """End a job's pod, as its node would."""
        if (road := self.roads.pop(name, None)) is not None:
            road.close()
        self.objects["pods"].pop(name, None)
        for process in self.processes.pop(name, []):
            process.kill()
            await asyncio.to_thread(process.wait)

    async def _start(self, job: Json) -> None:
        name, pod = job["metadata"]["name"], job["spec"]["template"]["spec"]
        labels = job["spec"]["template"]["metadata"]["labels"]
        # Once for all containers: one that runs already must not find a program of its own half written.
        volumes = {each["name"]: self._volume(name, each) for each in pod["volumes"]}
        statuses: list[Json] = []
        for container in pod["containers"]:
            state: Json = {"running": {}}
            if self.image_is_missing:
                state = {"waiting": {"reason": "ImagePullBackOff", "message": f"Back-off pulling {container['image']}"}}
            else:
                self.processes.setdefault(name, []).append(await self._run(name, pod, container, volumes))
            statuses.append({"name": container["name"], "state": state})
        status = {"phase": "Pending" if self.image_is_missing else "Running", "containerStatuses": statuses}
        self.objects["pods"][name] = {"metadata": {"name": f"{name}-x", "labels": labels}, "status": status}

    async def _run(self, name: str, pod: Json, container: Json, volumes: Mapping[str, Path]) -> subprocess.Popen[bytes]:
        uid = str(pod["securityContext"]["runAsUser"])
        words = [
            "--unshare-net",
            "--unshare-user",
            "--unshare-pid",
            "--unshare-ipc",
            "--as-pid-1",
            "--die-with-parent",
            "--new-session",
        ]
        words += ["--uid", uid, "--gid", uid, "--cap-drop", "ALL", "--ro-bind", "/usr", "/usr"]
        for link in ("bin", "sbin", "lib", "lib64"):
            path = Path("/", link)
            words += ["--symlink", str(path.readlink()), str(path)] if path.is_symlink() else []
        words += ["--ro-bind", "/etc", "/etc", "--proc", "/proc", "--dev", "/dev"]
        # Parents first, as a node mounts them.
        for mount in sorted(container["volumeMounts"], key=lambda each: str(each["mountPath"])):
            words += [
                "--ro-bind" if mount["readOnly"] else "--bind",
                str(volumes[mount["name"]] / mount.get("subPath", "")),
                mount["mountPath"],
            ]
        variables = {each["name"]: self._value(each) for each in container["env"]}
        words += ["--bind", str(await self._road(name, variables["POUCH_RELAY"])), "/road", "--remount-ro", "/"]
        words += ["--chdir", container["workingDir"], "--clearenv", "--setenv", "PATH", "/usr/bin:/bin"]
        for variable, value in (variables | {"POUCH_RELAY": "/road"}).items():
            words += ["--setenv", variable, value]
        return subprocess.Popen(  # noqa: ASYNC220 -- it is started in a moment, and waited for elsewhere
            ["bwrap", *words, "--", *container["command"]], stdin=subprocess.DEVNULL
        )

    async def _road(self, name: str, address: str) -> Path:
        """The pod's network: one address, and only where its policy lets it go there."""
        path = self.folder / name / "road"
        if name in self.roads:
            return path
        host, _, port = address.rpartition(":")
        rules = self.objects["networkpolicies"][name]["spec"]["egress"]
        allowed = {(rule["to"][0]["ipBlock"]["cidr"], rule["ports"][0]["port"]) for rule in rules}

        async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                if (f"{host}/32", int(port)) in allowed:
                    there, send = await asyncio.open_connection(host, int(port))
                    try:
                        await asyncio.gather(_pump(reader, send), _pump(there, writer))
                    finally:
                        # Also where one side was reset: the other must hear of it.
                        send.close()
            except (OSError, asyncio.CancelledError):
                return
            finally:
                writer.close()

        path.parent.mkdir(parents=True, exist_ok=True)
        self.roads[name] = await asyncio.start_unix_server(pass_on, path)
        path.chmod(0o777)
        return path

    def _value(self, variable: Json) -> str:
        if "value" in variable:
            return str(variable["value"])
        reference = variable["valueFrom"]["secretKeyRef"]
        return base64.b64decode(self.objects["secrets"][reference["name"]]["data"][reference["key"]]).decode()

    def _volume(self, name: str, volume: Json) -> Path:
        folder: Path = self.folder / name / volume["name"]
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o777)
        if "secret" in volume:
            data = self.objects["secrets"][volume["secret"]["secretName"]]["data"]
            for item in volume["secret"]["items"]:
                (folder / item["path"]).write_bytes(base64.b64decode(data[item["key"]]))
        return folder


@asynccontextmanager
async def fake_cluster() -> AsyncIterator[FakeCluster]:
    """A cluster for the length of the block."""
    folder = Path(tempfile.mkdtemp(prefix="pouch-cluster-"))
    folder.chmod(0o755)
    token_file = folder / "token"
    token_file.write_text(f"{TOKEN}\n")
    cluster = FakeCluster("", token_file, folder)

    async def answer(request: Request) -> JSONResponse:  # noqa: PLR0911 -- one for each question
        cluster.asked.append(f"{request.method} {request.url.path}")
        if request.headers.get("authorization") != f"Bearer {TOKEN}":
            return _status(401, "Unauthorized")
        given = orjson.loads(await request.body() or b"{}")
        if request.url.path == "/version":
            return JSONResponse({"major": "1", "minor": "34", "gitVersion": "v1.34.2"})
        if request.url.path.endswith("/selfsubjectaccessreviews"):
            wanted = given["spec"]["resourceAttributes"]
            may = (wanted["verb"], wanted["resource"]) not in cluster.denied
            return JSONResponse({**given, "status": {"allowed": may}}, 201)
        kind = request.path_params["kind"]
        prefix = {"jobs": "/apis/batch/v1/", "networkpolicies": "/apis/networking.k8s.io/v1/"}.get(kind, "/api/v1/")
        if not request.url.path.startswith(f"{prefix}namespaces/agents/"):
            return _status(404, "the server could not find the requested resource")
        if request.method == "POST":
            return await cluster.create(kind, given)
        if request.method == "DELETE":
            return await cluster.delete(kind, request.path_params["name"])
        wanted = dict(each.split("=") for each in request.query_params["labelSelector"].split(","))
        found = [
            each
            for each in cluster.objects[kind].values()
            if wanted.items() <= (each["metadata"].get("labels") or {}).items()
        ]
        return JSONResponse({"kind": "List", "apiVersion": "v1", "metadata": {}, "items": found})

    every = ["GET", "POST", "DELETE"]
    routes = [
        Route("/version", answer),
        Route("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", answer, methods=["POST"]),
        *(
            Route(f"{prefix}/namespaces/{{namespace}}/{{kind}}{rest}", answer, methods=every)
            for prefix in ("/api/v1", "/apis/{group}/v1")
            for rest in ("", "/{name}")
        ),
    ]
    try:
        async with serving(Starlette(routes=routes)) as url:
            cluster.url = url
            yield cluster
    finally:
        for name in list(cluster.processes):
            await cluster.stop(name)
        shutil.rmtree(folder, ignore_errors=True)


def _problem(kind: str, given: Json) -> str:  # noqa: PLR0911 -- one for each rule
    """What the server would refuse."""
    if (given.get("apiVersion"), given.get("kind")) != KINDS[kind]:
        return f"the object is no {KINDS[kind][1]}"
    unknown = set(given["metadata"]) - FIELDS["metadata"]
    if kind == "secrets":
        size = sum(len(value) for value in given["data"].values())
        return "spec: a Secret has at most 1 MiB" if size > 1024 * 1024 else ""
    if kind == "networkpolicies":
        unknown |= set(given["spec"]) - FIELDS["policyspec"]
        return f'unknown field "{unknown.pop()}"' if unknown else ""
    spec = given["spec"]
    pod = spec["template"]["spec"]
    unknown |= set(spec) - FIELDS["jobspec"] | set(pod) - FIELDS["podspec"]
    unknown |= set(pod["securityContext"]) - FIELDS["podsecurity"]
    volumes = {each["name"] for each in pod["volumes"]}
    for container in pod["containers"]:
        unknown |= set(container) - FIELDS["container"] | set(container["securityContext"]) - FIELDS["security"]
        for mount in container["volumeMounts"]:
            unknown |= set(mount) - FIELDS["mount"]
            if mount["name"] not in volumes:
                return f'spec.template.spec.containers: volume "{mount["name"]}" not found'
    if unknown:
        return f'strict decoding error: unknown field "{unknown.pop()}"'
    if pod["restartPolicy"] not in {"Never", "OnFailure"}:
        return "spec.template.spec.restartPolicy: Unsupported value"
    if pod["dnsPolicy"] == "None" and not pod.get("dnsConfig", {}).get("nameservers"):
        return "spec.template.spec.dnsConfig.nameservers: Required value"
    return ""


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    while piece := await source.read(65536):
        sink.write(piece)
        await sink.drain()
    sink.close()


def _status(code: int, message: str) -> JSONResponse:
    document = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "code": code}
    return JSONResponse(document, code)
