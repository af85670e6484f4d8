"""The reviewer of redacted summaries: reads the queue and releases what is in it."""

from typing import Final

from services.simulate.client import Client, Json, id_of

CONFIRMED_REASON: Final = "经核对，属于公开的单位信息"
NOBODY_NAMED: Final = "来件没有指明单位，内容也无法判断"


def finding_number(visit: str, position: int) -> str:
    """Return the number of a visit's finding, counted from 0."""
    return f"{visit}-{position + 1}"


async def waiting_summaries(reviewer: Client) -> list[Json]:
    """Return what awaits its release: complaints and findings, the oldest first."""
    waiting: list[Json] = await reviewer.read("/intake/api/releases")
    return waiting


async def release_summary(
    reviewer: Client,
    number: str,
    *,
    key: object,
    text: str | None = None,
) -> None:
    """放行: release the text as it is drafted, or another one; a released one stays as it is."""
    draft = await reviewer.read(f"/intake/api/releases/{number}")
    if draft["awaits_accused"]:
        await record_accused(reviewer, number, key=id_of(key, "accused"))
    if not draft["awaits_release"]:
        return
    body = {
        "redacted_summary": text or draft["redacted_summary"],
        "draft_version": draft["draft_version"],
        "release": draft["release"],
        "confirmed": dict.fromkeys(draft["personal_data"], CONFIRMED_REASON),
    }
    await reviewer.write(f"/intake/api/releases/{number}", body, key=key)


async def record_accused(
    reviewer: Client,
    number: str,
    *,
    key: object,
    unit_ids: list[str] | None = None,
) -> None:
    """登记被举报单位: confirm the unit that a 举报 names, or record these bodies."""
    url = f"/intake/api/complaints/{number}/accused"
    panel = await reviewer.read(url)
    chosen = panel["unit_ids"] if unit_ids is None else unit_ids
    body = {"unit_ids": chosen, "record": panel["record"]}
    if not chosen:
        body["reason"] = NOBODY_NAMED
    await reviewer.write(url, body, key=key)
