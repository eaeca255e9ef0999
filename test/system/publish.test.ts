import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { cpSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";

import { PRIVATE_KEY, wallet } from "../deploy/local/ccn-harness.ts";
import { startNodeProcess, type NodeProcess } from "../support/commands.ts";
import { demoModelPath } from "../support/demo-model.ts";
import { scratchDirectory } from "../support/scratch.ts";
import { cannotBuildRuntime, VM_PACKAGES } from "../support/vm-packages.ts";

const SCRIPT = fileURLToPath(new URL("../../scripts/publish.js", import.meta.url));
const scratch = scratchDirectory();
const catalogue = join(scratch, "catalogue");
const [lockfile, page, comment] = ["pins.json", "models.md", "plan.md"].map((name) => join(scratch, name)) as [
  string,
  string,
  string,
];
let node: NodeProcess;

before(async () => {
  node = await startNodeProcess(join(scratch, "node"), ["--owner", wallet.address], {
    PINFERENCE_DATA_DIR: join(scratch, "home"),
  });
  cpSync(dirname(dirname(demoModelPath)), catalogue, { recursive: true });
});
after(() => node.stop());

const skip = cannotBuildRuntime();

async function publish(home: string, ...args: readonly string[]): Promise<{ code: number | null; stdout: string }> {
  const child = spawn(process.execPath, [SCRIPT, ...args, "--lockfile", lockfile, "--api-server", node.url], {
    env: {
      ...process.env,
      // CI begins with an empty disk each time.
      PINFERENCE_DATA_DIR: join(scratch, home),
      PINFERENCE_CATALOGUE: catalogue,
      PINFERENCE_PACKAGES_DIR: VM_PACKAGES,
      ALEPH_PRIVATE_KEY: PRIVATE_KEY,
    },
    stdio: ["ignore", "pipe", "inherit"],
  });
  let stdout = "";
  child.stdout.on("data", (chunk: Buffer) => (stdout += chunk.toString()));
  const [code] = (await once(child, "close")) as [number | null];
  return { code, stdout };
}

interface Catalogue {
  entries: Record<string, unknown>[];
}

async function messageCount(): Promise<number> {
  const response = await fetch(`${node.url}/api/v0/messages.json`);
  return ((await response.json()) as { pagination_total: number }).pagination_total;
}

test(
  "a new entry of the catalogue goes in, its hash and URL come out; a second run changes nothing",
  { skip },
  async () => {
    const path = join(catalogue, "models.json");
    const { entries } = JSON.parse(readFileSync(path, "utf8")) as Catalogue;
    const demo = entries.find(({ id }) => id === "aleph-tiny-chat");
    entries.push({ ...demo, id: "new-model", aliases: [], servedAliases: [], publish: true });
    writeFileSync(path, JSON.stringify({ entries }));

    const planned = await publish("ci-1", "plan", "--comment", comment);
    assert.equal(planned.code, 0);
    assert.match(readFileSync(comment, "utf8"), /### Merging this publishes[^]*new-model: publish[^]*credits an hour/);
    assert.equal(await messageCount(), 0);

    const first = await publish("ci-2", "deploy", "--page", page);
    assert.equal(first.code, 0);
    const { models } = JSON.parse(readFileSync(lockfile, "utf8")) as { models: Record<string, { itemHash: string }> };
    const hash = models["new-model"]?.itemHash ?? "none";
    assert.match(first.stdout, new RegExp(`new-model: http.*/vm/${hash}/v1`));
    assert.ok(readFileSync(page, "utf8").includes(`/vm/${hash}/v1`));

    const earlier = [lockfile, page].map((file) => readFileSync(file, "utf8"));
    const count = await messageCount();
    assert.equal((await publish("ci-3", "deploy", "--page", page)).code, 0);
    assert.deepEqual(
      [lockfile, page].map((file) => readFileSync(file, "utf8")),
      earlier,
    );
    assert.equal(await messageCount(), count);
    await publish("ci-4", "plan", "--comment", comment);
    assert.match(readFileSync(comment, "utf8"), /### Merging this changes nothing/);
  },
);

test("the workflow runs this script and nothing else of its own", () => {
  const workflow = readFileSync(new URL("../../../.github/workflows/publish.yml", import.meta.url), "utf8");
  assert.match(workflow, /npm run publish:ci -- plan --comment plan\.md/);
  assert.match(workflow, /npm run publish:ci -- deploy\n/);
});
