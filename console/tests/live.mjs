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

import { faults, obey, page } from "./browser.mjs";

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

await obey(commands, shown);
