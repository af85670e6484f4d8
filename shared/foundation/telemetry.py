"""Metrics and logs. Every metric is declared here, once, with its unit and labels.

Labels never carry a unit's name, a case number or a person, for privacy and cardinality. Log lines
are JSON and keep only the fields in `LOG_FIELDS`. An exception is logged by its type and place,
never by its text, because texts of libraries quote their input.
"""

import logging
import sys
import traceback
from collections.abc import MutableMapping
from typing import Any

import stamina.instrumentation
import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics

from shared.foundation.tracing import current_trace_id

disable_created_metrics()  # type: ignore[no-untyped-call]
REGISTRY = CollectorRegistry()
"""The process's metrics, served at `/metrics`."""

_WEB = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 0.8, 1.2, 2.5, 5)
_AGE = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60, 300)
_OFFLINE = (1, 10, 60, 600, 3_600, 4 * 3_600, 86_400, 3 * 86_400)


def _counter(name: str, text: str, *labels: str) -> Counter:
    return Counter(name, text, labels, registry=REGISTRY)


def _gauge(name: str, text: str, *labels: str) -> Gauge:
    return Gauge(name, text, labels, registry=REGISTRY)


def _histogram(
    name: str,
    text: str,
    buckets: tuple[float, ...],
    *labels: str,
) -> Histogram:
    return Histogram(name, text, labels, registry=REGISTRY, buckets=buckets)


http_requests = _counter(
    "http_requests_total", "HTTP requests", "service", "route", "method", "code"
)
http_seconds = _histogram(
    "http_request_duration_seconds",
    "Time to respond to an HTTP request",
    _WEB,
    "service",
    "route",
    "method",
)

events_published = _counter(
    "events_published_total", "Events acknowledged by the broker", "service", "topic"
)
outbox_pending = _gauge("outbox_pending", "Events not yet acknowledged by the broker", "service")
outbox_oldest_seconds = _gauge(
    "outbox_oldest_age_seconds", "Age of the oldest event not yet acknowledged", "service"
)
relay_shards = _gauge("relay_shards_owned", "Outbox shards that this process owns", "service")
log_losses = _counter(
    "broker_log_losses_total",
    "Times a Kafka log had lost acknowledged events",
    "service",
    "topic",
)

events_consumed = _counter(
    "events_consumed_total",
    "Events consumed: ok, duplicate, buffered, dead_lettered",
    "group",
    "topic",
    "result",
)
event_age_seconds = _histogram(
    "event_age_seconds", "Time from outbox insert to committed effect", _AGE, "group", "topic"
)
batch_seconds = _histogram("consumer_batch_seconds", "Time to process one batch", _AGE, "group")
consumer_lag = _gauge(
    "kafka_consumergroup_lag",
    "Events in the log not yet consumed",
    "consumergroup",
    "topic",
    "partition",
)
consumer_offset = _gauge(
    "kafka_consumergroup_current_offset",
    "Next offset to consume",
    "consumergroup",
    "topic",
    "partition",
)
consumer_restarts = _counter(
    "consumer_restarts_total", "Stalled consumers that were replaced", "group"
)
events_dead_lettered = _counter(
    "events_dead_lettered_total", "Events dead-lettered", "group", "topic"
)
events_forged = _counter(
    "events_forged_total",
    "Events dead-lettered because their MAC is missing or wrong",
    "group",
    "topic",
)
witness_refusing = _gauge(
    "witness_refusing", "1 while the witness does not cosign the audit log", "service"
)
witness_behind_seconds = _gauge(
    "witness_behind_seconds",
    "Age of the oldest checkpoint that the witness has not cosigned; 0 if it has all",
    "service",
)
records_missing = _gauge(
    "records_missing", "Received records whose row, file or audit entry is gone"
)
dlq_depth = _gauge("dlq_depth", "Dead letters not resolved", "group")
events_buffered = _gauge(
    "events_buffered", "Events buffered until their predecessor arrives", "group"
)

job_seconds = _histogram(
    "scheduled_job_duration_seconds", "Duration of one run of a job", _AGE, "service", "job_name"
)
job_last_success = _gauge(
    "scheduled_job_last_success_timestamp_seconds",
    "Time of the last successful run of a job",
    "service",
    "job_name",
)
job_failures = _counter(
    "scheduled_job_failures_total", "Failed runs of a job", "service", "job_name"
)
clock_guard = _gauge(
    "clock_jump_guard", "1 while due work is paused because the database's clock jumped", "service"
)

pool_in_use = _gauge("db_pool_in_use", "Database connections in use", "service")
pool_size = _gauge("db_pool_size", "Database connections allowed", "service")

