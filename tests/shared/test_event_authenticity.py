"""Only the owner of a topic can make its consumers believe an event."""

import asyncio
import hmac
import stat
from binascii import a2b_base64
from datetime import UTC, datetime, timedelta
from importlib import import_module
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from services.cli.__main__ import cli
from shared.appraisal.events import CONSUMERS, EVENTS, OWNERS, SHARED_TOPICS, encode
from shared.foundation import telemetry
from shared.messaging import event_mac
from shared.messaging.batches import read_all
from shared.messaging.dead_letters import replay
from shared.messaging.envelope import RecordDecodeError
from shared.messaging.event_keys import (
    InvalidEventKeys,
    KeyFolders,
    SourceKeys,
    load_source,
    readable_topics,
)
from shared.messaging.event_mac import EventSigner, EventVerifier, PreparedMac
from shared.messaging.processor import BatchProcessor
from shared.messaging.resend import request_missing
from shared.messaging.store.records import StoredRecord
from shared.storage.schema import SERVICES
from tests.event_signing import signed
from tests.shared.test_messaging import (
    _all_sent,
    dlq,
    event_headers,
    producer_of,
    rated,
    read_topic,
    until,
    wipe_topic,
    world,
)

__all__ = ["world"]
NOW = datetime(2026, 11, 20, 4, tzinfo=UTC)
TOPIC = "t1.complaints"


@pytest.fixture
def keys(tmp_path, monkeypatch):
    """The keys of all services, and a machine clock that stands still."""
    folders = KeyFolders((tmp_path / "keys").joinpath)
    folders.create_missing(NOW)
    monkeypatch.setattr(event_mac, "real_now", lambda: NOW)
    return folders


def signer(keys, service="intake"):
    made = EventSigner(keys.of(service), service)
    made.refresh()
    return made


def verifier(keys, service="scoring"):
    made = EventVerifier(keys.of(service), service)
    made.refresh()
    return made


def genuine(keys, topic=TOPIC):
    complaint = uuid4()
    body = encode(rated(complaint))
    headers = signer(keys).sign(topic, str(complaint).encode(), event_headers(complaint), body)
    return StoredRecord(topic, 0, 1, str(complaint).encode(), body, headers)


def reason_of(verifier, record):
    """Return why a record is forged; None if it is genuine."""
    try:
        verifier.check(record)
    except RecordDecodeError as error:
        return error.detail if error.reason == "forged" else f"not forged: {error}"
    return None


# ── what the MAC covers ───────────────────────────────────────────────────────────────────────────


def without(name):
    return lambda record: [header for header in record.headers if header[0] != name]


def with_value(name, value):
    return lambda record: [(n, value if n == name else v) for n, v in record.headers]


def with_more(*extra):
    return lambda record: [*record.headers, *extra]


CHANGED_HEADERS = {
    "no MAC": without("ce_mac"),
    "empty MAC": with_value("ce_mac", b""),
    "MAC of zeros": with_value("ce_mac", b"A" * 43 + b"="),
    "no key id": without("ce_keyid"),
    "another key id": with_value("ce_keyid", b"000000000000"),
    "another event id": with_value("ce_id", str(uuid4()).encode()),
    "another type": with_value("ce_type", b"complaint.repeated.v1"),
    "another version": with_value("ce_sequence", b"7"),
    "another time": with_value("ce_time", b"2020-01-01T00:00:00+00:00"),
    "another age": with_value("ce_recordedtime", b"1.0"),
    "an added trace": with_more(("ce_traceparent", b"00-1-2-01")),
    "a repeated header": with_more(("ce_sequence", b"7")),
    "a header without a value": with_more(("ce_x", None)),
    "no headers": lambda record: [],
    "source that does not exist": with_value("ce_source", b"/fengping/treasury"),
    "source without its prefix": with_value("ce_source", b"intake"),
    "source that is no text": with_value("ce_source", b"\xff\xfe"),
}


@pytest.mark.parametrize("change", CHANGED_HEADERS)
def test_changed_headers_are_forged(keys, change):
    record = genuine(keys)
    assert reason_of(verifier(keys), record) is None

    record.headers = CHANGED_HEADERS[change](record)

    assert reason_of(verifier(keys), record)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("value", b'{"option":1}'),
        ("value", None),
        ("key", b"5f0c3f0e-8a52-4c1e-9a3b-0d6f2b7c8e91"),
        ("key", None),
        ("topic", "t1.visits"),
        ("topic", "t2.complaints"),
    ],
)
def test_changed_body_key_or_topic_is_forged(keys, field, value):
    record = genuine(keys)

    setattr(record, field, value)

    assert reason_of(verifier(keys), record) == "wrong MAC" or field == "topic"
    assert reason_of(verifier(keys), record)


