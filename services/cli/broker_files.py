"""The files of a Kafka broker of one's own, as docker-compose.yml runs it: TLS and SASL/SCRAM.

`fengping keys kafka` writes them once: the broker's settings, certificate and users, the password
of the administrator, and that of the monitor, which may only describe topics.
"""

import secrets
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from shared.embedded.kafka import SETTINGS, Cluster, new_cluster_id
from shared.foundation.private_files import write_private
from shared.messaging.kafka_access import ADMIN, MONITOR
from shared.security.certificates import issue
from shared.security.service_keys import KAFKA, PASSWORD_BYTES

CLIENT_PORT = 9092
CONTROLLER_PORT = 9093
GROUP_READABLE = 0o640
"""The broker and its monitor run as other users, in the group of these files."""
EVERYONE_READABLE = 0o644


@dataclass(frozen=True, slots=True)
class BrokerFiles:
    """The folder in which they lie: `broker/`, `admin/`, `monitor/`, `authorities/`.

    `seen_at` is where the broker finds its own part, `log` where it stores its log.
    """

    folder: Path
    host: str
    seen_at: Path = Path("/keys/broker")
    log: Path = Path("/var/lib/kafka/data")

    @property
    def _broker(self) -> Path:
        return self.folder / "broker"

    @property
    def _authority(self) -> Path:
        return self.folder / "authorities" / "kafka.crt"

    def create_missing(self, now: datetime) -> bool:
        """Create all files; return False, and leave them alone, if they exist."""
        if (self._broker / "server.properties").exists():
            return False
        admin = _new_password()
        monitor = _new_password()
        cluster = Cluster(
            new_cluster_id(),
            (CLIENT_PORT,),
            (CONTROLLER_PORT,),
            password=_new_password(),
            admin_password=admin,
        )
        write_private(self.folder / ADMIN / KAFKA.file, admin + "\n")
        write_private(self.folder / MONITOR / KAFKA.file, monitor + "\n")
        self._write(self.folder / MONITOR / "exporter", f"--sasl.password={monitor}\n")
        self.renew_certificate(now)
        self._write(self._broker / "cluster-id", cluster.id + "\n")
        self._write(self._broker / "users", cluster.user_options)
        self._write(self._broker / "client.properties", _properties(self._client(cluster)))
        # The last, because it says that all are there.
        self._write(self._broker / "server.properties", _properties(self._server(cluster)))
        return True

    def renew_certificate(self, now: datetime) -> None:
        """Write a new certificate and its authority; broker and clients need a restart."""
        certificate = issue(self.host, now)
        self._write(self._broker / "server.pem", certificate.server)
        self._write(self._broker / "authority.crt", certificate.authority)
        self._write(self._authority, certificate.authority, mode=EVERYONE_READABLE)

    def _server(self, cluster: Cluster) -> dict[str, str]:
        own = {
            "node.id": "1",
            "listeners": f"CLIENT://:{CLIENT_PORT},CONTROLLER://127.0.0.1:{CONTROLLER_PORT}",
            "advertised.listeners": f"CLIENT://{self.host}:{CLIENT_PORT}",
            "listener.security.protocol.map": "CLIENT:SASL_SSL,CONTROLLER:SASL_PLAINTEXT",
            "log.dirs": str(self.log),
        }
        return SETTINGS | cluster.settings | own | self._tls()

    def _tls(self) -> dict[str, str]:
        return {
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(self.seen_at / "server.pem"),
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str(self.seen_at / "authority.crt"),
        }

    def _client(self, cluster: Cluster) -> dict[str, str]:
        """Return the settings with which the broker's own tools connect, for its health check."""
        login = cluster.settings["listener.name.client.scram-sha-512.sasl.jaas.config"]
        return {
            "security.protocol": "SASL_SSL",
            "sasl.mechanism": SETTINGS["sasl.mechanism.inter.broker.protocol"],
            "sasl.jaas.config": login,
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str(self.seen_at / "authority.crt"),
        }

    def _write(
        self,
        path: Path,
        text: str,
        mode: int = GROUP_READABLE,
    ) -> None:
        write_private(path, text)
        path.chmod(mode)


def _new_password() -> str:
    return secrets.token_hex(PASSWORD_BYTES)


def _properties(settings: dict[str, str]) -> str:
    return "".join(f"{name}={value}\n" for name, value in settings.items())
