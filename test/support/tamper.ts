import { closeSync, fstatSync, openSync, readSync, writeSync } from "node:fs";

/** Changes one bit in the middle of a file, in place; once more, and it is as it was. */
export function flipOneBit(path: string): void {
  const fd = openSync(path, "r+");
  try {
    const middle = Math.floor(fstatSync(fd).size / 2);
    const byte = Buffer.alloc(1);
    readSync(fd, byte, 0, 1, middle);
    writeSync(fd, Buffer.of((byte[0] ?? 0) ^ 1), 0, 1, middle);
  } finally {
    closeSync(fd);
  }
}

/** Changes one byte in the middle of a file, runs, and puts it back. */
export async function withOneByteChanged<Result>(path: string, run: () => Promise<Result>): Promise<Result> {
  flipOneBit(path);
  try {
    return await run();
  } finally {
    flipOneBit(path);
  }
}
