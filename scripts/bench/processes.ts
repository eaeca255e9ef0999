/**
 * What a second process for HTTP could gain: the processor time of the thread that serves HTTP, plans batches and reads
 * samples, for each token, beside that of the threads which compute. Linux only.
 *
 *   npm run bench:processes -- [MODEL.gguf]
 */
import { readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { basename } from "node:path";

import { demoModelPath } from "../../test/support/demo-model.ts";
import { tokensOf } from "./compare/lines.ts";
import { BenchedServer } from "./compare/servers.ts";
import { printTable } from "./table.ts";

const model = process.argv[2] ?? demoModelPath;
const TOKENS = 64;
/** Of `/proc/…/stat`, whatever the kernel's own clock. Source: Linux, sysconf(_SC_CLK_TCK). */
const TICK_MS = 10;

/** Processor time so far, in milliseconds: of the main thread, and of all, with those that have ended. */
function timesOf(pid: number): { readonly main: number; readonly whole: number } {
  return { main: timeOf(`/proc/${pid}/task/${pid}/stat`), whole: timeOf(`/proc/${pid}/stat`) };
}

function timeOf(file: string): number {
  const stat = readFileSync(file, "utf8");
  // The name, in brackets, may hold spaces. Source: Linux, proc(5): utime and stime are fields 14 and 15.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) * TICK_MS;
}

async function measure(server: BenchedServer, streams: number, rounds: number): Promise<Record<string, string>> {
  const before = timesOf(server.pid);
  const startedAt = performance.now();
  for (let round = 0; round < rounds; round++) {
    await Promise.all(
      Array.from({ length: streams }, (_, stream) =>
        server.post("/v1/completions", {
          prompt: tokensOf(16, round * streams + stream),
          max_tokens: TOKENS,
          stream: true,
          ignore_eos: true,
          temperature: 0.8,
          top_k: 40,
        }),
      ),
    );
  }
  const wall = performance.now() - startedAt;
  const after = timesOf(server.pid);
  const [main, whole] = [after.main - before.main, after.whole - before.whole];
  const tokens = streams * rounds * TOKENS;
  return {
    streams: String(streams),
    "tokens/s": ((tokens * 1000) / wall).toFixed(1),
    "main thread, ms/token": (main / tokens).toFixed(3),
    "whole process, ms/token": (whole / tokens).toFixed(3),
    "main thread, share of processor": `${((100 * main) / whole).toFixed(1)} %`,
    "main thread, share of time": `${((100 * main) / wall).toFixed(1)} %`,
  };
}

const server = await BenchedServer.ours({ model, slots: 16, contextLength: 512, threads: availableParallelism() });
try {
  const rounds = model === demoModelPath ? 20 : 1;
  await measure(server, 1, 1);
  const rows = [];
  for (const streams of [1, 4, 16]) rows.push(await measure(server, streams, rounds));
  printTable(`${basename(model)}: HTTP and inference in one process`, rows);
} finally {
  await server.stop();
}
