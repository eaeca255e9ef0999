/** The first half of an exchange: what the other side sends, told by its first byte, however it is cut into pieces. */
import type { Duplex } from "node:stream";

import { BadObject, ObjectBuffer } from "./object-buffer.ts";
import { HALT, MAX_CONFIGURATION_BYTES, MAX_LENGTH_DIGITS, MAX_RUN_BYTES } from "./protocol.ts";

export type Frame =
  | { readonly kind: "configuration"; readonly bytes: Buffer }
  | { readonly kind: "run"; readonly bytes: Buffer }
  | { readonly kind: "halt" }
  /** A debug command for a shell, as the stock init of the network knows it. */
  | { readonly kind: "shell" }
  | {
      readonly kind: "bad";
      readonly of: "configuration" | "run";
      readonly reason: string;
      readonly isTooLarge: boolean;
    };

/** Gathers one frame. */
type Reader = (piece: Buffer) => Frame | undefined;

/**
 * Reads one frame and leaves the stream flowing. Undefined when the other side is gone before the frame is whole.
 * Nothing from the other side for `idleMs` makes a bad frame of what there is.
 */
export async function readFrame(stream: Duplex, idleMs: number): Promise<Frame | undefined> {
  return new Promise((resolve) => {
    let read: Reader | undefined;
    const stalled = (): void => settle(bad("run", `nothing more came for ${idleMs / 1000} s`));
    let timer = setTimeout(stalled, idleMs);
    function settle(frame: Frame | undefined): void {
      clearTimeout(timer);
      stream.off("data", onData).off("end", onGone).off("error", onGone).off("close", onGone);
      stream.on("error", () => undefined);
      stream.resume();
      resolve(frame);
    }
    function onData(piece: Buffer): void {
      clearTimeout(timer);
      timer = setTimeout(stalled, idleMs);
      read ??= readerFor(piece[0] ?? 0);
      const frame = read(piece);
      if (frame !== undefined) settle(frame);
    }
    const onGone = (): void => settle(undefined);
    stream.on("data", onData).once("end", onGone).once("error", onGone).once("close", onGone);
  });
}

function readerFor(firstByte: number): Reader {
  if (firstByte >= 0x30 && firstByte <= 0x39) return configurationReader();
  if ((firstByte & 0xf0) === 0x80 || firstByte === 0xde || firstByte === 0xdf) return runReader();
  if (firstByte === HALT[0]) return haltReader();
  if (firstByte === 0x21) return () => ({ kind: "shell" });
  return () => bad("run", `a frame cannot begin with the byte ${firstByte.toString(16).padStart(2, "0")}`);
}

function runReader(): Reader {
  const object = new ObjectBuffer(MAX_RUN_BYTES);
  return (piece) => {
    try {
      return object.push(piece) ? { kind: "run", bytes: object.bytes } : undefined;
    } catch (error) {
      if (error instanceof BadObject) return bad("run", error.message, error.isTooLarge);
      throw error;
    }
  };
}

/** Decimal digits, a line feed, and as many bytes as the digits say. */
function configurationReader(): Reader {
  let head = "";
  let body: Buffer | undefined;
  let filled = 0;
  return (piece) => {
    let at = 0;
    while (body === undefined && at < piece.length) {
      const byte = piece[at++] ?? 0;
      if (byte === 0x0a) {
        const length = Number(head);
        if (length > MAX_CONFIGURATION_BYTES) {
          return bad("configuration", `more than ${MAX_CONFIGURATION_BYTES} bytes`, true);
        }
        body = Buffer.allocUnsafe(length);
      } else if (byte < 0x30 || byte > 0x39 || head.length === MAX_LENGTH_DIGITS) {
        return bad("configuration", `its length is not a number of up to ${MAX_LENGTH_DIGITS} digits`);
      } else head += String.fromCharCode(byte);
    }
    if (body === undefined) return undefined;
    filled += piece.copy(body, filled, at);
    return filled === body.length ? { kind: "configuration", bytes: body } : undefined;
  };
}

function haltReader(): Reader {
  let text = "";
  return (piece) => {
    text += piece.toString("latin1", 0, HALT.length);
    if (text.length < HALT.length) return undefined;
    return text.startsWith(HALT.toString()) ? { kind: "halt" } : bad("run", "a frame that begins with h must be halt");
  };
}

function bad(of: "configuration" | "run", reason: string, isTooLarge = false): Frame {
  return { kind: "bad", of, reason, isTooLarge };
}
