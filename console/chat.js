// The page /chat: questions, answers as they are written, the documents they come from.

import { isRunning, openChat } from "/chat/session.js";
import { chooseColours, createView, documentRows, excerpt, make } from "/chat/view.js";

/** Characters of a question; and from how many on the page says how many there are. */
const QUESTION_MAX = 4_000;
const QUESTION_LONG = 3_500;
/** Bytes of a document. */
const DOCUMENT_BYTES_MAX = 1_000_000;
/** As near to the end as this, the page goes along with what is written there. */
const AT_END_PX = 80;
/** Finished answers that are kept for those who listen. */
const SAID_MAX = 5;

const element = (id) => document.getElementById(id);
const input = element("input");
// it is always in view: the conversation has no reason to move
const focusInput = () => input.focus({ preventScroll: true });

let chat = null;
/** Whether the session was told once: until then nobody knows if it is empty. */
let isKnown = false;
let isDue = false;
let goToEnd = false;

/** An answer of the server, or what it says is wrong. */
async function request(method, path, body) {
  const headers = body && { "Content-Type": "application/json" };
  const answer = await fetch(path, { method, headers, body: body && JSON.stringify(body) });
  if (answer.ok) return answer.status === 204 ? null : answer.json();
  const problem = await answer.json().catch(() => ({}));
  throw new Error(problem.detail ?? `the server answered ${answer.status}`);
}

const documentPath = (id) => `/chat/documents/${encodeURIComponent(id)}`;

const view = createView({
  list: element("turns"),
  onSource: (source) => openSource(source),
  onRetry: (id) => {
    chat.retry(id);
    goToEnd = true;
    focusInput();
  },
});

const sessionInAddress = () => {
  const id = new URLSearchParams(location.hash.slice(1)).get("session") ?? "";
  return /^[\w-]{1,64}$/.test(id) ? id : undefined;
};

/** Opens the session that the address names, or a new one. */
function start() {
  chat?.close();
  isKnown = sessionInAddress() === undefined;
  goToEnd = true;
  tell("");
  chat = openChat({
    sessionId: sessionInAddress(),
    onState: showState,
    onSession: (id) => {
      if (!isKnown) goToEnd = true;
      isKnown = true;
      // a reload or a second tab shows the same
      if (sessionInAddress() !== id) history.replaceState(null, "", `#session=${id}`);
    },
    onChange: drawSoon,
    onFinished: say,
    onNotice: tell,
  });
  drawSoon();
}

function showState({ state, retryInMs, reason }) {
  const words = {
    connecting: "connecting",
    open: "connected",
    waiting: `no connection, again in ${((retryInMs ?? 0) / 1000).toFixed(1)} s`,
    failed: "refused",
  };
  input.disabled = state === "failed";
  if (state === "failed") tell(`${reason}: begin a new chat.`);
  element("state").dataset.state = state;
  element("state").title = reason ?? "";
  element("state-text").textContent = words[state];
}

/** What came in between two frames of the browser is drawn once. */
function drawSoon() {
  if (!isDue) requestAnimationFrame(draw);
  isDue = true;
}

const toEnd = (behavior) => scrollTo({ top: document.documentElement.scrollHeight, behavior });
const isAtEnd = () => scrollY + innerHeight >= document.documentElement.scrollHeight - AT_END_PX;

function draw() {
  isDue = false;
  const goesAlong = goToEnd || isAtEnd();
  goToEnd = false;
  view.draw(chat.turns);
  element("empty").hidden = !isKnown || chat.turns.length > 0;
  const running = chat.turns.find(isRunning);
  if (!running && document.activeElement === element("stop")) focusInput();
  element("stop").hidden = !running;
  element("stop").disabled = Boolean(running?.stopping);
  if (goesAlong) toEnd("instant");
  showLatest();
}

const showLatest = () => (element("latest").hidden = isAtEnd());

/** For those who listen: an answer when it is there, not as it comes. */
function say({ status, answer, error }) {
  const words = { answered: `Answer: ${answer}`, stopped: `Stopped. ${answer}`, failed: `Not answered: ${error}` };
  const said = element("said");
  said.append(make("p", { textContent: words[status] }));
  while (said.childElementCount > SAID_MAX) said.firstElementChild.remove();
}

function tell(text) {
  element("notice").textContent = text;
  element("notice").hidden = text === "";
}

/** Fits the box to the question, and tells its size when that matters. */
function measure() {
  const wasAtEnd = isAtEnd();
  input.style.height = "auto";
  input.style.height = `${input.scrollHeight}px`;
  if (wasAtEnd) toEnd("instant");
  const size = [...input.value].length;
  element("send").disabled = input.value.trim() === "" || size > QUESTION_MAX;
  const counted = `${size.toLocaleString("en")} of ${QUESTION_MAX.toLocaleString("en")} characters`;
  element("size").textContent = size < QUESTION_LONG ? "" : counted;
  element("size").dataset.outcome = size > QUESTION_MAX ? "refused" : "";
  input.setAttribute("aria-invalid", String(size > QUESTION_MAX));
}

function ask(question) {
  tell("");
  goToEnd = true;
  chat.ask(question);
}

