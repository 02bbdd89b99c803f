// Drives /chat in Chromium, told what to do by lines on standard input, each answered by a line of JSON:
//
//   open URL                  opens the page
//   state NAME                waits until the connection is in this state
//   ask TEXT                  types a question and sends it with Enter (here and below, "\n" in TEXT is a line end)
//   example N                 presses the Nth example question
//   streaming                 waits until an answer is being written; answers what there is of it
//   holds TEXT                waits until some answer has this in it
//   stop                      presses Stop; answers which question that was of
//   retry N                   presses Retry of the Nth question
//   answered N                waits until N questions are over, and none runs; answers all that is shown
//   turns                     answers all that is shown: questions, answers, sources, statuses, errors
//   source N M                opens the Mth source of the Nth answer; answers what the dialog shows, and what is marked in it
//   cite N M                  the same by the Mth citation in the text of the Nth answer
//   whole                     shows the whole document (or the passage again); answers what the dialog shows
//   close-dialog              closes the topmost dialog with Esc
//   documents                 opens the documents unless they are open; answers what is listed
//   add-document TITLE|TEXT   adds one by the form; answers what the page says of it, and what is listed
//   pick-document FILE        takes a file into the form and adds it; answers the same
//   delete-document TITLE     deletes it; answers the same
//   new-chat                  presses New chat and waits until it is told; answers the session's id
//   session                   answers the id in the page's address
//   reload                    loads the page again
//   back                      goes back to the page, or the session, before
//   keys KEYS                 presses these keys, separated by spaces, as Playwright names them; answers what has the focus
//   type TEXT                 types text where the focus is
//   said                      answers what was announced to those who listen, and the notice of the page
//   viewport W H              gives the window this size; answers whether anything is wider than it
//   scheme dark|light         what the system prefers
//   theme                     presses the page's own switch; answers whether it is dark now
//   shot FILE                 takes a picture
//   faults                    answers errors of scripts, and what the security policy had to block
//
//   node chat.mjs [path of Chromium]

import { faults, obey, page } from "./browser.mjs";

const unescaped = (words) => words.join(" ").replaceAll("\\n", "\n");
const turn = (number) => page.locator("#turns > .turn").nth(Number(number) - 1);
const sessionId = () => new URLSearchParams(new URL(page.url()).hash.slice(1)).get("session");
const focused = () => page.evaluate(() => document.activeElement.id || document.activeElement.tagName.toLowerCase());

const shown = () =>
  page.$$eval("#turns > .turn", (turns) =>
    turns.map((turn) => {
      const text = (selector) => turn.querySelector(selector)?.innerText ?? "";
      return {
        question: turn.querySelector(".question p").textContent,
        status: turn.dataset.status,
        text: text(".text"),
        sources: [...turn.querySelectorAll(".source")].map((source) => source.textContent),
        error: turn.querySelector(".fault").checkVisibility() ? text(".fault p") : "",
      };
    }),
  );

/** What the source's dialog shows, once the document is there or known not to be. */
async function dialogShown() {
  await page.waitForFunction(() => {
    const told = document.getElementById("source-told").textContent;
    return document.getElementById("source").open && !told.startsWith("Looking");
  });
  return page.$eval("#source", (dialog) => {
    const body = dialog.querySelector("#source-body");
    return {
      title: dialog.querySelector("#source-title").textContent,
      section: dialog.querySelector("#source-section").textContent,
      text: body.textContent,
      marked: [...body.querySelectorAll("mark")].map((mark) => mark.textContent),
      told: dialog.querySelector("#source-told").textContent,
      // markup in a document makes no elements: these are all there may be
      elements: [...new Set([...body.querySelectorAll("*")].map(({ localName }) => localName))].sort(),
    };
  });
}

/** Does something in the documents' dialog; answers what the page says of it, and what is listed then. */
async function inDocuments(action) {
  const told = "documents-told";
  if (!(await page.$eval("#documents", ({ open }) => open))) {
    await page.click("#open-documents");
    await page.waitForSelector("#documents-list li");
  }
  if (action) {
    await page.evaluate((id) => (document.getElementById(id).textContent = ""), told);
    await action();
    await page.waitForFunction((id) => document.getElementById(id).textContent !== "", told);
  }
  const documents = await page.$$eval("#documents-list li:not(.none)", (items) =>
    items.map((item) => ({ title: item.querySelector(".link").textContent, facts: item.querySelector("p").textContent })),
  );
  return { said: await page.textContent(`#${told}`), documents };
}

const addDocument = () => page.click("#add button[type=submit]");

