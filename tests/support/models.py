"""The test models' server, running on a loopback port."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from starlette.applications import Starlette
from starlette.routing import Mount

from pouch.embedded.models import TestModelServer

MODELS_KEY = "the-models-key"


@asynccontextmanager
async def serve_models(*, delay_ms: int = 0) -> AsyncIterator[str]:
    """Mounted under a path, as `serve` does it. Gives the base address as a client of OpenAI's takes it."""
    app = Starlette(routes=[Mount("/embedded/models", TestModelServer(MODELS_KEY, delay_ms))])
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off", timeout_graceful_shutdown=2))
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(server.serve([listener]))
            try:
                yield f"http://127.0.0.1:{listener.getsockname()[1]}/embedded/models/v1"
            finally:
                server.should_exit = True
