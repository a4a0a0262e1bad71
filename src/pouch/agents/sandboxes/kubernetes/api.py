"""The few requests to a cluster's API server that runs need."""

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Literal
from urllib.parse import quote, urlencode

import orjson
from pyreqwest.client import Client, ClientBuilder
from pyreqwest.exceptions import PyreqwestError

from pouch.agents.sandboxes.errors import SandboxFailed
from pouch.agents.sandboxes.kubernetes.manifests import Json

TIMEOUT_S = 20
Kind = Literal["jobs", "secrets", "networkpolicies", "pods"]
GROUPS: Mapping[Kind, str] = {
    "jobs": "apis/batch/v1",
    "secrets": "api/v1",
    "networkpolicies": "apis/networking.k8s.io/v1",
    "pods": "api/v1",
}
_API_GROUPS: Mapping[Kind, str] = {"jobs": "batch", "secrets": "", "networkpolicies": "networking.k8s.io", "pods": ""}


class ClusterApi:
    """One namespace. The token's file is read for each request: the cluster renews it."""

    def __init__(self, base: str, namespace: str, *, token_file: Path, ca_file: Path | None) -> None:
        self._base = base.rstrip("/")
        self._namespace = namespace
        self._token_file = token_file
        self._ca_file = ca_file
        self._client: Client | None = None

    async def create(self, kind: Kind, manifest: Json) -> None:
        """Create an object. Raises SandboxFailed."""
        await self._send("POST", self._path(kind), manifest)

    async def delete(self, kind: Kind, name: str) -> None:
        """Delete an object, and what belongs to it, in the background. Gone is gone. Raises SandboxFailed."""
        body: Json = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Background"}
        await self._send("DELETE", f"{self._path(kind)}/{quote(name)}", body, fine={404})

    async def list(self, kind: Kind, labels: Mapping[str, str]) -> list[Json]:
        """The objects with these labels. Raises SandboxFailed."""
        selector = ",".join(f"{name}={value}" for name, value in labels.items())
        found = await self._send("GET", f"{self._path(kind)}?{urlencode({'labelSelector': selector})}")
        items = found.get("items")
        return [each for each in items if isinstance(each, dict)] if isinstance(items, list) else []

    async def version(self) -> str:
        """What the server is. Raises SandboxFailed."""
        return str((await self._send("GET", "version")).get("gitVersion", "unknown"))

    async def may(self, verb: str, kind: Kind) -> bool:
        """Whether we may do that in our namespace. Raises SandboxFailed."""
        attributes = {"namespace": self._namespace, "verb": verb, "group": _API_GROUPS[kind], "resource": kind}
        review: Json = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": attributes},
        }
        found = await self._send("POST", "apis/authorization.k8s.io/v1/selfsubjectaccessreviews", review)
        status = found.get("status")
        return isinstance(status, dict) and status.get("allowed") is True

    async def close(self) -> None:
        """Give the connections back."""
        if self._client is not None:
            await self._client.close()

    def _path(self, kind: Kind) -> str:
        return f"{GROUPS[kind]}/namespaces/{quote(self._namespace)}/{kind}"

    async def _send(
        self, method: str, path: str, body: Json | None = None, *, fine: "set[int] | frozenset[int]" = frozenset()
    ) -> Json:
        try:
            client = self._open()
            token = self._token_file.read_text().strip()
            headers = {"authorization": f"Bearer {token}", "accept": "application/json"}
            request = client.request(method, f"{self._base}/{path}").headers(headers)
            if body is not None:
                request = request.header("content-type", "application/json").body_bytes(orjson.dumps(body))
            async with asyncio.timeout(TIMEOUT_S):
                response = await request.build().send()
                raw = bytes(await response.bytes())
        except (PyreqwestError, OSError, TimeoutError) as error:
            raise SandboxFailed(f"The cluster cannot be asked: {type(error).__name__}.") from error
        try:
            answer = orjson.loads(raw)
        except orjson.JSONDecodeError:
            answer = {}
        answer = answer if isinstance(answer, dict) else {}
        if response.status >= 300 and response.status not in fine:
            # The server's own words name objects and rules, never what is in a Secret.
            raise SandboxFailed(f"The cluster refused ({response.status}): {str(answer.get('message', ''))[:300]}")
        return answer

    def _open(self) -> Client:
        if self._client is None:
            builder = ClientBuilder().timeout(timedelta(seconds=TIMEOUT_S)).follow_redirects(enable=False).no_proxy()
            if self._ca_file is not None:
                builder = builder.add_root_certificate_pem(self._ca_file.read_bytes())
            self._client = builder.build()
        return self._client
