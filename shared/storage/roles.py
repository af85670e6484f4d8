"""The roles of PostgreSQL: for each service one that owns its schema, and one that works in it.

The owner cannot sign in. The role that migrates (`fengping`) is a member of every owner; it is
neither a superuser nor known to a service. Passwords reach the server as SCRAM verifiers, so that
no log or view can show them.
"""

import hashlib
import hmac
import secrets
from base64 import b64encode
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Protocol

import asyncpg

from shared.foundation.private_files import read_private
from shared.storage.access import access_of, grants

PASSWORD_FILE: Final = "database"
"""In the folder of a service's keys: its password; while it is being replaced, the old one and on
the next line the new one.
"""
SCRAM_ITERATIONS: Final = 4096
SALT_BYTES: Final = 16


def runtime_role(service: str) -> str:
    """Return the role as which a service connects. It owns nothing."""
    return f"fengping_{service}"


def owner_role(service: str) -> str:
    """Return the role that owns a service's schema."""
    return f"fengping_{service}_owner"


def read_passwords(file: Path) -> list[str]:
    """Return the passwords in a file, newest first.

    Raises OSError if it cannot be read, also if others can read it.
    """
    return [line.strip() for line in reversed(read_private(file).splitlines()) if line.strip()]


async def create_roles(connection: asyncpg.Connection, services: tuple[str, ...]) -> None:
    """Create missing roles and schemas; whoever runs it may then act as every owner."""
    for service in services:
        await _create_role(connection, runtime_role(service), "login")
        await _create_role(connection, owner_role(service), "nologin")
        owner = owner_role(service)
        await connection.execute(f'grant "{owner}" to current_user with inherit true, set true')
        await connection.execute(f'create schema if not exists "{service}" authorization "{owner}"')
    await close_database(connection, services)


async def _create_role(connection: asyncpg.Connection, role: str, login: str) -> None:
    if not await connection.fetchval("select true from pg_roles where rolname = $1", role):
        await connection.execute(f'create role "{role}" {login} noinherit')


async def close_database(connection: asyncpg.Connection, services: tuple[str, ...]) -> None:
    """Let nobody connect but the roles of the installation, and nobody create objects."""
    database = await connection.fetchval("select quote_ident(current_database())")
    roles = ", ".join(f'"{runtime_role(service)}"' for service in services)
    await connection.execute(
        f"revoke all on database {database} from public;"
        f"grant connect on database {database} to {roles};"
    )


async def grant_access(connection: asyncpg.Connection, service: str) -> None:
    """Give the role of a service its access to each table of its schema; repeat it after changes.

    Partitions are reached through their tables, so nothing is granted on them.
    """
    tables = [name for (name,) in await connection.fetch(_TABLES, service)]
    async with connection.transaction():
        await connection.execute(f'set local role "{owner_role(service)}"')
        role = runtime_role(service)
        await connection.execute(grants(service, role, tables, access_of(service)))


_TABLES: Final = """
select c.relname as name from pg_class c join pg_namespace n on n.oid = c.relnamespace
where n.nspname = $1 and c.relkind in ('r', 'p') and not c.relispartition
"""


async def set_passwords(connection: asyncpg.Connection, passwords: Mapping[str, str]) -> None:
    """Set the password of each service's role."""
    for service, password in passwords.items():
        verifier = scram_verifier(password)
        await connection.execute(f"alter role \"{runtime_role(service)}\" password '{verifier}'")


def scram_verifier(password: str) -> str:
    """Return what PostgreSQL stores of a password (RFC 5803)."""
    salt = secrets.token_bytes(SALT_BYTES)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, SCRAM_ITERATIONS)
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    stored_key = hashlib.sha256(client_key).digest()
    server_key = hmac.digest(salted, b"Server Key", "sha256")
    parts = [b64encode(part).decode() for part in (salt, stored_key, server_key)]
    return f"SCRAM-SHA-256${SCRAM_ITERATIONS}:{parts[0]}${parts[1]}:{parts[2]}"


# ── what a service refuses ────────────────────────────────────────────────────────────────────────


class SqlConnection(Protocol):
    """A connection or a transaction."""

    async def fetchrow(self, sql: str, /, *arguments: Any) -> Any:
        """Return the first row of a query."""


async def excess_powers(connection: SqlConnection) -> list[str]:
    """Return what the current role may do although a service must not, in English."""
    row = await connection.fetchrow(_POWERS)
    assert row is not None
    return [power for power, granted in row.items() if granted]


_POWERS: Final = """
select r.rolsuper as "is a superuser", r.rolcreaterole as "may create roles",
  r.rolcreatedb as "may create databases", r.rolbypassrls as "bypasses row security",
  r.rolreplication as "may replicate",
  exists (select from pg_class c where c.relowner = r.oid) as "owns tables",
  exists (select from pg_namespace n where n.nspowner = r.oid) as "owns a schema",
  exists (select from pg_database d where d.datdba = r.oid) as "owns a database",
  exists (select from pg_auth_members m where m.member = r.oid) as "is a member of other roles"
from pg_roles r where r.rolname = session_user
"""
