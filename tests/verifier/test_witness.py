"""The witness: it cosigns a log that only grows, and nothing that contradicts what it saw."""

import asyncio
import socket
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest
import uvicorn
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from starlette.testclient import TestClient

from services.cli.verification import Outside, verify_installation
from services.witness.app import build
from services.witness.store import WitnessFolder
from shared.runtime.checkpoint_sender import CheckpointSender
from shared.security.audit import Signer
from shared.security.merkle import Tree, consistency_proof, leaf_hash
from shared.verifier.findings import Difference
from shared.verifier.merkle import is_consistent, root_from_path, root_of
from shared.verifier.notes import read_key, read_note, read_notes
from tests.verifier import edits
from tests.verifier.support import Installation, seal_log

SIGNER = Signer("fengping/intake", Ed25519PrivateKey.from_private_bytes(b"k" * 32))
STRANGER = Signer("fengping/intake", Ed25519PrivateKey.from_private_bytes(b"x" * 32))
OTHER_LOG = Signer("fengping/other", Ed25519PrivateKey.from_private_bytes(b"k" * 32))
HASHES = [leaf_hash(bytes([number])) for number in range(40)]


# ── proofs


@pytest.mark.parametrize("old", range(20))
def test_consistency_is_proved_for_every_growth_and_for_no_other_tree(old: int):
    tree = Tree().grow(HASHES[:old])
    for size in range(old, 21):
        grown = tree.grow(HASHES[old:size])
        proof = consistency_proof(tree, HASHES[old:size])
        assert is_consistent(old, tree.root, size, grown.root, proof)
        if 0 < old < size:
            assert not is_consistent(old, HASHES[39], size, grown.root, proof)
            assert not is_consistent(old, tree.root, size, HASHES[39], proof)
            assert not is_consistent(old, tree.root, size, grown.root, [*proof, HASHES[0]])
            assert not is_consistent(old, tree.root, size, grown.root, [])


def test_roots_and_paths_are_those_of_the_log():
    for size in range(1, 20):
        assert root_of(HASHES[:size]) == Tree().grow(HASHES[:size]).root
    assert root_from_path(HASHES[0], 0, 2, [HASHES[1]]) == root_of(HASHES[:2])
    assert root_from_path(HASHES[0], 2, 2, [HASHES[1]]) is None
    assert root_from_path(HASHES[0], 0, 2, []) is None


# ── cosigning


@pytest.fixture
def folder(tmp_path: Path) -> WitnessFolder:
    folder = WitnessFolder(tmp_path / "witness", "fengping-witness")
    (folder.folder / "logs.txt").write_text("\n".join(SIGNER.verifier.key_lines()) + "\n")
    return folder


@pytest.fixture
def witness(folder: WitnessFolder) -> TestClient:
    return TestClient(build(folder))


def submit(
    witness: TestClient, size: int, *, old: int = 0, signer: Signer = SIGNER, hashes=HASHES
) -> httpx2.Response:
    """Show the witness the tree of the first `size` hashes, with a proof from `old`."""
    tree = Tree().grow(hashes[:old])
    proof = [b64encode(each).decode() for each in consistency_proof(tree, hashes[old:size])]
    note = signer.verifier.note(signer.checkpoint(Tree().grow(hashes[:size])))
    head = "\n".join([f"old {old}", *proof])
    return witness.post("/add-checkpoint", content=f"{head}\n\n{note}".encode())


def test_growing_log_is_cosigned(witness: TestClient, folder: WitnessFolder):
    first = submit(witness, 3)
    second = submit(witness, 9, old=3)

    assert (first.status_code, second.status_code) == (200, 200)
    note = read_note(witness.get("/checkpoint", params={"origin": "fengping/intake"}).text)
    key = read_key(witness.get("/key").text)
    assert (note.size, note.is_signed_by(key), key.text) == (9, True, folder.key.text)
    assert len(read_notes((folder.folder / "cosigned.log").read_text())) == 2


def test_restarted_witness_remembers(folder: WitnessFolder):
    submit(TestClient(build(folder)), 9)

    again = TestClient(build(WitnessFolder(folder.folder, "fengping-witness")))

    assert submit(again, 5).status_code == 409
    assert submit(again, 12, old=9).status_code == 200


@pytest.mark.parametrize(
    ("size", "changes", "status"),
    [
        (9, {"old": 3}, 409),
        (12, {"old": 0}, 409),
        (12, {"old": 9, "hashes": [*HASHES[:4], HASHES[39], *HASHES[5:]]}, 422),
        (9, {"old": 9, "hashes": [*HASHES[:4], HASHES[39], *HASHES[5:]]}, 409),
        (12, {"old": 9, "signer": STRANGER}, 403),
        (12, {"old": 9, "signer": OTHER_LOG}, 404),
    ],
)
def test_what_contradicts_the_past_is_refused(witness: TestClient, size, changes, status):
    submit(witness, 9)

    refused = submit(witness, size, **changes)

    assert refused.status_code == status
    note = read_note(witness.get("/checkpoint", params={"origin": "fengping/intake"}).text)
    assert note.size == 9


