import assert from "node:assert/strict";
import { after, describe, test } from "node:test";
import axe from "axe-core";
import type { Page } from "playwright-core";

import { indexPage } from "../../deploy/local/index-page.ts";
import { parseItemHash, parseSha256 } from "../../src/domain/hash.ts";
import { ask, closeBrowser, needsChromium, openPage, startBrowser } from "../support/browser.ts";
import { FakeEngine } from "../support/fake-engine.ts";
import { answering, gate, PROGRAM, serve, text } from "./support.ts";

const ANSWER = `<think>Hm.</think>Look at [this](https://example.org):

\`\`\`js
// says hello
const hello = "world" + 1;
\`\`\`

| a | b |
|---|---|
| 1 | 2 |

> quoted
`;
const facts = { licence: "MIT", codeSha256: parseSha256("a".repeat(64)), modelSha256: [parseSha256("b".repeat(64))] };

interface Violation {
  readonly id: string;
  readonly nodes: readonly { readonly html: string; readonly failureSummary?: string }[];
}

/** What the engine finds against WCAG and its own best practices. */
async function violations(page: Page): Promise<string[]> {
  const found = await page.evaluate<Violation[]>(`${axe.source}\n;axe.run().then(({ violations }) => violations)`);
  return found.flatMap(({ id, nodes }) => nodes.map(({ html, failureSummary }) => `${id}: ${html} ${failureSummary}`));
}

/** Pixels that stick out to the right. */
const overflow = (page: Page) => page.evaluate("document.documentElement.scrollWidth - document.body.offsetWidth");

