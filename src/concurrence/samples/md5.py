"""The number behind an MD5 hash, by trying: nearly nothing travels, and the first hit ends it all.

The other numbers need not be tried any more: the task system cancels what is queued and what runs. A sequential
loop stops at the hit as well, so where the number lies says how much the two have to do; the sample tells.
"""

from __future__ import annotations

import re
import time
from typing import Any

from concurrence import ApplicationNode, BoolOption, IntOption, StrOption, TaskError, UsageError
from concurrence.samples.md5_tasks import Found, ReverseHash, find_number, ranges

_DIGEST = re.compile(r"[0-9a-f]{32}")
_HIGHEST = 10**12


class HashOption(StrOption):
    """An MD5 hash in hexadecimal digits."""

    expected = "an MD5 hash, 32 hexadecimal digits"
    example = '"1b07f4418eabaa4e342bcffd6a48bb1a"'

    def convert(self, value: Any) -> str:
        """The digits in small letters."""
        text = str(value.raw).strip().lower()
        if _DIGEST.fullmatch(text) is None:
            raise ValueError
        return text


class MD5(ApplicationNode):
    """Finds the number that has an MD5 hash, and says how much work the early stop spared."""

    digest = HashOption(
        "md5",
        "hash",
        "1b07f4418eabaa4e342bcffd6a48bb1a",
        "The MD5 hash of the number's decimal digits; by default that of 8819825.",
    )
    first = IntOption("md5", "first", 1, "Where the range of numbers begins that are tried.", min=0, max=_HIGHEST)
    last = IntOption("md5", "last", 10_000_000, "Where it ends; this number is tried too.", min=0, max=_HIGHEST)
    tasks = IntOption("md5", "tasks", 128, "Into how many tasks the numbers are cut.", min=1, max=1_000_000)
    compare = BoolOption(
        "md5", "compare", True, "Try the numbers in a sequential loop too, up to the hit, and tell the speed-up."
    )

    def app_init(self) -> None:
        """Find out what is wrong before a swarm is started."""
        if self.first > self.last:
            raise UsageError(
                f"there is no number from {self.first:,} to {self.last:,}",
                hint="Give a first number that is not above the last: --first 1 --last 2000000",
            )

    def get_task_system(self) -> ReverseHash:
        """The search."""
        self._begun = time.perf_counter()
        return ReverseHash(bytes.fromhex(self.digest), ranges(self.first, self.last, self.tasks))

    def work_finished(self, result: Found, system_id: int) -> None:
        """Say what was found and what was spared; the exit code is 0 for a hit and 1 for none."""
        seconds = time.perf_counter() - self._begun
        total = self.last - self.first + 1
        if result.failures:
            self.log.error("%d tasks failed; the first: %s", len(result.failures), result.failures[0])
        if result.number is None:
            self.say(f"no number from {self.first:,} to {self.last:,} has the hash {self.digest}")
        else:
            self.say(f"{result.number} has the hash {self.digest}")
        self.say(f"the swarm: {seconds:.2f} s, {result.tried:,} numbers tried by {result.finished:,} tasks")
        if result.cancelled:
            left = total - result.tried
            self.say(
                f"spared:    {result.cancelled:,} tasks cancelled, and with them up to {left:,} numbers "
                f"({left / total:.0%} of all)"
            )
        is_right = self._compare(result, seconds) if self.compare else True
        self.shutdown_main_loop(0 if result.number is not None and is_right and not result.failures else 1)

    def push_tasksystem_failed(self, system_id: int, error: TaskError) -> None:
        """There is no answer."""
        self.log.error("no answer: %s", error)
        self.shutdown_main_loop(1)

    def _compare(self, result: Found, seconds: float) -> bool:
        """Try the numbers here, one after the other, up to the hit; whether that finds the same."""
        begun = time.perf_counter()
        number = find_number(bytes.fromhex(self.digest), range(self.first, self.last + 1))
        alone = time.perf_counter() - begun
        tried = (self.last if number is None else number) - self.first + 1
        self.say(f"one loop:  {alone:.2f} s, {tried:,} numbers tried")
        self.say(f"speed-up:  {alone / seconds:.2f}")
        if number != result.number and not result.failures:
            self.log.error("the loop found %s", number)
            return False
        return True
