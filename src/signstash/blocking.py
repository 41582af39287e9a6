"""The client for applications without an event loop, such as Django, Flask and Celery.

.. include:: blocking.md
"""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
import weakref
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
from concurrent.futures import wait
from contextlib import ExitStack, aclosing, suppress
from contextvars import ContextVar
from functools import wraps
from queue import SimpleQueue
from types import TracebackType
from typing import Any, Concatenate, Final, ParamSpec, Self, TypeVar

from anyio.from_thread import BlockingPortal, start_blocking_portal

from .client import SignStash
from .errors import ConfigurationError

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

_calling: Final = ContextVar["BlockingSignStash | None"]("signstash_calling", default=None)
"""The client in whose call this code runs, such as a hook of a request."""


def _blocking(
    method: Callable[Concatenate[SignStash, Arguments], Coroutine[Any, Any, Result]],
) -> Callable[Concatenate[BlockingSignStash, Arguments], Result]:
    @wraps(method)
    def call(self: BlockingSignStash, /, *args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        return self.call(method, self.client, *args, **kwargs)

    return call


def _iterating(
    method: Callable[Concatenate[SignStash, Arguments], AsyncGenerator[Result, None]],
) -> Callable[Concatenate[BlockingSignStash, Arguments], Iterator[Result]]:
    @wraps(method)
    def iterate(self: BlockingSignStash, /, *args: Arguments.args, **kwargs: Arguments.kwargs) -> Iterator[Result]:
        self._running_portal()  # raises before there are results that nobody could iterate
        return self._iterate(method(self.client, *args, **kwargs))

    iterate.__doc__ = """Sign any number of documents, several in one request, with few requests in flight at a time.

            for outcome in client.sign_all(documents, save_to="signed"):
                ...

        Arguments and errors are those of `SignStash.sign_all`, where they are described. Each document gets exactly one
        outcome, as soon as it is known. Leaving the loop, or closing the client, sends nothing more; what is in flight
        is waited for, saved and recorded. An exception of the program in the loop does the same, and is then raised;
        Ctrl-C while the loop waits for an outcome ends what is in flight at once.

        Args:
            documents: What to sign, in any iterable.
            **options: `save_to`, `overwrite`, `journal`, `unknown_outcomes`, `batch_documents`, `batch_bytes`, `linger`
                and `in_flight`, which `RunOptions` describes, and `description`, `preservation` and `progress`.

        Returns:
            An iterator over the outcomes.

        Raises:
            SignStashError: A fault that concerns all documents, while iterating.
        """
    return iterate


class BlockingSignStash:
    """The methods of `SignStash` that sign and query, as ordinary functions, which may be called from any thread.

        with BlockingSignStash(SignStash.from_env()) as client:
            signed = client.sign(Document.pdf("invoice.pdf"), save_to="signed/")

    Arguments, results and errors are those of the methods of `SignStash`. The client runs in an event loop in a thread
    of its own, which the first call starts. All threads of a process can share one object: they share its token and
    its connections. Leaving the `with` block, `close()`, or the end of the process closes the client.

    Args:
        client: The client whose methods are called. It must not be used elsewhere.

    Attributes:
        client: That client.
    """

    def __init__(self, client: SignStash) -> None:
        if not isinstance(client, SignStash):
            raise ConfigurationError(f"client is of type {type(client).__name__}.", "Give a SignStash.")
        self.client = client
        self._lock = threading.RLock()  # a signal handler may close it while this thread starts or closes it
        self._closing = threading.RLock()
        self._portal: BlockingPortal | None = None
        self._stack = ExitStack()
        self._iterations: dict[asyncio.Task[object], Callable[[], None]] = {}
        self._process = os.getpid()
        self._closed = False
        _clients.add(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the client, and end its event loop. May be called more than once.

        Iterators of `sign_all` that are still open end as if their loops were left: nothing more is sent, and what is
        in flight is waited for, saved and recorded. Press Ctrl-C to stop waiting. At the end of the process calls in
        flight are ended instead, as by `SignStash.aclose`.

        Raises:
            ConfigurationError: If it is called within a call of this client, such as in a hook of its request.
        """
        if _calling.get() is self:
            raise ConfigurationError(
                "The client cannot be closed within a call of its own, which closing would wait for.",
                "Close it after the call.",
            )
        self._close(self._end_iterations)

    def _close(self, end: Callable[[], Coroutine[Any, Any, None]]) -> None:
        with self._lock:
            is_closed, self._closed = self._closed, True
            stack = self._stack
        if self._portal is not None and not is_closed:
            stack.callback(self._portal.call, end)
        if os.getpid() == self._process:  # the thread does not exist in a forked process
            with self._closing:  # without the other lock: what is in flight may call this object
                stack.close()
        atexit.unregister(self._close_at_exit)

    def _leave_thread_behind(self) -> None:
        """Let nothing in a forked process wait for a thread of its parent, not even the interpreter when it ends."""
        self._lock = threading.RLock()
        if self._portal is not None:
            with suppress(StopIteration, RuntimeError):  # it ends; asyncio's debug mode objects to the wrong thread
                self._portal.stop().send(None)

    def _close_at_exit(self) -> None:
        self._close(self._end_calls)  # Python starts no more threads, which saving needs

    async def _end_calls(self) -> None:
        await self.client._exchange.clients.aclose()  # noqa: SLF001 - which the client does after it waited
        await self.client.aclose()

    async def _end_iterations(self) -> None:
        self.client.stop_runs()
        for leave in self._iterations.values():
            leave()
        if self._iterations:
            await asyncio.wait(self._iterations)

    def call(
        self,
        function: Callable[Arguments, Coroutine[Any, Any, Result]],
        *args: Arguments.args,
        **kwargs: Arguments.kwargs,
    ) -> Result:
        """Call an asynchronous function in the client's event loop, such as `client.call(signed.verify, document)`.

        Args:
            function: The asynchronous function.
            *args: Its positional arguments.
            **kwargs: Its keyword arguments.

        Returns:
            What the function returns.

        Raises:
            ConfigurationError: If the client is closed, was used before the process was forked, or is called in an
                event loop.
        """

        async def run() -> Result:
            _calling.set(self)
            return await function(*args, **kwargs)

        return self._running_portal().call(run)

    def _running_portal(self) -> BlockingPortal:
        _require_no_event_loop()
        with self._lock:
            if self._closed:
                raise ConfigurationError("The client was used after it was closed.", "Make a new one.")
            if self._portal is None:
                self._process = os.getpid()
                self._portal = self._stack.enter_context(start_blocking_portal("asyncio", name="signstash"))
                self._stack.callback(self._portal.call, self.client.aclose)
                self._stack.callback(self._portal.call, self._end_iterations)
                atexit.register(self._close_at_exit)
                if self._closed:  # by a signal handler meanwhile
                    self._stack.close()
                    raise ConfigurationError("The client was closed meanwhile.", "Make a new one.")
            self._require_own_process()
            return self._portal

    def _require_own_process(self) -> None:
        if os.getpid() != self._process:
            raise ConfigurationError(
                "The client was used before the process was forked, and its event loop stayed behind.",
                "Make the first call after the fork, or make the client in the start hook of the worker.",
            )

    def _iterate(self, results: AsyncGenerator[Result, None]) -> Iterator[Result]:
        forwarded: SimpleQueue[Result | None] = SimpleQueue()
        wanted = asyncio.Semaphore(0)
        is_left = False

        def leave() -> None:
            nonlocal is_left
            is_left = True
            wanted.release()

        async def forward() -> None:  # in one task, as the generator expects
            _calling.set(self)
            task: Any = asyncio.current_task()
            self._iterations[task] = leave
            try:
                async with aclosing(results):
                    async for result in results:
                        forwarded.put(result)
                        await wanted.acquire()
                        if is_left:
                            return
            finally:
                del self._iterations[task]

        portal = self._running_portal()
        run = portal.start_task_soon(forward)
        run.add_done_callback(lambda _: forwarded.put(None))
        try:
            while (result := forwarded.get()) is not None:
                yield result
                _require_no_event_loop()
                self._require_own_process()
                with suppress(RuntimeError):  # the client is closed, and the task has ended
                    portal.start_task_soon(wanted.release)
            run.result()
            if is_left:
                raise ConfigurationError("The client was closed during a run.", "Close it after the run.")
        except GeneratorExit:
            with suppress(RuntimeError):  # the client is closed, and the task has ended
                portal.start_task_soon(leave)
            raise
        except BaseException:  # Ctrl-C does not wait for the next result
            run.cancel()
            raise
        finally:
            if os.getpid() == self._process:
                wait([run])

    # Final, so that type checkers infer the same types.
    sign: Final = _blocking(SignStash.sign)
    sign_batch: Final = _blocking(SignStash.sign_batch)
    sign_all: Final = _iterating(SignStash.sign_all)
    get_operation_id: Final = _blocking(SignStash.get_operation_id)
    get_status: Final = _blocking(SignStash.get_status)
    get_operation: Final = _blocking(SignStash.get_operation)
    download_documents: Final = _blocking(SignStash.download_documents)
    resend_mails: Final = _blocking(SignStash.resend_mails)


def _require_no_event_loop() -> None:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise ConfigurationError(
        "BlockingSignStash was called in an event loop, which it would block.",
        "Await the methods of SignStash there, or call it in a thread with asyncio.to_thread.",
    )


_clients: Final = weakref.WeakSet[BlockingSignStash]()


def _after_fork() -> None:
    for client in _clients:
        client._leave_thread_behind()  # noqa: SLF001 - of this module


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