@pytest.mark.parametrize(
    "body", [b"", b"old x\n\n", b"old 0\n\nno note", b"old -1\n\nx\n1\nAA==\n\n", b"\xff\xfe"]
)
def test_malformed_requests_are_answered(witness: TestClient, body: bytes):
    assert witness.post("/add-checkpoint", content=body).status_code == 400
    assert witness.post("/add-checkpoint", content=b"x" * 20_000).status_code == 413


# ── an installation with a witness


@asynccontextmanager
async def serving(folder: WitnessFolder) -> AsyncIterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    config = uvicorn.Config(build(folder), port=port, log_level="error", lifespan="off")
    server = uvicorn.Server(config)
    server.capture_signals = lambda: __import__("contextlib").nullcontext()  # type: ignore[method-assign]
    task = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    await task


@pytest.fixture
async def watched(installation: Installation, tmp_path: Path) -> AsyncIterator[Installation]:
    """The installation, its logs cosigned by a witness and appended to a file."""
    folder = WitnessFolder(tmp_path / "witness", "fengping-witness")
    keys = [
        line
        for service in installation.services.values()
        for line in service.signer.verifier.key_lines()
    ]
    (folder.folder / "logs.txt").write_text("\n".join(keys) + "\n")
    async with serving(folder) as url:
        installation.settings = installation.settings.model_copy(
            update={"witness_url": url, "checkpoint_file": tmp_path / "checkpoints.txt"}
        )
        await send(installation)
        yield installation


async def send(installation: Installation) -> None:
    for service in installation.services.values():
        sender = CheckpointSender(
            verifier=service.signer.verifier,
            witness_url=installation.settings.witness_url,
            file=installation.settings.checkpoint_file,
        )
        while await sender.send(service.database):
            pass


async def differences(installation: Installation, outside: Outside | None = None) -> list[str]:
    findings = verify_installation(installation.settings, outside, on_progress=lambda _: None)
    return [str(found) async for found in findings if isinstance(found, Difference)]


async def cosigned(installation: Installation) -> dict[str, int]:
    sizes = {}
    for name, service in installation.services.items():
        async with service.database.transaction() as tx:
            sizes[name] = await tx.fetchval("select coalesce(max(size), 0) from cosignatures")
    return sizes


@pytest.mark.stack
async def test_honest_installation_is_cosigned_and_verified(watched: Installation):
    before = await cosigned(watched)
    await watched.play(3, events=20)

    await send(watched)

    after = await cosigned(watched)
    assert all(after[name] > before[name] > 0 for name in ("intake", "casework"))
    assert [line for line in await differences(watched) if "fengping/notify" not in line] == []
    kept = read_notes(watched.settings.checkpoint_file.read_text())
    assert {note.origin.rpartition("/")[2] for note in kept} == set(watched.services)


@pytest.mark.stack
@pytest.mark.parametrize("left", [0.9, 0.5, 0.0])
async def test_cut_log_is_noticed_by_the_witness_and_by_the_file(watched, owner, left):
    kept = Outside(read_notes(watched.settings.checkpoint_file.read_text()), "a file")
    size = await owner.fetchval("select max(position) + 1 from intake.audit")
    await owner.execute("delete from intake.audit where position >= $1", int(size * left))
    await owner.execute("delete from intake.checkpoints where size > $1", int(size * left))
    await owner.execute("delete from intake.cosignatures where size > $1", int(size * left))

    by_witness = await differences(watched)
    by_file = await differences(watched, kept)

    for found in (by_witness, by_file):
        assert any("audit log: fengping/intake" in line for line in found), found


@pytest.mark.stack
async def test_log_rebuilt_with_the_real_key_is_refused_and_named(watched, owner):
    """The owner has the signing key too: edits an entry, unseals everything, has it sealed again."""
    seen = (await cosigned(watched))["casework"]
    await owner.execute("update casework.audit set actor = 'nobody' where position = 1")
    await owner.execute(
        "update casework.audit set position = null, leaf_hash = null, proof = null, sealed_at = null"
    )
    await owner.execute("delete from casework.checkpoints; delete from casework.cosignatures")
    await seal_log(watched.services["casework"])

    await watched.play(4, events=10)
    await send(watched)

    assert (await cosigned(watched))["casework"] == 0, "the witness cosigns nothing of it"
    assert seen > 0
    assert any("audit log: fengping/casework" in line for line in await differences(watched))


@pytest.mark.stack
async def test_older_backup_is_refused_and_named(watched, owner):
    await edits.restore(owner, "early_casework", "casework")

    await send(watched)

    assert any("audit log: fengping/casework" in line for line in await differences(watched))


@pytest.mark.stack
async def test_checkpoint_that_the_file_lacks_is_reported(watched):
    lines = [
        note
        for note in read_notes(watched.settings.checkpoint_file.read_text())
        if note.origin != "fengping/scoring"
    ]

    found = await differences(watched, Outside(lines, "a file"))

    assert any("fengping/scoring is not in a file" in line for line in found)
