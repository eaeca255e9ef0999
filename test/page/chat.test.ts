import assert from "node:assert/strict";
import { after, describe, test } from "node:test";
import type { Page } from "playwright-core";

import { CodedError } from "../../src/domain/errors.ts";
import { parseSha256 } from "../../src/domain/hash.ts";
import { ask, closeBrowser, needsChromium, openPage } from "../support/browser.ts";
import { FakeEngine } from "../support/fake-engine.ts";
import { createHash } from "node:crypto";
import { answering, behindBuffer, gate, serve, text } from "./support.ts";

const answers = (page: Page) => page.getByRole("article", { name: "Answer" });
const settle = (page: Page) => page.getByRole("button", { name: "Retry" }).last().waitFor();

describe("the chat", { skip: needsChromium }, () => {
  after(closeBrowser);

  test("words appear as they are made, under any prefix, and nothing comes from elsewhere", async (t) => {
    for (const place of ["url", "programUrl"] as const) {
      const rest = gate();
      const served = await serve(t, answering(text("First words"), rest.opened, text(" and **bold** ones.")));
      const { page, complaints, requested } = await openPage(t, served[place]);
      await page.locator('html[data-answers="streamed"]').waitFor();
      await ask(page, "Say something");
      await answers(page).getByText("First words", { exact: true }).waitFor();
      assert.equal(await page.getByRole("button", { name: "Stop" }).count(), 1);
      rest.open();
      await settle(page);
      assert.equal(await answers(page).locator("strong").textContent(), "bold");
      assert.match((await answers(page).locator(".stats").textContent()) ?? "", /^2 tokens · 250 tokens\/s$/);
      assert.equal(await page.locator(".context").textContent(), "5 / 4,096 tokens");
      assert.deepEqual(complaints, []);
      assert.ok(requested.length > 5);
      for (const address of requested) assert.ok(address.startsWith(served[place]), address);
    }
  });

  test("a program's address without its last slash leads to the page all the same", async (t) => {
    const { programUrl } = await serve(t);
    const { page } = await openPage(t, programUrl.slice(0, -1));
    await page.getByText("Ready").waitFor();
    assert.equal(page.url(), programUrl);
  });

  test("behind a host that holds back answers, words still appear as they are made", async (t) => {
    const rest = gate();
    const { url } = await serve(t, answering(text("First words"), rest.opened, text(" and the last.")));
    const { page, complaints, requested } = await openPage(t, await behindBuffer(t, url));
    await page.locator('html[data-answers="polled"]').waitFor();
    await ask(page, "Say something");
    await answers(page).getByText("First words", { exact: true }).waitFor();
    rest.open();
    await settle(page);
    assert.equal(await answers(page).locator(".markdown").textContent(), "First words and the last.");
    assert.ok(requested.some((address) => /v1\/responses\/[^/]+\/events/.test(address)));
    assert.ok(!requested.some((address) => address.endsWith("chat/completions")));
    assert.deepEqual(complaints, []);
  });

  test("stop ends the computation, on hosts of both kinds", async (t) => {
    for (const isBuffering of [false, true]) {
      const { url, engine } = await serve(t, answering(text("Once"), new Promise(() => undefined)));
      const { page } = await openPage(t, isBuffering ? await behindBuffer(t, url) : url);
      await page.locator("html[data-answers]").waitFor();
      await ask(page, "Tell a story");
      await answers(page).getByText("Once").waitFor();
      await page.getByRole("button", { name: "Stop" }).click();
      await engine.aborted;
      await answers(page).getByText("stopped").waitFor();
      assert.equal(await page.getByRole("button", { name: "Send" }).count(), 1);
    }
  });

  test("retry, edit and a new chat; the history outlives a reload and can be deleted", async (t) => {
    const { url, engine } = await serve(t);
    const { page } = await openPage(t, url);
    await ask(page, "One");
    await settle(page);
    await page.getByRole("button", { name: "Retry" }).click();
    await page.waitForFunction("!document.querySelector('.waiting')");
    await settle(page);
    assert.equal(engine.requests.length, 2);
    await page.getByRole("button", { name: "Edit" }).click();
    await page.getByLabel("Edit the question").fill("Two");
    await page.getByRole("button", { name: "Ask again" }).click();
    await page.getByRole("article", { name: "Question" }).getByText("Two").waitFor();
    await settle(page);
    assert.equal(await answers(page).count(), 1);
    await ask(page, "And then?");
    await page.getByRole("article", { name: "Question" }).getByText("And then?").waitFor();
    await settle(page);
    assert.deepEqual(rolesAsked(engine), ["user", "assistant", "user"]);

    await page.getByRole("button", { name: "New chat" }).click();
    assert.equal(await answers(page).count(), 0);
    await page.reload();
    await page.getByRole("button", { name: "History" }).click();
    await page.getByRole("button", { name: /^Two/ }).click();
    assert.equal(await answers(page).count(), 2);
    await page.getByRole("button", { name: "History" }).click();
    await page.getByRole("button", { name: "Delete all" }).click();
    await page.getByText("There is none yet.").waitFor();
    assert.doesNotMatch(String(await page.evaluate("JSON.stringify(localStorage)")), /Two/);
  });

  test("the system prompt and the settings reach the model, and bad JSON is told", async (t) => {
    const { url, engine } = await serve(t);
    const { page } = await openPage(t, url);
    await page.getByRole("button", { name: "Settings" }).click();
    await page.getByLabel("System prompt").fill("Be brief.");
    await page.getByLabel("Temperature", { exact: true }).fill("0.25");
    await page.getByLabel("Mirostat", { exact: true }).fill("2");
    await page.getByLabel("Longest answer").fill("7");
    await page.getByLabel("Other request fields").fill("{nonsense");
    await page.getByText("This is not JSON").waitFor();
    await page.getByLabel("Other request fields").fill('{"top_k": 3}');
    await page.keyboard.press("Escape");
    await ask(page, "Hi");
    await settle(page);
    const [request] = engine.requests;
    assert.equal(request?.prompt.kind, "chat");
    assert.match(JSON.stringify(request), /Be brief\./);
    const told = JSON.stringify(request);
    for (const value of ['"temperature":0.25', '"topK":3', '"maxTokens":7']) assert.ok(told.includes(value), told);
    assert.match(told, /mirostat/);
  });

  test("thinking is folded away, in tags and in members of its own", async (t) => {
    const { url } = await serve(t, answering(text("<think>\nHm, well.\n"), text("</think>\n\nForty-two.")));
    const { page } = await openPage(t, url);
    await ask(page, "Hi");
    await settle(page);
    const thinking = answers(page).locator("details");
    assert.equal(await thinking.getAttribute("open"), null);
    await page.getByText("Hm, well.").waitFor({ state: "hidden" });
    await thinking.locator("summary").click();
    await page.getByText("Hm, well.").waitFor({ state: "visible" });
    assert.equal(await answers(page).locator(".markdown").textContent(), "Forty-two.");
  });

  test("code is coloured and copied as it is", async (t) => {
    const code = 'if a < b:\n    print("&amp;")';
    const { url } = await serve(t, answering(text(`Look:\n\n\`\`\`python\n${code}\n\`\`\`\n`)));
    const { page, complaints } = await openPage(t, url, { permissions: ["clipboard-read", "clipboard-write"] });
    await ask(page, "Hi");
    await settle(page);
    assert.equal(await answers(page).locator("pre").textContent(), code);
    assert.ok((await answers(page).locator(".hljs-keyword").count()) > 0);
    await page.getByRole("button", { name: "Copy code" }).click();
    await page.getByRole("button", { name: "Copied" }).waitFor();
    assert.equal(await page.evaluate("navigator.clipboard.readText()"), code);
    assert.deepEqual(complaints, []);
  });

  test("while the model loads, the page says how far it is, and is usable by itself afterwards", async (t) => {
    const loaded = gate();
    const engine = new FakeEngine({ ready: loaded.opened, script: answering(text("Hello.")) });
    const { url } = await serve(t, [], {}, engine);
    const { page } = await openPage(t, url);
    await page.getByText("Loading the model: 42 %").waitFor();
    await page.getByLabel("Your question").fill("Hi");
    assert.ok(await page.getByRole("button", { name: "Send" }).isDisabled());
    loaded.open();
    await page.getByText("Ready").waitFor();
    await page.getByRole("button", { name: "Send" }).click();
    await settle(page);
  });

  test("a key is asked for, kept for the tab alone, and a wrong one is told", async (t) => {
    const key = "a very secret key";
    const apiKeyHashes = [parseSha256(createHash("sha256").update(key).digest("hex"))];
    const { url } = await serve(t, answering(text("Hello.")), { apiKeyHashes });
    const { page } = await openPage(t, url);
    await page.getByLabel("This model wants an API key").fill("wrong");
    await page.getByRole("button", { name: "Use key" }).click();
    await ask(page, "Hi");
    await page.getByText("The API key is not valid.").waitFor();
    await page.getByLabel("This model wants an API key").fill(key);
    await page.getByRole("button", { name: "Use key" }).click();
    await page.getByRole("button", { name: "Retry" }).click();
    await answers(page).getByText("Hello.").waitFor();
    assert.doesNotMatch(String(await page.evaluate("JSON.stringify(localStorage)")), /secret/);
  });

  test("refusals, faults and a server that is gone are told in plain words", async (t) => {
    const refusal = new CodedError("rate_limit_exceeded", "All 4 slots are busy. Try again later.");
    const { url } = await serve(t, [], {}, new FakeEngine({ refusal }));
    const { page } = await openPage(t, url);
    await ask(page, "Hi");
    await page.getByRole("alert").getByText("All 4 slots are busy").waitFor();
    await page.route("**/v1/**", (route) => route.abort());
    await page.getByRole("button", { name: "Retry" }).click();
    await page.getByRole("alert").getByText("cannot be reached").waitFor();
    await page.unroute("**/v1/**");
    await page.route("**/v1/**", (route) => route.fulfill({ status: 504, contentType: "text/html", body: "<h1>504" }));
    await page.getByRole("button", { name: "Retry" }).click();
    await page.getByRole("alert").getByText("The host gave up before the answer was complete.").waitFor();
  });

  test("a mistake of the page itself is shown on the page", async (t) => {
    const { url } = await serve(t);
    const { page } = await openPage(t, url);
    await page.getByText("Ready").waitFor();
    await page.evaluate("setTimeout(() => { throw new Error('a wheel came off'); })");
    await page.getByRole("alert").getByText("a wheel came off").waitFor();
  });
});

function rolesAsked(engine: FakeEngine): string[] {
  const prompt = engine.requests.at(-1)?.prompt;
  assert.ok(prompt?.kind === "chat");
  return prompt.messages.map(({ role }) => role);
}
