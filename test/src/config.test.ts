import assert from "node:assert/strict";
import { availableParallelism } from "node:os";
import { test } from "node:test";

import { readConfig } from "../../src/config.ts";

const least = { PINFERENCE_MODEL: "/models/0/Tiny-Q8_0.gguf" };

test("a model alone is enough", () => {
  assert.deepEqual(readConfig(least), {
    listen: { host: "127.0.0.1", port: 8080 },
    modelPath: "/models/0/Tiny-Q8_0.gguf",
    modelId: "tiny-q8_0",
    modelAliases: [],
    contextLength: undefined,
    slots: 4,
    queueLength: 64,
    threads: availableParallelism(),
    memoryMiB: undefined,
    idlePrefixMiB: undefined,
    bindings: "addon",
    apiKeyHashes: [],
    anyModel: false,
    bodyLimitBytes: 16_777_216,
    loadWaitMs: 25_000,
    drainMs: 10_000,
    corsOrigin: "*",
    facts: { modelSha256: [] },
    defaults: { sampling: {} },
    exitWithParent: false,
  });
});

test("every variable is read, in its unit", () => {
  const hash = "ab".repeat(32);
  const config = readConfig({
    PINFERENCE_HOST: "0.0.0.0",
    PINFERENCE_SAMPLING: '{"temperature": 0.7, "top_k": 20}',
    PINFERENCE_SYSTEM_PROMPT: "Be brief.",
    PINFERENCE_PORT: "0",
    PINFERENCE_ROOT: "/data/guest",
    PINFERENCE_MODEL: "/models/0/x.gguf",
    PINFERENCE_MODEL_ID: "x",
    PINFERENCE_MODEL_ALIASES: "a, b,,",
    PINFERENCE_CONTEXT_LENGTH: "2048",
    PINFERENCE_SLOTS: "2",
    PINFERENCE_QUEUE_LENGTH: "0",
    PINFERENCE_THREADS: "3",
    PINFERENCE_MEMORY_MIB: "4096",
    PINFERENCE_IDLE_PREFIX_MIB: "0",
    PINFERENCE_BINDINGS: "public",
    PINFERENCE_API_KEY_SHA256: `${hash.toUpperCase()}, ${hash}`,
    PINFERENCE_ANY_MODEL: "1",
    PINFERENCE_BODY_LIMIT_MIB: "1",
    PINFERENCE_LOAD_WAIT_MS: "5",
    PINFERENCE_DRAIN_MS: "6",
    PINFERENCE_CORS_ORIGIN: "https://chat.example",
    PINFERENCE_MODEL_LICENCE: "Apache-2.0",
    PINFERENCE_CODE_SHA256: hash,
    PINFERENCE_MODEL_SHA256: `${hash},${hash}`,
    PINFERENCE_EXIT_WITH_PARENT: "1",
  });
  assert.deepEqual(config, {
    listen: { host: "0.0.0.0", port: 0 },
    modelPath: "/data/guest/models/0/x.gguf",
    modelId: "x",
    modelAliases: ["a", "b"],
    contextLength: 2048,
    slots: 2,
    queueLength: 0,
    threads: 3,
    memoryMiB: 4096,
    idlePrefixMiB: 0,
    bindings: "public",
    apiKeyHashes: [hash, hash],
    anyModel: true,
    bodyLimitBytes: 1_048_576,
    loadWaitMs: 5,
    drainMs: 6,
    corsOrigin: "https://chat.example",
    facts: { licence: "Apache-2.0", codeSha256: hash, modelSha256: [hash, hash] },
    defaults: { sampling: { temperature: 0.7, top_k: 20 }, systemPrompt: "Be brief." },
    exitWithParent: true,
  });
});

test("a socket wins over host and port, and an empty variable is none", () => {
  const env = { ...least, PINFERENCE_SOCKET: "/run/x.sock", PINFERENCE_PORT: "1", PINFERENCE_SLOTS: " " };
  assert.deepEqual(readConfig(env).listen, { socket: "/run/x.sock" });
  assert.equal(readConfig(env).slots, 4);
});

test("a wrong value is refused with its variable's name and the allowed range", () => {
  for (const [name, value] of [
    ["PINFERENCE_MODEL", ""],
    ["PINFERENCE_PORT", "65536"],
    ["PINFERENCE_PORT", "80 80"],
    ["PINFERENCE_SLOTS", "0"],
    ["PINFERENCE_SLOTS", "1.5"],
    ["PINFERENCE_THREADS", "all"],
    ["PINFERENCE_CONTEXT_LENGTH", "-1"],
    ["PINFERENCE_ANY_MODEL", "yes"],
    ["PINFERENCE_BODY_LIMIT_MIB", "0x10"],
    ["PINFERENCE_CORS_ORIGIN", "https://chat.example/path"],
    ["PINFERENCE_CORS_ORIGIN", "a\r\nb"],
    ["PINFERENCE_MODEL_SHA256", "abc"],
    ["PINFERENCE_SAMPLING", "temperature=1"],
    ["PINFERENCE_SAMPLING", '{"temperature": 3}'],
    ["PINFERENCE_SYSTEM_PROMPT", "x".repeat(4097)],
  ] as const) {
    assert.throws(
      () => readConfig({ ...least, [name]: value }),
      (error: Error & { code?: string }) => error.code === "config_invalid" && error.message.startsWith(`${name} `),
    );
  }
});

test("a key given where its hash belongs is refused without being repeated", () => {
  assert.throws(
    () => readConfig({ ...least, PINFERENCE_API_KEY_SHA256: "sk-secret" }),
    (error: Error & { code?: string }) => error.code === "config_invalid" && !error.message.includes("secret"),
  );
});
