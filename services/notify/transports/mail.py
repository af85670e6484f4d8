"""Mail, through the SMTP server of the installation."""

from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import format_datetime

import aiosmtplib

from services.notify.transports.message import OutboundMessage, TransportError
from services.notify.transports.policy import OutboundPolicy, SmtpServer
from services.notify.transports.tls import default_tls_context


@dataclass(frozen=True, slots=True)
class MailTransport:
    """Sends to `mailto:` addresses."""

    policy: OutboundPolicy

    async def check(self, address: str) -> None:
        self._server()
        _check_recipient(_recipient(address))

    async def send(self, address: str, message: OutboundMessage) -> None:
        server = self._server()
        recipient = _recipient(address)
        _check_recipient(recipient)
        email = _compose(server, recipient, message)
        # Half of the total, so that connecting to a dead server is reported as such.
        await _submit(server, recipient, email, timeout=self.policy.timeout_seconds / 2)

    def _server(self) -> SmtpServer:
        if self.policy.smtp is None:
            raise TransportError("尚未配置邮件服务器", permanent=True)
        return self.policy.smtp


def redact(address: str) -> str:
    """Return `l***@example.cn`."""
    local, _, host = _recipient(address).partition("@")
    return f"{local[:1]}***@{host}"


def _recipient(address: str) -> str:
    return address.partition(":")[2]


def _check_recipient(recipient: str) -> None:
    """Raise TransportError unless the recipient is one plain address."""
    local, _, host = recipient.partition("@")
    forbidden = any(character.isspace() or character in ',;<>"' for character in recipient)
    if not (local and host) or forbidden or not recipient.isascii():
        raise TransportError("邮箱地址的格式不正确", permanent=True)


def _compose(
    server: SmtpServer,
    recipient: str,
    message: OutboundMessage,
) -> EmailMessage:
    email = EmailMessage()
    email["From"] = server.sender
    email["To"] = recipient
    email["Subject"] = f"{message.full_title} {message.number}"
    email["Date"] = format_datetime(message.occurred_at)
    email["Message-ID"] = f"<{message.key}@{server.sender.rpartition('@')[2]}>"
    email["Auto-Submitted"] = "auto-generated"
    email.set_content(message.as_text())
    return email


async def _submit(
    server: SmtpServer,
    recipient: str,
    email: EmailMessage,
    *,
    timeout: float,
) -> None:
    try:
        await aiosmtplib.send(
            email,
            sender=server.sender,
            recipients=[recipient],
            hostname=server.host,
            port=server.port,
            username=server.username or None,
            password=server.password or None,
            timeout=timeout,
            use_tls=server.security == "tls",
            start_tls=server.security == "starttls",
            tls_context=default_tls_context(),
        )
    except (aiosmtplib.SMTPException, OSError) as error:
        raise _transport_error(error) from error


def _transport_error(error: Exception) -> TransportError:
    if isinstance(error, aiosmtplib.SMTPRecipientsRefused):
        code = error.recipients[0].code
        return TransportError(f"收件地址被拒绝（{code}）", permanent=code >= 500)
    if isinstance(error, aiosmtplib.SMTPResponseException):
        # The administrator can correct a refused login, so the delivery is attempted again.
        refused_login = isinstance(error, aiosmtplib.SMTPAuthenticationError)
        permanent = error.code >= 500 and not refused_login
        return TransportError(f"邮件服务器返回 {error.code}", permanent=permanent)
    return TransportError("无法连接邮件服务器")
