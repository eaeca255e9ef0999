import assert from "node:assert/strict";
import { test } from "node:test";

import { parseSamplingDefaults, SAMPLING_RANGES } from "../../../src/domain/model-defaults.ts";
import { CHAT_FIELDS } from "../../../src/openai/fields.ts";

test("defaults are what requests may ask for, by the same names", () => {
  for (const [name, { least, most }] of Object.entries(SAMPLING_RANGES)) {
    const { schema } = CHAT_FIELDS[name as keyof typeof SAMPLING_RANGES];
    assert.deepEqual(parseSamplingDefaults({ [name]: least }), { [name]: least });
    assert.ok(schema.safeParse(least).success && schema.safeParse(most).success, name);
  }
});

for (const [value, says] of [
  ["0.7", /are an object/],
  [[0.7], /are an object/],
  [null, /are an object/],
  [{ temprature: 1 }, /"temprature" is no sampling default; there are temperature, /],
  [{ temperature: 2.1 }, /"temperature" is a number from 0 to 2/],
  [{ temperature: "1" }, /"temperature" is a number/],
  [{ top_k: 1.5 }, /"top_k" is a whole number from 0/],
  [{ top_p: NaN }, /"top_p" is a number/],
  [JSON.parse('{"__proto__": 1}') as unknown, /"__proto__" is no sampling default/],
] as const) {
  test(`sampling defaults of ${JSON.stringify(value)} are refused`, () => {
    assert.throws(() => parseSamplingDefaults(value), { code: "config_invalid", message: says });
  });
}
