/** Reads a node of a UnixFS file: what it links to, and the bytes it holds itself. Source: dag-pb and UnixFS v1. */

export interface FileNode {
  /** CIDs, in the file's order. */
  readonly links: readonly Buffer[];
  readonly data: Buffer;
}

const FILE = 2;
const RAW_FILE = 0;

/** Undefined for what is no node of a file. */
export function readNode(bytes: Buffer): FileNode | undefined {
  const fields = readFields(bytes);
  const unixfs = fields?.find(({ number }) => number === 1)?.bytes;
  const inner = unixfs && readFields(unixfs);
  if (fields === undefined || inner === undefined) return undefined;
  const type = inner.find(({ number }) => number === 1)?.value;
  if (type !== FILE && type !== RAW_FILE) return undefined;
  const links = fields.flatMap(({ number, bytes: link }) => {
    if (number !== 2 || link === undefined) return [];
    const cid = readFields(link)?.find((field) => field.number === 1)?.bytes;
    return cid === undefined ? [] : [cid];
  });
  return { links, data: inner.find(({ number }) => number === 2)?.bytes ?? Buffer.alloc(0) };
}

interface Field {
  readonly number: number;
  readonly value: number | undefined;
  readonly bytes: Buffer | undefined;
}

/** Of protobuf, the two wire types that these formats use. Undefined when the bytes are anything else. */
function readFields(bytes: Buffer): readonly Field[] | undefined {
  const fields: Field[] = [];
  for (let at = 0; at < bytes.length;) {
    const tag = readVarint(bytes, at);
    if (tag === undefined) return undefined;
    const value = readVarint(bytes, tag.end);
    const type = tag.value % 8;
    if (value === undefined || (type !== 0 && type !== 2)) return undefined;
    const end = type === 2 ? value.end + value.value : value.end;
    if (end > bytes.length) return undefined;
    const number = Math.floor(tag.value / 8);
    if (type === 0) fields.push({ number, value: value.value, bytes: undefined });
    else fields.push({ number, value: undefined, bytes: bytes.subarray(value.end, end) });
    at = end;
  }
  return fields;
}

function readVarint(bytes: Buffer, at: number): { value: number; end: number } | undefined {
  let value = 0;
  for (let index = 0; index < 8; index += 1) {
    const byte = bytes[at + index];
    if (byte === undefined) return undefined;
    value += (byte & 0x7f) * 2 ** (7 * index);
    if (byte < 0x80) return { value, end: at + index + 1 };
  }
  return undefined;
}
