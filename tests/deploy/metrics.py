"""Which metrics there are, and which an expression names."""

import re
from collections.abc import Iterator
from pathlib import Path

import promql_parser
import yaml
from prometheus_client import Counter, Gauge, Histogram

from shared.foundation import telemetry

RULES = Path(__file__).parents[2] / "deploy/prometheus/rules"


def _series() -> Iterator[tuple[str, set[str]]]:
    for metric in vars(telemetry).values():
        if isinstance(metric, Counter):
            yield f"{metric._name}_total", set(metric._labelnames)
        elif isinstance(metric, Gauge):
            yield metric._name, set(metric._labelnames)
        elif isinstance(metric, Histogram):
            yield from (
                (f"{metric._name}_{part}", set(metric._labelnames) | {"le"})
                for part in ("bucket", "sum", "count")
            )


LABELS = dict(_series())
"""Our metrics as Prometheus sees them, each with its labels, without those that scraping adds."""
RECORDED = frozenset(
    rule["record"]
    for path in RULES.glob("*.yml")
    for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]
    for rule in group["rules"]
    if "record" in rule
)
OF_EXPORTERS = frozenset(
    {
        "up",
        "ALERTS",
        "node_cpu_seconds_total",
        "node_memory_MemAvailable_bytes",
        "node_memory_MemTotal_bytes",
        "node_filesystem_avail_bytes",
        "node_filesystem_size_bytes",
        "node_network_receive_bytes_total",
        "node_network_transmit_bytes_total",
        "node_disk_io_time_seconds_total",
        "pg_stat_activity_count",
        "pg_settings_max_connections",
        "pg_locks_count",
        "pg_wal_size_bytes",
        "pg_stat_activity_max_tx_duration",
        "kafka_brokers",
        "kafka_topic_partition_under_replicated_partition",
    }
)
"""Of node_exporter 1.10, postgres_exporter 0.18 and kafka_exporter 1.9, as their documentation
names them.
"""


def plain(expression: str) -> str:
    """An expression without what Grafana fills in."""
    for variable, value in (("$__rate_interval", "5m"), ("$__range", "1h"), ("$__interval", "1m")):
        expression = expression.replace(variable, value)
    return re.sub(r"\$\{?\w+(:\w+)?\}?", "x", expression)


def selectors(expression: str) -> list[tuple[str, set[str]]]:
    """Each metric that an expression selects, with the labels it selects by."""
    found: list[tuple[str, set[str]]] = []
    _walk(promql_parser.parse(plain(expression)), found)
    return found


def _walk(node: object, found: list[tuple[str, set[str]]]) -> None:
    if isinstance(node, promql_parser.VectorSelector):
        found.append((str(node.name), {matcher.name for matcher in node.matchers.matchers}))
    for part in ("vector_selector", "expr", "lhs", "rhs", "param"):
        child = getattr(node, part, None)
        if child is not None and not isinstance(child, str | float):
            _walk(child, found)
    for child in getattr(node, "args", None) or ():
        _walk(child, found)


def names_in(expression: str) -> set[str]:
    return {name for name, _ in selectors(expression)}


def unknown(expression: str) -> set[str]:
    """Return the metrics that no service emits, and the labels that a metric lacks."""
    wrong = names_in(expression) - LABELS.keys() - RECORDED - OF_EXPORTERS
    given = {name: LABELS[name] | {"job", "instance", "app"} for name in LABELS}
    return wrong | {
        f"{name}{{{label}}}"
        for name, labels in selectors(expression)
        for label in labels - given.get(name, labels)
    }
