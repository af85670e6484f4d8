"""Replaces the password of a service's database role while the service runs.

Decision: the file first holds both passwords, then the role gets the new one, then the old one is
removed from the file. A service reads the file for each connection and tries all passwords in it,
so that no connection fails at any instant in between.
"""

import secrets
from typing import Final

import asyncpg

from shared.foundation.private_files import write_private
from shared.foundation.settings import Settings
from shared.security.service_keys import DATABASE, PASSWORD_BYTES, ServiceKeys
from shared.storage.roles import owner_role, read_passwords, set_passwords


async def rotate_database_password(settings: Settings, keys: ServiceKeys, *, by: str) -> None:
    """Replace the password of one service. Needs the URL of the role that migrates."""
    path = keys.path(DATABASE)
    connection = await asyncpg.connect(settings.database_url)
    try:
        old = read_passwords(path)[0]
        new = secrets.token_hex(PASSWORD_BYTES)
        write_private(path, f"{old}\n{new}\n")
        async with connection.transaction():
            await set_passwords(connection, {keys.service: new})
            await connection.execute(f'set local role "{owner_role(keys.service)}"')
            await connection.execute(_INSERT_ENTRY.format(schema=keys.service), by, DATABASE.name)
        write_private(path, f"{new}\n")
    finally:
        await connection.close()


_INSERT_ENTRY: Final = """
insert into {schema}.audit (at, actor, action, subject, details)
values (public.app_now(), $1, 'key.rotated', $2, '{{}}')
"""
