"""HTTP and SMTP servers on this machine that record what they receive."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.message import Message
from email.policy import default
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID


@dataclass
class Request:
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class HttpListener:
    """Replies with each of `answers`; the last one repeats. `location` is the target of a 3xx."""

    answers: list[int] = field(default_factory=lambda: [200])
    location: str = ""
    port: int = 0
    requests: list[Request] = field(default_factory=list)
    delay: float = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        except asyncio.IncompleteReadError:
            writer.close()
            return
        headers = {
            name.lower(): value.strip()
            for name, _, value in (line.partition(":") for line in head[1:] if line)
        }
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        self.requests.append(Request(head[0].split()[1], headers, body))
        status = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        await asyncio.sleep(self.delay)
        extra = f"location: {self.location}\r\n" if self.location else ""
        writer.write(
            f"HTTP/1.1 {status} X\r\ncontent-length: 0\r\nconnection: close\r\n{extra}\r\n".encode()
        )
        await writer.drain()
        writer.close()


@dataclass
class MailListener:
    """Accepts mail. `answers` are the replies to RCPT; the last one repeats."""

    answers: list[str] = field(default_factory=lambda: ["250 ok"])
    port: int = 0
    messages: list[Message] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        def reply(line: str) -> None:
            writer.write(f"{line}\r\n".encode())

        reply("220 ready")
        while line := (await reader.readline()).decode().strip():
            command = line.split()[0].upper()
            if command == "RCPT":
                reply(self.answers.pop(0) if len(self.answers) > 1 else self.answers[0])
            elif command == "DATA":
                reply("354 end with .")
                text = await reader.readuntil(b"\r\n.\r\n")
                self.messages.append(message_from_bytes(text[:-3], policy=default))
                reply("250 accepted")
            else:
                reply("221 bye" if command == "QUIT" else "250 ok")
            if command == "QUIT":
                break
        writer.close()


def certificate_for(host: str, folder: Path) -> Path:
    """Write a self-signed certificate for this host, with its key, to one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    now = datetime.now(UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
    )
    built = built.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
    built = built.add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    file = folder / "certificate.pem"
    file.write_bytes(secret + built.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM))
    return file


@asynccontextmanager
async def listening(
    listener: HttpListener | MailListener, tls: ssl.SSLContext | None = None
) -> AsyncIterator[None]:
    server = await asyncio.start_server(listener.serve, "127.0.0.1", 0, ssl=tls)
    listener.port = server.sockets[0].getsockname()[1]
    try:
        yield
    finally:
        server.close()
