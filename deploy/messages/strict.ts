/**
 * The rule that a CRN applies to a PROGRAM and a CCN does not: the signed text must say exactly what the network's
 * model would dump, so every default is spelled out, no key is null, unknown or of another type. A message that breaks
 * it is processed, paid for, and never starts.
 * Source: aleph-message 1.1.1, models/__init__.py, ProgramMessage.check_content.
 */
import { readContent } from "./contents.ts";

/** What a CRN would refuse in this item content; empty when it would start. Each problem names the key. */
export function strictProgramProblems(itemContent: string): readonly string[] {
  let signed: unknown;
  try {
    signed = JSON.parse(itemContent);
  } catch {
    return ["the content is not JSON"];
  }
  const result = readContent("PROGRAM", signed);
  if (!result.ok) return result.problems;
  const problems = differences(signed, result.read.content, "");
  if (isObject(signed) && "tags" in signed) problems.push("tags: older nodes refuse it; leave it out");
  return problems;
}

function differences(signed: unknown, dumped: unknown, at: string): string[] {
  if (Array.isArray(signed) && Array.isArray(dumped)) {
    return signed.flatMap((item, index) => differences(item, dumped[index], `${at}${index}.`));
  }
  if (!isObject(signed) || !isObject(dumped)) return signed === dumped ? [] : [`${at.slice(0, -1)}: ${whyNot(signed)}`];
  return [...new Set([...Object.keys(signed), ...Object.keys(dumped)])].flatMap((key) => {
    const path = `${at}${key}`;
    const given = signed[key];
    const kept = dumped[key];
    if (kept === undefined && given === null) return [`${path}: null; leave the key out`];
    if (kept === undefined && given !== undefined) return [`${path}: unknown key; leave it out`];
    if (given === undefined && kept !== undefined) return [`${path}: missing; write ${JSON.stringify(kept)}`];
    return differences(given, kept, `${path}.`);
  });
}

function whyNot(signed: unknown): string {
  return `${JSON.stringify(signed)} is of the wrong type; write the value as a JSON number, boolean or object`;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
