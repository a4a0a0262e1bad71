"""What a worker does while what makes its sandboxes is away: it waits for it, and nothing else of it ends."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from pouch.agents.machine import Machine
from pouch.agents.sandboxes.cloning import Sources
from pouch.agents.sandboxes.kubernetes.api import ClusterApi
from pouch.agents.sandboxes.kubernetes.backend import Kubernetes
from pouch.agents.sandboxes.kubernetes.manifests import Cluster
from pouch.agents.sandboxes.types import GatewayAccess, RunSpec
from pouch.app.agents import sweep_sandboxes, until_usable
from support.cluster import FakeCluster, fake_cluster
from support.sandboxes import SMALL, needs_bubblewrap

pytestmark = pytest.mark.anyio


@pytest.fixture
async def cluster() -> AsyncIterator[FakeCluster]:
    async with fake_cluster() as cluster:
        yield cluster


@asynccontextmanager
async def machine_in(cluster: FakeCluster) -> AsyncIterator[Machine]:
    async with await asyncio.start_server(lambda *_: None, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
    api = ClusterApi(cluster.url, "agents", token_file=cluster.token_file, ca_file=None)
    where = Cluster("agents", "pouch-agent:1", "127.0.0.1", port)
    backend = Kubernetes(api, where, is_enforced=True, listen_host="127.0.0.1")
    try:
        yield Machine(backend, sources=Sources(), limits=SMALL)
    finally:
        await backend.close()


async def test_a_cluster_that_refuses_at_the_start_is_asked_again_until_it_lets_us(cluster: FakeCluster) -> None:
    cluster.denied.add(("create", "jobs"))
    stop = asyncio.Event()
    async with machine_in(cluster) as machine, asyncio.timeout(30):
        opening = asyncio.ensure_future(until_usable(machine, stop, again_s=0.05))
        asked = len(cluster.asked)
        while len(cluster.asked) < asked + 20:
            await asyncio.sleep(0.02)
        assert not opening.done()
        cluster.denied.clear()
        facts = await opening
        assert isinstance(facts, Mapping)
        assert facts["safe"]


async def test_a_worker_that_is_told_to_stop_waits_for_no_cluster(cluster: FakeCluster) -> None:
    cluster.token_file.unlink()
    stop = asyncio.Event()
    async with machine_in(cluster) as machine, asyncio.timeout(30):
        opening = asyncio.ensure_future(until_usable(machine, stop))
        await asyncio.sleep(0.2)
        assert not opening.done()
        stop.set()
        assert await opening is None


async def test_a_cluster_that_is_away_ends_no_sweep(cluster: FakeCluster) -> None:
    """It was an error that ended the whole process, with its mail and payments."""
    cluster.token_file.write_text("wrong")
    stop = asyncio.Event()
    async with machine_in(cluster) as machine, asyncio.timeout(30):
        sweeping = asyncio.ensure_future(sweep_sandboxes(machine, stop))
        while not cluster.asked:
            await asyncio.sleep(0.02)
        await asyncio.sleep(0.2)
        assert not sweeping.done()
        stop.set()
        await sweeping


@needs_bubblewrap
async def test_one_machine_holds_a_run_and_what_is_published_at_once(cluster: FakeCluster) -> None:
    """Both listen on the one port that pods connect to."""
    run = RunSpec("run-1", GatewayAccess("http://127.0.0.1:9", "", ()), SMALL)
    async with machine_in(cluster) as machine:
        first = await machine.prepare(run, lambda _: None)
        second = await machine.prepare(replace(run, name="push-1"), lambda _: None)
        await second.destroy()
        await first.destroy()
