"""The tables of the job engine, as the pinned version of it defines them."""

from yoyo import step

from pouch.jobs.engine import schema

steps = [step(schema())]
