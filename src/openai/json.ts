import { CodedError } from "../domain/errors.ts";

/** Deeper than any schema that people write, and shallow enough for every later walk. */
const MAX_DEPTH = 256;

/** Errors: `invalid_json` when the bytes are empty, not UTF-8, not JSON, or nested too deeply. */
export function parseJson(bytes: Uint8Array): unknown {
  const text = decode(bytes);
  if (text.trim() === "") throw new CodedError("invalid_json", "The body is empty: expected a JSON object.");
  if (isTooDeep(text)) {
    throw new CodedError("invalid_json", `The body is nested too deeply: at most ${MAX_DEPTH} levels are allowed.`);
  }
  try {
    return JSON.parse(text) as unknown;
  } catch (error) {
    // The engine's own message quotes the body, which may be a prompt.
    throw new CodedError("invalid_json", "The body is not valid JSON.", { cause: error });
  }
}

function decode(bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (error) {
    throw new CodedError("invalid_json", "The body is not valid UTF-8.", { cause: error });
  }
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const BRACKET = 0x5b;
const CLOSING_BRACKET = 0x5d;
/** All that tells { from [, and } from ]. */
const BRACE_BIT = 0x20;

/** Counts brackets outside of strings; of text that is not JSON it may say anything. Every byte passes here. */
function isTooDeep(text: string): boolean {
  let depth = 0;
  for (let index = 0; index < text.length; index += 1) {
    const character = text.charCodeAt(index);
    if (character === QUOTE) index = endOfString(text, index);
    else if ((character & ~BRACE_BIT) === BRACKET) {
      depth += 1;
      if (depth > MAX_DEPTH) return true;
    } else if ((character & ~BRACE_BIT) === CLOSING_BRACKET) depth -= 1;
  }
  return false;
}

/** Where the string that starts at `start` has its closing quote, or the text its end. */
function endOfString(text: string, start: number): number {
  let index = start + 1;
  while (index < text.length && text.charCodeAt(index) !== QUOTE) {
    index += text.charCodeAt(index) === BACKSLASH ? 2 : 1;
  }
  return index;
}
