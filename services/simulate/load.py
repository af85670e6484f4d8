"""A bounded load that accounts for every request: what was sent and what was acknowledged.

After a fault, the question is whether each acknowledged write took effect exactly once. The ledger
answers it from outside the system: each operation follows from the seed and its number, is written
to the ledger before it is sent and when it is answered, and is retried with the same idempotency
key until there is an answer. A killed run continues from its ledger.
"""

import ipaddress
import math
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from random import Random
from typing import Final
from urllib.parse import urlsplit

from services.simulate.accounts import INSPECTOR, OFFICE, OPERATOR, REVIEWER
from services.simulate.client import Client, id_of
from services.simulate.errors import RequestRejected
from services.simulate.ledger import Ledger
from services.simulate.load_run import LoadRun, LoadSummary, Operation, Senders
from services.simulate.requests import TargetCampaign
from shared.foundation.clock import real_now

MIX: Final[Mapping[str, float]] = {"complaint": 6, "ballot": 12, "visit": 2}
"""Weights of the kinds of operations."""
BALLOTS_PER_ADDRESS_SECOND: Final = 9.0
"""The system accepts 600 ballots a minute from one address; a faster load uses several."""
ADDRESSES_MAX: Final = 60


class ForeignHost(Exception):
    """The URL is not on this machine, and its ownership was not confirmed."""


def refuse_foreign(url: str, *, mine: bool = False) -> None:
    """Raise ForeignHost unless `url` is on this machine or `mine` confirms its ownership."""
    host = urlsplit(url).hostname or ""
    if not mine and not is_loopback(host):
        raise ForeignHost(
            f"{host or url} is not this machine: load your own installation only"
            " (--i-own-this-host)"
        )


def is_loopback(host: str) -> bool:
    """Return whether this name or address is this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@dataclass(kw_only=True)
class Load:
    """A load of `operations` writes at `rate` per second (0: as fast as they are answered).

    `password` is that of the demo accounts. `now` returns the legal time, for the day of visits.
    `mine` confirms the ownership of a host that is not this machine. `on_progress` receives the
    counts after each operation.
    """

    base_url: str
    password: str
    ledger: Path
    seed: int = 1
    rate: float = 20.0
    operations: int = 1000
    mix: Mapping[str, float] = field(default_factory=lambda: dict(MIX))
    campaign_id: str | None = None
    attempts_max: int = 40
    mine: bool = False
    now: Callable[[], datetime] = real_now
    on_progress: Callable[[Counter[str]], None] = lambda _: None

    async def run(self) -> LoadSummary:
        """Send every operation that the ledger does not list as acknowledged.

        Raises ForeignHost, RequestRejected or Unanswered before the first operation.
        """
        refuse_foreign(self.base_url, mine=self.mine)
        ledger = Ledger(self.ledger)
        try:
            async with self._senders() as senders:
                run = await self._prepare_run(ledger, senders)
                return await run.send(self.plan())
        finally:
            ledger.close()

    async def _prepare_run(self, ledger: Ledger, senders: Senders) -> LoadRun:
        campaign = await self._campaign(senders.office)
        return LoadRun(
            ledger,
            senders,
            campaign,
            seed=self.seed,
            rate=self.rate,
            now=self.now,
            on_progress=self.on_progress,
        )

    def plan(self) -> list[Operation]:
        """Return all operations in order; the same for the same seed, count and mix."""
        rng = Random(f"{self.seed}/kinds")
        kinds = rng.choices(tuple(self.mix), tuple(self.mix.values()), k=self.operations)
        return [self._operation(number, kind) for number, kind in enumerate(kinds)]

    def _operation(self, number: int, kind: str) -> Operation:
        key = str(id_of("load", self.seed, number, kind))
        return Operation(number, kind, key, Random(f"{self.seed}/{number}"))

    @asynccontextmanager
    async def _senders(self) -> AsyncIterator[Senders]:
        clients = [self._client(address) for address in self._addresses()]
        try:
            first = clients[0]
            yield Senders(
                operator=await first.sign_in(OPERATOR.name, self.password),
                reviewer=await first.sign_in(REVIEWER.name, self.password),
                inspector=await first.sign_in(INSPECTOR.name, self.password),
                office=await first.sign_in(OFFICE.name, self.password),
                respondents=tuple(clients),
            )
        finally:
            for client in clients:
                await client.close()

    def _client(self, address: str | None) -> Client:
        return Client(self.base_url, source=address, attempts_max=self.attempts_max)

    def _addresses(self) -> list[str | None]:
        """Return the local addresses to send ballots from; None: the system chooses."""
        wanted = self._wanted_addresses()
        host = urlsplit(self.base_url).hostname or ""
        if wanted <= 1 or not host.startswith("127."):
            return [None]
        return [f"127.0.1.{number}" for number in range(1, wanted + 1)]

    def _wanted_addresses(self) -> int:
        if self.rate == 0:
            return ADDRESSES_MAX
        ballot_share = self.mix.get("ballot", 0) / sum(self.mix.values())
        wanted = math.ceil(self.rate * ballot_share / BALLOTS_PER_ADDRESS_SECOND)
        return min(wanted, ADDRESSES_MAX)

    async def _campaign(self, office: Client) -> TargetCampaign:
        campaign_id = self.campaign_id
        if campaign_id is None:
            campaigns = await office.campaigns()
            campaign_id = campaigns[0]["id"] if campaigns else None
        if campaign_id is None:
            raise RequestRejected(
                409, "no campaign has been published yet: publish one first, or start with --demo"
            )
        return TargetCampaign.of(*await office.campaign(campaign_id))
