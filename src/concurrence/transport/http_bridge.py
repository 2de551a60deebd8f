"""Between the HTTP port's thread and the node's own: calls made over there for coroutines, with a deadline."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar

from concurrence.errors import ConcurrenceError

MAX_OPEN = 256
"""Calls that may wait for the node's thread at once."""

T = TypeVar("T")


class NoAnswer(ConcurrenceError):
    """The node's fault: it is too busy, or about to end."""


class _Question:
    __slots__ = ("call", "deadline", "future", "is_void", "was_begun")

    def __init__(self, call: Callable[[], Any], future: asyncio.Future[Any], deadline: float) -> None:
        self.call = call
        self.future = future
        self.deadline = deadline
        self.is_void = False
        self.was_begun = False


class Bridge:
    """Has calls made on the node's own thread.

    All but what :meth:`ask` posts is for the thread of the event loop.

    Args:
        post: From any thread: has a call made on the node's thread soon.
        loop: The event loop of the HTTP port.
    """

    def __init__(self, post: Callable[[Callable[[], None]], None], loop: asyncio.AbstractEventLoop) -> None:
        self._post = post
        self._loop = loop
        self._open: set[_Question] = set()
        self._answers: deque[tuple[_Question, Any, BaseException | None]] = deque()
        self._is_signalled = False
        self._is_watching = False

    async def ask(self, call: Callable[[], T], seconds: float) -> T:
        """Have a call made on the node's thread; what it returned or raised.

        Args:
            call: What is called; quick.
            seconds: How long to wait. A call that has not begun by then is not made.

        Raises:
            NoAnswer: The node has not answered by then, or has too much to do.
        """
        if len(self._open) >= MAX_OPEN:
            raise NoAnswer(f"{MAX_OPEN} requests wait for the node already", hint="Try again later.")
        question = _Question(call, self._loop.create_future(), self._loop.time() + seconds)
        self._open.add(question)
        self._watch()
        self._post(lambda: self._run(question))
        try:
            return await question.future
        finally:
            question.is_void = True
            self._open.discard(question)

    def close(self) -> None:
        """Answer nothing any more: who waits is told so."""
        for question in self._open:
            self._give_up(question, "the node ends")

    def _run(self, question: _Question) -> None:
        """On the node's thread."""
        question.was_begun = True  # before the look: whoever gives up says that it was begun, or it is not made
        if question.is_void:
            return
        result, problem = None, None
        try:
            result = question.call()
        except Exception as error:  # noqa: BLE001  it is raised where it was asked for
            problem = error
        self._answers.append((question, result, problem))
        if not self._is_signalled:
            self._is_signalled = True
            try:
                self._loop.call_soon_threadsafe(self._deliver)
            except RuntimeError:
                return  # the event loop is closed: nobody waits any more

    def _deliver(self) -> None:
        # Before the answers are taken: whoever adds one from here on signals again.
        self._is_signalled = False
        while self._answers:
            question, result, problem = self._answers.popleft()
            if question.future.done():
                continue
            if problem is not None:
                question.future.set_exception(problem)
            else:
                question.future.set_result(result)

    def _watch(self) -> None:
        if not self._is_watching:
            self._is_watching = True
            self._loop.call_later(0.25, self._look)

    def _look(self) -> None:
        now = self._loop.time()
        for question in self._open:
            if question.deadline <= now:
                self._give_up(question, "the node did not answer in time: it is busy, or stopped")
        self._is_watching = False
        if self._open:
            self._watch()

    @staticmethod
    def _give_up(question: _Question, why: str) -> None:
        question.is_void = True
        if not question.future.done():
            done = "What was asked for may have been done." if question.was_begun else "Nothing was done."
            question.future.set_exception(NoAnswer(why, hint=f"{done} Try again later."))
