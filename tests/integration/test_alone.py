"""Tasks that a private swarm can never run: nobody else can join it, so they fail at once and nothing hangs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SECONDS = 120.0
GREEDY = '''
from concurrence import ApplicationNode, task


@task(resources={"gpu": 1})
def train():
    pass


class Greedy(ApplicationNode):
    """Wants what is not there."""

    def start_processing(self):
        self.push_task(train.task())

    def task_finished(self, task, result, error):
        print("told:", error.kind, error, error.hint)
        self.shutdown_main_loop()
'''
SCRIPT = """
import concurrence

@concurrence.task(resources={{"cpu": 64}})
def solve():
    return 1

if __name__ == "__main__":
    with concurrence.local_swarm({arguments}) as swarm:
        futures = [swarm.submit(solve) for _ in range(3)]
        futures += [swarm.submit(abs, -1)]
    error = futures[0].exception()
    print("told:", error, error.hint)
    print("result:", futures[-1].result())
"""


def output_of(folder: Path, *words: str) -> str:
    ended = subprocess.run(
        [sys.executable, *words], cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=SECONDS, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout + ended.stderr


@pytest.mark.parametrize(
    ("words", "fix"),
    [
        (("--workers", "1"), 'Start it with more: --set "slavenode.labels=gpu=1"'),
        (("--inline",), "Inline there is one worker, without labels."),
    ],
    ids=["private", "inline"],
)
def test_of_an_application(tmp_path: Path, words: tuple[str, ...], fix: str) -> None:
    (tmp_path / "greedy.py").write_text(GREEDY)
    told = output_of(tmp_path, "-m", "concurrence.cli.main", "run", "greedy.py", *words)
    assert "told: impossible greedy:train needs gpu=1, which no connected slave offers: " in told
    assert "has no gpu" in told
    assert fix in told


@pytest.mark.parametrize(
    ("arguments", "fix"),
    [("1", "No other slave can join a private swarm."), ("inline=True", "Inline there is one worker")],
    ids=["private", "inline"],
)
def test_of_a_script_that_waits_at_the_end_of_its_block(tmp_path: Path, arguments: str, fix: str) -> None:
    (tmp_path / "script.py").write_text(SCRIPT.format(arguments=arguments))
    told = output_of(tmp_path, "script.py")
    assert "solve needs cpu=64, which no connected slave offers: " in told
    assert "has 1 worker and not 64" in told
    assert fix in told
    assert "workers=64" in told
    assert "result: 1" in told
