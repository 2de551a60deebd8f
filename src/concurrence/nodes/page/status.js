// The live status page. Texts come from users: they are set as text, and never become markup.
"use strict";

const TREND_POINTS = 120;
const by = (id) => document.getElementById(id);
const rates = [];
let last = null;

function setText(id, text) {
  const element = by(id);
  if (element.textContent !== text) element.textContent = text;
}

function count(number) {
  return Math.round(number).toLocaleString("en");
}

function duration(seconds) {
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 60) return `${Math.floor(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${Math.floor(seconds % 60)} s`;
  const hours = Math.floor(seconds / 3600);
  return hours < 48 ? `${hours} h ${Math.floor((seconds % 3600) / 60)} min` : `${Math.floor(hours / 24)} days`;
}

function cell(text, kind) {
  const element = document.createElement("td");
  element.textContent = text;
  if (kind) element.className = kind;
  return element;
}

function withNote(element, text) {
  if (text) {
    const note = document.createElement("span");
    note.className = "note";
    note.textContent = text;
    element.append(note);
  }
  return element;
}

function progress(job) {
  const element = document.createElement("td");
  const ended = job.finished + job.failed + job.cancelled;
  const done = job.total ? job.done : ended;
  const total = job.total || ended + job.queued + job.delayed + job.running;
  if (total > 0) {
    const bar = document.createElement("progress");
    bar.max = total;
    bar.value = done;
    const share = `${Math.floor((100 * done) / total)} %`;
    bar.setAttribute("aria-label", `${job.name}: ${share}`);
    element.append(bar, ` ${share}`);
  }
  return withNote(element, job.text);
}

function jobRow(job) {
  const row = document.createElement("tr");
  const state = job.blocked ? "blocked" : job.state;
  row.append(
    cell(job.name, "long"),
    cell(job.short, "id"),
    cell(job.client, "long"),
    withNote(cell(state, `long state-${state}`), job.waits_for),
    progress(job),
    cell(count(job.queued + job.delayed), "number"),
    cell(count(job.running), "number"),
    cell(count(job.finished), "number"),
    cell(count(job.failed), "number"),
    cell(duration(job.busy), "number"),
  );
  return row;
}

function nodeRow(node) {
  const row = document.createElement("tr");
  const isSlave = node.kind === "slave";
  const state = !isSlave ? "connected" : node.drains ? "draining" : node.busy_chunks ? "working" : "idle";
  row.append(
    cell(node.name, "long"),
    cell(node.kind),
    cell(node.address),
    cell(state, `state-${state}`),
    cell(isSlave ? count(node.workers) : "", "number"),
    cell(isSlave ? count(node.busy_chunks) : "", "number"),
    cell(isSlave ? count(node.finished) : "", "number"),
    cell(duration(node.age), "number"),
  );
  return row;
}

function failureItem(failure) {
  const item = document.createElement("details");
  const title = document.createElement("summary");
  const what = document.createElement("b");
  what.textContent = failure.message;
  const where = document.createElement("span");
  const attempt = failure.attempt ? `, attempt ${failure.attempt}` : "";
  const slave = failure.slave ? ` on ${failure.slave}` : "";
  // The time of day: it stays right while the item is shown.
  const when = new Date(Date.now() - 1000 * failure.ago).toLocaleTimeString();
  where.textContent = ` — ${failure.job}, task ${failure.task}${slave}${attempt}, at ${when}`;
  title.append(what, where);
  const trace = document.createElement("pre");
  trace.textContent = failure.traceback || `${failure.kind}: there is no traceback`;
  trace.tabIndex = 0;
  item.append(title, trace);
  return item;
}

function fill(id, items, more) {
  by(id).replaceChildren(...items);
  by(`no-${id}`).classList.toggle("hidden", items.length > 0 && !more);
  if (more) setText(`no-${id}`, `and ${count(more)} more`);
}

let shownFailures = "";

function fillFailures(failures) {
  // Only when there is another one: whoever reads a traceback keeps it open.
  const key = failures.map((failure) => failure.number).join();
  if (key === shownFailures) return;
  shownFailures = key;
  fill("failures", failures.map(failureItem), 0);
}

function drawTrend() {
  const most = Math.max(1, ...rates);
  const step = 120 / (TREND_POINTS - 1);
  const start = 120 - step * (rates.length - 1);
  const points = rates.map((rate, place) => `${(start + place * step).toFixed(2)},${(31 - (29 * rate) / most).toFixed(2)}`);
  const path = rates.length > 1 ? `M${start.toFixed(2)},33 L${points.join(" L")} L122,33 Z` : "";
  by("trend").firstElementChild.setAttribute("d", path);
}

function measure(data) {
  const ended = data.tasks.finished + data.tasks.failed;
  if (last !== null && data.uptime > last.uptime && ended >= last.ended) {
    rates.push((ended - last.ended) / (data.uptime - last.uptime));
    if (rates.length > TREND_POINTS) rates.shift();
  }
  last = { uptime: data.uptime, ended };
  const recent = rates.slice(-3);
  const rate = recent.length ? recent.reduce((sum, each) => sum + each, 0) / recent.length : 0;
  setText("rate", rate > 0 && rate < 10 ? rate.toFixed(1) : count(rate));
  drawTrend();
}

function show(data) {
  setText("name", data.name);
  document.title = `${data.name} - Concurrent`;
  setText("about", `Concurrent ${data.version}, ${data.scheduler}, up ${duration(data.uptime)}`);
  setText("queued", count(data.tasks.queued + data.tasks.delayed));
  for (const name of ["running", "finished", "failed", "cancelled"]) setText(name, count(data.tasks[name]));
  by("failed-tile").classList.toggle("trouble", data.tasks.failed > 0);
  setText("slaves", count(data.slaves));
  setText("workers", count(data.workers));
  measure(data);
  fill("jobs", data.jobs.map(jobRow), data.more_jobs);
  fill("nodes", data.nodes.map(nodeRow), data.more_nodes);
  fillFailures(data.failures);
}

function link(kind, text) {
  by("link").className = kind;
  setText("link", text);
}

const source = new EventSource("/events");
source.onmessage = (event) => {
  const data = JSON.parse(event.data);
  if (data.busy) {
    link("lost", "the master does not answer: it is busy, or stopped");
    return;
  }
  link("live", "live");
  show(data);
};
source.onerror = () => {
  const isOver = source.readyState === EventSource.CLOSED;
  link("lost", isOver ? "the session is over; open it again: concurrence status --open" : "connection lost, trying again");
};
