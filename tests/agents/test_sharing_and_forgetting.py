"""A link shows one run to whoever has it, until it ends; what is deleted is gone, and its bill stays."""

import pytest

from agents.house import House
from agents.shop import WRITES, Shop
from pouch.agents.artifacts import list_artifacts
from pouch.agents.bill import bill_of
from pouch.agents.errors import WrongState
from pouch.agents.events import events_after
from pouch.agents.forgetting import forget_old, forget_run
from pouch.agents.sharing import count_links, end_links, share, shared_run
from pouch.agents.store import clock
from pouch.base.errors import NotFound
from pouch.base.ids import new_id

pytestmark = pytest.mark.anyio


async def test_a_link_works_until_it_is_ended_or_too_old(house: House) -> None:
    run = await house.start()
    async with house.database.transaction() as db:
        token = await share(db, run.organization_id, house.alice.id, run.id)
        assert (await shared_run(db, token)).id == run.id
        assert await count_links(db, run.id) == 1
        for wrong in ("", token[:-1], token + "a", "a" * 43, "\x00" * 43):
            with pytest.raises(NotFound):
                await shared_run(db, wrong)
        stored = await (await db.execute("SELECT token_hash::text FROM agent_share_links")).fetchall()
        assert token not in str(stored)
        await end_links(db, run.organization_id, run.id)
        with pytest.raises(NotFound):
            await shared_run(db, token)
        old = await share(db, run.organization_id, house.alice.id, run.id)
        await db.execute("UPDATE agent_share_links SET expires_at = created_at + interval '1 microsecond'")
    async with house.database.transaction() as db:
        with pytest.raises(NotFound):
            await shared_run(db, old)


async def test_nobody_else_shares_or_ends_a_link(house: House) -> None:
    run = await house.start()
    async with house.database.transaction() as db:
        with pytest.raises(NotFound):
            await share(db, new_id(), house.alice.id, run.id)
        with pytest.raises(NotFound):
            await end_links(db, new_id(), run.id)


async def test_what_a_run_said_and_left_is_deleted_and_its_bill_stays(shop: Shop) -> None:
    house = shop.house
    run = await house.start(repository=shop.repository, task="Mend the secret plan")
    async with house.database.transaction() as db:
        with pytest.raises(WrongState):
            await forget_run(db, run.organization_id, run.id)
    await shop.worker(shop.workshop(WRITES)).work_on(run.id)
    charged = await house.charged(run)
    async with house.database.transaction() as db:
        token = await share(db, run.organization_id, house.alice.id, run.id)
        gone = await forget_run(db, run.organization_id, run.id)
        assert (gone.title, gone.task, gone.repository, dict(gone.result)) == ("Deleted", "Deleted", "", {})
        assert await events_after(db, run.id, 0) == []
        assert await list_artifacts(db, run.id) == []
        with pytest.raises(NotFound):
            await shared_run(db, token)
        bill = await bill_of(db, gone, await clock(db))
    assert bill.time.nanos == charged == await house.charged(run)


async def test_old_runs_are_forgotten_by_themselves_and_young_ones_kept(shop: Shop) -> None:
    house = shop.house
    old, young = [await house.start(repository=str(shop.folder / "nothing")) for _ in range(2)]
    for run in (old, young):
        await shop.worker(shop.workshop(WRITES)).work_on(run.id)
    async with house.database.transaction() as db:
        await db.execute("UPDATE agent_runs SET ended_at = ended_at - interval '91 days' WHERE id = %s", (old.id,))
        await forget_old(db, 90)
    assert [(await house.run(run)).title for run in (old, young)] == ["Deleted", "Fix it"]
