/**
 * The host's half of the guest protocol, as a CRN's supervisor speaks it: one connection for each exchange, never an
 * end before the answer's. Bytes only; what they mean is in src/guest/protocol.ts.
 */
import { once } from "node:events";
import { rm } from "node:fs/promises";
import { createServer, type Socket } from "node:net";
import { setTimeout as delay } from "node:timers/promises";

import { CodedError } from "../../src/domain/errors.ts";
import {
  type Configuration,
  encodeConfiguration,
  HALT,
  HALTED,
  parseSetupAnswer,
  ProtocolError,
} from "../../src/guest/protocol.ts";

/** Opens a connection to the guest's port 52. It may not be open yet. */
export type Connect = () => Socket;

/** The guest was asked to set itself up, and said that it cannot. */
export class SetupRefused extends CodedError {
  constructor(reason: string) {
    super("program_failed", `the guest could not set itself up: ${reason}`);
  }
}

/** The guest did not answer its configuration in time, or not in the protocol's words. */
export class SetupFailed extends CodedError {
  constructor(reason: string, options?: ErrorOptions) {
    super("program_failed", `the guest's setup failed: ${reason}`, options);
  }
}

/** What a CRN gives a guest for each step. */
export const READY_MS = 20_000;
export const SETUP_MS = 60_000;
const HALT_MS = 5000;

/** As vsock delivers them. */
const PIECE_BYTES = 65_536;

export interface ReadyListener {
  /** Resolves when a guest has said that it is ready. Rejects when the time is over. */
  readonly ready: Promise<void>;
  close(): Promise<void>;
}

/** Waits on a Unix socket for the ready message. Listens when it resolves. */
export async function listenForReady(socketPath: string): Promise<ReadyListener> {
  let toldReady: (() => void) | undefined;
  const ready = new Promise<void>((resolve) => (toldReady = resolve));
  const server = createServer((socket) => {
    socket.on("error", () => undefined);
    // The content chooses the configuration's form; every guest of today takes that of version 2. A host reads once.
    socket.once("data", () => {
      toldReady?.();
      socket.destroy();
    });
  });
  server.listen(socketPath);
  await once(server, "listening");
  return {
    ready,
    close: async () => {
      server.close();
      await rm(socketPath, { force: true });
    },
  };
}

/** Sends the configuration and reads the answer. Errors: `SetupRefused`, `SetupFailed`; the signal's reason. */
export async function configureGuest(
  connect: Connect,
  configuration: Configuration,
  signal: AbortSignal,
  limitMs: number = SETUP_MS,
): Promise<void> {
  // A program of this product has no network card; a CRN sends addresses nevertheless.
  const network = { ip: null, route: null, dnsServers: [], ipv6: null, ipv6Gateway: null };
  const bytes = await readOnce(connect(), encodeConfiguration(configuration, network), limitMs, signal);
  let answer;
  try {
    answer = parseSetupAnswer(bytes);
  } catch (error) {
    throw error instanceof ProtocolError ? new SetupFailed(error.message, { cause: error }) : error;
  }
  if (!answer.success) throw new SetupRefused(answer.error);
}

/** Asks the guest to end. False when it did not answer as it should within `limitMs`. */
export async function haltGuest(connect: Connect, limitMs: number = HALT_MS): Promise<boolean> {
  const socket = connect();
  let text = "";
  const answered = new Promise<boolean>((resolve) => {
    const tell = (): void => resolve(text === HALTED.join(""));
    socket.on("data", (piece: Buffer) => (text += piece.toString("latin1")));
    socket.once("end", tell).once("close", tell).on("error", tell);
  });
  socket.write(HALT);
  const late = delay(limitMs, false, { ref: false });
  const outcome = await Promise.race([answered, late]);
  socket.destroy();
  return outcome;
}

export type Exchanged =
  /** All that came before the guest closed the connection. */
  | { readonly kind: "answer"; readonly bytes: Buffer }
  /** The guest closed without a byte, or could not be reached. */
  | { readonly kind: "empty" }
  | { readonly kind: "late" };

/** One run request. When the time is over the connection is closed, which tells the guest to stop. */
export async function exchangeWithGuest(connect: Connect, request: Uint8Array, limitMs: number): Promise<Exchanged> {
  return new Promise((resolve) => {
    const socket = connect();
    const pieces: Buffer[] = [];
    const settle = (outcome: Exchanged): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve(outcome);
    };
    const timer = setTimeout(() => settle({ kind: "late" }), limitMs);
    const over = (): void => {
      settle(pieces.length === 0 ? { kind: "empty" } : { kind: "answer", bytes: Buffer.concat(pieces) });
    };
    socket.on("data", (piece: Buffer) => pieces.push(piece));
    socket.once("end", over).once("close", over).on("error", over);
    for (let at = 0; at < request.byteLength; at += PIECE_BYTES) socket.write(request.subarray(at, at + PIECE_BYTES));
  });
}

/** The first bytes of an answer: the host takes what one read gives, and closes. */
async function readOnce(socket: Socket, request: Uint8Array, limitMs: number, signal: AbortSignal): Promise<Buffer> {
  let timer: NodeJS.Timeout | undefined;
  let abort: (() => void) | undefined;
  try {
    return await new Promise<Buffer>((resolve, reject) => {
      const fail = (reason: string): void => reject(new SetupFailed(reason));
      timer = setTimeout(fail, limitMs, `no answer within ${limitMs / 1000} s`);
      abort = () => reject(signal.reason as Error);
      signal.addEventListener("abort", abort);
      if (signal.aborted) abort();
      socket.once("data", resolve);
      socket.once("end", () => fail("it closed the connection without an answer"));
      socket.on("error", ({ message }) => fail(message));
      socket.write(request);
    });
  } finally {
    clearTimeout(timer);
    if (abort !== undefined) signal.removeEventListener("abort", abort);
    socket.destroy();
  }
}
