import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";

import { openBrowser } from "../../deploy/open-browser.ts";

const needsLinux = process.platform !== "linux" && "puts a program in the place of xdg-open";

test("the browser is given the page, and not the signing key", { skip: needsLinux }, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "browser-"));
  const { PATH: path = "" } = process.env;
  t.after(() => {
    process.env["PATH"] = path;
    delete process.env["ALEPH_PRIVATE_KEY"];
    rmSync(folder, { recursive: true, force: true });
  });
  const seen = join(folder, "seen");
  const script = `#!/bin/sh\n{ echo "$1"; env; } > "${seen}.part" && mv "${seen}.part" "${seen}"\n`;
  writeFileSync(join(folder, "xdg-open"), script, { mode: 0o755 });
  process.env["PATH"] = `${folder}${delimiter}${path}`;
  process.env["ALEPH_PRIVATE_KEY"] = "a secret";
  openBrowser("http://127.0.0.1:4020/");
  for (let tries = 0; tries < 200 && !existsSync(seen); tries += 1) await delay(20);
  const text = readFileSync(seen, "utf8");
  assert.match(text, /^http:\/\/127\.0\.0\.1:4020\/\n/);
  assert.doesNotMatch(text, /a secret|ALEPH_PRIVATE_KEY/);
});
