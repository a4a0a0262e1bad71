"""Which token opens what: each what docs/roo.md says, and nothing else."""

import httpx
import pytest

from roo.test_cli import ME
from routes.stage import Somebody, Stage
from support.cards import uses_sdk

pytestmark = [pytest.mark.anyio, uses_sdk]
CALL = {"model": "pouch/free", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 4}
CLERK = ["GET /v1/me", "GET /v1/me/organization_memberships", "POST /v1/client/sessions/{device}/tokens"]
CLOUD = [
    "GET /api/extension/credit-balance",
    "GET /api/extension-settings",
    "GET /api/extension/bridge/config",
    "GET /api/cloud-agents",
]
PROVIDER = ["POST /v1/chat/completions", "POST /proxy/v1/chat/completions", "POST /api/v1/chat/completions"]
TERMINAL = [f"GET {ME}"]
ACCOUNT = ["GET /api/v1/credits", "GET /api/v1/key"]
EVERYTHING = [*CLERK, *CLOUD, *PROVIDER, *TERMINAL, *ACCOUNT]
OPENS = {
    "client": CLERK,
    "token": [*CLOUD, *PROVIDER],
    "terminal": [*PROVIDER, *TERMINAL],
    "static": [*CLOUD, *PROVIDER, *TERMINAL],
    "key": [*PROVIDER, *ACCOUNT],
}


@pytest.mark.parametrize("kind", OPENS)
async def test_each_token_opens_its_own(stage: Stage, http: httpx.AsyncClient, alice: Somebody, kind: str) -> None:
    secret = await stage.static_token(alice) if kind == "static" else {**alice.opens, "key": alice.secret}[kind]
    opened = []
    for each in EVERYTHING:
        method, _, path = each.partition(" ")
        answer = await http.request(
            method,
            path.replace("{device}", await stage.device(alice)),
            headers={"authorization": f"Bearer {secret}"},
            data={"_is_native": "1"} if path.startswith("/v1/client") else None,
            json=CALL if "chat" in path else None,
        )
        assert answer.status_code in {200, 401}, (each, answer.text)
        if answer.status_code == 200:
            opened.append(each)
    assert opened == OPENS[kind]
