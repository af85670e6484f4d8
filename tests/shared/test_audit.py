"""Whoever changes, removes, inserts, swaps, cuts off or rolls back recorded entries is found out,
and the entry is named.
"""

import asyncio
import hashlib
import json
import random
from base64 import b64decode, b64encode
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import asyncpg
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from shared.security.audit import (
    AuditEntry,
    AuditViolation,
    Checkpoint,
    InconsistentLog,
    Signer,
    ViolationKind,
    canonical,
    entry_from_row,
    seal,
    seal_entries,
    verify,
)
from shared.security.log_verification import verify_log
from shared.security.merkle import (
    EMPTY_ROOT,
    Tree,
    grow_with_proofs,
    inclusion_proof,
    proven_root,
)
from shared.storage.connections import Database

NOON = datetime(2026, 11, 20, 4, tzinfo=UTC)
SIGNER = Signer("fengping/intake", Ed25519PrivateKey.from_private_bytes(b"k" * 32))
STRANGER = Signer("fengping/intake", Ed25519PrivateKey.from_private_bytes(b"x" * 32))

# ── the tree

# Leaves and roots of the reference test of Certificate Transparency (RFC 6962).
REFERENCE = [
    "",
    "00",
    "10",
    "2021",
    "3031",
    "40414243",
    "5051525354555657",
    "606162636465666768696a6b6c6d6e6f",
]
REFERENCE_ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
HASHES = [hashlib.sha256(b"\x00" + bytes.fromhex(leaf)).digest() for leaf in REFERENCE]


def test_roots_are_those_of_the_reference() -> None:
    assert [Tree().grow(HASHES[:size]).root.hex() for size in range(1, 9)] == REFERENCE_ROOTS
    assert Tree().root == EMPTY_ROOT


@given(st.integers(0, 70), st.integers(0, 70))
def test_tree_that_grew_in_steps_is_the_same_tree(first: int, second: int) -> None:
    hashes = [hashlib.sha256(bytes([n])).digest() for n in range(first + second)]

    stepwise, at_once = Tree().grow(hashes[:first]).grow(hashes[first:]), Tree().grow(hashes)

    assert stepwise == at_once
    assert len(at_once.peaks) == (first + second).bit_count()


@given(st.integers(1, 40), st.data())
def test_every_leaf_can_be_proved_and_no_other_in_its_place(size: int, data: st.DataObject) -> None:
    hashes = [hashlib.sha256(bytes([n])).digest() for n in range(size)]
    position = data.draw(st.integers(0, size - 1))

    proof, root = inclusion_proof(hashes, position), Tree().grow(hashes).root

    assert proven_root(hashes[position], position, size, proof) == root
    assert proven_root(b"z" * 32, position, size, proof) != root
    assert proven_root(hashes[position], position, size, [*proof, b"z" * 32]) != root
    if proof:
        assert proven_root(hashes[position], position, size, proof[:-1]) != root


# ── leaves


def make_entry(number: int = 0, **changed: Any) -> AuditEntry:
    recorded: dict[str, Any] = {
        "at": NOON + timedelta(seconds=number),
        "actor": "wangmou",
        "action": "identity.revealed",
        "subject": f"JF-2026-{number:06}",
        "details": {"reason": "回访核实", "seconds": 60},
    }
    return AuditEntry(**recorded | changed)


def test_same_record_is_written_in_one_way_only() -> None:
    in_china = make_entry(
        at=NOON.astimezone(timezone(timedelta(hours=8))),
        details='{"seconds": 60, "reason":"回访核实"}',
    )

    assert canonical(in_china) == canonical(make_entry())
    assert canonical(make_entry()).startswith(
        b'{"action":"identity.revealed","actor":"wangmou","at":"2026-11-20T04:00:00.000000+00:00"'
    )


@pytest.mark.parametrize(
    "changed",
    [
        {"at": NOON + timedelta(microseconds=1)},
        {"actor": "limou"},
        {"action": "identity.opened"},
        {"subject": "JF-2026-000001"},
        {"details": {"reason": "回访核实", "seconds": 61}},
        {"details": {"reason": "回访核实"}},
        {"details": {}},
        {"details": {"reason": "回访核实", "seconds": "60"}},
        {"actor": "", "action": "wangmou"},
    ],
)
def test_every_part_of_a_record_counts(changed: dict[str, Any]) -> None:
    assert make_entry(**changed).computed_hash() != make_entry().computed_hash()


