"""Asking a broker which brokers it sees, with SASL/SCRAM: the proof that it serves and admits."""

import socket
import struct
from typing import BinaryIO

from aiokafka.conn import ScramAuthenticator

MECHANISM = "SCRAM-SHA-512"
METADATA_KEY, METADATA_VERSION = 3, 1
HANDSHAKE_KEY, HANDSHAKE_VERSION = 17, 1
AUTHENTICATE_KEY, AUTHENTICATE_VERSION = 36, 0
NO_TOPICS = struct.pack(">i", 0)


class _Wire:
    """One connection, on which a request waits for its response."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._answers: BinaryIO = connection.makefile("rb")

    def ask(
        self,
        key: int,
        version: int,
        body: bytes,
    ) -> bytes:
        """Return the response to a request, after its correlation id."""
        request = struct.pack(">hhih", key, version, 1, -1) + body  # no client id
        self._connection.sendall(struct.pack(">i", len(request)) + request)
        (size,) = struct.unpack(">i", self._answers.read(4))
        return self._answers.read(size)[4:]

    def authenticate(self, user: str, password: str) -> None:
        """Prove the password. Raises OSError or ValueError."""
        mechanism = MECHANISM.encode()
        self.ask(HANDSHAKE_KEY, HANDSHAKE_VERSION, struct.pack(">h", len(mechanism)) + mechanism)
        scram = ScramAuthenticator(
            loop=None,
            sasl_plain_username=user,
            sasl_plain_password=password,
            sasl_mechanism=MECHANISM,
        )
        first = self._prove(scram.first_message())
        scram.process_server_first_message(first)
        scram.process_server_final_message(self._prove(scram.final_message()))

    def _prove(self, message: str) -> str:
        """Send one message of SCRAM and return the broker's. Raises PermissionError."""
        sent = message.encode()
        answer = self.ask(
            AUTHENTICATE_KEY, AUTHENTICATE_VERSION, struct.pack(">i", len(sent)) + sent
        )
        error, text_bytes = struct.unpack_from(">hh", answer)
        if error:
            raise PermissionError("the broker did not accept the password")
        at = 4 + max(0, text_bytes)
        (size,) = struct.unpack_from(">i", answer, at)
        return answer[at + 4 : at + 4 + size].decode()


def visible_brokers(
    port: int,
    user: str,
    password: str,
) -> set[int]:
    """Return the node ids of the brokers that the broker on 127.0.0.1:`port` reports as available.

    Empty if it is down or does not know the password.
    """
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            wire = _Wire(connection)
            wire.authenticate(user, password)
            return broker_ids(wire.ask(METADATA_KEY, METADATA_VERSION, NO_TOPICS))
    except (OSError, struct.error, ValueError):
        return set()


def broker_ids(answer: bytes) -> set[int]:
    """Return the node ids in a response to the request for metadata."""
    (count,) = struct.unpack_from(">i", answer)
    at = 4
    found: set[int] = set()
    for _ in range(count):
        node, host_bytes = struct.unpack_from(">ih", answer, at)
        at += 6 + host_bytes + 4
        (rack_bytes,) = struct.unpack_from(">h", answer, at)
        at += 2 + max(0, rack_bytes)
        found.add(node)
    return found
