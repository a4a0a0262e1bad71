"""/metrics on its own loopback port, for Prometheus. No label names a person, a key or a model."""

from collections.abc import Iterator
from contextlib import contextmanager

import structlog
from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from pouch.gateway.chat import ChatCompletions
from pouch.ledger.writer import Writer

log = structlog.get_logger()


class Figures(Collector):
    """Reads the figures when they are asked for."""

    def __init__(self, writer: Writer, chat: ChatCompletions) -> None:
        self._writer = writer
        self._chat = chat

    def collect(self) -> Iterator[Metric]:
        """All figures of this process."""
        writer, figures = self._writer, self._writer.figures
        yield GaugeMetricFamily("pouch_calls_in_flight", "Calls under way", len(self._chat.flights))
        yield GaugeMetricFamily("pouch_ledger_queue", "Operations that wait for a commit", writer.queued)
        yield GaugeMetricFamily("pouch_ledger_in_line", "Holds that wait for others to settle", writer.in_line)
        yield GaugeMetricFamily(
            "pouch_ledger_commit_age_seconds", "Age of the commit in flight", writer.in_flight_age_s
        )
        yield CounterMetricFamily("pouch_ledger_batches", "Commits", figures.batches)
        yield CounterMetricFamily("pouch_ledger_operations", "Operations posted", figures.operations)
        yield CounterMetricFamily("pouch_ledger_reconnects", "Lost database connections", figures.reconnects)
        yield CounterMetricFamily(
            "pouch_ledger_records_dropped", "Usage rows of free calls lost", figures.records_dropped
        )


@contextmanager
def metrics_served(port: int, figures: Figures) -> Iterator[int]:
    """Serve /metrics on 127.0.0.1 for the length of the block; 0 takes any free port. Gives the port."""
    registry = CollectorRegistry()
    registry.register(figures)
    server, thread = start_http_server(port, addr="127.0.0.1", registry=registry)
    log.info("metrics", url=f"http://127.0.0.1:{server.server_port}/metrics")
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
