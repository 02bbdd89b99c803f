// What is seen of a conversation: questions, answers as they are written, where they come from.
//
// Whatever people, documents and models wrote becomes text nodes and nothing else.

import { isRunning } from "/chat/session.js";

/** An element with these properties and children. */
export function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

/**
 * Shows turns in a list. Drawing again changes only what is different: nothing flickers, and what is selected or has the
 * focus stays.
 *
 * @param {object} options
 * @param {HTMLElement} options.list
 * @param {(source: object) => void} options.onSource somebody wants to see it
 * @param {(id: string) => void} options.onRetry
 */
export function createView({ list, onSource, onRetry }) {
  const entries = new Map();

  const create = (turn) => {
    const parts = {
      question: make("p"),
      text: make("div", { className: "text" }),
      pending: make("p", { className: "pending" }),
      note: make("p", { className: "note" }),
      sources: make("ol", { className: "sources" }),
      why: make("p"),
      retry: make("button", { type: "button", className: "plain retry", textContent: "Retry" }),
    };
    parts.retry.addEventListener("click", () => onRetry(turn.id));
    parts.pending.append(make("span", { className: "unseen", textContent: "Waiting for the answer" }));
    parts.sources.setAttribute("aria-label", "Sources");
    const heading = make("h2", { className: "unseen", textContent: "You asked" });
    parts.fault = make("div", { className: "fault" }, parts.why, parts.retry);
    parts.answer = make("div", { className: "answer" }, parts.text, parts.pending, parts.note, parts.sources);
    const bubble = make("div", { className: "question" }, parts.question);
    return { parts, drawn: [], element: make("li", { className: "turn" }, heading, bubble, parts.fault, parts.answer) };
  };

  const update = (entry, turn) => {
    const { element, parts } = entry;
    const looks = [turn.question, turn.answer, turn.status, turn.sources, turn.error, turn.retried];
    if (looks.every((look, index) => look === entry.drawn[index])) return;
    const isNew = (index) => looks[index] !== entry.drawn[index];
    element.dataset.status = turn.status;
    if (isNew(0)) parts.question.textContent = turn.question;
    parts.question.parentElement.hidden = turn.question === "";
    // a citation leads somewhere when the sources are there
    const cite = (number) => turn.sources[number - 1] && citation(turn.sources[number - 1], number, onSource);
    drawText(parts.text, turn.answer, cite, turn.sources.length);
    parts.pending.hidden = !(isRunning(turn) && turn.answer === "");
    parts.note.textContent = turn.status === "stopped" ? "Stopped" : "";
    parts.note.hidden = turn.status !== "stopped";
    if (isNew(3)) {
      parts.sources.replaceChildren(
        ...turn.sources.map((source, index) => make("li", {}, sourceButton(source, index + 1, onSource))),
      );
    }
    parts.sources.hidden = turn.sources.length === 0;
    parts.fault.hidden = turn.status !== "failed";
    parts.why.textContent = turn.error ? `Not answered: ${turn.error}` : "This was not answered.";
    parts.retry.hidden = Boolean(turn.retried);
    parts.answer.hidden = turn.status === "failed" && turn.answer === "";
    entry.drawn = looks;
  };

  return {
    draw: (turns) => {
      const ids = new Set(turns.map(({ id }) => id));
      for (const [id, { element }] of entries) {
        if (ids.has(id)) continue;
        element.remove();
        entries.delete(id);
      }
      turns.forEach((turn, index) => {
        const entry = entries.get(turn.id) ?? create(turn);
        entries.set(turn.id, entry);
        if (list.children[index] !== entry.element) list.insertBefore(entry.element, list.children[index] ?? null);
        update(entry, turn);
      });
    },
  };
}

function sourceButton(source, number, onSource) {
  const button = make(
    "button",
    { type: "button", className: "source", title: nameOf(source) },
    make("span", { className: "number", textContent: `[${number}]` }),
    ` ${nameOf(source)}`,
  );
  button.addEventListener("click", () => onSource(source));
  return button;
}

function citation(source, number, onSource) {
  const button = make("button", { type: "button", className: "cite", textContent: `[${number}]`, title: nameOf(source) });
  button.setAttribute("aria-label", `Source ${number}: ${nameOf(source)}`);
  button.addEventListener("click", () => onSource(source));
  return button;
}

