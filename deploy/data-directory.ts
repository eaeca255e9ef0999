import { randomBytes } from "node:crypto";
import { mkdir, rm, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join, resolve } from "node:path";

import { CodedError } from "../src/domain/errors.ts";

/** Where everything is kept: models, keys, images, the local node's messages and files. */
export interface DataDirectory {
  readonly path: string;
  /** Images on their way to the node; emptied at each start. */
  readonly build: string;
  readonly models: string;
  readonly node: string;
}

export function dataDirectoryPath(
  option: string | undefined,
  env: Readonly<Record<string, string | undefined>>,
): string {
  return resolve(option ?? (env["PINFERENCE_DATA_DIR"] || join(homedir(), ".pinference")));
}

/** Makes the directory if needed and proves that it can be written. Errors: `data_directory`, `disk_full`. */
export async function openDataDirectory(path: string): Promise<DataDirectory> {
  const probe = join(path, `.probe-${randomBytes(6).toString("hex")}`);
  try {
    // Only the owner: the signing key lies in it.
    await mkdir(path, { recursive: true, mode: 0o700 });
    try {
      await writeFile(probe, "");
    } finally {
      await rm(probe, { force: true });
    }
  } catch (error) {
    throw toDataDirectoryError(error, path) ?? error;
  }
  return { path, build: join(path, "build"), models: join(path, "models"), node: join(path, "node") };
}

const REASONS: Readonly<Record<string, string>> = {
  EACCES: "it is not yours to write",
  EPERM: "it is not yours to write",
  EROFS: "it is on a read-only disk",
  ENOTDIR: "a file is in its place",
  EEXIST: "a file is in its place",
  ENOENT: "it cannot be made there",
  ENAMETOOLONG: "its name is too long",
};

/** What a failed file operation means to the operator; undefined when it is about something else. */
export function toDataDirectoryError(error: unknown, path: string): CodedError | undefined {
  const { code, path: failedPath } = error as NodeJS.ErrnoException;
  if (code === "ENOSPC" || code === "EDQUOT") {
    const message = `no space is left for ${path}; free some, or give another place with --data-dir`;
    return new CodedError("disk_full", message, { cause: error });
  }
  const reason = code === undefined ? undefined : REASONS[code];
  const isInside = failedPath === undefined || resolve(failedPath).startsWith(path) || path.startsWith(failedPath);
  if (reason === undefined || !isInside) return undefined;
  const message = `the data directory ${path} cannot be used: ${reason}; give another one with --data-dir`;
  return new CodedError("data_directory", message, { cause: error });
}
