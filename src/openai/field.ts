import * as z from "zod";

import { supportedOnly, type UnsupportedCode } from "./schemas.ts";

/**
 * What a request field does:
 * - honoured: shapes the answer;
 * - accepted: checked; says something about the caller's account or habits, and nothing about the text;
 * - ignored: checked; a hint that this server does not take, reported in `X-Ignored-Params`;
 * - neutral: refused by name unless its value asks for nothing.
 */
type FieldUse = "honoured" | "accepted" | "ignored" | "neutral";

export interface Field {
  readonly use: FieldUse;
  readonly schema: z.ZodType;
  /** One phrase, for the tables that are generated from this. */
  readonly meaning: string;
}

export function honoured<Schema extends z.ZodType>(schema: Schema, meaning: string) {
  return { use: "honoured", schema, meaning } as const;
}

export function accepted<Schema extends z.ZodType>(schema: Schema, meaning = "no effect on the text") {
  return { use: "accepted", schema: schema.optional(), meaning } as const;
}

export function ignored<Schema extends z.ZodType>(schema: Schema, meaning = "no effect, reported as ignored") {
  return { use: "ignored", schema: schema.optional(), meaning } as const;
}

export function neutral<Schema extends z.ZodType>(
  schema: Schema,
  isNeutral: (value: z.output<Schema>) => boolean,
  lack: string,
  code: UnsupportedCode = "unsupported_parameter",
) {
  return { use: "neutral", schema: supportedOnly(schema, isNeutral, lack, code).optional(), meaning: lack } as const;
}

/** No value of this asks for nothing. */
export function refused(lack: string): Field {
  return neutral(z.unknown(), (value) => value === undefined, lack);
}

/** Fields of other routes, checked as they are there, where nothing of this answer could show them. */
export function asIgnored<Table extends Readonly<Record<string, Field>>>(table: Table) {
  type Ignored = { [Name in keyof Table]: { use: "ignored"; schema: Table[Name]["schema"]; meaning: string } };
  const entries = Object.entries(table).map(([name, { schema }]) => [
    name,
    { use: "ignored", schema, meaning: "no effect, reported as ignored" },
  ]);
  return Object.fromEntries(entries) as Ignored;
}
