/** Source: elf(5), 64 bits, little-endian. */
const DYNAMIC = 2;
const LOAD = 1;
const NEEDED = 1;
const STRING_TABLE = 5;

/** Names of the libraries that a program or library is linked to; undefined for what is neither, or is static. */
export function neededLibraries(file: Buffer): readonly string[] | undefined {
  if (file.toString("latin1", 0, 4) !== "\x7fELF") return undefined;
  const number = (at: number) => Number(file.readBigUInt64LE(at));
  const [tableAt, entryBytes, count] = [number(32), file.readUInt16LE(54), file.readUInt16LE(56)];
  const segments = Array.from({ length: count }, (_, index) => {
    const at = tableAt + index * entryBytes;
    return { type: file.readUInt32LE(at), offset: number(at + 8), address: number(at + 16), bytes: number(at + 32) };
  });
  const dynamic = segments.find(({ type }) => type === DYNAMIC);
  if (dynamic === undefined) return undefined;
  const tags: { tag: number; value: number }[] = [];
  for (let at = dynamic.offset; at < dynamic.offset + dynamic.bytes && number(at) !== 0; at += 16) {
    tags.push({ tag: number(at), value: number(at + 8) });
  }
  const address = tags.find(({ tag }) => tag === STRING_TABLE)?.value ?? 0;
  const home = segments.find((one) => one.type === LOAD && one.address <= address && address < one.address + one.bytes);
  if (home === undefined) return [];
  const stringsAt = address - home.address + home.offset;
  return tags
    .filter(({ tag }) => tag === NEEDED)
    .map(({ value }) => file.toString("latin1", stringsAt + value, file.indexOf(0, stringsAt + value)));
}
