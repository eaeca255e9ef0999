/**
 * Archives in the form that Linux unpacks as its initial root. Source: Linux,
 * Documentation/driver-api/early-userspace/buffer-format.rst ("newc").
 */

export interface CpioEntry {
  readonly path: string;
  /** Undefined is a directory. */
  readonly content?: Uint8Array;
  readonly isExecutable?: boolean;
}

const DIRECTORY = 0o040755;
const FILE = 0o100644;
const EXECUTABLE = 0o100755;

/** Directories must come before what they hold. Everything belongs to user 0 and has time 0. */
export function writeCpio(entries: readonly CpioEntry[]): Buffer {
  const records = entries.map(({ path, content, isExecutable }, at) => {
    const mode = content === undefined ? DIRECTORY : isExecutable === true ? EXECUTABLE : FILE;
    return toRecord(path, mode, at + 1, content ?? new Uint8Array());
  });
  return Buffer.concat([...records, toRecord("TRAILER!!!", 0, 0, new Uint8Array())]);
}

function toRecord(path: string, mode: number, inode: number, content: Uint8Array): Buffer {
  const name = Buffer.from(`${path}\0`);
  const links = 1;
  const [user, group, time, deviceMajor, deviceMinor, ofMajor, ofMinor, checksum] = [0, 0, 0, 0, 0, 0, 0, 0];
  const before = [inode, mode, user, group, links, time, content.byteLength];
  const after = [deviceMajor, deviceMinor, ofMajor, ofMinor, name.byteLength, checksum];
  const header = `070701${[...before, ...after].map((number) => number.toString(16).padStart(8, "0")).join("")}`;
  return Buffer.concat([padded(Buffer.concat([Buffer.from(header), name])), padded(content)]);
}

function padded(bytes: Uint8Array): Uint8Array {
  return Buffer.concat([bytes, Buffer.alloc(-bytes.byteLength & 3)]);
}