def test_leaf_cannot_be_passed_off_as_a_node_of_the_tree() -> None:
    assert (
        make_entry().computed_hash() == hashlib.sha256(b"\x00" + canonical(make_entry())).digest()
    )


def test_last_digit_of_a_long_number_counts() -> None:
    one, other = '{"score": 88.00000000000000000001}', '{"score": 88.00000000000000000002}'

    assert make_entry(details=one).computed_hash() != make_entry(details=other).computed_hash()
    assert (
        make_entry(details=one).computed_hash()
        != make_entry(details='{"score": {"decimal": 1}}').computed_hash()
    )


# ── the log and its enemies


@dataclass
class Log:
    """A sealed log in memory: three checkpoints over ten leaves."""

    signer: Signer = SIGNER
    entries: list[AuditEntry] = field(default_factory=list)
    checkpoints: list[Checkpoint] = field(default_factory=list)
    tree: Tree = field(default_factory=Tree)

    def seal(self, *entries: AuditEntry) -> None:
        sealed = seal_entries(self.tree, entries, self.signer)
        for each, position, leaf_hash, proof in zip(
            entries, sealed.positions, sealed.hashes, sealed.proofs, strict=True
        ):
            self.entries.append(replace(each, position=position, leaf_hash=leaf_hash, proof=proof))
        self.tree = sealed.tree
        self.checkpoints.append(sealed.checkpoint)

    def verify(self, *kept_elsewhere: Checkpoint) -> AuditViolation | None:
        return verify(self.entries, [*self.checkpoints, *kept_elsewhere], SIGNER.verifier)

    def rewrite(self, position: int, **changed: Any) -> None:
        """Change an entry as an insider would who knows the algorithm: its hash is made to fit."""
        touched = replace(self.entries[position], **changed)
        self.entries[position] = replace(touched, leaf_hash=touched.computed_hash())

    def renumber(self) -> None:
        self.entries = [
            replace(each, position=position) for position, each in enumerate(self.entries)
        ]


@pytest.fixture
def log() -> Log:
    made = Log()
    made.seal(*map(make_entry, range(4)))
    made.seal(*map(make_entry, range(4, 9)))
    made.seal(make_entry(9))
    return made


def test_untouched_log_has_no_flaw(log: Log) -> None:
    assert log.verify() is None
    assert verify([], [], SIGNER.verifier) is None


@pytest.mark.parametrize("position", range(10))
def test_changed_entry_is_named(log: Log, position: int) -> None:
    log.entries[position] = replace(log.entries[position], actor="limou")

    assert log.verify() == AuditViolation(position, ViolationKind.CHANGED)


@pytest.mark.parametrize("position", range(10))
def test_changed_entry_is_named_also_when_its_hash_was_made_to_fit(log: Log, position: int) -> None:
    log.rewrite(position, actor="limou")

    assert log.verify() == AuditViolation(position, ViolationKind.FOREIGN)


@pytest.mark.parametrize("position", range(10))
def test_removed_entry_is_named(log: Log, position: int) -> None:
    del log.entries[position]

    assert log.verify() == AuditViolation(position, ViolationKind.MISSING)


@pytest.mark.parametrize("position", range(9))
def test_removed_entry_is_named_also_when_the_rest_moved_up(log: Log, position: int) -> None:
    del log.entries[position]
    log.renumber()

    assert log.verify() == AuditViolation(position, ViolationKind.FOREIGN)


@pytest.mark.parametrize("position", range(10))
def test_inserted_entry_is_named(log: Log, position: int) -> None:
    invented = make_entry(77)
    log.entries.insert(
        position, replace(invented, leaf_hash=invented.computed_hash(), proof=b"s" * 64)
    )
    log.renumber()

    assert log.verify() == AuditViolation(position, ViolationKind.FOREIGN)


@pytest.mark.parametrize(("first", "second"), [(0, 1), (2, 6), (8, 9)])
def test_swapped_entries_are_named_from_the_first(log: Log, first: int, second: int) -> None:
    log.entries[first], log.entries[second] = log.entries[second], log.entries[first]
    log.renumber()

    assert log.verify() == AuditViolation(first, ViolationKind.FOREIGN)