element("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  if (element("send").disabled) return;
  ask(input.value.trim());
  input.value = "";
  measure();
  focusInput();
});
input.addEventListener("input", measure);
input.addEventListener("keydown", (event) => {
  // Enter also ends what an input method composes
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  element("ask").requestSubmit();
});
element("examples").addEventListener("click", ({ target }) => {
  if (!target.closest("button")) return;
  ask(target.textContent);
  focusInput();
});
element("stop").addEventListener("click", () => chat.stop());
element("skip").addEventListener("click", (event) => {
  // the address stays the session's
  event.preventDefault();
  focusInput();
});
element("latest").addEventListener("click", () => {
  toEnd("auto");
  focusInput();
});
element("new-chat").addEventListener("click", () => {
  if (chat.turns.length > 0 || !isKnown) {
    history.pushState(null, "", location.pathname);
    start();
  }
  focusInput();
});
document.addEventListener("keydown", (event) => {
  if (document.querySelector("dialog[open]") || event.isComposing) return;
  if (event.key === "Escape") chat.stop();
  const isTyping = event.target.closest("input, textarea") || event.ctrlKey || event.metaKey || event.altKey;
  if (event.key !== "/" || isTyping) return;
  event.preventDefault();
  focusInput();
});
["scroll", "resize"].forEach((kind) => addEventListener(kind, showLatest));
addEventListener("hashchange", () => sessionInAddress() !== chat.sessionId && start());

/** What the dialog shows: the source, its document once it is there, and whether all of it. */
let shown = null;

async function openSource(source, isWhole = false) {
  const mine = (shown = { source, found: null, isWhole });
  drawSource("Looking for the passage …");
  element("source").showModal();
  try {
    mine.found = await request("GET", documentPath(source.document));
    if (shown === mine) drawSource("");
  } catch (error) {
    if (shown === mine) drawSource(`The document can't be shown: ${error.message}`);
  }
}

function drawSource(told) {
  const { source, found, isWhole } = shown;
  element("source-title").textContent = source.title;
  element("source-section").textContent = isWhole ? "" : (source.section ?? "");
  element("source-told").textContent = told;
  const body = element("source-body");
  body.replaceChildren(...excerpt(source, found, isWhole));
  body.scrollTop = 0;
  // inside the dialog only: the page behind it stays where it is
  const mark = body.querySelector("mark");
  if (mark) body.scrollTop = mark.offsetTop - body.clientHeight / 3;
  element("source-whole").hidden = !found || !source.snippet;
  element("source-whole").textContent = isWhole ? "Show the passage only" : "Show the whole document";
}

element("source-whole").addEventListener("click", () => {
  shown.isWhole = !shown.isWhole;
  drawSource("");
});

const headingOf = (text) => /^# +(.+)$/m.exec(text)?.[1].trim();

/** Does something with documents, tells what came of it, and shows what there is then. */
async function act(done, action) {
  const told = element("documents-told");
  const focus = document.activeElement;
  try {
    await action();
    const { documents } = await request("GET", "/chat/documents");
    element("documents-list").replaceChildren(...documentRows(documents, { onShow: showDocument, onDelete: deleteDocument }));
    // what had the focus may be gone
    if (!focus?.isConnected) element("add").elements.title.focus();
    told.textContent = done;
    told.dataset.outcome = "accepted";
    return true;
  } catch (error) {
    told.textContent = error.message;
    told.dataset.outcome = "refused";
    return false;
  }
}

const showDocument = ({ id, title }) => openSource({ document: id, title, snippet: "" }, true);
const deleteDocument = ({ id, title }) => act(`Deleted “${title}”.`, () => request("DELETE", documentPath(id)));

element("open-documents").addEventListener("click", () => {
  element("documents").showModal();
  act("", async () => {});
});

/** What is in a file, if that is text. */
async function textOf(file) {
  if (file.size > DOCUMENT_BYTES_MAX) throw new Error(`${file.name} is larger than a document can be (1 MB)`);
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(await file.arrayBuffer());
  } catch {
    throw new Error(`${file.name} is not UTF-8 text`);
  }
}

element("add").addEventListener("submit", async (event) => {
  event.preventDefault();
  const { title, content } = Object.fromEntries(new FormData(event.target));
  const named = title.trim() || headingOf(content) || "Untitled";
  const add = () => request("POST", "/chat/documents", { title: named, content });
  if (await act(`Added “${named}”.`, add)) event.target.reset();
});
element("pick").addEventListener("change", async ({ target }) => {
  const [file] = target.files;
  if (!file) return;
  await act(`Took ${file.name}: look at it, then add it.`, async () => {
    const content = await textOf(file);
    Object.assign(element("add").elements.content, { value: content });
    Object.assign(element("add").elements.title, { value: headingOf(content) ?? file.name });
  });
  // the same file can be taken again
  target.value = "";
});
document.querySelectorAll("dialog").forEach((dialog) =>
  dialog.addEventListener("click", ({ target }) => {
    // the dialog itself is only hit beside what is in it
    if (target === dialog || target.closest("[data-close]")) dialog.close();
  }),
);

chooseColours(element("theme"));
measure();
start();
