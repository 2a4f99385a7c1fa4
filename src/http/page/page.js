"use strict";

// Shows the data of /status.json, refreshed every second while the page is visible.

const MINUTES = 5;
const SPAN = MINUTES * 60;
const HEIGHT = 60;
const NONE = "–";

// A number with three digits, in a suitable unit.
function scale(value, step, units) {
  let unit = 0;
  while (value >= step && unit < units.length - 1) {
    value /= step;
    unit += 1;
  }
  return value.toFixed(Number.isInteger(value) || value >= 100 ? 0 : value < 10 ? 2 : 1) + units[unit];
}

const bytes = (value) => scale(value, 1024, [" B", " KB", " MB", " GB"]);
const FORMATS = {
  bytes,
  limit: (value) => (value ? bytes(value) : "any"),
  count: (value) => (value < 1e4 ? String(Math.round(value)) : scale(value, 1e3, ["", "k", "M", "G"])),
  share: (value) => `${(value * 100).toFixed(1)} %`,
  time: (value) => scale(value, 1e3, [" µs", " ms", " s"]),
  seconds: (value) =>
    value < 7200 ? scale(Math.round(value), 60, [" s", " min"]) : scale(value / 3600, 24, [" h", " days"]),
};

function text(value, format) {
  return value == null ? NONE : typeof value === "string" ? value : FORMATS[format](value);
}

// Each plot: its lines, the format of their values, the value at its top if that is fixed, and the figure above it
// if that is not the latest value of each line.
const PLOTS = {
  ratio: { lines: [(s) => s.hit_ratio], format: "share", top: 1, now: () => text(lastMinute(), "share") },
  requests: { lines: [(s) => s.requests_per_second], format: "count" },
  hit: { lines: [(s) => s.hit_p50_us, (s) => s.hit_p99_us], format: "time" },
  miss: { lines: [(s) => s.miss_p50_us, (s) => s.miss_p99_us], format: "time" },
  fill: {
    lines: [(s) => s.entries / cache.capacity, (s) => (cache.max_bytes ? s.bytes / cache.max_bytes : null)],
    format: "share",
    top: 1,
    now: () => `${text(cache.entries, "count")} / ${text(cache.bytes, "bytes")}`,
  },
  clients: { lines: [(s) => s.clients], format: "count" },
};

// The samples of the last minutes, the oldest first, and how many there have been since the proxy was started.
let samples = [];
let known = 0;
let started;
let cache;

function take(status) {
  const { columns, rows, count } = status.history;
  cache = status.cache;
  // After a restart the count starts again: then the next request is for all samples.
  const again = started !== undefined && started !== status.started;
  samples = again ? [] : samples.concat(rows.map((row) => Object.fromEntries(columns.map((name, at) => [name, row[at]]))));
  samples = samples.slice(-SPAN);
  known = again ? 0 : count;
  started = status.started;
}

// The hit ratio of the last minute's samples, each weighted by its number of look-ups.
function lastMinute() {
  const latest = samples.slice(-60).filter((sample) => sample.keys);
  const keys = latest.reduce((sum, sample) => sum + sample.keys, 0);
  return keys ? latest.reduce((sum, sample) => sum + sample.hit_ratio * sample.keys, 0) / keys : null;
}

// What the state of Redis and of tracking means for clients, in a sentence.
function describe({ address, state, error, tracking }) {
  if (state === "down") return `Redis at ${address} is unreachable. Only cached values are served. ${error}`.trim();
  if (state !== "up") return `Connecting to Redis at ${address}.`;
  const meaning = {
    on: "Redis reports changes, so cached values are current.",
    off: "Tracking is off: cached values may be outdated until they expire.",
    refused: "Redis refuses to report changes: cached values may be outdated until they expire.",
    lost: "The connection that reports changes was lost: nothing new is cached until it is back.",
  };
  return `Connected to Redis at ${address}. ${meaning[tracking] ?? ""}`.trim();
}

