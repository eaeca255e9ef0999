import * as z from "zod";

import { NO_DEFAULTS, type ModelDefaults } from "../domain/model-defaults.ts";
import { readBody, schemaOf } from "./body.ts";
import { honoured } from "./field.ts";
import { NATIVE_TEXT_FIELDS, toNativeTask, type NativeRequest } from "./native-request.ts";
import { string } from "./schemas.ts";

const fileError = { error: "an object with `text` and, where it has one, `filename`" };
const file = z.object({ filename: string().nullish(), text: string() }, fileError);
const MAX_FILES = 256;
const filesError = { error: `an array of at most ${MAX_FILES} objects with \`text\`` };

export const INFILL_FIELDS = {
  input_prefix: honoured(string(), "the text before the gap"),
  input_suffix: honoured(string(), "the text after the gap"),
  input_extra: honoured(
    z.array(file, filesError).max(MAX_FILES, filesError).default([]),
    "further files, for models that know about repositories",
  ),
  prompt: honoured(string().default(""), "how the filling begins"),
  ...NATIVE_TEXT_FIELDS,
} as const;

const infillBody = z.object(schemaOf(INFILL_FIELDS));

/** Body of POST /infill → what the engine is asked. Errors: as parseNativeRequest. */
export function parseInfillRequest(body: unknown, defaults: ModelDefaults = NO_DEFAULTS): NativeRequest {
  const { fields, ignored } = readBody(INFILL_FIELDS, infillBody, body, defaults.sampling);
  const extra = fields.input_extra.map(({ filename, text }) => ({
    text,
    ...(typeof filename === "string" && { name: filename }),
  }));
  const prompt = {
    kind: "infill",
    prefix: fields.input_prefix,
    suffix: fields.input_suffix,
    text: fields.prompt,
    extra,
  } as const;
  return toNativeTask(fields, ignored, [prompt]);
}