@pytest.mark.parametrize("left", range(10))
def test_cut_off_tail_is_named(log: Log, left: int) -> None:
    del log.entries[left:]

    assert log.verify() == AuditViolation(left, ViolationKind.MISSING)


def test_cut_off_tail_with_its_checkpoints_is_seen_by_who_kept_one(log: Log) -> None:
    kept = log.checkpoints[-1]
    del log.entries[4:], log.checkpoints[1:]

    assert log.verify() is None
    assert log.verify(kept) == AuditViolation(4, ViolationKind.MISSING)


def test_older_backup_is_seen_by_who_kept_a_checkpoint_also_after_going_on(log: Log) -> None:
    kept = log.checkpoints[1]
    rolled_back = Log()
    rolled_back.seal(*map(make_entry, range(4)))
    rolled_back.seal(*map(make_entry, range(100, 110)))

    assert rolled_back.verify() is None
    assert rolled_back.verify(kept) == AuditViolation(4, ViolationKind.REBUILT)


def test_two_versions_of_one_log_are_seen_side_by_side(log: Log) -> None:
    other = Log()
    other.seal(*map(make_entry, range(100, 104)))

    assert log.verify(other.checkpoints[0]) == AuditViolation(0, ViolationKind.REBUILT)


def test_removed_checkpoints_leave_entries_without_witness(log: Log) -> None:
    del log.checkpoints[2]

    assert log.verify() == AuditViolation(9, ViolationKind.UNPROVED)


def test_checkpoint_of_another_hand_or_log_is_not_believed(log: Log) -> None:
    genuine = log.checkpoints[1]
    for forged in (
        STRANGER.checkpoint(Tree().grow(each.computed_hash() for each in log.entries[:9])),
        replace(genuine, size=8),
        replace(genuine, origin="fengping/scoring"),
        replace(genuine, root=b"r" * 32),
        replace(genuine, signature=b""),
    ):
        log.checkpoints[1] = forged
        assert log.verify() == AuditViolation(4, ViolationKind.FORGED)


def test_log_of_another_service_is_not_this_log() -> None:
    other = Log(signer=Signer("fengping/scoring", SIGNER.key))
    other.seal(make_entry(1))

    assert other.verify() == AuditViolation(0, ViolationKind.FORGED)


def test_missing_checkpoint_in_the_middle_harms_nothing(log: Log) -> None:
    del log.checkpoints[0]

    assert log.verify() is None


# ── proofs of entries that are sealed together


def proved_entries(start: int, count: int) -> list[AuditEntry]:
    """Entries with their proofs, sealed together after `start` others."""
    peaks = [hashlib.sha256(bytes([bit])).digest() for bit in range(start.bit_count())]
    entries = list(map(make_entry, range(count)))
    sealed = seal_entries(Tree(start, tuple(peaks)), entries, SIGNER)
    return [replace(each, proof=proof) for each, proof in zip(entries, sealed.proofs, strict=True)]


@given(st.integers(0, 40), st.integers(1, 40))
def test_proofs_of_appended_leaves_are_those_of_the_whole_tree(first: int, added: int) -> None:
    hashes = [hashlib.sha256(bytes([n])).digest() for n in range(first + added)]

    grown, proofs = grow_with_proofs(Tree().grow(hashes[:first]), hashes[first:])

    assert grown == Tree().grow(hashes)
    assert proofs == [inclusion_proof(hashes, n) for n in range(first, first + added)]


@given(start=st.integers(0, 10**6), count=st.integers(1, 70), data=st.data())
def test_each_entry_of_a_batch_is_proved_at_its_own_position_and_content_only(
    start: int, count: int, data: st.DataObject
) -> None:
    signed = proved_entries(start, count)

    assert all(
        SIGNER.verifier.verify_entry(each, position) for position, each in enumerate(signed, start)
    )
    one, other = data.draw(st.integers(0, count - 1)), data.draw(st.integers(0, count))
    assert SIGNER.verifier.verify_entry(signed[one], start + other) == (one == other), (
        "another place"
    )
    if one != other < count:
        assert not SIGNER.verifier.verify_entry(
            replace(signed[one], proof=signed[other].proof), start + one
        ), "the proof of another entry"
    assert not SIGNER.verifier.verify_entry(replace(signed[one], actor="limou"), start + one), (
        "other content"
    )
    assert not STRANGER.verifier.verify_entry(signed[one], start + one), "another hand"


