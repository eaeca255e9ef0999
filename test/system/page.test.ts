import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import type { Page } from "playwright-core";

import { ask, closeBrowser, needsChromium, openPage } from "../support/browser.ts";
import { pythonWithOpenai } from "../support/python.ts";
import { scratchDirectory } from "../support/scratch.ts";
import { UpProcess } from "../support/up-process.ts";

const ANSWER = "This is a test.";
const root = fileURLToPath(new URL("../../../", import.meta.url));
const home = join(scratchDirectory(), "home");
const python = pythonWithOpenai();

/** How a snippet that was copied from the page is run. */
function runSnippet(language: string, code: string): { status: number | null; stdout: string; stderr: string } {
  const options = { cwd: root, encoding: "utf8", timeout: 120_000 } as const;
  if (language === "curl") return spawnSync("sh", { ...options, input: code });
  if (language === "Python") return spawnSync(python.path, ["-"], { ...options, input: code });
  // Beside node_modules, as a user's file would be.
  const file = join(root, `snippet-${process.pid}.mjs`);
  writeFileSync(file, code);
  try {
    return spawnSync(process.execPath, [file], options);
  } finally {
    rmSync(file);
  }
}

function missing(language: string): string | false {
  if (language === "Python") return python.missing;
  return language === "curl" && spawnSync("curl", ["--version"]).status !== 0 && "needs curl";
}

async function snippetOf(page: Page, language: string): Promise<string> {
  await page.getByRole("tab", { name: language }).click();
  return (await page.getByRole("tabpanel").locator("pre").textContent()) ?? "";
}

describe("the page of a published program", { skip: needsChromium }, () => {
  after(closeBrowser);

  for (const [mode, options, delivery] of [
    ["as it is", [], "streamed"],
    ["as the network", ["--as-network"], "polled"],
  ] as const) {
    test(`a node ${mode}: the list leads to the page, the model answers, its snippets run`, async (t) => {
      const up = new UpProcess(home, options);
      t.after(() => up.interrupt());
      const { models, index } = await up.ready();
      const [model] = models;
      assert.ok(model);
      const { page, complaints, requested } = await openPage(t, index);
      await page.getByRole("link", { name: "aleph-tiny-chat" }).click();
      await page.getByText("Ready").waitFor();
      assert.equal(new URL(page.url()).pathname, `/vm/${model.itemHash}/`);

      await page.locator(`html[data-answers="${delivery}"]`).waitFor();
      await page.getByRole("button", { name: "Settings" }).click();
      await page.getByLabel("Temperature", { exact: true }).fill("0");
      await page.keyboard.press("Escape");
      await ask(page, "Say this is a test");
      await page.getByRole("article", { name: "Answer" }).getByText(ANSWER).waitFor();
      await page.getByRole("button", { name: "Retry" }).waitFor();
      assert.match((await page.locator(".context").textContent()) ?? "", /^\d+ \/ 2,048 tokens$/);

      await page.getByRole("link", { name: "What is this" }).click();
      await page
        .getByText("Apache-2.0")
        .or(page.getByText("MIT", { exact: true }))
        .waitFor();
      await page.getByText(model.itemHash, { exact: true }).waitFor();
      assert.equal(await page.locator(".hash").count(), 3);
      await page.getByText(`npx pinference verify ${new URL(page.url()).origin}/vm/${model.itemHash}/`).waitFor();

      await page.getByRole("link", { name: "Use it" }).click();
      for (const language of ["Python", "JavaScript", "curl"]) {
        const code = await snippetOf(page, language);
        assert.ok(code.includes(`/vm/${model.itemHash}/v1/`));
        await t.test(`the snippet for ${language}`, { skip: missing(language) }, () => {
          const { status, stdout, stderr } = runSnippet(language, code);
          assert.equal(status, 0, stderr);
          const said = language === "curl" ? JSON.parse(stdout).choices[0].message.content : stdout;
          assert.equal(said, ANSWER);
        });
      }
      assert.deepEqual(complaints, []);
      const { origin } = new URL(index);
      for (const address of requested) assert.equal(new URL(address).origin, origin);
    });
  }
});
