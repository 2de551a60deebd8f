"""The HTTP port of real masters and slaves, used by other programs: curl, Node.js and Prometheus' own parser."""

from __future__ import annotations

import json
import re
import socket
import subprocess
from typing import Any

import pytest
from browserkit import needed
from prometheus_client.parser import text_string_to_metric_families
from swarmkit import Swarm, free_port, until

from concurrence.transport.security import Role
from concurrence.transport.tokens import ApiTokens

pytestmark = pytest.mark.sampled

NODE = """
const [api, token] = process.argv.slice(1);
async function call(method, params) {
  const answer = await fetch(`${api}/api/1`, {
    method: "POST",
    headers: { "content-type": "application/json", authorization: `Bearer ${token}` },
    body: JSON.stringify([{ jsonrpc: "2.0", method, params, id: "one" }]),
  });
  const [{ result, error, id }] = await answer.json();
  if (error) throw new Error(error.message);
  if (id !== "one") throw new Error(id);
  return result;
}
(async () => {
  const slaves = (await call("nodes")).filter((node) => node.kind === "slave");
  const [job] = await call("jobs", {});
  const [ended] = await call("cancel", [[job.id]]);
  const drained = await call("drain", { slave: slaves[0].name });
  console.log(JSON.stringify({ slaves: slaves.map((slave) => slave.name), job: job.kind, ended, drained }));
})();
"""


class Api:
    """The HTTP port of a master."""

    def __init__(self, swarm: Swarm) -> None:
        self.address = swarm.credentials("admin").api
        self._tokens = {role: swarm.credentials(role).token for role in ("admin", "client", "slave")}

    def curl(self, path: str, *words: str, role: str = "admin", token: str = "") -> str:
        """What curl prints: the body."""
        header = f"Authorization: Bearer {token or self._tokens[role]}"
        command = [needed("curl"), "-sS", "-m", "30", "-H", header, *words, self.address + path]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout

    def call(self, method: str, role: str = "admin", **params: Any) -> Any:
        """Call a method; its result, or its error."""
        body = json.dumps({"jsonrpc": "2.0", "method": method, "params": params, "id": 1})
        answer = json.loads(self.curl("/api/1", "-H", "Content-Type: application/json", "-d", body, role=role))
        return answer.get("result", answer.get("error"))

    def metrics(self, role: str = "client") -> dict[str, dict[tuple[str, ...], float]]:
        """All samples by name, and by the values of their labels."""
        return samples(self.curl("/metrics", role=role))

    def node(self, token: str) -> Any:
        """Drive it from Node.js."""
        command = [needed("node"), "-e", NODE, self.address, token]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


def samples(text: str) -> dict[str, dict[tuple[str, ...], float]]:
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(text):
        assert family.documentation
        assert family.type in ("gauge", "counter", "histogram", "summary")
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sample.labels.values())] = sample.value
    return found


@pytest.fixture
def api(swarm: Swarm) -> Api:
    swarm.master()
    return Api(swarm)


def test_connect_files_tell_where_the_api_is_and_the_token_of_their_role(swarm: Swarm, api: Api) -> None:
    tokens = ApiTokens.of(swarm.folder / "master" / "env" / "keys")
    for role in (Role.ADMIN, Role.CLIENT, Role.SLAVE):
        credentials = swarm.credentials(role)
        assert (credentials.api, credentials.token) == (api.address, tokens.token(role))
        assert swarm.connect(role).stat().st_mode & 0o777 == 0o600
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+", api.address)


