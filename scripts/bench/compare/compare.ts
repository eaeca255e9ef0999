/**
 * Pinference against llama-server, built from the source that node-llama-cpp carries: the same model, threads and
 * requests, both resident, in turns, medians.
 *
 *   npm run bench:compare -- MODEL.gguf [--rounds 3] [--only TEXT]
 */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { availableParallelism, cpus, tmpdir } from "node:os";
import { basename, join } from "node:path";
import { parseArgs } from "node:util";

import { demoModelPath } from "../../../test/support/demo-model.ts";
import { writeModel } from "../../make-model.ts";
import { median, printTable } from "../table.ts";
import { type Line, LINES } from "./lines.ts";
import { buildPeer } from "./peer.ts";
import { PREFIX_LINES, preparePinned } from "./prefix-lines.ts";
import { REPEATING_LINES } from "./repeating-lines.ts";
import { BenchedServer, type ServerOptions } from "./servers.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { rounds: { type: "string", default: "3" }, only: { type: "string", default: "" } },
});
const rounds = Number(values.rounds);
const model = positionals[0] ?? demoModelPath;
const threads = availableParallelism();
const peer = buildPeer();
if ("missing" in peer) {
  console.log(`skipped: no llama-server to compare with: ${peer.missing}`);
  process.exit(0);
}

interface Row {
  readonly [column: string]: string;
}

function toRow(name: string, unit: string, goal: string, ours: number, theirs: number): Row {
  const digits = (value: number) => value.toFixed(value < 100 ? 2 : 0);
  return {
    what: name,
    unit,
    ours: digits(ours),
    "llama-server": digits(theirs),
    ratio: (ours / theirs).toFixed(2),
    goal,
  };
}

/** Both servers, asked in turns. */
async function compare(options: ServerOptions, path: string): Promise<Row[]> {
  const rows: Row[] = [];
  const started = { ours: [] as number[], theirs: [] as number[] };
  for (let round = 0; round < (values.only === "" ? rounds : 0); round++) {
    started.ours.push(await startTime(() => BenchedServer.ours(options)));
    started.theirs.push(await startTime(() => BenchedServer.peer(path, options)));
  }
  if (started.ours.length > 0) {
    rows.push(
      toRow(
        "process start to first token",
        "ms, less is better",
        "≤ 1.3",
        median(started.ours),
        median(started.theirs),
      ),
    );
  }
  const ours = await BenchedServer.ours(options);
  const theirs = await BenchedServer.peer(path, options);
  try {
    const lines = LINES.filter(({ name }) => name.includes(values.only));
    for (const line of lines) rows.push(await measure(line, ours, theirs));
    rows.push(toRow("resident memory", "MiB, less is better", "≤ + 200 MiB", ours.residentMiB(), theirs.residentMiB()));
  } finally {
    await Promise.all([ours.stop(), theirs.stop()]);
  }
  return rows;
}

async function measure(line: Line, ours: BenchedServer, theirs: BenchedServer): Promise<Row> {
  const { name, goal } = line;
  const seen = { ours: [] as number[], theirs: [] as number[] };
  let row: Row;
  try {
    for (let round = 0; round < rounds; round++) {
      seen.ours.push(await line.measure(ours, round));
      seen.theirs.push(await line.measure(theirs, round));
    }
    const unit = line.lessIsBetter === true ? `${line.unit}, less is better` : line.unit;
    row = toRow(name, unit, goal, median(seen.ours), median(seen.theirs));
  } catch (error) {
    row = { what: name, unit: "", ours: "", "llama-server": "", ratio: (error as Error).message, goal };
  }
  console.error(`  ${name}: ${row["ratio"]}`);
  return row;
}

async function startTime(start: () => Promise<BenchedServer>): Promise<number> {
  const startedAt = performance.now();
  const server = await start();
  await server.post("/completion", { prompt: [400, 401], n_predict: 1 });
  const took = performance.now() - startedAt;
  await server.stop();
  return took;
}

