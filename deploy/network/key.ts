/** The key that signs and pays. Its value leaves this file only as the return value: no message here quotes it. */
import { randomBytes } from "node:crypto";
import { chmod, link, mkdir, open, readFile, rm, stat } from "node:fs/promises";
import { join } from "node:path";

import { utils } from "ethers";

import { CodedError } from "../../src/domain/errors.ts";

export interface SigningKey {
  /** `0x` and 64 lowercase hexadecimal digits. A secret. */
  readonly privateKey: string;
  /** What it signs as. Public. */
  readonly address: string;
  /** `environment`: ALEPH_PRIVATE_KEY. `file`: the throwaway key below the data directory. */
  readonly source: "environment" | "file";
}

export interface KeyPlace {
  readonly dataDir: string;
  readonly env: Readonly<Record<string, string | undefined>>;
}

const PRIVATE_KEY = /^(?:0x)?([0-9a-f]{64})$/i;
/** Order of secp256k1: a key is below it, and not 0. */
const ORDER = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n;
const READABLE_BY_OTHERS = 0o077;

/**
 * The key of the environment, else a throwaway key made on first use: enough for the local node, and worth nothing.
 * Errors: `key_invalid`, `data_directory`.
 */
export async function loadOrCreateKey({ dataDir, env }: KeyPlace): Promise<SigningKey> {
  const given = env["ALEPH_PRIVATE_KEY"]?.trim();
  if (given !== undefined && given !== "") {
    const privateKey = parseKey(given);
    if (privateKey !== undefined) return withAddress(privateKey, "environment");
    throw new CodedError(
      "key_invalid",
      `ALEPH_PRIVATE_KEY is not a private key: it takes 64 hexadecimal digits, with or without 0x (got ${given.length} ` +
        "characters). Correct it in .env, or remove it to use a throwaway key",
    );
  }
  const path = join(dataDir, "key");
  return withAddress((await readKey(path)) ?? (await createKey(dataDir, path)), "file");
}

function withAddress(privateKey: string, source: SigningKey["source"]): SigningKey {
  return { privateKey, address: utils.computeAddress(privateKey), source };
}

function parseKey(text: string): string | undefined {
  const digits = PRIVATE_KEY.exec(text)?.[1]?.toLowerCase();
  if (digits === undefined) return undefined;
  const value = BigInt(`0x${digits}`);
  return value > 0n && value < ORDER ? `0x${digits}` : undefined;
}

async function readKey(path: string): Promise<string | undefined> {
  let mode: number;
  let text: string;
  try {
    ({ mode } = await stat(path));
    text = await readFile(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw new CodedError("data_directory", `cannot read the key at ${path}`, { cause: error });
  }
  // Windows has no such modes: a file there is protected by its folder.
  if (process.platform !== "win32" && (mode & READABLE_BY_OTHERS) !== 0) {
    throw new CodedError("key_invalid", `other users of this machine may read the key: run chmod 600 ${path}`);
  }
  const privateKey = parseKey(text.trim());
  if (privateKey !== undefined) return privateKey;
  throw new CodedError("key_invalid", `${path} holds no private key: move it away, and a new one is made`);
}

async function createKey(dataDir: string, path: string): Promise<string> {
  const part = `${path}.${randomBytes(6).toString("hex")}.part`;
  const privateKey = newKey();
  try {
    const made = await mkdir(dataDir, { recursive: true, mode: 0o700 });
    if (made !== undefined) await chmod(dataDir, 0o700);
    const file = await open(part, "wx", 0o600);
    try {
      await file.writeFile(`${privateKey}\n`);
      await file.sync();
    } finally {
      await file.close();
    }
    try {
      // Unlike rename, link keeps a key that another process made meanwhile.
      await link(part, path);
      return privateKey;
    } finally {
      await rm(part, { force: true });
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") {
      const theirs = await readKey(path);
      if (theirs !== undefined) return theirs;
    }
    throw new CodedError("data_directory", `cannot keep a key at ${path}: is the directory writable?`, {
      cause: error,
    });
  }
}

function newKey(): string {
  for (;;) {
    const key = parseKey(randomBytes(32).toString("hex"));
    if (key !== undefined) return key;
  }
}
