"""Run a decoder on untrusted bytes in a child process with bounded memory and time.

Context: a few kilobytes of picture or workbook can describe gigabytes, and a decoder that runs out
of memory takes its process along.
Decision: each decoding runs in a process of its own, which may allocate and compute only so much,
writes no file, and knows neither settings nor secrets. Few run at once and few may wait.
Consequences: a hostile file costs one child. Starting it takes about 0.1 s.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import import_module
from typing import Final

MEBIBYTE: Final = 1024 * 1024
DECODED: Final = b"+"
FAILED: Final = b"-"
BUSY_SENTENCE: Final = "正在处理的文件太多，请过一会儿再试"
Decoder = Callable[[bytes], bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one decoding may use."""

    memory_bytes: int
    cpu_seconds: int
    result_max_bytes: int

    @property
    def wall_seconds(self) -> float:
        """A child that waits for the processor gets four times its share of it."""
        return 4.0 * self.cpu_seconds


class DecoderBusy(Exception):
    """Too many files wait to be decoded; the message is shown, with status 503."""

    def __init__(self) -> None:
        super().__init__(BUSY_SENTENCE)


class LimitExceeded(Exception):
    """The decoder needed more memory or time than it may have."""


class DecodingFailed(Exception):
    """The decoder raised an exception: its class name is `kind`, its message `sentence`."""

    def __init__(self, kind: str, sentence: str) -> None:
        super().__init__(kind)
        self.kind = kind
        self.sentence = sentence


@dataclass(slots=True)
class DecoderPool:
    """Decodes at most `at_once` files at the same time while at most `waiting_max` wait."""

    limits: Limits
    at_once: int
    waiting_max: int
    _length: int = 0
    _slots: asyncio.Semaphore = field(init=False)

    def __post_init__(self) -> None:
        self._slots = asyncio.Semaphore(self.at_once)

    async def decode(self, decoder: Decoder, content: bytes) -> bytes:
        """Return `decoder(content)`, computed in a child; `decoder` is a function of a module.

        Raises DecoderBusy, LimitExceeded, DecodingFailed.
        """
        if self._length >= self.at_once + self.waiting_max:
            raise DecoderBusy
        self._length += 1
        try:
            async with self._slots:
                return await _decode(decoder, content, self.limits)
        finally:
            self._length -= 1


async def _decode(
    decoder: Decoder,
    content: bytes,
    limits: Limits,
) -> bytes:
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", __name__, f"{decoder.__module__}:{decoder.__name__}"),
        *(str(limits.memory_bytes), str(limits.cpu_seconds), str(limits.result_max_bytes)),
        env={"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "PYTHONUTF8": "1"},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(limits.wall_seconds):
            output, _ = await child.communicate(content)
    except TimeoutError as error:
        raise LimitExceeded from error
    finally:
        await _end(child)
    return _result(output, child.returncode)


async def _end(child: asyncio.subprocess.Process) -> None:
    with suppress(ProcessLookupError):
        if child.returncode is None:
            child.kill()
    await child.wait()


def _result(output: bytes, code: int | None) -> bytes:
    if code != 0 or not output:
        raise LimitExceeded
    if output.startswith(DECODED):
        return output[1:]
    kind, _, sentence = output[1:].decode().partition("\n")
    if kind == MemoryError.__name__:
        raise LimitExceeded
    raise DecodingFailed(kind, sentence)


# ── in the child ──────────────────────────────────────────────────────────────────────────────────


def main(arguments: list[str]) -> None:
    """Decode standard input to standard output within the limits in `arguments`."""
    name, memory_bytes, cpu_seconds, result_max_bytes = arguments
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _limit(int(memory_bytes), int(cpu_seconds))
    content = sys.stdin.buffer.read()
    sys.stdout.buffer.write(_outcome(name, content, int(result_max_bytes)))


def _limit(memory_bytes: int, cpu_seconds: int) -> None:
    import resource

    wanted = {
        resource.RLIMIT_CPU: cpu_seconds,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_AS: memory_bytes,
    }
    for kind, value in wanted.items():
        # macOS does not limit the address space; the processor time still ends the child.
        with suppress(ValueError, OSError):
            resource.setrlimit(kind, (value, value))


def _outcome(
    name: str,
    content: bytes,
    result_max_bytes: int,
) -> bytes:
    module, _, function = name.partition(":")
    try:
        decoder: Decoder = getattr(import_module(module), function)
        result = decoder(content)
    except Exception as error:
        return FAILED + f"{type(error).__name__}\n{error}".encode()
    if len(result) > result_max_bytes:
        return FAILED + MemoryError.__name__.encode()
    return DECODED + result


if __name__ == "__main__":
    main(sys.argv[1:])
