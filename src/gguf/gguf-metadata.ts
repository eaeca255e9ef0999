import { invalidModel, printable, type HeaderCursor } from "./header-cursor.ts";

/** Real files have 20 to 70. */
const MAX_METADATA_ENTRIES = 4096;
/** Real keys stay below 80 bytes; the format would allow 65,535. */
const MAX_KEY_BYTES = 1024;
/** The longest text in real files is a whole tokenizer.json: 33 MiB for the 262,144 tokens of Gemma 3. It is skipped. */
const MAX_STRING_BYTES = 64 * 1024 * 1024;
/** For texts that are kept. The longest chat templates, with tools, have about 30 KiB. */
const MAX_KEPT_STRING_BYTES = 512 * 1024;
/** The longest arrays are the 514,906 merges of Gemma 3. */
const MAX_ARRAY_ELEMENTS = 4 * 1024 * 1024;
/** One value for each layer, where an architecture varies its heads; the deepest real models have under 200 layers. */
const MAX_KEPT_ARRAY_ELEMENTS = 1024;
/** No known model nests arrays; the format allows it. */
const MAX_ARRAY_DEPTH = 4;

const STRING = 8;
const ARRAY = 9;

type Scalar = number | boolean;

/** By the format's number of the value type. */
const SCALARS: Readonly<Record<number, { bytes: number; read: (cursor: HeaderCursor) => Scalar }>> = {
  0: { bytes: 1, read: (cursor) => cursor.u8() },
  1: { bytes: 1, read: (cursor) => cursor.i8() },
  2: { bytes: 2, read: (cursor) => cursor.u16() },
  3: { bytes: 2, read: (cursor) => cursor.i16() },
  4: { bytes: 4, read: (cursor) => cursor.u32() },
  5: { bytes: 4, read: (cursor) => cursor.i32() },
  6: { bytes: 4, read: (cursor) => cursor.f32() },
  7: { bytes: 1, read: (cursor) => cursor.u8() !== 0 },
  10: { bytes: 8, read: (cursor) => cursor.u64() },
  11: { bytes: 8, read: (cursor) => cursor.i64() },
  12: { bytes: 8, read: (cursor) => cursor.f64() },
};

/** What a header says, as far as this product asks for it. Long texts and arrays are passed over, not kept. */
export interface Metadata {
  readonly keys: ReadonlySet<string>;
  readonly scalars: ReadonlyMap<string, Scalar>;
  readonly strings: ReadonlyMap<string, string>;
  /** Only arrays of numbers with at most MAX_KEPT_ARRAY_ELEMENTS. */
  readonly arrays: ReadonlyMap<string, readonly Scalar[]>;
  readonly arrayLengths: ReadonlyMap<string, number>;
}

/** Reads `count` keys with their values. Errors: `model_file_invalid`. */
export function readMetadata(cursor: HeaderCursor, count: number): Metadata {
  if (count > MAX_METADATA_ENTRIES) {
    throw invalidModel(
      cursor.file,
      `announces ${inWords(count)} metadata entries; more than ${inWords(MAX_METADATA_ENTRIES)} are not read.`,
    );
  }
  const metadata = {
    keys: new Set<string>(),
    scalars: new Map<string, Scalar>(),
    strings: new Map<string, string>(),
    arrays: new Map<string, readonly Scalar[]>(),
    arrayLengths: new Map<string, number>(),
  };
  for (let index = 0; index < count; index++) {
    const key = readName(cursor, `metadata key ${index + 1}`, MAX_KEY_BYTES);
    if (metadata.keys.has(key)) throw invalidModel(cursor.file, `has the metadata key "${printable(key)}" twice.`);
    metadata.keys.add(key);

    const type = cursor.u32();
    const scalar = SCALARS[type];
    if (scalar !== undefined) metadata.scalars.set(key, scalar.read(cursor));
    else if (type === STRING) {
      const text = readString(cursor, key);
      if (text !== undefined) metadata.strings.set(key, text);
    } else if (type === ARRAY) {
      const { length, values } = readArray(cursor, key, 1);
      metadata.arrayLengths.set(key, length);
      if (values !== undefined) metadata.arrays.set(key, values);
    } else throw unknownType(cursor, key, type);
  }
  return metadata;
}

/** A key or a tensor's name. */
export function readName(cursor: HeaderCursor, what: string, maxBytes: number): string {
  const bytes = cursor.u64();
  if (bytes > maxBytes) {
    throw invalidModel(
      cursor.file,
      `is damaged: ${what} has ${inWords(bytes)} bytes, at most ${inWords(maxBytes)} are read.`,
    );
  }
  return cursor.text(bytes);
}

/** A count from the file, which can be any 64-bit number. */
export function inWords(count: number): string {
  return count > Number.MAX_SAFE_INTEGER ? "more than 9,000,000,000,000,000" : count.toLocaleString("en-US");
}

/** Undefined where the text is too long to be kept. */
function readString(cursor: HeaderCursor, key: string): string | undefined {
  const bytes = cursor.u64();
  checkString(cursor, key, bytes);
  if (bytes <= MAX_KEPT_STRING_BYTES) return cursor.text(bytes);
  cursor.skip(bytes);
  return undefined;
}

interface ArrayRead {
  readonly length: number;
  readonly values: readonly Scalar[] | undefined;
}

function readArray(cursor: HeaderCursor, key: string, depth: number): ArrayRead {
  const type = cursor.u32();
  const length = cursor.u64();
  if (length > MAX_ARRAY_ELEMENTS) {
    throw invalidModel(
      cursor.file,
      `is damaged: the array "${printable(key)}" announces ${inWords(length)} elements, ` +
        `at most ${inWords(MAX_ARRAY_ELEMENTS)} are read.`,
    );
  }
  const scalar = SCALARS[type];
  if (scalar !== undefined) {
    if (depth > 1 || length > MAX_KEPT_ARRAY_ELEMENTS) {
      cursor.skip(length * scalar.bytes);
      return { length, values: undefined };
    }
    const values: Scalar[] = [];
    for (let index = 0; index < length; index++) values.push(scalar.read(cursor));
    return { length, values };
  }
  if (type === STRING) {
    for (let index = 0; index < length; index++) {
      const bytes = cursor.u64();
      checkString(cursor, key, bytes);
      cursor.skip(bytes);
    }
  } else if (type === ARRAY) {
    if (depth === MAX_ARRAY_DEPTH) {
      throw invalidModel(
        cursor.file,
        `is damaged: "${printable(key)}" nests arrays more than ${MAX_ARRAY_DEPTH} deep.`,
      );
    }
    for (let index = 0; index < length; index++) readArray(cursor, key, depth + 1);
  } else throw unknownType(cursor, key, type);
  return { length, values: undefined };
}

function checkString(cursor: HeaderCursor, key: string, bytes: number): void {
  if (bytes <= MAX_STRING_BYTES) return;
  throw invalidModel(
    cursor.file,
    `is damaged: a text in "${printable(key)}" announces ${inWords(bytes)} bytes, ` +
      `at most ${inWords(MAX_STRING_BYTES)} are read.`,
  );
}

function unknownType(cursor: HeaderCursor, key: string, type: number): Error {
  return invalidModel(cursor.file, `is damaged: "${printable(key)}" has the unknown value type ${type}.`);
}