describe("the page is for everyone", { skip: needsChromium }, () => {
  after(closeBrowser);

  for (const colorScheme of ["light", "dark"] as const) {
    test(`no view has a fault that the accessibility engine knows, ${colorScheme}, on a phone and on a desk`, async (t) => {
      const { programUrl } = await serve(t, answering(text(ANSWER)), { facts });
      for (const width of [320, 1100]) {
        const { page } = await openPage(t, programUrl, { colorScheme, viewport: { width, height: 800 } });
        await page.getByText("Ready").waitFor();
        assert.deepEqual(await violations(page), [], "empty chat");
        await ask(page, "Hi");
        await page.getByRole("button", { name: "Retry" }).waitFor();
        await page.locator("details summary").click();
        assert.deepEqual(await violations(page), [], "chat");
        assert.equal(await overflow(page), 0);
        await page.getByRole("button", { name: "Edit" }).click();
        assert.deepEqual(await violations(page), [], "edit");
        for (const drawer of ["Settings", "History"]) {
          await page.getByRole("button", { name: drawer }).click();
          assert.deepEqual(await violations(page), [], drawer);
          assert.equal(await overflow(page), 0);
          await page.keyboard.press("Escape");
        }
        for (const view of ["Use it", "What is this"]) {
          await page.getByRole("link", { name: view }).click();
          assert.deepEqual(await violations(page), [], view);
          assert.equal(await overflow(page), 0);
        }
      }
    });

    test(`nor has the page of a model that loads, or that wants a key, ${colorScheme}`, async (t) => {
      const engine = new FakeEngine({ ready: new Promise(() => undefined) });
      const loading = await openPage(t, (await serve(t, [], {}, engine)).url, { colorScheme });
      await loading.page.getByText("Loading the model: 42 %").waitFor();
      assert.deepEqual(await violations(loading.page), []);
      const locked = await openPage(t, (await serve(t, [], { apiKeyHashes: [facts.codeSha256] })).url, { colorScheme });
      await locked.page.getByLabel("This model wants an API key").waitFor();
      assert.deepEqual(await violations(locked.page), []);
    });

    test(`nor has the list of a node, ${colorScheme}`, async (t) => {
      const context = await (await startBrowser()).newContext({ colorScheme, viewport: { width: 320, height: 700 } });
      t.after(() => context.close());
      const page = await context.newPage();
      const program = { itemHash: parseItemHash(PROGRAM), url: `http://127.0.0.1/vm/${PROGRAM}`, hostUrl: undefined };
      await page.setContent(
        indexPage([
          { ...program, name: "<img src=x>", state: "running", isForeign: false },
          { ...program, name: "another", state: "cold", isForeign: true },
        ]),
      );
      assert.equal(await page.locator("img").count(), 0);
      assert.deepEqual(await violations(page), []);
      assert.ok(Number(await page.evaluate("document.documentElement.scrollWidth - innerWidth")) <= 0);
    });
  }

  test("everything is done by keyboard alone", async (t) => {
    const { url, engine } = await serve(t, answering(text("Hello."), 200));
    const { page } = await openPage(t, url);
    await page.getByText("Ready").waitFor();
    // The field has the focus from the start.
    await page.keyboard.type("One line");
    await page.keyboard.press("Shift+Enter");
    await page.keyboard.type("and another");
    await page.keyboard.press("Enter");
    await page.getByRole("button", { name: "Retry" }).waitFor();
    assert.match(JSON.stringify(engine.requests[0]), /One line\\nand another/);

    await focusByTab(page, "Settings");
    await page.keyboard.press("Enter");
    await page.getByRole("dialog", { name: "Settings" }).waitFor();
    await page.keyboard.press("Escape");
    await page.getByRole("dialog").waitFor({ state: "detached" });
    assert.equal(await page.evaluate("document.activeElement.textContent"), "Settings");

    await focusByTab(page, "Use it");
    await page.keyboard.press("Enter");
    await focusByTab(page, "Python");
    await page.keyboard.press("ArrowRight");
    assert.equal(await page.getByRole("tab", { selected: true }).textContent(), "JavaScript");
    await page.keyboard.press("End");
    assert.equal(await page.evaluate("document.activeElement.textContent"), "curl");
    assert.match((await page.getByRole("tabpanel").textContent()) ?? "", /curl 'http/);
  });

  test("a reader of the screen is told each answer once, when it is whole", async (t) => {
    const rest = gate();
    const { url } = await serve(t, answering(text("Half an"), rest.opened, text(" answer.")));
    const { page } = await openPage(t, url);
    await ask(page, "Hi");
    const live = page.locator("p[aria-live=polite]");
    await page.getByRole("article", { name: "Answer" }).getByText("Half an").waitFor();
    assert.equal(await live.textContent(), "Answering");
    rest.open();
    await page.getByRole("button", { name: "Retry" }).waitFor();
    assert.equal(await live.textContent(), "Answer: Half an answer.");
  });

  test("nothing moves by itself, and nothing is animated for whoever wants that", async (t) => {
    const loaded = gate();
    const rest = gate();
    const script = answering(text("Hello."), rest.opened, text(" More."));
    const { url } = await serve(t, [], {}, new FakeEngine({ ready: loaded.opened, script }));
    for (const width of [320, 1100]) {
      const { page } = await openPage(t, url, { reducedMotion: "reduce", viewport: { width, height: 700 } });
      await page.evaluate(`
        window.shift = 0;
        new PerformanceObserver((list) => {
          for (const entry of list.getEntries()) if (!entry.hadRecentInput) window.shift += entry.value;
        }).observe({ type: "layout-shift", buffered: true });
      `);
      await page.getByLabel("Your question").waitFor();
      loaded.open();
      await page.getByText("Ready").waitFor();
      await ask(page, "Hi");
      await page.getByRole("article", { name: "Answer" }).getByText("Hello.").waitFor();
      assert.equal(await page.evaluate("document.getAnimations().length"), 0);
      rest.open();
      await page.getByRole("button", { name: "Retry" }).waitFor();
      const shift = Number(await page.evaluate("window.shift"));
      assert.ok(shift < 0.1, `layout shift ${shift}`);
    }
  });

  test("without JavaScript the page says what it is and how to call it", async (t) => {
    const { url } = await serve(t);
    const { page } = await openPage(t, url, { javaScriptEnabled: false });
    await page.getByRole("heading", { name: "tiny" }).waitFor();
    const told = await page.locator(".plain").innerText();
    assert.match(told, /OpenAI-compatible API/);
    assert.match(told, /v1\/chat\/completions/);
  });
});

async function focusByTab(page: Page, name: string): Promise<void> {
  for (let presses = 0; presses < 60; presses += 1) {
    await page.keyboard.press("Tab");
    if ((await page.evaluate("document.activeElement?.textContent")) === name) return;
  }
  assert.fail(`${name} cannot be reached by the Tab key`);
}