function show(status) {
  const looks = cache.hits + cache.misses + cache.coalesced;
  status.ratio = looks ? cache.hits / looks : null;
  const find = (path) => path.split(".").reduce((found, name) => found[name], status);
  for (const element of document.querySelectorAll("[data-of]")) {
    setText(element, text(find(element.dataset.of), element.dataset.as ?? "count"));
  }
  const state = document.getElementById("state");
  setText(state, describe(status.redis));
  state.dataset.up = status.redis.state === "up" && status.redis.tracking === "on";
  for (const body of document.querySelectorAll("[data-shares]")) {
    const cells = [...body.querySelectorAll("[data-of]")];
    const values = cells.map((cell) => find(cell.dataset.of));
    const all = values.reduce((sum, value) => sum + value, 0) || 1;
    cells.forEach((cell, at) => {
      const share = values[at] / all;
      cell.parentElement.style.setProperty("--share", share);
      if (share) setText(cell, `${text(values[at], "count")} (${Math.round(share * 100)} %)`);
    });
  }
  showReads(document.getElementById("reads"), status.reads);
  showNodes(document.getElementById("nodes"), status.nodes);
  for (const [id, plot] of Object.entries(PLOTS)) draw(document.getElementById(id), plot);
}

// A row for each command, with why its reads were not hits.
function showReads(body, reads) {
  while (body.rows.length > reads.length) body.deleteRow(-1);
  reads.forEach(({ command, all, hits, others }, at) => {
    let row = body.rows[at];
    if (!row) {
      row = body.insertRow();
      const head = row.appendChild(document.createElement("th"));
      head.scope = "row";
      head.append(document.createElement("span"), " ", document.createElement("small"));
      row.insertCell();
    }
    const [name, why] = row.cells[0].children;
    setText(name, command.toUpperCase());
    setText(why, others.map((other) => `${other.why} ${text(other.count, "count")}`).join(", "));
    setText(row.cells[1], `${text(hits / all, "share")} of ${text(all, "count")}`);
    row.style.setProperty("--share", hits / all);
  });
}

// A row for each node of the cluster, if there is one.
function showNodes(table, nodes) {
  const body = table.tBodies[0];
  table.hidden = nodes.length === 0;
  while (body.rows.length > nodes.length) body.deleteRow(-1);
  nodes.forEach((node, at) => {
    let row = body.rows[at];
    if (!row) {
      row = body.insertRow();
      const head = row.appendChild(document.createElement("th"));
      head.scope = "row";
      head.append(document.createElement("span"), " ", document.createElement("small"));
      row.insertCell();
    }
    const [address, details] = row.cells[0].children;
    setText(address, node.address);
    setText(details, `${text(node.slots, "count")} slots, ${text(node.in_flight, "count")} in flight, ${text(node.keys, "count")} keys cached, ${text(node.round_trip_us, "time")}`);
    setText(row.cells[1], `${node.state}, tracking ${node.tracking}`);
  });
}

function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function draw(section, { lines, format, top, now }) {
  const svg = section.querySelector("svg");
  const latest = samples.at(-1) ?? {};
  const values = lines.map((line) => samples.map(line));
  const all = values.flat().filter((value) => value != null);
  const highest = top ?? (Math.max(...all, 0) * 1.1 || 1);
  values.forEach((line, index) => {
    const path = svg.children[index] ?? svg.appendChild(document.createElementNS(svg.namespaceURI, "path"));
    path.setAttribute("d", trace(line, latest.seconds, highest));
  });
  const present = now ? now() : lines.map((line) => text(line(latest), format)).join(" / ");
  setText(section.querySelector(".now"), present);
  const range = all.length ? `${text(Math.min(...all), format)} to ${text(Math.max(...all), format)}` : "no values";
  const title = section.querySelector("h2").textContent;
  setText(section.querySelector(".range"), `${range} in ${MINUTES} minutes`);
  svg.setAttribute("aria-label", `${title}: ${present}; ${range} in ${MINUTES} minutes`);
}

// A line through the values, with a gap where there is none.
function trace(values, end, highest) {
  let path = "";
  let pen = "M";
  values.forEach((value, index) => {
    if (value == null) {
      pen = "M";
      return;
    }
    const x = SPAN - (end - samples[index].seconds);
    const y = HEIGHT - 1 - (value / highest) * (HEIGHT - 2);
    path += `${pen}${x.toFixed(1)} ${y.toFixed(1)}${pen === "M" ? "h1" : ""}`;
    pen = "L";
  });
  return path;
}

let timer;
let asking = false;

async function poll() {
  clearTimeout(timer);
  if (asking || document.hidden) return;
  asking = true;
  const trouble = document.getElementById("trouble");
  try {
    const response = await fetch(`/status.json?after=${known}`, { signal: AbortSignal.timeout(5000) });
    const status = await response.json();
    take(status);
    show(status);
    trouble.hidden = true;
  } catch {
    setText(trouble, "The proxy does not respond. These are its last figures.");
    trouble.hidden = false;
  }
  asking = false;
  timer = setTimeout(poll, 1000);
}

document.addEventListener("visibilitychange", poll);
poll();
