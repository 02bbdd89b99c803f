// The page /events/live: what is stored, as it happens.

import { connectEvents } from "/floe.js";

/** Rows that are kept; older ones leave the page. */
const ROWS_MAX = 200;
/** Events of before that are shown when the page is opened. */
const RECENT = 20;

const element = (id) => document.getElementById(id);
const rows = element("rows");
const fields = ["event_type", "user_id"];

let live = null;
let count = 0;
/** Shown with the next frame the browser draws: a burst is drawn once. */
let waiting = [];
let paused = false;

function cell(text, name) {
  const td = document.createElement("td");
  td.textContent = text;
  if (name) td.className = name;
  return td;
}

function rowOf(event) {
  const row = document.createElement("tr");
  row.dataset.id = event.id;
  row.append(
    cell(timeOf(event.stored_at)),
    cell(event.event_type ?? "–"),
    cell(event.user_id ?? "–"),
    cell(JSON.stringify(event.data), "data"),
    cell(event.id, "id"),
  );
  return row;
}

function timeOf(text) {
  const time = new Date(text);
  const part = (value, digits = 2) => String(value).padStart(digits, "0");
  const clock = [time.getHours(), time.getMinutes(), time.getSeconds()].map((value) => part(value)).join(":");
  return `${clock}.${part(time.getMilliseconds(), 3)}`;
}

function show(event) {
  waiting.push(event);
  if (waiting.length > ROWS_MAX) waiting.shift();
  if (waiting.length === 1 && !paused) requestAnimationFrame(draw);
}

function draw() {
  if (paused) return;
  rows.prepend(...waiting.reverse().map(rowOf));
  waiting = [];
  while (rows.childElementCount > ROWS_MAX) rows.lastElementChild.remove();
  element("empty").hidden = rows.childElementCount > 0;
}

function showState({ state, retryInMs, reason }) {
  const words = {
    connecting: "connecting",
    open: "live",
    waiting: `connection lost, again in ${((retryInMs ?? 0) / 1000).toFixed(1)} s`,
    failed: `refused: ${reason}`,
    closed: "closed",
  };
  element("state").dataset.state = state;
  element("state-text").textContent = words[state];
}

/** Starts over with the filter that is in the page's address. */
function follow() {
  live?.close();
  waiting = [];
  rows.replaceChildren();
  element("empty").hidden = false;
  const asked = new URLSearchParams(location.search);
  const filter = Object.fromEntries(fields.map((name) => [name, asked.get(name) ?? ""]));
  fields.forEach((name) => (element("filter").elements[name].value = filter[name]));
  live = connectEvents({
    filter,
    recent: RECENT,
    onEvent: (event) => {
      count += 1;
      element("count").textContent = count.toLocaleString();
      show(event);
    },
    onState: showState,
  });
}

function applyFilter(values) {
  const kept = values.filter(([, value]) => value.trim() !== "").map(([name, value]) => [name, value.trim()]);
  const query = new URLSearchParams(kept).toString();
  history.replaceState(null, "", query ? `?${query}` : location.pathname);
  follow();
}

function tell(text, outcome) {
  const output = element("tracked");
  output.textContent = text;
  output.dataset.outcome = outcome;
}

async function track(form) {
  let data;
  try {
    data = JSON.parse(form.get("data").trim() || "{}");
  } catch (error) {
    tell(`Data is not JSON: ${error.message}`, "refused");
    return;
  }
  try {
    const answer = await fetch("/v1/event", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ event_type: form.get("event_type"), user_id: form.get("user_id"), data }),
    });
    const body = await answer.json();
    if (answer.ok) {
      tell(`${body.status}: ${body.id}`, "accepted");
    } else {
      const faults = (body.errors ?? []).map(({ pointer, detail }) => `${pointer || "/"} ${detail}`);
      tell(faults.length ? faults.join("; ") : body.detail, "refused");
    }
  } catch (error) {
    tell(`The server could not be reached: ${error.message}`, "refused");
  }
}

element("track").addEventListener("submit", (event) => {
  event.preventDefault();
  track(new FormData(event.target));
});
element("filter").addEventListener("submit", (event) => {
  event.preventDefault();
  applyFilter([...new FormData(event.target)]);
});
element("filter").addEventListener("reset", (event) => {
  event.preventDefault();
  applyFilter([]);
});
element("pause").addEventListener("click", ({ currentTarget }) => {
  paused = !paused;
  currentTarget.setAttribute("aria-pressed", String(paused));
  currentTarget.textContent = paused ? "Go on" : "Pause";
  if (!paused) draw();
});

follow();
