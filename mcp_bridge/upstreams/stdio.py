"""Runs one stdio upstream as a child process and speaks newline-delimited JSON-RPC with it.

In place of the SDK's transport, which knows no longest line, inherits more environment, and hides
both what was written and why a server died. A child that misbehaves is ended; nobody else notices.
"""

import asyncio
import json
import os
import signal
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType

import anyio
import mcp_types as t
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.shared.message import ClientMessageMetadata, SessionMessage

from mcp_bridge.upstreams.exchange import Watched

MAX_LINE_BYTES = 8 * 1024 * 1024
_MOST_GARBAGE = 100  # lines in a row that are no message; some servers greet on stdout
_MARK = b'"jsonrpc"'  # what has this was meant to be one
_LAST_WORDS_BYTES = 2_000
_INHERITED = ("HOME", "LANG", "LC_ALL", "LOGNAME", "PATH", "TMPDIR", "TZ", "USER")
_CLOSE_SECONDS, _TERMINATE_SECONDS, _KILL_SECONDS = 2.0, 1.0, 1.0
_POLL_SECONDS = 0.01

_Incoming = SessionMessage | Exception


@dataclass(frozen=True)
class Command:
    """What to start: an argument list, never a shell's line; `env` is added to a clean one."""

    argv: Sequence[str]
    env: Mapping[str, str]
    cwd: str | None = None


class Child:
    """A transport of the SDK over one child process; entered and left by one task."""

    def __init__(self, command: Command, watched: Watched, ended: Callable[[], None]) -> None:
        """Prepare; nothing is started yet.

        Args:
            ended: called once when the child can no longer be talked to.
        """
        self.trouble = ""  # in words, why it ended or did not start
        self._command = command
        self._watched = watched
        self._ended = ended
        self._last_words = bytearray()
        self._process: Process | None = None
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(
        self,
    ) -> "tuple[MemoryObjectReceiveStream[_Incoming], _Stdin]":
        """Start the child.

        Raises:
            OSError: it cannot be started; `trouble` says why.
        """
        environment = {name: os.environ[name] for name in _INHERITED if name in os.environ}
        try:
            process = self._process = await asyncio.create_subprocess_exec(
                *self._command.argv, stdin=PIPE, stdout=PIPE, stderr=PIPE,
                env={**environment, **self._command.env}, cwd=self._command.cwd,
                limit=MAX_LINE_BYTES, start_new_session=True,
            )  # fmt: skip
        except (OSError, ValueError) as error:
            what = getattr(error, "filename", None) or self._command.argv[0]
            self.trouble = f"it cannot be started ({getattr(error, 'strerror', error)}: {what})"
            raise
        sender, receiver = anyio.create_memory_object_stream[_Incoming](0)
        self._tasks = [
            asyncio.create_task(self._read(process, sender), name="stdio-stdout"),
            asyncio.create_task(self._overhear(process), name="stdio-stderr"),
        ]
        return receiver, _Stdin(process, self._watched)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End the child and whatever it started, within a few seconds."""
        process = self._process
        if process is None:
            return
        with anyio.CancelScope(shield=True):
            await _end(process)
            for task in self._tasks:
                task.cancel()
            await asyncio.wait(self._tasks, timeout=1)
            # A survivor that left the group may hold a pipe; we do not wait for it.
            process._transport.close()  # type: ignore[attr-defined]  # noqa: SLF001 - nothing public closes it

    @property
    def last_words(self) -> str:
        """Return the end of what the child wrote to stderr: untrusted, and it may hold secrets."""
        return bytes(self._last_words).decode(errors="replace").strip()

    async def _read(self, process: Process, sender: MemoryObjectSendStream[_Incoming]) -> None:
        assert process.stdout is not None  # noqa: S101 - it was started with pipes
        garbage = 0
        async with sender:
            try:
                while line := await process.stdout.readline():
                    message = _parsed(line)
                    garbage = 0 if message else garbage + 1
                    is_broken = _MARK in line and line.endswith(b"\n")  # not just cut by an end
                    if garbage > _MOST_GARBAGE or (garbage and is_broken):
                        self.trouble = "it wrote what is no message to its stdout"
                        break
                    if message is not None:
                        await sender.send(message)
                    # Buffered lines come without a wait; others on this loop have their turn.
                    await asyncio.sleep(0)
            except ValueError:
                self.trouble = f"it wrote a line of more than {MAX_LINE_BYTES} bytes"
            except (ConnectionError, anyio.BrokenResourceError, anyio.ClosedResourceError):
                pass  # we have left already, or the pipe broke: it is over either way
        self.trouble = self.trouble or "it ended"
        self._ended()

    async def _overhear(self, process: Process) -> None:
        assert process.stderr is not None  # noqa: S101 - it was started with pipes
        with suppress(ConnectionError):
            while part := await process.stderr.read(4096):
                self._last_words += part
                del self._last_words[:-_LAST_WORDS_BYTES]
                await asyncio.sleep(0)


class _Stdin:
    """The child's stdin as the SDK writes to it; what is watched goes on record first."""

    def __init__(self, process: Process, watched: Watched) -> None:
        self._process = process
        self._watched = watched
        self._turn = asyncio.Lock()

    async def send(self, item: SessionMessage, /) -> None:
        """Write one message.

        Raises:
            BrokenResourceError: the child is gone; nothing was written. Refused: see `exchange`.
        """
        stdin = self._process.stdin
        if stdin is None or stdin.is_closing() or self._process.returncode is not None:
            raise anyio.BrokenResourceError
        line = item.message.model_dump_json(by_alias=True, exclude_unset=True).encode() + b"\n"
        metadata = item.metadata if isinstance(item.metadata, ClientMessageMetadata) else None
        exchange = self._watched.take(dict((metadata and metadata.headers) or {}))
        exchange.begin(line)
        async with self._turn:
            exchange.has_left = True
            try:
                exchange.passes("first-byte")
                stdin.write(line)
                await stdin.drain()
                exchange.passes("last-byte")
            except ConnectionError:
                raise anyio.BrokenResourceError from None

    async def aclose(self) -> None:
        """Leave the pipe to whoever ends the child."""

    async def __aenter__(self) -> "_Stdin":
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()


