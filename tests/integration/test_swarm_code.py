"""The author's code travels: from folders, packages and scripts, to slaves that have none of it."""

from __future__ import annotations

from pathlib import Path

from swarmkit import Program, Swarm

APP = """\
from {module} import Product
from concurrence import ApplicationNode

class Products(ApplicationNode):
    def start_processing(self):
        self.sum = 0
        self.push_tasks(Product(n) for n in range({count}))

    def task_finished(self, task, result, error):
        if error is not None:
            self.say(str(error))
            self.shutdown_main_loop(1)
        else:
            self.sum += result

    def work_finished(self, result, system_id):
        self.say(f"the sum is {{self.sum}}")
        self.shutdown_main_loop()
"""
TASK = """\
from concurrence import Task
from {module} import FACTOR

class Product(Task):
    def __init__(self, n):
        super().__init__(f"product {{n}}")
        self.n = n

    def __call__(self):
        {imports}
        return FACTOR * self.n
"""
SUM = sum(range(50))


def write(folder: Path, **files: str) -> Path:
    """Make a folder of modules; two underscores in a name stand for a slash."""
    for name, text in files.items():
        path = folder / (name.replace("__", "/") + ".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def check(run: Program, factor: int, total: int = SUM) -> None:
    assert run.finish() == 0, str(run)
    assert f"the sum is {factor * total}" in run.output


def test_helpers_packages_and_scripts_travel(swarm: Swarm) -> None:
    swarm.master()
    swarm.slave("attic", workers=2)
    client = ["--master", str(swarm.connect("client"))]

    helpers = write(
        swarm.folder / "with_helpers",
        app=APP.format(module="products", count=50),
        products=TASK.format(module="factors", imports="import factors"),
        factors="FACTOR = 3\n",
    )
    check(swarm.command("run", str(helpers / "app.py"), *client), 3)

    package = write(
        swarm.folder / "as_package" / "multiplying",
        app=APP.format(module=".inner.products", count=50),
        inner__products=TASK.format(module="..factors", imports="from .. import late"),
        factors="FACTOR = 5\n",
        late="",
    )
    (package / "__init__.py").write_text("from .app import Products\n")
    (package / "inner" / "__init__.py").touch()
    check(swarm.command("run", str(package), *client), 5)

    script = write(
        swarm.folder / "as_script",
        main="FACTOR = 7\n"
        + TASK.format(module="__main__", imports="import beside; beside.touch()")
        + APP.format(module="__main__", count=50).replace("from __main__ import Product\n", "")
        + f"\nif __name__ == '__main__':\n    import sys\n    from concurrence import run\n"
        f"    sys.exit(run(Products, overrides=['application.master={swarm.connect('client')}']))\n",
        beside="def touch():\n    pass\n",
    )
    text = (script / "main.py").read_text().replace("from __main__ import FACTOR\n", "")
    (script / "main.py").write_text(text)
    check(swarm.start(str(script / "main.py")), 7)


def test_two_applications_with_different_helpers_at_once(swarm: Swarm) -> None:
    swarm.master()
    swarm.slave("attic", workers=2)
    runs: list[Program] = []
    for factor in (3, 11):
        folder = write(
            swarm.folder / f"times_{factor}",
            app=APP.format(module="helper", count=2_000),
            helper=TASK.format(module="constants", imports="import time; time.sleep(0.001)"),
            constants=f"FACTOR = {factor}\n",
        )
        runs.append(swarm.command("run", str(folder / "app.py"), "--master", str(swarm.connect("client"))))
    for factor, run in zip((3, 11), runs, strict=True):
        check(run, factor, sum(range(2_000)))


def test_an_installed_package_is_used_where_it_is_and_missed_where_it_is_not(swarm: Swarm) -> None:
    site = write(swarm.folder / "site-packages" / "multiplier", factors="FACTOR = 13\n")
    (site / "__init__.py").touch()
    path = str(site.parent)
    app = write(
        swarm.folder / "uses_package",
        app=APP.format(module="products", count=50),
        products=TASK.format(module="multiplier.factors", imports="pass"),
    )
    swarm.master()
    slave = swarm.slave("without")
    run = swarm.command("run", str(app / "app.py"), "--master", str(swarm.connect("client")), PYTHONPATH=path)
    assert run.finish() == 1, str(run)
    assert "multiplier" in run.output
    assert "without" in run.output
    slave.process.terminate()
    assert slave.finish(10.0) == 0
    local = swarm.command("run", str(app / "app.py"), "--workers", "1", PYTHONPATH=path)
    check(local, 13)


def test_a_sample_of_the_package_itself_runs_anywhere(swarm: Swarm) -> None:
    swarm.master()
    swarm.slave("attic")
    run = swarm.run("hello")
    assert run.finish() == 0, str(run)
    assert "Hello 4 from process" in run.output
