/** One connection of the host: a frame comes, and never does the connection end without an answer to it. */
import type { Duplex } from "node:stream";

import { CodedError } from "../domain/errors.ts";
import { type ServerAnswer, toForwardedAnswer } from "./forward.ts";
import { type Frame, readFrame } from "./frames.ts";
import { NoAnswer, toServerAnswer } from "./own-answers.ts";
import {
  type Configuration,
  encodeAnswer,
  encodeSetupAnswer,
  HALTED,
  parseConfiguration,
  parseRunRequest,
  ProtocolError,
  type RunRequest,
  type SetupAnswer,
} from "./protocol.ts";

/** What a guest does with what its host asks. */
export interface GuestTasks {
  configure(configuration: Configuration): Promise<SetupAnswer>;
  /** The signal is aborted when nobody waits for the answer any more. Errors: a `NoAnswer`; any other is a fault. */
  run(request: RunRequest, signal: AbortSignal): Promise<ServerAnswer>;
  /** Resolves when all has ended that has to; the process ends after the answer. */
  halt(): Promise<void>;
  /** Once the answer to `halt` is on its way. */
  halted(): void;
  fault(error: unknown): void;
}

/** A frame comes in one go or not at all. */
const IDLE_MS = 30_000;
/** For a host that reads an answer slowly. Afterwards the connection is cut. */
const CLOSE_MS = 60_000;

export async function serveExchange(socket: Duplex, tasks: GuestTasks, idleMs: number = IDLE_MS): Promise<void> {
  const frame = await readFrame(socket, idleMs);
  if (frame === undefined) {
    socket.destroy();
    return;
  }
  const gone = new AbortController();
  const leave = (): void => gone.abort();
  socket.once("end", leave).once("close", leave);
  if (socket.readableEnded || socket.destroyed) leave();
  try {
    const answer = await answerTo(frame, tasks, gone.signal);
    // Whoever left has closed its half already; the other half must not stay open.
    if (gone.signal.aborted) socket.destroy();
    else await send(socket, answer);
  } finally {
    if (frame.kind === "halt") tasks.halted();
  }
}

async function answerTo(
  frame: Frame,
  tasks: GuestTasks,
  signal: AbortSignal,
): Promise<readonly (string | Uint8Array)[]> {
  switch (frame.kind) {
    case "configuration":
      return [encodeSetupAnswer(await configure(frame.bytes, tasks))];
    case "halt":
      await tasks.halt();
      return HALTED;
    case "run":
      return [encodeAnswer(await run(frame.bytes, tasks, signal))];
    case "shell":
      return [encodeAnswer(refused(403, "forbidden", "This guest runs no shell commands."))];
    default: {
      const { reason } = frame;
      if (frame.of === "configuration")
        return [encodeSetupAnswer({ success: false, error: `configuration: ${reason}` })];
      if (frame.isTooLarge) return [encodeAnswer(refused(413, "request_too_large", `The request has ${reason}.`))];
      return [encodeAnswer(refused(400, "invalid_value", `The guest cannot read the request: ${reason}.`))];
    }
  }
}

async function configure(bytes: Uint8Array, tasks: GuestTasks): Promise<SetupAnswer> {
  try {
    return await tasks.configure(parseConfiguration(bytes));
  } catch (error) {
    if (!(error instanceof ProtocolError)) tasks.fault(error);
    return { success: false, error: error instanceof Error ? error.message : String(error) };
  }
}

async function run(bytes: Uint8Array, tasks: GuestTasks, signal: AbortSignal): Promise<ServerAnswer> {
  let method = "GET";
  let answer: ServerAnswer;
  try {
    const request = parseRunRequest(bytes);
    ({ method } = request);
    answer = await tasks.run(request, signal);
  } catch (error) {
    if (error instanceof NoAnswer) answer = toServerAnswer(error.answer);
    else if (error instanceof ProtocolError) {
      answer = refused(400, "invalid_value", `The guest cannot read the request: ${error.message}.`);
    } else {
      if (!signal.aborted) tasks.fault(error);
      // What went wrong stays in the log: this answer is read by strangers.
      answer = refused(500, "program_failed", "The program could not answer: an internal error.");
    }
  }
  return toForwardedAnswer(method, answer);
}

function refused(status: number, code: CodedError["code"], message: string): ServerAnswer {
  return toServerAnswer({ status, error: new CodedError(code, message) });
}

/** Resolves when the other side has it, or is gone. */
async function send(socket: Duplex, parts: readonly (string | Uint8Array)[]): Promise<void> {
  await new Promise<void>((resolve) => {
    const timer = setTimeout(() => socket.destroy(), CLOSE_MS);
    timer.unref();
    socket.once("close", () => {
      clearTimeout(timer);
      resolve();
    });
    socket.once("finish", resolve);
    for (const part of parts) socket.write(part);
    socket.end();
  });
}
