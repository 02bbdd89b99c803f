// Drives /events/live in Chromium, told what to do by lines on standard input, each answered by a line of JSON:
//
//   open URL              opens the page
//   state NAME            waits until the connection is in this state
//   track TYPE USER JSON  fills in the form and sends it; answers what the page says
//   filter TYPE USER      shows only these ("-" for all)
//   shows ID …            waits until all of these are shown
//   rows                  answers all ids shown, newest first, and the page's count
//
//   node live.mjs [path of Chromium]

import { createInterface } from "node:readline";

import { chromium } from "playwright-core";

const PATIENCE_MS = 60_000;

const browser = await chromium.launch({
  executablePath: process.argv[2] ?? "/usr/bin/chromium",
  // as root Chromium has no sandbox to run in; the page is our own
  args: ["--no-sandbox", "--disable-dev-shm-usage"],
});
const page = await browser.newPage();
page.setDefaultTimeout(PATIENCE_MS);
/** What must not happen on a page: errors of scripts, and things that the security policy had to block. */
const faults = [];
page.on("pageerror", (error) => faults.push(error.message));
page.on("console", (message) => {
  if (/Content Security Policy|Refused to/.test(message.text())) faults.push(message.text());
});

const shown = () => page.$$eval("#rows tr", (rows) => rows.map((row) => row.dataset.id));

const commands = {
  open: async (url) => {
    const answer = await page.goto(url);
    return { status: answer.status(), policy: answer.headers()["content-security-policy"] };
  },
  state: async (name) => {
    await page.waitForSelector(`#state[data-state="${name}"]`);
    return { state: name };
  },
  track: async (type, user, ...data) => {
    const output = page.locator("#tracked");
    const before = await output.textContent();
    await page.fill('#track [name="event_type"]', type);
    await page.fill('#track [name="user_id"]', user);
    await page.fill('#track [name="data"]', data.join(" "));
    await page.click("#track button");
    await page.waitForFunction((old) => document.getElementById("tracked").textContent !== old, before);
    return { said: await output.textContent() };
  },
  filter: async (type, user) => {
    await page.fill('#filter [name="event_type"]', type === "-" ? "" : type);
    await page.fill('#filter [name="user_id"]', user === "-" ? "" : user);
    await page.click("#filter button[type=submit]");
    return {};
  },
  shows: async (...ids) => {
    await page.waitForFunction((wanted) => {
      const rows = [...document.querySelectorAll("#rows tr")].map((row) => row.dataset.id);
      return wanted.every((id) => rows.includes(id));
    }, ids);
    return { shown: ids.length };
  },
  rows: async () => ({ ids: await shown(), count: await page.textContent("#count"), faults }),
};

try {
  for await (const line of createInterface({ input: process.stdin })) {
    const [name, ...words] = line.trim().split(" ");
    console.log(JSON.stringify(await commands[name](...words)));
  }
} catch (error) {
  console.error(error.message, "\nthe page shows:", await shown().catch(() => "nothing"));
  process.exitCode = 1;
} finally {
  await browser.close();
}
