"""The routes of the four services, and the largest body that each accepts."""

import tempfile
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

from shared.foundation.settings import Settings
from shared.security.service_keys import service_keys
from shared.storage.schema import SERVICES
from shared.web.routing import PolicyRoute, list_routes


def bodies() -> Iterator[tuple[str, int]]:
    """Each path that takes a body, with the bytes of the largest."""
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(data_folder=Path(folder))
        for name in SERVICES:
            service_keys(name, settings).create_missing()
        apps = [import_module(f"services.{name}.app").build(settings).app for name in SERVICES]
    for app in apps:
        for path, route in list_routes(app):
            if isinstance(route, PolicyRoute) and route.methods - {"GET", "HEAD"}:
                yield path.replace("{", "").replace("}", ""), route.body_max
