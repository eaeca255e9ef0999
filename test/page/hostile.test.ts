import assert from "node:assert/strict";
import { execFile, execFileSync, spawnSync } from "node:child_process";
import { after, describe, test } from "node:test";
import { promisify } from "node:util";
import { runInNewContext } from "node:vm";

import { ask, closeBrowser, needsChromium, openPage } from "../support/browser.ts";
import { FakeEngine } from "../support/fake-engine.ts";
import { answering, serve, text } from "./support.ts";

const OUTPUTS = [
  "<script>window.hit = 1</script>",
  "<img src=x onerror='window.hit = 1'>",
  "<svg onload=window.hit=1><style>*{display:none}</style>",
  "[click](javascript:window.hit=1) [data](data:text/html,<script>window.hit=1</script>)",
  "[tab](java\tscript:window.hit=1) [entity](&#106;avascript:window.hit=1) [case](JaVaScRiPt:window.hit=1)",
  "![picture](https://evil.example/pixel.png) ![x](x:onerror)",
  "<a href='javascript:window.hit=1'>here</a> <iframe srcdoc='<script>parent.hit=1</script>'></iframe>",
  '```"><script>window.hit=1</script>\n</code></pre><script>window.hit = 1</script>\n```',
  "```html\n<img src=x onerror=window.hit=1>\n```",
  "| a |\n|---|\n| <img src=x onerror=window.hit=1> |",
  "# <script>window.hit=1</script>\n\n- [ ] <b onclick=window.hit=1>x</b>\n\n> <object data=x>",
  '<https://a.example/"onmouseover=window.hit=1> www.a.example/<script>',
  "[ref]\n\n[ref]: javascript:window.hit=1 '<img src=x onerror=window.hit=1>'",
  "{{constructor.constructor('window.hit=1')()}} ${window.hit=1} &lt;script&gt;window.hit=1&lt;/script&gt;",
  "<think><img src=x onerror=window.hit=1></think><form action=https://evil.example><button>",
];
const NAME = `"><img src=x onerror="window.hit=1">'; $(rm) \`x\` \\ </script> \u{1F600}`;

const works = (program: string, ...args: string[]) => spawnSync(program, args).status === 0;

describe("text of the model never becomes markup", { skip: needsChromium }, () => {
  after(closeBrowser);

  test("hostile answers are shown as text, and nothing runs or is fetched", async (t) => {
    const { url } = await serve(t, answering(...OUTPUTS.map((output) => text(`${output}\n\n`))));
    const { page, complaints, requested } = await openPage(t, url);
    await ask(page, OUTPUTS.join("\n"));
    await page.getByRole("button", { name: "Retry" }).waitFor();
    const foreign = "script, img, svg, style, iframe, object, embed, form, base, meta, link";
    assert.equal(await page.locator(".conversation").locator(foreign).count(), 0);
    const attributes = "[...document.querySelectorAll('.conversation *')].flatMap((e) => e.getAttributeNames())";
    const names = await page.evaluate<string[]>(attributes);
    assert.deepEqual(
      names.filter((name) => /^on|^style$|^src/.test(name)),
      [],
    );
    const targets = "[...document.querySelectorAll('.conversation a')].map(({ protocol }) => protocol)";
    for (const protocol of await page.evaluate<string[]>(targets)) assert.match(protocol, /^https?:$/);
    for (const link of await page.locator(".conversation a").all()) {
      assert.match((await link.getAttribute("rel")) ?? "", /noopener noreferrer/);
    }
    assert.equal(await page.evaluate("window.hit"), undefined);
    assert.ok(requested.every((address) => address.startsWith(url)));
    assert.deepEqual(complaints, []);
    // A reload draws the same from the history.
    await page.reload();
    await page.getByRole("button", { name: "History" }).click();
    await page.locator(".history .entry").click();
    assert.equal(await page.locator(".conversation").locator(foreign).count(), 0);
    assert.equal(await page.evaluate("window.hit"), undefined);
  });

  test("a hostile model name is shown as text in every view", async (t) => {
    const engine = new FakeEngine({ script: answering(text("Hello.")) });
    Object.defineProperty(engine, "model", {
      value: { ...engine.model, id: NAME, fileName: NAME, quantization: NAME },
    });
    const { url } = await serve(t, [], { facts: { licence: NAME } }, engine);
    const { page, complaints } = await openPage(t, url);
    for (const view of ["Use it", "What is this", "Chat"]) {
      await page.getByRole("link", { name: view }).click();
      await page.getByRole("heading", { level: 1, name: NAME }).waitFor();
      assert.equal(await page.locator("img").count(), 0);
    }
    assert.equal(await page.title(), `${NAME} · Pinference`);
    assert.equal(await page.evaluate("window.hit"), undefined);
    assert.deepEqual(complaints, []);
  });

  test("the snippets of a hostile model name run as they stand, and name it exactly", async (t) => {
    const engine = new FakeEngine({ script: answering(text("Hello.")) });
    Object.defineProperty(engine, "model", { value: { ...engine.model, id: NAME } });
    const { url } = await serve(t, [], {}, engine);
    const { page } = await openPage(t, `${url}#use`);
    await page.getByRole("heading", { level: 1, name: NAME }).waitFor();
    const codeOf = async (language: string) => {
      await page.getByRole("tab", { name: language }).click();
      return (await page.getByRole("tabpanel").locator("pre").textContent()) ?? "";
    };
    const javascript = await codeOf("JavaScript");
    const literal = /^  model: (".*"),$/m.exec(javascript)?.[1];
    assert.equal(runInNewContext(literal!), NAME);
    const python = /^    model=(".*"),$/m.exec(await codeOf("Python"))?.[1];
    const curl = await codeOf("curl");
    await t.test("Python", { skip: !works("python3", "--version") && "needs python3" }, () => {
      const script = `import sys; sys.stdout.buffer.write(${python}.encode())`;
      assert.equal(execFileSync("python3", ["-c", script], { encoding: "utf8" }), NAME);
    });
    await t.test("curl", { skip: !works("curl", "--version") && "needs curl" }, async () => {
      const { stdout } = await promisify(execFile)("sh", ["-c", curl]);
      assert.equal(JSON.parse(stdout).choices[0].message.content, "Hello.");
      assert.equal(JSON.parse(stdout).model, NAME);
    });
  });

  test("a forged history is drawn as text, or not at all", async (t) => {
    const { url } = await serve(t);
    const { page } = await openPage(t, url);
    const turns = [
      { role: "user", text: OUTPUTS[1] },
      {
        role: "assistant",
        text: OUTPUTS[0],
        calls: [{ id: "<b>", name: "<img src=x onerror=window.hit=1>", arguments: "{" }],
      },
    ];
    const forged = [{ id: "a", changedAt: 1, turns }, { id: "b", changedAt: 2, turns: [null] }, 7, null];
    await page.evaluate(`localStorage.setItem("pinference:/:history", ${JSON.stringify(JSON.stringify(forged))})`);
    await page.reload();
    await page.getByRole("button", { name: "History" }).click();
    assert.equal(await page.locator(".history .entry").count(), 1);
    await page.locator(".history .entry").click();
    await page.getByText("Calls").waitFor();
    assert.equal(await page.locator("img").count(), 0);
    assert.equal(await page.evaluate("window.hit"), undefined);
  });
});