complaint_submits = _counter(
    "complaint_submit_total", "Complaints registered or rejected", "channel", "result"
)
ballot_submits = _counter("ballot_submit_total", "Ballots accepted, repeated, rejected", "result")
visit_uploads = _counter("visit_upload_total", "Visits and photos received", "result")
visit_delay_seconds = _histogram("visit_upload_delay_seconds", "From capture to receipt", _OFFLINE)
cases_open = _gauge("cases_open", "Cases not closed", "deadline_state", "stage")
cases_closed = _counter("case_closed_total", "Cases closed", "on_time")
case_working_days = _histogram(
    "case_handling_workdays",
    "Working days from assignment to closing",
    (1, 2, 3, 5, 10, 15, 30, 60),
)
deadlines_fired = _counter(
    "deadlines_fired_total", "Deadline reminders and lapses", "event", "kind"
)
deadline_late_seconds = _histogram(
    "deadline_fire_delay_seconds", "Delay of deadline events, by the database clock", _AGE, "event"
)
deadline_sweep_success = _gauge(
    "deadline_sweep_last_success_timestamp_seconds", "Time of the last deadline sweep"
)
calendar_days_ahead = _gauge(
    "workday_calendar_days_ahead", "Days ahead that a published holiday notice covers"
)
score_updates = _counter("score_updates_total", "Units scored", "campaign")
score_board_updated = _gauge(
    "score_board_updated_timestamp_seconds",
    "Time of the last change of a running score",
    "campaign",
)
score_inputs = _counter("score_input_events_total", "Events counted into scores", "source")
score_mismatch = _gauge(
    "score_replay_mismatch_units", "Units whose recount differs from the running score", "campaign"
)
notifications_sent = _counter(
    "notify_sent_total", "Notification deliveries by result", "channel", "result"
)
notification_delay_seconds = _histogram(
    "notify_delay_seconds", "Time from event to delivered notification", _AGE, "channel"
)
identity_reveals = _counter("complainant_reveal_total", "Complainant identities opened", "role")
identity_openings_limited = _counter(
    "complainant_opening_limited_total",
    "Openings of identities stopped by the limit per hour of an account or the installation",
    "limit",
)
personal_data_blocked = _counter(
    "pii_guard_blocked_total",
    "Texts and responses blocked because of personal data",
    "service",
    "route",
)
login_failures = _counter("login_failures_total", "Failed sign-ins", "reason")
imported_rows = _counter("import_rows_total", "Rows imported", "kind", "result")

LOG_FIELDS = frozenset(
    {
        "event",
        "level",
        "timestamp",
        "service",
        "request_id",
        "route",
        "method",
        "error",
        "place",
        "group",
        "topic",
        "partition",
        "offset",
        "aggregate",
        "version",
        "attempts",
        "lag",
        "seconds",
        "count",
        "job",
        "account",
        "role",
        "channel",
        "kind",
    }
)
"""The only fields of a log line; other fields are dropped."""


def _add_request_id(
    _: Any,
    __: str,
    line: MutableMapping[str, Any],
) -> MutableMapping[str, Any]:
    """Add the trace id: the id of the request that caused this line, in whichever service."""
    if trace_id := current_trace_id():
        line.setdefault("request_id", trace_id)
    return line


def _drop_unlisted_fields(
    _: Any,
    __: str,
    line: MutableMapping[str, Any],
) -> MutableMapping[str, Any]:
    return {name: value for name, value in line.items() if name in LOG_FIELDS}


def describe(error: BaseException) -> dict[str, str]:
    """Return type and place of an error, without its text."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f"{frames[-1].filename.rsplit('/', 2)[-1]}:{frames[-1].lineno}" if frames else ""
    return {"error": type(error).__name__, "place": place}


def log_failure(
    event: str,
    error: BaseException,
    *,
    expected: bool = False,
    **fields: Any,
) -> None:
    """Log type and place of an error: as a warning if it is `expected`, else as an error."""
    level = log.warning if expected else log.error
    level(event, **fields, **describe(error))


def configure_logging(level: str = "INFO", *, stream: Any = None) -> None:
    """Log JSON lines to stderr, for libraries too (logger name and level only)."""
    _configure_structlog(level, stream)
    stamina.instrumentation.set_on_retry_hooks([_log_retry])
    _redirect_library_logs()


def _configure_structlog(level: str, stream: Any) -> None:
    structlog.configure(
        processors=[
            _add_request_id,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _drop_unlisted_fields,
            structlog.processors.JSONRenderer(ensure_ascii=False),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level)),
        # Looked up for every line, because tests and supervisors replace stderr.
        logger_factory=lambda *_: structlog.PrintLogger(stream or sys.stderr),
        cache_logger_on_first_use=False,
    )


def _redirect_library_logs() -> None:
    root = logging.getLogger()
    root.handlers[:] = [_LibraryHandler()]
    root.setLevel(logging.WARNING)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access", "faststream", "alembic"):
        logger = logging.getLogger(name)
        logger.handlers[:] = []
        logger.propagate = True


def _log_retry(details: stamina.instrumentation.RetryDetails) -> None:
    log.warning(
        "retry scheduled",
        attempts=details.retry_num,
        seconds=round(details.wait_for, 1),
        **describe(details.caused_by),
    )


class _LibraryHandler(logging.Handler):
    """Logs place and error of a library's message, not its text, which may quote user input."""

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        line = {"place": f"{record.filename}:{record.lineno}"}
        if error:
            line |= describe(error)
        structlog.get_logger().log(record.levelno, "library", kind=record.name, **line)


log: structlog.stdlib.BoundLogger = structlog.get_logger()
