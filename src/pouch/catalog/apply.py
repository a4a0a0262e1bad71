"""Bring the catalog to what pouch.toml says: prices are dated and added, never changed; models retire, never go."""

from pouch.base.database import Connection
from pouch.catalog import store
from pouch.catalog.agent_price import set_agent_price
from pouch.catalog.plan import Plan, TestModels, plan, wish_for_test_models
from pouch.settings import File, Settings

LOCK = 0x706F75636863
"""The advisory lock that one applying transaction holds: "pouchc"."""


async def apply_settings(db: Connection, settings: Settings) -> Plan:
    """Apply the configured file, as `up` and `migrate` do after migrating."""
    wish = wish_for_test_models(settings.file, is_up=settings.under_up is not None)
    return await apply(db, settings.file, source=settings.config, test_models=wish)


async def apply(
    db: Connection, file: File, *, source: str, test_models: TestModels = "keep", confirm: bool = False
) -> Plan:
    """Plan under the lock and write the plan; returns it.

    Repeats safely: the same file again changes nothing. Any number of processes may do it at once, they take turns.
    Raises SettingsError when the file cannot be used; then nothing is written.
    """
    async with db.transaction():
        await db.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK,))
        steps = await plan(db, file, source=source, test_models=test_models, confirm=confirm)
        for upstream in steps.upstreams:
            await store.save_upstream(db, upstream)
        for model in steps.models:
            await store.save_model(db, model)
        for model_id, price in steps.prices:
            if price is None:
                await store.add_price(db, model_id, None)
            else:
                await store.add_price(db, model_id, price.nanos_per_mtok, price.tiers)
        for model_id in steps.retired_models:
            await store.retire_model(db, model_id)
        for upstream_id in steps.retired_upstreams:
            await store.retire_upstream(db, upstream_id)
        changes = [*steps.changes]
        per_hour = file.agents.price_usd_per_hour
        if await set_agent_price(db, per_hour):
            changes.append(f"Running time of agents: {per_hour} an hour.")
        if changes:
            await store.add_version(db, changes)
    return steps