/** Where a passage is, in words. */
export const nameOf = ({ title, section }) => [title, section].filter(Boolean).join(" › ");

/** What each block of an answer was made from. */
const keys = new WeakMap();

/** Shows an answer's text; blocks that are there already stay as they are. */
function drawText(container, text, cite, sources) {
  const blocks = blocksOf(text);
  blocks.forEach((block, index) => {
    const key = JSON.stringify([block, sources]);
    const there = container.children[index];
    if (there && keys.get(there) === key) return;
    const element = elementOf(block, cite);
    keys.set(element, key);
    if (there) there.replaceWith(element);
    else container.append(element);
  });
  while (container.childElementCount > blocks.length) container.lastElementChild.remove();
}

const FENCE = /^ {0,3}(`{3,}|~{3,})[^`]*$/;
const ITEM = /^(\s*)([-*•]|\d{1,3}[.)])\s+(.*)$/;

/** The little of Markdown that is shown as more than text: fenced code, lists, paragraphs. */
function blocksOf(text) {
  const blocks = [];
  let block = null;
  let fence = null;
  let afterGap = false;
  const begin = (facts) => blocks.push((block = { lines: [], ...facts }));

  for (const line of text.replaceAll("\r\n", "\n").split("\n")) {
    if (fence !== null) {
      const isEnd = line.trim().startsWith(fence) && line.trim().replaceAll(fence[0], "") === "";
      if (isEnd) fence = block = null;
      else block.lines.push(line);
      continue;
    }
    const item = ITEM.exec(line);
    if (line.trim() === "") {
      afterGap = true;
      continue;
    } else if (FENCE.test(line)) {
      fence = FENCE.exec(line)[1];
      begin({ kind: "pre" });
    } else if (item) {
      const [, indent, mark, rest] = item;
      const kind = /\d/.test(mark) ? "ol" : "ul";
      const deep = indent.length > 1;
      if (block?.kind !== kind || block.deep !== deep) begin({ kind, deep, start: Number.parseInt(mark, 10) || 1 });
      block.lines.push(rest);
    } else if (block?.deep !== undefined && (!afterGap || /^\s{2}/.test(line))) {
      block.lines.push(`${block.lines.pop()}\n${line.trim()}`);
    } else {
      if (block?.kind !== "p" || afterGap) begin({ kind: "p" });
      block.lines.push(line);
    }
    afterGap = false;
  }
  return blocks;
}

function elementOf({ kind, lines, start, deep }, cite) {
  if (kind === "p") return make("p", {}, ...inline(lines.join("\n"), cite));
  // what may have to be scrolled can be reached by keys
  if (kind === "pre") return make("pre", { tabIndex: 0 }, make("code", { textContent: lines.join("\n") }));
  const list = make(kind, { className: deep ? "deep" : "" }, ...lines.map((line) => make("li", {}, ...inline(line, cite))));
  if (kind === "ol") list.start = start;
  return list;
}

/** Text with its code spans, and with its citations as far as there are sources for them. */
function inline(text, cite) {
  return text.split(/(`[^`\n]+`|\[\d{1,3}\])/).map((piece, index) => {
    if (index % 2 === 0) return piece;
    if (piece.startsWith("`")) return make("code", { textContent: piece.slice(1, -1) });
    return cite(Number(piece.slice(1, -1))) || piece;
  });
}

/**
 * A text with what was quoted from it in `<mark>`s; null if the quote isn't in it. Spaces and line ends count as the same,
 * and what a quote leaves out as "…" may be anything.
 *
 * @param {string} text
 * @param {string} quote
 * @returns {(string|HTMLElement)[]|null}
 */
export function marked(text, quote) {
  const pieces = [[quote], quote.split(/…|\.{3}/)].map((all) => all.map((piece) => piece.trim()).filter(Boolean));
  const found = pieces.map((all) => all.map((piece) => rangeOf(text, piece)).filter(Boolean)).find(({ length }) => length > 0);
  if (!found) return null;
  const nodes = [];
  let done = 0;
  for (const [from, to] of found.sort(([a], [b]) => a - b)) {
    if (from < done) continue;
    nodes.push(text.slice(done, from), make("mark", { textContent: text.slice(from, to) }));
    done = to;
  }
  return [...nodes, text.slice(done)];
}

