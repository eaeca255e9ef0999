/** A model split in three, each shard on a volume of its own, through guest init, server and engine. */
import assert from "node:assert/strict";
import { closeSync, mkdirSync, openSync, readFileSync, readSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { test, type TestContext } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";

import { readGgufLayout } from "../../src/gguf/gguf-header.ts";
import { planShards } from "../../src/gguf/split.ts";
import { demoModelPath } from "../support/demo-model.ts";
import { GuestProcess, sha256Of, SUCCESS } from "../support/guest-process.ts";

const compiled = fileURLToPath(new URL("../../", import.meta.url));
const LETTERS = "cdefgh";

interface Shard {
  readonly fileName: string;
  readonly bytes: Buffer;
}

function splitInThree(): readonly Shard[] {
  const fd = openSync(demoModelPath, "r");
  const readRange = (from: number, to: number): Buffer => {
    const range = Buffer.alloc(to - from);
    readSync(fd, range, 0, range.length, from);
    return range;
  };
  try {
    const shards = planShards(readGgufLayout(demoModelPath), "demo.gguf", 900_000, readRange);
    return shards.map(({ fileName, header, from, length }) => ({
      fileName,
      bytes: Buffer.concat([header, readRange(from, from + length)]),
    }));
  } finally {
    closeSync(fd);
  }
}

/**
 * A guest with the compiled server as its code; the files of each volume, which are also its image's bytes here. The
 * volume `damaged` has another bit than the program was published with.
 */
async function guestServing(t: TestContext, files: readonly Shard[], damaged?: number): Promise<GuestProcess> {
  const guest = new GuestProcess(t);
  rmSync(join(guest.directory, "root/opt/code"), { recursive: true });
  symlinkSync(compiled, join(guest.directory, "root/opt/code"));
  const volumes = files.map(({ fileName, bytes }, at) => {
    const mount = `/models/${at}`;
    mkdirSync(join(guest.directory, "root", mount), { recursive: true });
    writeFileSync(join(guest.directory, "root", mount, fileName), bytes);
    writeFileSync(guest.device(`vd${LETTERS[at]}`), at === damaged ? flipped(bytes) : bytes);
    return { mount, device: `vd${LETTERS[at]}`, readOnly: true };
  });
  await guest.ready();
  const outcome = await guest.configure({
    volumes: [{ mount: "/opt/code", device: "vdb", readOnly: true }, ...volumes],
    variables: {
      PINFERENCE_MODEL: `/models/0/${files[0]?.fileName}`,
      PINFERENCE_MODEL_ID: "demo",
      PINFERENCE_MODEL_SHA256: files.map(({ bytes }) => sha256Of(bytes)).join(","),
      PINFERENCE_CONTEXT_LENGTH: "1024",
      PINFERENCE_SLOTS: "2",
    },
  });
  assert.equal(outcome, SUCCESS);
  return guest;
}

function flipped(bytes: Buffer): Buffer {
  const copy = Buffer.from(bytes);
  copy[copy.length >> 1] = (copy[copy.length >> 1] ?? 0) ^ 1;
  return copy;
}

async function answerOf(guest: GuestProcess): Promise<string> {
  const question = { model: "demo", messages: [{ role: "user", content: "Say this is a test" }], temperature: 0 };
  const headers = [
    ["host", "x"],
    ["content-type", "application/json"],
  ] as const;
  const body = Buffer.from(JSON.stringify(question));
  for (let tries = 0; ; tries += 1) {
    const { status, text } = await guest.run("/v1/chat/completions", { method: "POST", headers, body });
    if (status === 503 && tries < 100) await delay(200);
    else {
      assert.equal(status, 200, `${text} ${guest.output}`);
      return (JSON.parse(text) as { choices: [{ message: { content: string } }] }).choices[0].message.content;
    }
  }
}

test("a model on three volumes gives the answer that it gives from one", async (t) => {
  const shards = splitInThree();
  assert.equal(shards.length, 3);
  const whole = { fileName: basename(demoModelPath), bytes: readFileSync(demoModelPath) };
  const expected = await answerOf(await guestServing(t, [whole]));
  assert.match(expected, /test/i);
  assert.equal(await answerOf(await guestServing(t, shards)), expected);
});

test("a flipped bit in any of the three volumes is no answer, but an error that names it", async (t) => {
  const shards = splitInThree();
  for (const at of shards.keys()) {
    const guest = await guestServing(t, shards, at);
    for (let tries = 0; ; tries += 1) {
      const { status, text } = await guest.run("/v1/models");
      if (status === 503 && tries < 200) await delay(50);
      else {
        assert.equal(status, 500, text);
        assert.match(text, new RegExp(`The volume /models/${at} \\(vd${LETTERS[at]}\\)`));
        break;
      }
    }
  }
});
