/** The server's process: config → engine → app → listen. */
import type { Server } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";

import { readConfig } from "./config.ts";
import type { Engine } from "./domain/engine.ts";
import { startEngine } from "./engine/load.ts";
import { createLog, describeError } from "./log.ts";
import { createApp } from "./server/app.ts";
import { Lifecycle } from "./server/lifecycle.ts";
import { closeServer, listen } from "./server/listen.ts";

/** For connections whose last bytes are still on their way. */
const CLOSE_GRACE_MS = 1_000;
/** For native code that does not come to an end. */
const ENGINE_CLOSE_MS = 10_000;

const log = createLog(process.stdout);
// Whoever read the log may go; the server stays.
process.stdout.on("error", () => undefined);

// Nothing is awaited at the top level: in the code volume this is one CommonJS file.
start(process.env).catch((error: unknown) => {
  log("start_failed", { reason: describeError(error) });
  process.exitCode = 1;
});

async function start(env: NodeJS.ProcessEnv): Promise<void> {
  const config = readConfig(env);
  // More threads would let single tokens overtake each other in libuv's pool and slow them down.
  if (process.env["UV_THREADPOOL_SIZE"] !== "1") {
    log("warning", { reason: "UV_THREADPOOL_SIZE is not 1: inference is slower than it could be" });
  }
  if (config.bindings === "public") {
    log("warning", { reason: "PINFERENCE_BINDINGS is public: inference is slower, and without grammars and tools" });
  }
  // Begins to load and returns; the port opens meanwhile.
  const engine = startEngine({
    modelPath: config.modelPath,
    modelId: config.modelId,
    aliases: config.modelAliases,
    contextLength: config.contextLength,
    slots: config.slots,
    queueLength: config.queueLength,
    threads: config.threads,
    memoryMiB: config.memoryMiB,
    idlePrefixMiB: config.idlePrefixMiB,
    bindings: config.bindings,
    log,
  });
  const lifecycle = new Lifecycle();
  const server = await listen(createApp({ ...config, engine, log, lifecycle }), config.listen, config.corsOrigin);
  log("listening", { ...config.listen });
  const stop = stopOnce(server, engine, lifecycle, config.drainMs);
  for (const signal of ["SIGTERM", "SIGINT"] as const) process.on(signal, () => void stop(signal));
  if (config.exitWithParent) exitWithParent(stop);

  try {
    await engine.ready;
    log("ready", { model: engine.model.id, contextLength: engine.model.contextLength });
  } catch (error) {
    // The server stays up to tell its clients; whoever runs it reads this line.
    log("load_failed", { reason: describeError(error) });
  }
}

function stopOnce(server: Server, engine: Engine, lifecycle: Lifecycle, drainMs: number) {
  let stopping = false;
  return async (reason: string): Promise<void> => {
    // A second signal is impatience.
    if (stopping) process.exit(1);
    stopping = true;
    const drained = await lifecycle.drain(drainMs);
    log("stopping", { reason, drained });
    // Streams that still run end with an error event here.
    const closed = engine.close().catch((error: unknown) => log("fault", { reason: describeError(error) }));
    await Promise.race([closed, sleep(ENGINE_CLOSE_MS)]);
    await closeServer(server, CLOSE_GRACE_MS);
    process.exit(0);
  };
}

/** A supervisor that was killed cannot send a signal, but the pipe it held as our standard input ends. */
function exitWithParent(stop: (reason: string) => Promise<void>): void {
  process.stdin.resume();
  process.stdin.once("end", () => void stop("the supervisor is gone"));
}
