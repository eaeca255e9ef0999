/**
 * Takes the README's pictures of the page: the real server with the model that ships with the project, in Chromium.
 * The picture of a cold start is of a server whose model never comes to be loaded: this model loads too fast to be seen.
 *
 * `npm run build && node dist/scripts/screenshots.js`; writes docs/images/*.png.
 */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { BrowserContextOptions, Page } from "playwright-core";

import type { Engine } from "../src/domain/engine.ts";
import { parseSha256 } from "../src/domain/hash.ts";
import { listen } from "../src/server/listen.ts";
import { ask, closeBrowser, startBrowser } from "../test/support/browser.ts";
import { startDemoEngine } from "../test/support/demo-engine.ts";
import { FakeEngine } from "../test/support/fake-engine.ts";
import { appOf } from "../test/support/server.ts";

const images = fileURLToPath(new URL("../../docs/images/", import.meta.url));
/** Of no program: what stands here says nothing. */
const PROGRAM = "5f".repeat(32);
const DESK = { viewport: { width: 960, height: 640 } };
const PHONE = { viewport: { width: 360, height: 640 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true };

mkdirSync(images, { recursive: true });
const engine = await startDemoEngine();
await take("light", engine, { ...DESK, colorScheme: "light" }, talk);
await take("dark", engine, { ...DESK, colorScheme: "dark" }, async (page) => {
  await page.getByText("Ready").waitFor();
  await page.getByRole("link", { name: "Use it" }).click();
});
await take("phone", engine, { ...PHONE, colorScheme: "light" }, talk);
const loading = new FakeEngine({ ready: new Promise(() => undefined) });
await take("cold-start", loading, { ...DESK, viewport: { width: 960, height: 420 }, colorScheme: "dark" }, (page) =>
  page.getByText("Loading the model: 42 %").waitFor(),
);
await closeBrowser();
await engine.close();

async function talk(page: Page): Promise<void> {
  await page.getByRole("button", { name: "Settings" }).click();
  await page.getByLabel("Temperature", { exact: true }).fill("0");
  await page.keyboard.press("Escape");
  for (const question of ["Who are you?", "What can you do?", "Count from 1 to 5"]) {
    await ask(page, question);
    await page.getByRole("article", { name: "Question" }).getByText(question).waitFor();
    await page.getByRole("button", { name: "Stop" }).waitFor({ state: "detached" });
  }
}

async function take(
  name: string,
  served: Engine,
  options: BrowserContextOptions,
  prepare: (page: Page) => Promise<void>,
): Promise<void> {
  const facts = { licence: "MIT", modelSha256: [parseSha256(PROGRAM)] };
  const server = await listen(appOf(served, { facts }), { host: "127.0.0.1", port: 0 });
  const address = server.address();
  const port = typeof address === "object" ? address?.port : undefined;
  const context = await (await startBrowser()).newContext(options);
  const page = await context.newPage();
  await page.goto(`http://127.0.0.1:${port}/vm/${PROGRAM}/`);
  await prepare(page);
  await page.screenshot({ path: join(images, `${name}.png`), animations: "disabled", caret: "hide" });
  await context.close();
  server.closeAllConnections();
  server.close();
}