/** Whole requests a second of a model that costs nothing. */
async function requestsPerSecond(server: BenchedServer): Promise<number> {
  const [clients, each] = [32, 8];
  const startedAt = performance.now();
  await Promise.all(
    Array.from({ length: clients }, async (_, client) => {
      for (let index = 0; index < each; index++) {
        const messages = [{ role: "user", content: `Count to ${client} and ${index}` }];
        await server.post("/v1/chat/completions", { messages, max_tokens: 16, ignore_eos: true });
      }
    }),
  );
  return (clients * each * 1000) / (performance.now() - startedAt);
}

async function compareRepeating(path: string): Promise<Row[]> {
  const lines = REPEATING_LINES.filter(({ name }) => name.includes(values.only));
  if (lines.length === 0) return [];
  const directory = mkdtempSync(join(tmpdir(), "pinference-bench-"));
  const chain = join(directory, "chain.gguf");
  writeModel("0.5b-chain", chain);
  const options = { model: chain, slots: 4, contextLength: 1024, threads };
  const ours = await BenchedServer.ours(options);
  const theirs = await BenchedServer.peer(path, options);
  try {
    const rows: Row[] = [];
    for (const line of lines) rows.push(await measure(line, ours, theirs));
    return rows;
  } finally {
    await Promise.all([ours.stop(), theirs.stop()]);
    rmSync(directory, { recursive: true });
  }
}

async function compareTiny(path: string): Promise<Row> {
  const options = { model: demoModelPath, slots: 4, contextLength: 1024, threads };
  const ours = await BenchedServer.ours(options);
  const theirs = await BenchedServer.peer(path, options);
  try {
    const seen = { ours: [] as number[], theirs: [] as number[] };
    for (let round = 0; round < rounds; round++) {
      seen.ours.push(await requestsPerSecond(ours));
      seen.theirs.push(await requestsPerSecond(theirs));
    }
    return toRow(
      "demo model, 32 clients, 16 tokens each",
      "requests/s",
      "≥ 0.7",
      median(seen.ours),
      median(seen.theirs),
    );
  } finally {
    await Promise.all([ours.stop(), theirs.stop()]);
  }
}

/** With few slots, so that conversations outnumber them; each server is asked alone where it has to start first. */
async function comparePrefixes(path: string): Promise<Row[]> {
  const lines = PREFIX_LINES.filter(({ name }) => name.includes(values.only));
  if (lines.length === 0) return [];
  const pinned = preparePinned(model, threads);
  const options = { model: pinned.model, slots: 4, contextLength: 4096, threads };
  const rows: Row[] = [];
  try {
    for (const line of lines) {
      const seen = { ours: [] as number[], theirs: [] as number[] };
      for (let round = 0; round < rounds; round++) {
        seen.ours.push(await line.measure(() => BenchedServer.ours(options), round, true));
        seen.theirs.push(await line.measure(() => BenchedServer.peer(path, options), round, false));
      }
      rows.push(toRow(line.name, "ms, less is better", line.goal, median(seen.ours), median(seen.theirs)));
      console.error(`  ${line.name}: ${rows.at(-1)?.["ratio"]}`);
    }
  } finally {
    pinned.remove();
  }
  return rows;
}

const isUsual = values.only === "" || LINES.some(({ name }) => name.includes(values.only));
const rows = isUsual ? await compare({ model, slots: 16, contextLength: 4608, threads }, peer.path) : [];
rows.push(...(await compareRepeating(peer.path)));
rows.push(...(await comparePrefixes(peer.path)));
if (values.only === "") rows.push(await compareTiny(peer.path));
const commit = execFileSync("git", ["rev-parse", "--short", "HEAD"], { encoding: "utf8" }).trim();
const machine = `${threads} × ${cpus()[0]?.model ?? "unknown CPU"}`;
printTable(
  `${basename(model)}, ${rounds} rounds, ${machine}, ${new Date().toISOString().slice(0, 10)}, ${commit}`,
  rows,
);