@pytest.mark.parametrize("count", [1, 2, 5, 8])
def test_a_proof_with_any_bit_flipped_is_invalid(count: int) -> None:
    for position, entry in enumerate(proved_entries(0, count)):
        proof = entry.proof or b""
        for at in range(len(proof)):
            flipped = proof[:at] + bytes([proof[at] ^ 1]) + proof[at + 1 :]
            assert not SIGNER.verifier.verify_entry(replace(entry, proof=flipped), position)
        for wrong in (b"", proof[:63], proof[:71], proof[:-1], proof + b"x" * 32):
            assert not SIGNER.verifier.verify_entry(replace(entry, proof=wrong), position)


def test_a_node_of_the_tree_cannot_be_passed_off_as_a_leaf() -> None:
    entry, *_ = proved_entries(0, 4)
    proof = entry.proof or b""

    shorter = replace(entry, proof=proof[:72] + proof[104:])

    assert not SIGNER.verifier.verify_entry(shorter, 0)


@pytest.mark.parametrize(
    ("start", "count", "steps"), [(0, 1, 0), (0, 500, 9), (2**20 - 1, 1, 20), (10**6, 500, 16)]
)
def test_a_proof_has_one_hash_for_each_level_of_the_tree(
    start: int, count: int, steps: int
) -> None:
    longest = max(len(each.proof or b"") for each in proved_entries(start, count))

    assert longest == 8 + 64 + steps * 32


def test_a_checkpoint_is_a_signed_note() -> None:
    # Source: C2SP signed-note and tlog-checkpoint.
    checkpoint = SIGNER.checkpoint(Tree().grow(HASHES))

    body, _, signature_line = SIGNER.verifier.note(checkpoint).partition("\n\n")

    dash, name, encoded = signature_line.rstrip("\n").split(" ")
    signature = b64decode(encoded)
    public_key = SIGNER.key.public_key()
    key_id = hashlib.sha256(b"fengping/intake\n\x01" + public_key.public_bytes_raw()).digest()[:4]
    assert body.split("\n") == ["fengping/intake", "8", b64encode(checkpoint.root).decode()]
    assert (dash, name, signature[:4]) == ("—", "fengping/intake", key_id)
    public_key.verify(signature[4:], f"{body}\n".encode())


def test_hundred_random_edits_are_all_found_and_named() -> None:
    rng = random.Random(20261120)
    for _ in range(100):
        log = Log()
        for start in range(0, 40, 8):
            log.seal(*map(make_entry, range(start, start + 8)))
        position, name = (
            rng.randrange(39),
            rng.choice(["change", "rewrite", "drop", "drop and move up", "insert", "swap"]),
        )
        _edit(log, position, name)

        violation = log.verify()

        assert violation is not None, (position, name)
        assert violation.position == position, (position, name, violation)


def _edit(log: Log, position: int, name: str) -> None:
    if name == "change":
        log.entries[position] = replace(log.entries[position], details={})
    elif name == "rewrite":
        log.rewrite(position, details={})
    elif name.startswith("drop"):
        del log.entries[position]
    elif name == "insert":
        log.entries.insert(position, make_entry(500))
    else:
        log.entries[position : position + 2] = reversed(log.entries[position : position + 2])
    if name in {"drop and move up", "insert", "swap"}:
        log.renumber()


def test_flaw_is_a_sentence_for_the_person_who_ran_the_check() -> None:
    assert AuditViolation(4, ViolationKind.MISSING).sentence == "第 5 条审计记录已被删除"


# ── sealing, on a real PostgreSQL

Core = tuple[Any, Callable[[str], Awaitable[Database]]]


async def record(database: Database, *numbers: int) -> None:
    async with database.transaction() as tx:
        for number in numbers:
            tx.audit(
                "identity.revealed",
                f"JF-2026-{number:06}",
                "wangmou",
                reason="回访核实",
                score=88.25,
                digest="a1" * 32,
            )


