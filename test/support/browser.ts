import { existsSync } from "node:fs";
import type { TestContext } from "node:test";
import { type Browser, type BrowserContextOptions, chromium, type Page } from "playwright-core";

const EXECUTABLE = process.env["CHROMIUM"] ?? "/usr/bin/chromium";
/** Of single steps in a browser, on a machine that does other things too. */
const STEP_MS = 60_000;

const FLAGS = [
  "--headless",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

/** The reason not to run, or false. */
export const needsChromium = !existsSync(EXECUTABLE) && `needs ${EXECUTABLE}: apt-get install chromium`;

let launched: Promise<Browser> | undefined;

/** One for all tests of a file; `closeBrowser` ends it. */
export async function startBrowser(): Promise<Browser> {
  launched ??= chromium.launch({ executablePath: EXECUTABLE, args: FLAGS, timeout: STEP_MS });
  return launched;
}

export async function closeBrowser(): Promise<void> {
  await (await launched)?.close();
  launched = undefined;
}

export interface OpenPage {
  readonly page: Page;
  /** What the browser complained about: errors of scripts, refusals of its policy, failed loads. */
  readonly complaints: string[];
  /** Every address that was asked for. */
  readonly requested: string[];
}

/** A page with a storage of its own, which is gone after the test. */
export async function openPage(t: TestContext, url: string, options: BrowserContextOptions = {}): Promise<OpenPage> {
  const context = await (await startBrowser()).newContext({ viewport: { width: 1100, height: 800 }, ...options });
  t.after(() => context.close());
  context.setDefaultTimeout(STEP_MS);
  const page = await context.newPage();
  const complaints: string[] = [];
  const requested: string[] = [];
  page.on("pageerror", (error) => complaints.push(error.message));
  page.on("console", (message) => {
    if (message.type() === "error") complaints.push(message.text());
  });
  page.on("request", (request) => requested.push(request.url()));
  await page.goto(url);
  return { page, complaints, requested };
}

export async function ask(page: Page, text: string): Promise<void> {
  await page.getByLabel("Your question").fill(text);
  await page.getByRole("button", { name: "Send" }).click();
}
