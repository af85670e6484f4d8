"""The servers and installations that measurements run on, and what a measurement says."""

import platform
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from shared.clock import REAL_CLOCK_DDL
from shared.database import CORE_DDL, Database
from shared.embedded import Stack
from shared.settings import Settings
from tests.conftest import named, on_server, settings_for


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table. `goal` is None where there is none; `better` says in which direction it counts."""

    name: str
    value: float
    unit: str
    goal: float | None = None
    better: str = ""

    @property
    def met(self) -> bool | None:
        if self.goal is None:
            return None
        return self.value >= self.goal if self.better == "more" else self.value <= self.goal

    def row(self) -> str:
        value = f"{self.value:,.0f}" if abs(self.value) >= 1000 else f"{self.value:,.2f}"
        goal = "" if self.goal is None else f"{'≥' if self.better == 'more' else '≤'} {self.goal:g}"
        return f"| {self.name} | {value} {self.unit} | {goal} | {({True: 'met', False: 'MISSED', None: ''})[self.met]} |"


class World:
    """Real servers; every measurement gets its own database and topics. `quick` is the short form that CI runs."""

    def __init__(self, servers: Stack, folder: Path, *, quick: bool) -> None:
        self.servers, self.folder, self.quick = servers, folder, quick
        self._numbers = count(1)
        self._opened: list[Database] = []

    async def installation(self, *, template: str | None = None) -> Settings:
        """A fresh database (empty, or cloned) with settings that lead to it."""
        number = next(self._numbers)
        name = f"bench_{number}"
        source = f" template {template}" if template else ""
        await on_server(self.servers.postgres.superuser_url, f"create database {name}{source} owner fengping")
        settings = settings_for(self.servers, named(self.servers.postgres_url, name), self.folder, 100 + number)
        if not template:
            await on_server(settings.database_url, REAL_CLOCK_DDL)
        return settings

    async def core(self, settings: Settings, service: str) -> Database:
        """A schema with the core's tables only."""
        await on_server(settings.database_url, f'create schema "{service}"; set search_path = "{service}"; {CORE_DDL}')
        database = Database(settings.database_url, service)
        self._opened.append(database)
        return database

    async def close(self) -> None:
        for database in self._opened:
            await database.close()


def machine() -> str:
    """What this was measured on."""
    processors = Path("/proc/cpuinfo").read_text().splitlines()
    cpu = next((line.split(":", 1)[1].strip() for line in processors if line.startswith("model name")), "?")
    cores = sum(line.startswith("processor") for line in processors)
    memory = int(Path("/proc/meminfo").read_text().split()[1]) // 1024**2
    return f"{cores} cores ({cpu}), {memory} GB, {platform.system()} {platform.release()}, Python {platform.python_version()}"