def test_curl_drives_a_master(swarm: Swarm, api: Api) -> None:
    swarm.slave("attic", workers=2)
    app = swarm.run("slow.py:SlowTasks", "slow.count=3", "slow.seconds=30", "slow.quick=5")
    until(lambda: api.call("status")["systems"] and api.call("status")["systems"][0]["running"] >= 2)
    assert api.call("ping") == "pong"
    assert api.curl("/ping") == "pong"
    assert json.loads(api.curl("/status"))["nodes"][0]["name"] in ("attic", "SlowTasks")
    assert json.loads(api.curl("/ready")) == {"ready": True, "slaves": 1}
    (slave,) = [node for node in api.call("nodes") if node["kind"] == "slave"]
    assert slave["machine"]["workers"] == 2
    (job,) = api.call("jobs")
    assert (job["kind"], job["client"]) == ("tasks", "SlowTasks")
    told = api.call("explain", task=f"{job['id']}/0")
    assert told["id"] == f"{job['id']}/0"
    assert api.call("drain", slave="attic")["draining"]
    assert api.call("resume", slave="attic")["draining"] is False
    # Only who may.
    for method in ("cancel", "drain", "jobs", "logs", "config.get", "page.open"):
        assert api.call(method, role="client")["data"]["type"] == "Forbidden"
    assert api.call("status", role="client")["package"]
    assert api.call("status", role="slave")["code"] == -32003
    assert api.call("ping", role="slave") == "pong"
    (ended,) = api.call("cancel", targets=[job["id"]])
    assert ended["cancelled"] >= 3
    assert app.finish() == 0


def test_another_language_drives_a_master(swarm: Swarm, api: Api) -> None:
    swarm.slave("attic")
    app = swarm.run("slow.py:SlowTasks", "slow.count=2", "slow.seconds=30")
    until(lambda: api.call("jobs") and api.call("jobs")[0]["running"])
    found = api.node(swarm.credentials("admin").token)
    assert (found["slaves"], found["job"]) == (["attic"], "tasks")
    assert found["ended"]["cancelled"] == 2
    assert found["drained"]["draining"] is True
    assert app.finish() == 0


def test_metrics_are_read_by_prometheus(swarm: Swarm, api: Api) -> None:
    swarm.slave("attic", workers=2)
    (swarm.probe / "enough").touch()
    swarm.run("shown.py").ends_well(120.0)
    found = api.metrics()
    tasks = found["concurrence_tasks"]
    assert (tasks["finished",], tasks["failed",]) == (396, 4)
    assert (tasks["queued",], tasks["running",], tasks["delayed",]) == (0, 0, 0)
    for state in ("finished", "failed", "cancelled"):
        assert found["concurrence_tasks_ended_total"][state,] == tasks[state,]
    ran = found["concurrence_task_seconds_count"][()]
    assert (
        0
        < found["concurrence_task_seconds_sum"][()]
        == pytest.approx(found["concurrence_busy_seconds_total"][()], rel=0.5)
    )
    assert ran >= tasks["finished",]
    assert found["concurrence_task_seconds_bucket"]["+Inf",] == ran
    assert found["concurrence_queue_wait_seconds_count"][()] >= ran
    assert found["concurrence_transfer_seconds_count"][()] > 0
    assert found["concurrence_slaves"] == {("working",): 1, ("draining",): 0}
    assert found["concurrence_workers"][()] == 2
    assert found["concurrence_moved_bytes_total"][()] > 1_000
    assert found["concurrence_stat_events_total"]["api.requests",] >= 1
    until(lambda: "concurrence_loop_lag_seconds_count" in api.metrics())
    again = api.metrics()
    assert again["concurrence_uptime_seconds"][()] >= found["concurrence_uptime_seconds"][()]
    assert "not allowed" not in api.curl("/metrics", role="slave")
    assert "may not ask" in api.curl("/metrics", role="slave")


def test_other_programs_register_over_http(api: Api) -> None:
    made = api.call("register_slave", role="slave", node_id="abc", port=9_000, data={"cores": 4})
    assert (made["node"], made["known"]) == ("abc", False)
    assert made["compute"].startswith("tcp://127.0.0.1:")
    assert api.call("register_slave", role="slave", node_id="abc", port=9_001, data={})["known"]
    assert api.call("heartbeat", role="slave", node_id="abc") is True
    (found,) = api.call("registered", role="client")
    assert (found["node"], found["kind"], found["address"], found["port"]) == ("abc", "slave", "127.0.0.1", 9_001)
    # Each role its own, and each token what it registered itself.
    assert api.call("register_slave", role="client", node_id="x")["data"]["type"] == "Forbidden"
    assert api.call("register_client", role="slave", node_id="x")["data"]["type"] == "Forbidden"
    assert "belongs to another key" in api.call("unregister", role="client", node_id="abc")["message"]
    assert api.call("unregister", role="slave", node_id="abc") is True
    assert api.call("registered") == []


