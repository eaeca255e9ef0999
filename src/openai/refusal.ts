import type { z } from "zod";

import { CodedError, type ErrorCode } from "../domain/errors.ts";

const GIVEN_CHARACTERS = 100;

/** The refusal of a value that is well formed and cannot be meant; `expected` completes the sentence. */
export function invalidValue(param: string, expected: string): CodedError {
  return new CodedError("invalid_value", `Invalid value for '${param}': expected ${expected}.`, { param });
}

/** A failed validation, in one sentence that names the parameter, what was given and what is allowed. */
export function toRefusal(body: unknown, issue: z.core.$ZodIssue): CodedError {
  const fault = locate(issue, []);
  const param = toParam(fault.path);
  const value = valueAt(body, fault.path);
  const code = codeOf(fault.issue, value);
  const allowed = fault.issue.message;
  return new CodedError(code, sentence(code, `'${param}'`, describe(value), allowed), { param });
}

function sentence(code: ErrorCode, param: string, given: string, allowed: string): string {
  switch (code) {
    case "missing_required_parameter":
      return `Missing required parameter: ${param}. Expected ${allowed}.`;
    case "unsupported_parameter":
      return `Unsupported parameter ${param} (given ${given}): ${allowed}`;
    case "unsupported_value":
      return `Unsupported value for ${param} (given ${given}): ${allowed}`;
    case "invalid_type":
      return `Invalid type for ${param}: expected ${allowed}, got ${given}.`;
    default:
      return `Invalid value for ${param}: expected ${allowed}, got ${given}.`;
  }
}

interface Fault {
  readonly path: readonly PropertyKey[];
  readonly issue: z.core.$ZodIssue;
}

/** A union fails with the issues of all its branches; the branch that got furthest is the one that was meant. */
function locate(issue: z.core.$ZodIssue, prefix: readonly PropertyKey[]): Fault {
  const path = [...prefix, ...issue.path];
  if (issue.code !== "invalid_union") return { path, issue };
  const deepest = issue.errors
    .flatMap((branch) => branch.slice(0, 1))
    .map((first) => locate(first, path))
    .filter((fault) => fault.path.length > path.length || fault.issue.code !== "invalid_type")
    .sort((a, b) => b.path.length - a.path.length)[0];
  return deepest ?? { path, issue };
}

function codeOf(issue: z.core.$ZodIssue, value: unknown): ErrorCode {
  // Schemas that know better say so: supportedOnly() and the like.
  if (issue.code === "custom" && issue.params?.["code"] !== undefined) return issue.params["code"] as ErrorCode;
  if (value === undefined) return "missing_required_parameter";
  switch (issue.code) {
    case "invalid_type":
      // A number too large for JSON arrives as Infinity: the right type, the wrong value.
      return issue.expected === "number" && typeof value === "number" ? "invalid_value" : "invalid_type";
    case "invalid_union":
      // Without branches it is a discriminator, which are all strings.
      return issue.errors.length === 0 && typeof value === "string" ? "invalid_value" : "invalid_type";
    case "invalid_value":
      return typeof value === typeof issue.values[0] ? "invalid_value" : "invalid_type";
    default:
      return "invalid_value";
  }
}

/** `["messages", 1, "role"]` is `messages[1].role`. */
function toParam(path: readonly PropertyKey[]): string {
  let param = "";
  for (const key of path) {
    if (typeof key === "number") param += `[${key}]`;
    else param += param === "" ? String(key) : `.${String(key)}`;
  }
  return param.length > GIVEN_CHARACTERS ? `${param.slice(0, GIVEN_CHARACTERS)}…` : param;
}

function valueAt(body: unknown, path: readonly PropertyKey[]): unknown {
  let value = body;
  for (const key of path) {
    if (typeof value !== "object" || value === null || !Object.hasOwn(value, key)) return undefined;
    value = (value as Record<PropertyKey, unknown>)[key];
  }
  return value;
}

/** A given value for people to read, whatever its size and depth. */
function describe(value: unknown): string {
  if (Array.isArray(value)) return `an array of ${value.length}`;
  if (typeof value === "object" && value !== null) return "an object";
  if (typeof value !== "string") return String(value);
  return value.length > GIVEN_CHARACTERS
    ? `${JSON.stringify(value.slice(0, GIVEN_CHARACTERS)).slice(0, -1)}…"`
    : JSON.stringify(value);
}
