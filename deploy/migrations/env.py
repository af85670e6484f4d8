"""Alembic's environment: one schema at a time, on the connection that `shared.migrations` gives."""

from importlib import import_module
from typing import Any

from alembic import context
from alembic.autogenerate import compare_metadata

from shared.storage.schema import CORE_TABLES

config = context.config
service: str = config.attributes["service"]
metadata = import_module(f"services.{service}.tables").Base.metadata


def own_tables_only(name: str | None, kind: str, parents: dict[str, Any]) -> bool:
    if kind == "schema":
        return name == service
    if kind == "table":
        return name not in CORE_TABLES and name != "alembic_version"
    return True


def no_partitions(
    object_: Any, name: str | None, kind: str, reflected: bool, compare_to: Any
) -> bool:
    """Partitions of a table are made as data comes; they are not part of the model."""
    return not (kind == "table" and reflected and compare_to is None and "_part_" in (name or ""))


options: dict[str, Any] = {
    "target_metadata": metadata,
    "include_schemas": True,
    "include_name": own_tables_only,
    "include_object": no_partitions,
    "version_table_schema": service,
    "compare_type": True,
    "compare_server_default": False,
}
connection = config.attributes["connection"]
# The connection's search path begins with the service's schema; Alembic would then look for tables
# that name no schema.
connection.dialect.default_schema_name = "public"
context.configure(connection=connection, **options)
with context.begin_transaction():
    context.run_migrations()
if "drift" in config.attributes:
    config.attributes["drift"][:] = compare_metadata(context.get_context(), metadata)