function rangeOf(text, piece) {
  const words = piece.split(/\s+/).map((word) => word.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
  const match = new RegExp(words.join("\\s+")).exec(text);
  return match && [match.index, match.index + match[0].length];
}

/**
 * What a source's dialog shows: the passage, or the whole document, with the quote marked in it.
 *
 * @param {object} source without a snippet the document is shown as it is
 * @param {object} [found] the document, once it is there
 * @param {boolean} isWhole
 */
export function excerpt(source, found, isWhole) {
  const quote = () => make("blockquote", {}, make("mark", { textContent: source.snippet }));
  if (!found) return [quote()];
  const body = (nodes) => make("div", { className: "passage" }, ...nodes);
  const isIn = (text) => (source.snippet ? marked(text, source.snippet) : null);
  if (isWhole) return [body(isIn(found.content) ?? [found.content])];
  // the passages may have other numbers by now
  const there = found.passages.find(({ number }) => number === source.passage);
  const passages = [there, ...found.passages].filter(Boolean);
  const nodes = passages.reduce((nodes, { text }) => nodes ?? isIn(text), null);
  if (nodes) return [body(nodes)];
  const changed = make("p", { className: "note", textContent: "The quote isn't in the document any more: it has changed." });
  return there ? [quote(), changed, body([there.text])] : [quote(), changed];
}

const sizeOf = (bytes) => (bytes < 1_000 ? `${bytes} B` : `${(bytes / 1_000).toFixed(bytes < 10_000 ? 1 : 0)} kB`);

/**
 * The documents as items of a list.
 *
 * @param {object[]} documents
 * @param {{onShow(document: object): void, onDelete(document: object): void}} actions
 */
export function documentRows(documents, { onShow, onDelete }) {
  const row = (listed) => {
    const { title, bytes, passages, updated_at } = listed;
    const show = make("button", { type: "button", className: "link", textContent: title });
    show.addEventListener("click", () => onShow(listed));
    const when = new Date(updated_at).toLocaleDateString(undefined, { dateStyle: "medium" });
    const facts = `${sizeOf(bytes)} · ${passages} ${passages === 1 ? "passage" : "passages"} · ${when}`;
    const about = make("div", {}, show, make("p", { textContent: facts }));
    return make("li", {}, about, removal(title, () => onDelete(listed)));
  };
  const none = make("li", { className: "none", textContent: "There are none yet: nothing can be answered from them." });
  return documents.length > 0 ? documents.map(row) : [none];
}

/** A button that has to be pressed twice, so that nothing is lost by a slip. */
function removal(title, remove) {
  const button = make("button", { type: "button", className: "plain remove" });
  const arm = (isSure) => {
    button.classList.toggle("sure", isSure);
    button.textContent = isSure ? "Really delete" : "Delete";
    button.setAttribute("aria-label", `${button.textContent} ${title}`);
  };
  button.addEventListener("click", () => (button.classList.contains("sure") ? remove() : arm(true)));
  button.addEventListener("blur", () => arm(false));
  arm(false);
  return button;
}

/** Lets a button choose dark or light colours, which are remembered; without a choice they are the system's. */
export function chooseColours(button) {
  const system = matchMedia("(prefers-color-scheme: dark)");
  const root = document.documentElement;
  const show = () => button.setAttribute("aria-pressed", String(root.dataset.theme ? root.dataset.theme === "dark" : system.matches));
  // a browser may keep pages from remembering anything: then it is for as long as the page is open
  const remembered = (use) => {
    try {
      return use(localStorage);
    } catch {
      return null;
    }
  };

  root.dataset.theme = remembered((storage) => storage.getItem("floe-theme")) ?? "";
  button.addEventListener("click", () => {
    const next = button.getAttribute("aria-pressed") === "true" ? "light" : "dark";
    // back at what the system has, it is followed again
    root.dataset.theme = next === (system.matches ? "dark" : "light") ? "" : next;
    remembered((storage) => storage.setItem("floe-theme", root.dataset.theme));
    show();
  });
  system.addEventListener("change", show);
  show();
}