def test_moving_bytes_between_parts_is_forged(keys):
    """A line break would let one part end where another began."""
    record = genuine(keys)
    headers = dict(record.headers)

    record.key += b"\n" + headers["ce_id"]

    assert reason_of(verifier(keys), record) == "wrong MAC"


@given(st.lists(st.lists(st.binary(max_size=3), min_size=4, max_size=4), min_size=2, max_size=5))
def test_no_two_records_have_the_same_covered_bytes(contents):
    """Bytes of line breaks and backslashes above all: those decide where a part ends."""
    swap = bytes.maketrans(bytes(range(256)), b"\n\\n=" * 64)
    records = {tuple(part.translate(swap) for part in parts) for parts in contents}

    covered = {
        event_mac.authenticated_bytes("t", key, _all(one, other), body)
        for key, one, other, body in records
    }

    assert len(covered) == len(records)


def _all(one, other):
    values = dict.fromkeys(event_mac.COVERED, b"")
    return values | {"ce_id": one, "content-type": other}


def test_event_whose_key_has_a_line_break_is_signed_and_accepted(keys):
    """A relay that could not sign an event would never send the next one."""
    body = b"{}"
    headers = event_headers(uuid4())
    record = StoredRecord(TOPIC, 0, 1, b"a\nb", body, [])
    record.headers = signer(keys).sign(TOPIC, b"a\nb", headers, body)

    assert reason_of(verifier(keys), record) is None


@given(st.binary(min_size=32, max_size=32), st.binary(max_size=300))
def test_prepared_mac_is_hmac_sha_256(secret, data):
    expected = hmac.digest(secret, data, "sha256")

    assert a2b_base64(PreparedMac(secret).code(data)) == expected


def test_mac_fits_however_a_table_orders_the_headers(keys):
    record = genuine(keys)

    record.headers = list(reversed(record.headers))

    assert reason_of(verifier(keys), record) is None


def test_key_of_another_installation_is_refused(keys, tmp_path):
    others = KeyFolders((tmp_path / "others").joinpath)
    others.create_missing(NOW)

    assert reason_of(verifier(keys), genuine(others)) == "unknown or retired key"


def test_source_must_own_the_topic_even_if_it_has_a_key_for_it(keys):
    """Notify was given a secret of `ballots`, by mistake or by an intruder."""
    intake = load_source(keys.of("scoring"), "intake")
    stolen = SourceKeys("notify", intake.keys)
    for reader in ("notify", "scoring"):
        (keys.of(reader) / "events-notify.json").write_text(_text(stolen))
    complaint = uuid4()
    headers = [
        (name, b"/fengping/notify" if name == "ce_source" else value)
        for name, value in event_headers(complaint)
    ]
    body = encode(rated(complaint))
    forged = signer(keys, "notify").sign(TOPIC, str(complaint).encode(), headers, body)

    record = StoredRecord(TOPIC, 0, 1, str(complaint).encode(), body, forged)

    assert reason_of(verifier(keys), record) == "its source does not publish this topic"


def _text(keys):
    import msgspec

    return msgspec.json.encode(keys).decode()


# ── keys ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("service", SERVICES)
def test_table_of_consumers_is_what_the_handlers_consume(service):
    consumed = {
        EVENTS[name].topic for name in import_module(f"services.{service}.handlers").on.names
    }

    listed = {topic for topic, consumers in CONSUMERS.items() if service in consumers}

    # A bus that was started in this process has added the topics that all services share.
    assert listed == consumed - set(SHARED_TOPICS)


def test_a_service_holds_the_secrets_of_its_topics_only(keys):
    for reader in SERVICES:
        for source in SERVICES:
            topics = readable_topics(reader, source)
            held = load_source(keys.of(reader), source).keys[-1].topics
            assert sorted(held) == topics
            for topic in set(topics) - set(SHARED_TOPICS):
                assert OWNERS[topic] == source
                assert reader == source or reader in CONSUMERS[topic]
    assert "ballots" not in load_source(keys.of("notify"), "intake").keys[-1].topics


def test_every_topic_of_a_key_has_a_secret_of_its_own(keys):
    secrets = [
        secret
        for source in SERVICES
        for secret in load_source(keys.of(source), source).keys[-1].topics.values()
    ]

    assert len(set(secrets)) == len(secrets)
    assert {len(secret) for secret in secrets} == {32}


def test_key_files_are_private_and_refused_when_open(keys):
    path = keys.of("scoring") / "events-intake.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600

    path.chmod(0o644)

    with pytest.raises(InvalidEventKeys, match="0600"):
        verifier(keys)


