import { ggmlType, type GgmlType } from "./ggml-types.ts";
import { inWords, readName } from "./gguf-metadata.ts";
import { invalidModel, printable, type HeaderCursor } from "./header-cursor.ts";

/** The largest real models have about 2,500, those with one tensor for each expert of each layer about 20,000. */
const MAX_TENSORS = 65_536;
/** ggml keeps names in 64 bytes, the last of them zero. */
const MAX_TENSOR_NAME_BYTES = 63;
/** Of ggml's tensors. */
const MAX_DIMENSIONS = 4;

/** All tensors together. */
export interface TensorTotals {
  readonly count: number;
  /** Weights, whatever their type. */
  readonly parameters: number;
  /** From the data's beginning to the end of the last tensor. */
  readonly dataBytes: number;
  /** The type that most weights have; undefined in a file without tensors. */
  readonly mainType: string | undefined;
  /** In the file's order, which is that of their data. */
  readonly places: readonly TensorPlace[];
}

/** Where a tensor's info and data lie, in bytes. */
export interface TensorPlace {
  readonly name: string;
  /** From the file's beginning. The info's last 8 bytes are `offset`. */
  readonly infoStart: number;
  readonly infoEnd: number;
  /** From the data's beginning. */
  readonly offset: number;
  readonly bytes: number;
}

/**
 * Reads `count` tensor infos. They must name distinct tensors that lie one behind the other, each aligned, as llama.cpp
 * demands when it loads a model. Errors: `model_file_invalid`.
 */
export function readTensors(cursor: HeaderCursor, count: number, alignment: number): TensorTotals {
  if (count > MAX_TENSORS) {
    throw invalidModel(
      cursor.file,
      `announces ${inWords(count)} tensors; more than ${inWords(MAX_TENSORS)} are not read.`,
    );
  }
  const names = new Set<string>();
  const weightsOfType = new Map<string, number>();
  let parameters = 0;
  let end = 0;
  const places: TensorPlace[] = [];
  for (let index = 0; index < count; index++) {
    const infoStart = cursor.position;
    const tensor = readTensor(cursor, `tensor ${index + 1}`);
    const refuse = (sentence: string) =>
      invalidModel(cursor.file, `is damaged: tensor "${printable(tensor.name)}" ${sentence}`);

    if (names.has(tensor.name)) throw refuse("is there twice.");
    names.add(tensor.name);
    if (tensor.offset % alignment !== 0) {
      throw refuse(`begins at ${inWords(tensor.offset)}, which is no multiple of ${alignment}.`);
    }
    const expected = roundUp(end, alignment);
    if (tensor.offset !== expected) {
      throw refuse(`begins at ${inWords(tensor.offset)} instead of ${inWords(expected)}.`);
    }
    const { name, offset, bytes } = tensor;
    places.push({ name, infoStart, infoEnd: cursor.position, offset, bytes });
    end = offset + bytes;
    parameters += tensor.elements;
    if (!Number.isSafeInteger(end) || !Number.isSafeInteger(parameters)) throw refuse("is too large.");
    weightsOfType.set(tensor.type.name, (weightsOfType.get(tensor.type.name) ?? 0) + tensor.elements);
  }
  const mainType = [...weightsOfType].toSorted(([, a], [, b]) => b - a)[0]?.[0];
  return { count, parameters, dataBytes: end, mainType, places };
}

export function roundUp(value: number, multiple: number): number {
  return Math.ceil(value / multiple) * multiple;
}

interface Tensor {
  readonly name: string;
  readonly type: GgmlType;
  readonly elements: number;
  readonly bytes: number;
  /** From the data's beginning. */
  readonly offset: number;
}

function readTensor(cursor: HeaderCursor, what: string): Tensor {
  const name = readName(cursor, `the name of ${what}`, MAX_TENSOR_NAME_BYTES);
  const refuse = (sentence: string) => invalidModel(cursor.file, `is damaged: tensor "${printable(name)}" ${sentence}`);

  const dimensions = cursor.u32();
  if (dimensions > MAX_DIMENSIONS)
    throw refuse(`has ${inWords(dimensions)} dimensions, at most ${MAX_DIMENSIONS} exist.`);
  let elements = 1;
  let rowElements = 1;
  for (let dimension = 0; dimension < dimensions; dimension++) {
    // Signed on disk, so a negative one shows as a huge one.
    const size = cursor.u64();
    if (size === 0) throw refuse("has a dimension of 0.");
    elements *= size;
    // Products of exact integers are exact as long as they stay below 2^53.
    if (!Number.isSafeInteger(elements)) throw refuse("has dimensions that are negative or too large.");
    if (dimension === 0) rowElements = size;
  }

  const typeId = cursor.u32();
  const type = ggmlType(typeId);
  if (type === undefined) throw refuse(`has the unknown type ${typeId}; a newer llama.cpp may know it.`);
  if (rowElements % type.blockElements !== 0) {
    throw refuse(
      `has rows of ${inWords(rowElements)}, which are not whole ${type.name} blocks of ${type.blockElements}.`,
    );
  }
  const bytes = (elements / type.blockElements) * type.blockBytes;
  if (!Number.isSafeInteger(bytes)) throw refuse("is too large.");
  return { name, type, elements, bytes, offset: cursor.u64() };
}