async def seal_all(database: Database, batch_max: int = 500) -> list[Checkpoint]:
    made: list[Checkpoint] = []
    while True:
        async with database.transaction() as tx:
            checkpoint = await seal(tx, SIGNER, batch_max=batch_max)
        if checkpoint is None:
            return made
        made.append(checkpoint)


async def flaw_of(database: Database, *kept_elsewhere: Checkpoint) -> AuditViolation | None:
    async with database.transaction() as tx:
        leaves = [
            entry_from_row(row)
            for row in await tx.fetch(
                "select * from audit where position is not null order by position"
            )
        ]
        rows = await tx.fetch("select size, root, signature from checkpoints")
        paged = await verify_log(tx, SIGNER.verifier, kept_elsewhere)
    checkpoints = [Checkpoint(SIGNER.origin, **row) for row in rows]
    found = verify(leaves, [*checkpoints, *kept_elsewhere], SIGNER.verifier)
    assert paged == found, "the log on disk and the log in memory are verified alike"
    return found


async def tamper(database: Database, *statements: str) -> None:
    """As an insider who owns the tables and has taken the guard away."""
    connection = await asyncpg.connect(
        database.address.url, server_settings={"search_path": database.schema}
    )
    try:
        for statement in (
            "alter table audit disable trigger user",
            *statements,
            "alter table audit enable trigger user",
        ):
            await connection.execute(statement)
    finally:
        await connection.close()


@pytest.fixture
async def intake(core: Core) -> Database:
    _, open_schema = core
    return await open_schema("intake")


@pytest.mark.stack
async def test_what_was_recorded_is_sealed_once_in_order(intake: Database) -> None:
    await record(intake, *range(7))

    first = await seal_all(intake, batch_max=3)
    await record(intake, 7)
    second = await seal_all(intake)

    assert [checkpoint.size for checkpoint in first + second] == [3, 6, 7, 8]
    assert await flaw_of(intake) is None
    async with intake.transaction() as tx:
        rows = await tx.fetch("select subject, position from audit order by id")
    assert [row["position"] for row in rows] == list(range(8))
    assert await seal_all(intake) == []


@pytest.mark.stack
async def test_late_commit_of_an_early_number_is_sealed_too(intake: Database) -> None:
    await record(intake, 0)
    async with intake.transaction() as slow:
        await slow.run(
            "insert into audit (at, actor, action, subject, details) values (now(), 'li', 'x', 'slow', '{}')"
        )
        await record(intake, 1)
        await seal_all(intake)

    await seal_all(intake)

    async with intake.transaction() as tx:
        rows = await tx.fetch("select subject from audit order by position")
    assert [row["subject"] for row in rows] == ["JF-2026-000000", "JF-2026-000001", "slow"]
    assert await flaw_of(intake) is None


@pytest.mark.stack
async def test_concurrent_sealers_do_not_interfere(intake: Database) -> None:
    async def work(first: int) -> None:
        for number in range(first, first + 20):
            await record(intake, number)

    async def sealer() -> None:
        for _ in range(15):
            async with intake.transaction() as tx:
                await seal(tx, SIGNER, batch_max=7)

    await asyncio.gather(work(0), work(100), work(200), sealer(), sealer(), sealer())
    await seal_all(intake)

    assert await flaw_of(intake) is None
    async with intake.transaction() as tx:
        assert await tx.fetchval("select count(*) from audit where position between 0 and 59") == 60


@pytest.mark.stack
async def test_crash_before_commit_seals_nothing(intake: Database) -> None:
    await record(intake, 0)

    async def crash() -> None:
        async with intake.transaction() as tx:
            assert await seal(tx, SIGNER) is not None
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await crash()

    async with intake.transaction() as tx:
        assert await tx.fetchval("select count(*) from checkpoints") == 0
    assert len(await seal_all(intake)) == 1
    assert await flaw_of(intake) is None


@pytest.mark.stack
async def test_logs_of_two_services_are_apart(core: Core) -> None:
    _, open_schema = core
    intake, scoring = await open_schema("intake"), await open_schema("scoring")
    await record(intake, 0)
    await record(scoring, 1, 2)

    async with intake.transaction() as one, scoring.transaction() as other:
        sealed = [await seal(one, SIGNER), await seal(other, SIGNER)]

    assert [checkpoint and checkpoint.size for checkpoint in sealed] == [1, 2]