def test_the_description_of_the_api_is_there(api: Api) -> None:
    found = json.loads(api.curl("/api/1/openrpc.json", "--compressed", role="client"))
    assert found["openrpc"].startswith("1.")
    methods = {method["name"]: method for method in found["methods"]}
    assert {"ping", "status", "cancel", "drain", "page.open"} <= methods.keys()
    assert methods["cancel"]["params"][0]["schema"] == {"type": "array", "items": {"type": "string"}}
    listed = {method["name"]: method["roles"] for method in api.call("api.list")}
    assert listed["status"] == ["admin", "client"]
    assert listed["cancel"] == ["admin"]
    assert listed["ping"] == ["admin", "client", "slave"]


def test_statistics(swarm: Swarm, api: Api) -> None:
    for _ in range(5):
        api.curl("/ping")
    found = json.loads(api.curl("/stats"))
    assert found["api.requests"]["events"] >= 6
    program = swarm.command("status", "--stats", "--master", str(swarm.connect("admin")))
    assert program.finish() == 0
    assert "api.requests" in program.output
    assert "p99" in program.output
    program = swarm.command("status", "--stats", "--json", "--master", str(swarm.connect("admin")))
    assert program.finish() == 0
    assert json.loads(program.output)["api.requests"]["rate"] > 0


def test_a_port_of_ones_own(swarm: Swarm) -> None:
    port = free_port()
    swarm.master(f"api.port={port}")
    assert swarm.credentials("client").api == f"http://127.0.0.1:{port}"
    other = swarm.command("master", "--env", "other", "--port", "0", "--set", f"api.port={port}", folder="master")
    assert other.finish() == 2
    assert f"the API cannot listen at 127.0.0.1:{port}" in other.output
    assert "--set api.port" in other.output
    assert "Traceback" not in other.output


def test_no_port_for_who_wants_none_and_for_private_swarms(swarm: Swarm) -> None:
    master = swarm.master("api.enabled=no")
    assert swarm.credentials("admin").api == ""
    assert "token" not in swarm.connect("admin").read_text()
    program = swarm.command("status", "--open", "--master", str(swarm.connect("admin")))
    assert program.finish() == 2
    assert "no HTTP port" in program.output
    assert "the API listens" not in master.output
    port = free_port()
    settings = ("api.enabled=yes", f"api.port={port}")
    app = swarm.run("slow.py:SlowTasks", "slow.count=2", "slow.seconds=30", *settings, workers=1)
    until(lambda: swarm.probes("start-*"))
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0
    (swarm.probe / "release").touch()
    app.ends_well()


def test_a_slave_has_a_port_if_it_is_to(swarm: Swarm) -> None:
    swarm.master()
    slave = swarm.slave("attic", "api.enabled=yes", workers=2)
    until(lambda: "the API listens at" in slave.output)
    address = re.search(r"the API listens at (http://\S+)", slave.output)
    assert address
    api = Api(swarm)
    api.address = address[1]
    token = ApiTokens.of(swarm.folder / "env-attic" / "keys").token(Role.CLIENT)
    found = json.loads(api.curl("/status", token=token))
    assert (found["slave"], found["connected"], found["workers"]) == ("attic", True, 2)
    assert json.loads(api.curl("/ready", token=token)) == {"ready": True}
    figures = samples(api.curl("/metrics", token=token))
    assert figures["concurrence_connected"][()] == 1
    assert json.loads(api.curl("/health"))["status"] == "ok"
    # The master's tokens are none of the slave's.
    assert "the token is not valid" in api.curl("/status", role="admin")
    program = swarm.command("drain", "attic", "--master", str(swarm.connect("admin")))
    assert program.finish() == 0, str(program)
    until(lambda: json.loads(api.curl("/ready", token=token)) == {"ready": False})
