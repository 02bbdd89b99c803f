// Chromium for the drivers of pages: they are told what to do by lines on standard input, each answered by a line of JSON.

import { createInterface } from "node:readline";

import { chromium } from "playwright-core";

const PATIENCE_MS = 60_000;

const browser = await chromium.launch({
  executablePath: process.argv[2] ?? "/usr/bin/chromium",
  // as root Chromium has no sandbox to run in; the page is our own
  args: ["--no-sandbox", "--disable-dev-shm-usage"],
});

export const page = await browser.newPage();
page.setDefaultTimeout(PATIENCE_MS);

/** What must not happen on a page: errors of scripts, windows they open, and things that the security policy had to block. */
export const faults = [];
page.on("pageerror", (error) => faults.push(error.message));
page.on("dialog", (dialog) => {
  faults.push(`a script opened a window: ${dialog.message()}`);
  dialog.dismiss();
});
page.on("console", (message) => {
  if (/Content Security Policy|Refused to/.test(message.text())) faults.push(message.text());
});

/**
 * Does what the lines say until they end; closes the browser.
 *
 * @param {Record<string, (...words: string[]) => Promise<object>>} commands by name
 * @param {() => Promise<object>} shown what the page shows, for whoever has to find out why something failed
 */
export async function obey(commands, shown) {
  try {
    for await (const line of createInterface({ input: process.stdin })) {
      const [name, ...words] = line.trim().split(" ");
      console.log(JSON.stringify(await commands[name](...words)));
    }
  } catch (error) {
    console.error(error.message, "\nthe page shows:", await shown().catch(() => "nothing"), faults);
    process.exitCode = 1;
  } finally {
    await browser.close();
  }
}