@pytest.mark.stack
@pytest.mark.parametrize(
    ("statement", "position"),
    [
        ("update audit set actor = 'limou' where position = 5", 5),
        ("update audit set details = details || '{\"score\": 88.26}' where position = 0", 0),
        ("update audit set at = at + interval '1 microsecond' where position = 9", 9),
        ("delete from audit where position = 4", 4),
        ("delete from audit where position >= 7", 7),
        ("delete from audit where position >= 7; delete from checkpoints where size = 10", 7),
        (
            "delete from audit where position = 4; update audit set position = -position where position > 4; "
            "update audit set position = -position - 1 where position < 0",
            4,
        ),
        (
            "update audit set position = case position when 2 then -3 when 3 then -2 end where position in (2, 3); "
            "update audit set position = -position where position < 0",
            2,
        ),
        ("update checkpoints set root = decode(repeat('00', 32), 'hex') where size = 6", 3),
    ],
)
async def test_insider_with_all_rights_is_found_out(
    intake: Database, statement: str, position: int
) -> None:
    await record(intake, *range(10))
    *_, kept = await seal_all(intake, batch_max=3)
    assert await flaw_of(intake, kept) is None

    await tamper(intake, statement)

    violation = await flaw_of(intake, kept)
    assert violation is not None
    assert violation.position == position


@pytest.mark.stack
async def test_removed_checkpoints_are_found_out_by_the_entries_they_leave(
    intake: Database,
) -> None:
    await record(intake, *range(10))
    await seal_all(intake, batch_max=3)

    await tamper(intake, "delete from checkpoints where size = 10")

    assert await flaw_of(intake) == AuditViolation(9, ViolationKind.UNPROVED)


@pytest.mark.stack
async def test_without_taking_the_guard_away_nothing_can_be_changed(intake: Database) -> None:
    await record(intake, 0)
    await seal_all(intake)
    await record(intake, 1)

    for statement in (
        "update audit set actor = 'limou' where position = 0",
        "update audit set leaf_hash = '\\x00' where position = 0",
        "update audit set details = '{}' where position is null",
        "delete from audit where position is null",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with intake.transaction() as tx:
                await tx.run(statement)
    assert await flaw_of(intake) is None


@pytest.mark.stack
@pytest.mark.parametrize(
    "statement",
    [
        "update checkpoints set peaks = decode(repeat('00', 32), 'hex') where size = 4",
        "update checkpoints set root = decode(repeat('00', 32), 'hex') where size = 4",
        "update checkpoints set signature = decode(repeat('00', 64), 'hex') where size = 4",
        "delete from checkpoints",
        "delete from audit where position = 3",
    ],
)
async def test_nothing_is_added_to_a_log_that_was_touched_at_its_end(
    intake: Database, statement: str
) -> None:
    await record(intake, *range(4))
    await seal_all(intake)
    await record(intake, 4)

    await tamper(intake, statement)

    with pytest.raises(InconsistentLog, match="已停止封存"):
        await seal_all(intake)


@pytest.mark.stack
async def test_export_as_json_lines_verifies_as_well(intake: Database) -> None:
    await record(intake, *range(5))
    (checkpoint,) = await seal_all(intake)
    async with intake.transaction() as tx:
        rows = await tx.fetch(
            "select at, actor, action, subject, details::text, position, leaf_hash, proof from audit order by position"
        )

    exported = [json.dumps({name: _plain(value) for name, value in row.items()}) for row in rows]
    leaves = [_read(line) for line in exported]

    assert verify(leaves, [checkpoint], SIGNER.verifier) is None
    assert verify(leaves[:4], [checkpoint], SIGNER.verifier) == AuditViolation(
        4, ViolationKind.MISSING
    )


def _plain(value: Any) -> Any:
    return (
        value.hex()
        if isinstance(value, bytes)
        else value.isoformat()
        if isinstance(value, datetime)
        else value
    )


def _read(line: str) -> AuditEntry:
    row = json.loads(line)
    row |= {"at": datetime.fromisoformat(row["at"]), "details": json.loads(row["details"])}
    return entry_from_row(row | {name: bytes.fromhex(row[name]) for name in ("leaf_hash", "proof")})