def _parsed(line: bytes) -> SessionMessage | None:
    try:
        return SessionMessage(t.jsonrpc_message_adapter.validate_json(line, by_name=False))
    except ValueError:
        pass
    # An answer that cannot be read must not leave whoever waits for it waiting.
    with suppress(ValueError, RecursionError, AttributeError):
        asked = json.loads(line).get("id")
        if isinstance(asked, int | str):
            error = t.ErrorData(code=t.PARSE_ERROR, message="the answer cannot be read")
            return SessionMessage(t.JSONRPCError(jsonrpc="2.0", id=asked, error=error))
    return None


async def _end(process: Process) -> None:
    """Close stdin as the specification asks; then ask the whole group to go, then make it go."""
    if process.stdin is not None:
        process.stdin.close()
    for seconds, number in (
        (_CLOSE_SECONDS, signal.SIGTERM),
        (_TERMINATE_SECONDS, signal.SIGKILL),
        (_KILL_SECONDS, None),
    ):
        if await _is_gone(process, seconds) or number is None:
            return
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)


async def _is_gone(process: Process, seconds: float) -> bool:
    """Return whether the child and all of its group were gone within that time.

    Not `process.wait()`: that waits for the pipes too, which somebody else may hold.
    """
    clock = asyncio.get_running_loop().time
    end = clock() + seconds
    while process.returncode is None or _has_group(process.pid):
        if clock() >= end:
            return False
        await asyncio.sleep(_POLL_SECONDS)
    return True


def _has_group(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
