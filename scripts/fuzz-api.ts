/** `node dist/scripts/fuzz-api.js [SECONDS] [SEED]`: the test's fuzz for as long as wanted, with the growth of memory. */
import type { AddressInfo } from "node:net";

import { startEngine } from "../src/engine/load.ts";
import { listen } from "../src/server/listen.ts";
import { fuzz, FUZZ_CONTEXT_LENGTH } from "../test/support/api-fuzz.ts";
import { demoModelPath } from "../test/support/demo-model.ts";
import { appOf } from "../test/support/server.ts";

const seconds = Number(process.argv[2] ?? 60);
const first = Number(process.argv[3] ?? Date.now() % 100_000);

const engine = startEngine({
  modelPath: demoModelPath,
  modelId: "demo",
  aliases: [],
  contextLength: FUZZ_CONTEXT_LENGTH,
  slots: 4,
  queueLength: 16,
  threads: 1,
});
await engine.ready;
const app = appOf(engine, {
  log: (event, data) => {
    if (event !== "fault") return;
    console.error(event, data);
    process.exitCode = 1;
  },
});
const server = await listen(app, { host: "127.0.0.1", port: 0 });
const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;

const until = performance.now() + seconds * 1000;
for (let seed = first; performance.now() < until; seed++) {
  const durationMs = Math.min(10_000, Math.max(100, until - performance.now()));
  const statuses = await fuzz({ engine, url, seed, durationMs, clients: 24 });
  const megabytes = Math.round(process.memoryUsage.rss() / 2 ** 20);
  console.log(`seed ${seed}: ${JSON.stringify(Object.fromEntries(statuses))}, ${megabytes} MB`);
}
server.closeAllConnections();
server.close();
await engine.close();