const commands = {
  open: async (url) => {
    const answer = await page.goto(url);
    return { status: answer?.status(), policy: answer?.headers()["content-security-policy"] };
  },
  state: async (name) => {
    await page.waitForSelector(`#state[data-state="${name}"]`);
    return { state: name, says: await page.textContent("#state-text") };
  },
  ask: async (...words) => {
    await page.fill("#input", unescaped(words));
    await page.press("#input", "Enter");
    return { left: await page.inputValue("#input") };
  },
  example: async (number) => {
    const button = page.locator("#examples button").nth(Number(number) - 1);
    const question = await button.textContent();
    await button.click();
    return { question };
  },
  streaming: async () => {
    await page.waitForSelector('.turn[data-status="streaming"] .text > *');
    return { text: await page.innerText('.turn[data-status="streaming"] .text').catch(() => null) };
  },
  holds: async (...words) => {
    await page.waitForFunction(
      (wanted) => [...document.querySelectorAll(".text")].some(({ innerText }) => innerText.includes(wanted)),
      unescaped(words),
    );
    return {};
  },
  stop: async () => {
    const running = '.turn:is([data-status="sending"], [data-status="waiting"], [data-status="streaming"])';
    const question = await page.locator(running).first().locator(".question p").textContent();
    await page.click("#stop");
    return { question };
  },
  retry: async (number) => {
    await turn(number).locator(".retry").click();
    return {};
  },
  answered: async (count) => {
    await page.waitForFunction((count) => {
      const turns = [...document.querySelectorAll("#turns > .turn")];
      const isOver = ({ dataset }) => ["answered", "stopped", "failed"].includes(dataset.status);
      return turns.length >= count && turns.every(isOver);
    }, Number(count));
    return { turns: await shown() };
  },
  turns: async () => ({ turns: await shown(), faults }),
  source: async (number, which) => {
    await turn(number).locator(".source").nth(Number(which) - 1).click();
    return dialogShown();
  },
  cite: async (number, which) => {
    await turn(number).locator(".cite").nth(Number(which) - 1).click();
    return dialogShown();
  },
  whole: async () => {
    await page.click("#source-whole");
    return dialogShown();
  },
  "close-dialog": async () => {
    const open = await page.locator("dialog[open]").count();
    await page.keyboard.press("Escape");
    await page.waitForFunction((before) => document.querySelectorAll("dialog[open]").length < before, open);
    return { open: open - 1 };
  },
  documents: () => inDocuments(),
  "add-document": (...words) =>
    inDocuments(async () => {
      const [title, ...text] = unescaped(words).split("|");
      await page.fill('#add [name="title"]', title);
      await page.fill('#add [name="content"]', text.join("|"));
      await addDocument();
    }),
  "pick-document": async (file) => {
    const { said } = await inDocuments(() => page.setInputFiles("#pick", file));
    return said.startsWith("Took") ? inDocuments(addDocument) : { said };
  },
  "delete-document": (...words) =>
    inDocuments(async () => {
      const title = page.getByRole("button", { name: words.join(" "), exact: true });
      const remove = page.locator("#documents-list li", { has: title }).first().locator(".remove");
      await remove.click();
      await remove.click();
    }),
  "new-chat": async () => {
    const before = sessionId();
    await page.click("#new-chat");
    await page.waitForFunction((old) => location.hash && !location.hash.endsWith(`=${old}`), before);
    return { session: sessionId() };
  },
  session: async () => ({ session: sessionId() }),
  reload: async () => {
    await page.reload();
    return {};
  },
  back: async () => {
    await page.goBack();
    return { session: sessionId() };
  },
  keys: async (...keys) => {
    for (const key of keys) await page.keyboard.press(key);
    return { focus: await focused(), input: await page.inputValue("#input") };
  },
  type: async (...words) => {
    await page.keyboard.type(words.join(" "));
    return { focus: await focused(), input: await page.inputValue("#input") };
  },
  said: async () => ({
    said: await page.$$eval("#said p", (said) => said.map(({ textContent }) => textContent)),
    notice: await page.textContent("#notice"),
  }),
  viewport: async (width, height) => {
    await page.setViewportSize({ width: Number(width), height: Number(height) });
    const wide = await page.evaluate(() => document.documentElement.scrollWidth > innerWidth);
    return { wide };
  },
  scheme: async (colorScheme) => {
    await page.emulateMedia({ colorScheme });
    return {};
  },
  theme: async () => {
    await page.click("#theme");
    return { dark: (await page.getAttribute("#theme", "aria-pressed")) === "true" };
  },
  shot: async (path) => {
    await page.screenshot({ path });
    return { path };
  },
  faults: async () => ({ faults }),
};

await obey(commands, shown);