def test_malformed_key_file_is_refused_without_quoting_it(keys):
    path = keys.of("scoring") / "events-intake.json"
    path.write_text(path.read_text().replace('"signs_from"', '"signed"'))

    with pytest.raises(InvalidEventKeys) as refusal:
        verifier(keys)

    assert "format is wrong" in str(refusal.value)


def test_missing_keys_stop_the_consumer_instead_of_forging_everything(keys):
    (keys.of("scoring") / "events-casework.json").unlink()

    with pytest.raises(InvalidEventKeys, match=r"casework\.json"):
        verifier(keys)


def test_creating_keys_twice_changes_nothing(keys):
    files = sorted(keys.of("").rglob("*.json"))
    before = [path.read_bytes() for path in files]

    assert keys.create_missing(NOW + timedelta(days=1)) == []

    assert [path.read_bytes() for path in files] == before


# ── rotation ──────────────────────────────────────────────────────────────────────────────────────


def at(monkeypatch, **later):
    monkeypatch.setattr(event_mac, "real_now", lambda: NOW + timedelta(**later))


def key_id_of(record):
    return dict(record.headers)["ce_keyid"].decode()


def test_new_key_signs_only_after_every_process_has_read_it(keys, monkeypatch):
    old = key_id_of(genuine(keys))
    new = keys.rotate(NOW, source="intake")

    assert key_id_of(genuine(keys)) == old
    at(monkeypatch, seconds=31)
    assert key_id_of(genuine(keys)) == new
    assert reason_of(verifier(keys), genuine(keys)) is None


def test_old_key_is_accepted_until_its_retirement(keys, monkeypatch):
    record = genuine(keys)
    keys.rotate(NOW, source="intake")

    at(monkeypatch, days=30)
    assert reason_of(verifier(keys), record) is None
    at(monkeypatch, days=32)
    assert reason_of(verifier(keys), record) == "unknown or retired key"


def test_stolen_key_is_refused_at_once_when_it_is_replaced_without_overlap(keys, monkeypatch):
    record = genuine(keys)
    none = timedelta(0)
    keys.rotate(NOW, source="intake", activation=none, overlap=none)

    assert reason_of(verifier(keys), record) == "unknown or retired key"
    assert reason_of(verifier(keys), genuine(keys)) is None


def test_rotation_of_one_source_leaves_the_others(keys):
    before = load_source(keys.of("scoring"), "casework")

    keys.rotate(NOW, source="intake")

    assert load_source(keys.of("scoring"), "casework") == before


def test_running_consumer_accepts_a_key_that_it_has_not_read_yet(keys, monkeypatch):
    monkeypatch.setattr(event_mac, "REFRESH_SECONDS_MIN", 0.0)
    running = verifier(keys)
    keys.rotate(NOW, source="intake", activation=timedelta(0))

    assert reason_of(running, genuine(keys)) is None


def test_retired_keys_are_dropped_by_the_next_rotation(keys):
    keys.rotate(NOW, source="intake")
    keys.rotate(NOW + timedelta(days=40), source="intake")

    assert len(load_source(keys.of("intake"), "intake").keys) == 2


@pytest.mark.stack
async def test_command_rotates_the_key_of_one_source_and_notes_it(settings, database, monkeypatch):
    folders = KeyFolders(settings.keys_of)
    before = load_source(folders.of("scoring"), "intake").keys
    environment = {
        "DATABASE_URL": settings.database_url,
        "REDIS_URL": settings.redis_url,
        "KEYS_FOLDER": str(settings.keys_folder),
    }
    for name, value in environment.items():
        monkeypatch.setenv(f"FENGPING_{name}", value)
    command = ["keys", "rotate", "events", "--service", "intake", "--by", "Li", "--leaked"]

    result = await asyncio.to_thread(CliRunner().invoke, cli, command)

    assert result.exit_code == 0, result.output
    after = load_source(folders.of("scoring"), "intake").keys
    assert after[-1].id in result.output
    assert after[-1].id not in {key.id for key in before}
    assert all(key.retires_at for key in after[:-1])
    async with database("intake").transaction() as tx:
        rows = await tx.fetch("select actor, subject from audit where action = 'key.rotated'")
    assert [tuple(row) for row in rows] == [("Li", "events")]


# ── on Kafka ──────────────────────────────────────────────────────────────────────────────────────


async def send_unsigned(settings, complaint, *, version=1, headers=None):
    """Send an event as an intruder would who has no key; return its body."""
    body = encode(rated(complaint))
    async with producer_of(settings) as producer:
        await producer.send_and_wait(
            f"{settings.topic_prefix}complaints",
            body,
            key=str(complaint).encode(),
            headers=headers or event_headers(complaint, version),
        )
    return body


