/**
 * What messages cost, by the network's built-in prices. Amounts are integers of 1e-18: ALEPH to hold, or credits per
 * second. Source: pyaleph 0.10, services/cost.py and toolkit/constants.py.
 */
import type { Content, PaymentType, ProgramContent, StoreContent } from "../messages/contents.ts";

const UNIT = 10n ** 18n;
const MIB = 1_048_576n;
const HOUR_SECONDS = 3600n;
const MEMORY_MIB_PER_COMPUTE_UNIT = 2048;

/** Per compute unit, and the MiB of volumes that come with it. */
const ON_DEMAND = { hold: 200n * UNIT, creditPerHour: 11_000n * UNIT, includedMiB: 2048n };
const PERSISTENT = { hold: 1000n * UNIT, creditPerHour: 55_000n * UNIT, includedMiB: 20_480n };
/** Per MiB. */
const STORED = { hold: 333_333_333n * 10n ** 9n, creditPerHour: 179_674_890_000_000_000n };
const MOUNTED = { hold: UNIT / 20n, creditPerHour: 977n * 10n ** 15n };
/** A STORE paid with credits counts as at least this large. */
const LEAST_STORED_BYTES = 25n * MIB;

interface CostLine {
  readonly type: string;
  readonly name: string;
  readonly hold: bigint;
  /** Per second. */
  readonly credit: bigint;
  readonly bytes: bigint | undefined;
}

export interface Cost {
  readonly payment: PaymentType;
  readonly owner: string;
  readonly lines: readonly CostLine[];
}

/** Bytes behind a ref or of a file; undefined leaves the line out, as the network does. */
export type SizeOf = (hash: string) => Promise<number | undefined>;

/** Undefined for messages that are free. */
export async function costOf(read: Content, sizeOf: SizeOf): Promise<Cost | undefined> {
  if (read.type !== "STORE" && read.type !== "PROGRAM") return undefined;
  const lines =
    read.type === "STORE" ? await storeLines(read.content, sizeOf) : await programLines(read.content, sizeOf);
  return { payment: read.content.payment?.type ?? "hold", owner: read.content.address, lines };
}

/** In the unit of the payment: ALEPH to hold, or credits per second. Streams of ALEPH are not priced here. */
export function totalOf(cost: Cost, payment: PaymentType = cost.payment): bigint {
  if (payment === "superfluid") return 0n;
  return cost.lines.reduce((sum, line) => sum + line[payment], 0n);
}

/** An amount with 18 decimals. */
export function toDecimal(amount: bigint): string {
  const digits = String(amount < 0n ? -amount : amount).padStart(19, "0");
  return `${amount < 0n ? "-" : ""}${digits.slice(0, -18)}.${digits.slice(-18)}`;
}

export function toUnits(whole: number): bigint {
  return BigInt(Math.round(whole * 1e6)) * 10n ** 12n;
}

/** The answer of the network's price routes. */
export function toPriceAnswer(cost: Cost, includeSizes: boolean) {
  const total = toDecimal(totalOf(cost));
  return {
    required_tokens: Number(total),
    payment_type: cost.payment,
    cost: total,
    detail: cost.lines.map((line) => ({
      type: line.type,
      name: line.name,
      cost_hold: toDecimal(line.hold),
      cost_stream: toDecimal(0n),
      cost_credit: toDecimal(line.credit),
      size_mib: includeSizes && line.bytes !== undefined ? toDecimal((line.bytes * UNIT) / MIB) : null,
    })),
    charged_address: cost.owner,
  };
}

async function storeLines(content: StoreContent, sizeOf: SizeOf): Promise<CostLine[]> {
  const size = await sizeOf(content.item_hash);
  if (size === undefined) return [];
  const bytes = BigInt(size);
  const billed = bytes < LEAST_STORED_BYTES ? LEAST_STORED_BYTES : bytes;
  return [
    {
      type: "STORAGE",
      name: content.item_hash,
      hold: (bytes * STORED.hold) / MIB,
      credit: perSecond((billed * STORED.creditPerHour) / MIB),
      bytes,
    },
  ];
}

async function programLines(content: ProgramContent, sizeOf: SizeOf): Promise<CostLine[]> {
  const { vcpus, memory } = content.resources;
  const units = BigInt(Math.max(vcpus, Math.ceil(memory / MEMORY_MIB_PER_COMPUTE_UNIT)));
  const persistent = content.on.persistent === true;
  const price = persistent ? PERSISTENT : ON_DEMAND;
  const charged = units * (!persistent && content.environment.internet ? 2n : 1n);
  const volumes = await volumeLines(content, sizeOf);
  const mounted = { hold: 0n, credit: 0n };
  for (const line of volumes) {
    mounted.hold += line.hold;
    mounted.credit += line.credit;
  }
  const included = units * price.includedMiB;
  return [
    {
      type: "EXECUTION",
      name: persistent ? "program_persistent" : "program",
      hold: charged * price.hold,
      credit: perSecond(charged * price.creditPerHour),
      bytes: undefined,
    },
    ...volumes,
    {
      type: "EXECUTION_VOLUME_DISCOUNT",
      name: "included disk",
      hold: -least(mounted.hold, included * MOUNTED.hold),
      credit: -least(mounted.credit, (included * MOUNTED.creditPerHour) / HOUR_SECONDS),
      bytes: undefined,
    },
  ];
}

async function volumeLines(content: ProgramContent, sizeOf: SizeOf): Promise<CostLine[]> {
  const lines: CostLine[] = [];
  const add = (type: string, name: string, bytes: number | undefined) => {
    if (bytes === undefined) return;
    const size = BigInt(Math.ceil(bytes));
    lines.push({
      type,
      name,
      hold: (size * MOUNTED.hold) / MIB,
      credit: perSecond((size * MOUNTED.creditPerHour) / MIB),
      bytes: size,
    });
  };
  add("EXECUTION_PROGRAM_VOLUME_CODE", "code", await sizeOf(content.code.ref));
  add("EXECUTION_PROGRAM_VOLUME_RUNTIME", "runtime", await sizeOf(content.runtime.ref));
  if (content.data !== undefined) add("EXECUTION_PROGRAM_VOLUME_DATA", "data", await sizeOf(content.data.ref));
  for (const [index, volume] of content.volumes.entries()) {
    const name = `#${index}:${volume.mount ?? ""}`;
    // The network's own spelling.
    if ("ref" in volume) add("EXECUTION_VOLUME_INMUTABLE", name, await sizeOf(volume.ref));
    else add("EXECUTION_VOLUME_PERSISTENT", name, volume.size_mib * Number(MIB));
  }
  return lines;
}

/** A line in credits costs at least 1 credit an hour. */
function perSecond(creditsPerHour: bigint): bigint {
  return (creditsPerHour < UNIT ? UNIT : creditsPerHour) / HOUR_SECONDS;
}

function least(a: bigint, b: bigint): bigint {
  return a < b ? a : b;
}
