"""The servers that the measurements drive, each in a separate process.

Run `python -m tests.bench.serving product|intake|bare`.
"""

import asyncio
import sys

import asyncpg
import uvloop
from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict

from services.cli.installation import build, prepare
from services.cli.server import public_server, running, stop_event
from shared.foundation.settings import Settings
from shared.foundation.telemetry import configure_logging
from shared.runtime.service import tune_gc


async def product(settings: Settings) -> None:
    """All four services on one port, as `fengping up` serves them."""
    await prepare(settings, demo=False)
    stopping = stop_event()
    async with running(settings):
        await stopping.wait()


async def intake(settings: Settings) -> None:
    """One service alone, as `fengping serve intake` runs it on a cluster."""
    await serve_alone(build("intake", settings).app, settings)


class Complaint(BaseModel):
    """The body that both servers are given."""

    model_config = ConfigDict(extra="forbid")
    campaign_id: str
    channel: str
    kind: str
    urgency: str
    unit_id: str | None = None
    problem_item: str | None = None
    complaint_text: str
    redacted_summary: str
    identity: str
    phone: str | None = None
    name: str | None = None


INSERT = """
insert into bare_complaints (id, campaign_id, channel, kind, urgency, unit_id, problem_item, complaint_text, redacted_summary, identity, phone, name, at)
values (gen_random_uuid(), $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, now()) returning id
"""


def bare_app(url: str) -> FastAPI:
    """What a user would otherwise write: validate the body, insert one row, answer its id. No
    event, no vault, no key, no sign-in.
    """
    app = FastAPI(openapi_url=None)

    @app.on_event("startup")
    async def open_pool() -> None:
        app.state.pool = await asyncpg.create_pool(url, min_size=10, max_size=20)
        await app.state.pool.execute(
            "create table if not exists bare_complaints (id uuid primary key, campaign_id text, channel text, kind text, urgency text, "
            "unit_id text, problem_item text, complaint_text text, redacted_summary text, identity text, phone text, name text, at timestamptz)"
        )

    @app.post("/intake/api/complaints", status_code=201)
    async def register(body: Complaint) -> dict[str, str]:
        return {"id": str(await app.state.pool.fetchval(INSERT, *body.model_dump().values()))}

    return app


async def bare(settings: Settings) -> None:
    await serve_alone(bare_app(settings.database_url), settings)


async def serve_alone(app: FastAPI, settings: Settings) -> None:
    server = public_server(app, settings)
    stopping = stop_event()
    task = asyncio.create_task(server.serve())
    tune_gc()
    await stopping.wait()
    server.should_exit = True
    await task


if __name__ == "__main__":
    configure_logging("ERROR")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run({"product": product, "intake": intake, "bare": bare}[sys.argv[1]](Settings()))
