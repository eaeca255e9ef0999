import assert from "node:assert/strict";
import { after, describe, test } from "node:test";

import { ask, closeBrowser, needsChromium, openPage } from "../support/browser.ts";
import { startDemoEngine } from "../support/demo-engine.ts";
import { appOf, listen } from "../support/server.ts";
import { behindBuffer } from "./support.ts";

const TOOLS = [
  {
    type: "function",
    function: {
      name: "get_weather",
      description: "The weather of a city",
      parameters: { type: "object", properties: { city: { type: "string", maxLength: 30 } }, required: ["city"] },
    },
  },
];

describe("tools in the chat", { skip: needsChromium }, () => {
  after(closeBrowser);

  test("the real model's call is shown with its arguments, and goes on with the result, on hosts of both kinds", async (t) => {
    const engine = await startDemoEngine();
    t.after(() => engine.close());
    const { url } = await listen(t, appOf(engine));
    for (const address of [`${url}/`, await behindBuffer(t, `${url}/`)]) {
      const { page, complaints } = await openPage(t, address);
      await page.getByText("Ready").waitFor();
      await page.locator("html[data-answers]").waitFor();
      await page.getByRole("button", { name: "Settings" }).click();
      await page.getByLabel("Temperature", { exact: true }).fill("0");
      await page.getByLabel("Tools", { exact: true }).fill(JSON.stringify(TOOLS));
      await page.getByLabel("Other request fields").fill('{"tool_choice": "auto"}');
      await page.keyboard.press("Escape");
      await ask(page, "What is the weather in Paris?");
      const call = page.getByRole("region", { name: "call of get_weather" });
      await call.waitFor();
      // The arguments come in pieces; the counts come with the answer's end.
      await page.getByRole("article", { name: "Answer" }).first().getByText("tokens").waitFor();
      const given = JSON.parse((await call.locator("pre").textContent()) ?? "") as { city?: unknown };
      assert.equal(typeof given.city, "string");
      await call.getByLabel("Result of get_weather").fill('{"celsius": 21}');
      await call.getByRole("button", { name: "Send result" }).click();
      await page.getByRole("article", { name: "Result of a call" }).waitFor();
      await page.getByRole("article", { name: "Answer" }).nth(1).getByText("tokens").waitFor();
      assert.equal(await page.getByRole("alert").count(), 0);
      assert.deepEqual(complaints, []);
    }
  });
});