async def _dlq_holds(database, count):
    return len(await dlq(database)) == count


def forged_count(world):
    labels = ("fengping-scoring", "complaints")
    group, topic = (world.settings.topic_prefix + label for label in labels)
    return telemetry.events_forged.labels(group, topic)._value.get()


@pytest.mark.stack
async def test_forged_event_is_dead_lettered_counted_and_without_effect(world):
    complaint, honest = uuid4(), uuid4()
    body = await send_unsigned(world.settings, complaint)

    async with world.run():
        await world.publish(rated(honest))
        effects = await world.settled(1)
        await until(lambda: _dlq_holds(world.consumer_db, 1))

    assert [row["key"] for row in effects] == [str(honest)]
    [dead_letter] = await dlq(world.consumer_db)
    assert (dead_letter["reason"], dead_letter["detail"]) == ("forged", "no MAC")
    assert (dead_letter["body"], dead_letter["key"]) == (body, str(complaint).encode())
    assert forged_count(world) == 1
    async with world.consumer_db.transaction() as tx:
        assert await tx.fetchval("select count(*) from inbox") == 1


@pytest.mark.stack
async def test_forged_event_does_not_keep_the_genuine_one_away(world):
    """The intruder's version 1 is dead-lettered; the owner is still asked for its own."""
    complaint = uuid4()
    async with world.run(consuming=False) as (publisher,):
        await world.publish(rated(complaint), rated(complaint))
        await until(lambda: _all_sent(publisher.relay))
    first, second = await read_topic(world.settings, "complaints")
    forged = StoredRecord(first.topic, 0, 9, first.key, first.value, event_headers(complaint))
    processor = BatchProcessor(world.consumer_db, world.recorder.on, context=None, group="g")

    await processor.apply(read_all([forged, second], world.recorder.on.names, world.verifier))

    assert [row["reason"] for row in await dlq(world.consumer_db)] == ["forged"]
    async with world.consumer_db.transaction() as tx:
        assert await request_missing(tx, older_than_seconds=0) == 1
    await processor.apply(read_all([first], world.recorder.on.names, world.verifier))
    effects = await world.recorder.effects(world.consumer_db)
    assert [row["version"] for row in effects] == [1, 2]


@pytest.mark.stack
async def test_replayed_forgery_stays_pending_until_its_key_is_known(world):
    """The same check at the replay: an operator cannot let a forgery in by mistake."""
    complaint = uuid4()
    await send_unsigned(world.settings, complaint)
    async with world.run(publishing=False):
        await until(lambda: _dlq_holds(world.consumer_db, 1))

    replayed = await replay(
        world.consumer_db, world.recorder.on, None, verifier=world.verifier, by="tester"
    )

    assert replayed == (0, 1)
    assert await world.recorder.effects(world.consumer_db) == []

    body = encode(rated(complaint))
    headers = signed(world.settings, "complaints", str(complaint), event_headers(complaint), body)
    async with world.consumer_db.transaction() as tx:
        await tx.run("update dead_letters set headers = $1", _as_json(headers))
    replayed = await replay(
        world.consumer_db, world.recorder.on, None, verifier=world.verifier, by="tester"
    )
    assert replayed == (1, 0)


def _as_json(headers):
    import json

    return json.dumps({name: value.decode() for name, value in headers})


@pytest.mark.stack
async def test_refilled_log_is_signed_with_the_current_key(world):
    folders = KeyFolders(world.settings.keys_of)
    async with world.run(consuming=False) as (publisher,):
        await world.publish(rated(uuid4()))
        await until(lambda: _all_sent(publisher.relay))
    [before] = await read_topic(world.settings, "complaints")
    new = folders.rotate(datetime.now(UTC), source="intake", activation=timedelta(0))
    await wipe_topic(world.settings, "complaints")

    async with world.run() as (publisher, _):
        await world.settled(1)
        await until(lambda: _all_sent(publisher.relay))
    [after] = await read_topic(world.settings, "complaints")

    assert key_id_of(before) != new == key_id_of(after)


@pytest.mark.stack
async def test_reply_to_header_makes_the_consumer_publish_nothing(world):
    """FastStream would publish a handler's return value to a topic that the sender chose."""
    complaint = uuid4()
    target = f"{world.settings.topic_prefix}scores"  # which this consumer may write to
    headers = [*event_headers(complaint), ("reply_to", target.encode()), ("correlation_id", b"1")]
    body = encode(rated(complaint))
    signed_headers = signed(world.settings, "complaints", str(complaint), headers, body)
    await send_unsigned(world.settings, complaint, headers=signed_headers)

    async with world.run(publishing=False):
        await world.settled(1)
        await asyncio.sleep(1)

    assert await read_topic(world.settings, "scores") == []
