// Draws docs/topology-*.svg from the Mermaid in docs/topology.md, in headless Chromium:
//
//     npm install --prefix target/draw --ignore-scripts mermaid@11.17.2 playwright-core@1.65.1
//     node docs/draw.mjs
//
// Each picture names the digest of what it was drawn from; `node docs/draw.mjs --check` compares those, without drawing.
import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";

const docs = new URL("./", import.meta.url);
const text = readFileSync(new URL("topology.md", docs), "utf8");
const drawings = [...text.matchAll(/\]\((topology-[a-z]+\.svg)\)[^]*?```mermaid\n([^]*?)```/g)].map(([, name, source]) => ({
  file: new URL(name, docs),
  name,
  source,
  mark: `<!-- drawn by docs/draw.mjs from ${createHash("sha256").update(source).digest("hex")} -->`,
}));

if (process.argv[2] === "--check") {
  const stale = drawings.filter(({ file, mark }) => !readFileSync(file, "utf8").includes(mark));
  for (const { name } of stale) console.error(`docs/${name} is not drawn from what docs/topology.md says now`);
  process.exit(stale.length > 0 || drawings.length === 0 ? 1 : 0);
}

const require = createRequire(new URL("../target/draw/node_modules/", docs));
const { chromium } = require("playwright-core");
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox"] });
const page = await browser.newPage();
await page.setContent("<body></body>");
await page.addScriptTag({ path: require.resolve("mermaid/dist/mermaid.min.js") });
await page.evaluate(() => {
  globalThis.mermaid.initialize({
    startOnLoad: false,
    theme: "base",
    // Text as SVG's own, so that every viewer shows it.
    htmlLabels: false,
    flowchart: { htmlLabels: false, curve: "basis", nodeSpacing: 28, rankSpacing: 56 },
    sequence: { mirrorActors: false, actorMargin: 28, messageMargin: 26, width: 110 },
    fontFamily: "Arial, Helvetica, sans-serif",
    themeVariables: {
      fontFamily: "Arial, Helvetica, sans-serif",
      fontSize: "15px",
      primaryColor: "#e8f1f8",
      primaryBorderColor: "#2f6f9f",
      primaryTextColor: "#14232e",
      lineColor: "#4a6272",
      clusterBkg: "#f6f8fa",
      clusterBorder: "#9fb3c1",
      edgeLabelBackground: "#ffffff",
      noteBkgColor: "#fff6d9",
      noteBorderColor: "#d2b356",
    },
  });
});
for (const { file, source, mark } of drawings) {
  const svg = await page.evaluate(async (source) => (await globalThis.mermaid.render("drawing", source)).svg, source);
  // On white, so that it can be read in dark viewers too.
  const onWhite = svg.replace(/style="([^"]*?)\s*background-color:[^;"]*;?/, 'style="$1').replace(/style="/, 'style="background-color: #ffffff; ');
  writeFileSync(file, `${onWhite.replace(/<br>/g, "<br/>")}\n${mark}\n`);
}
await browser.close();
