import assert from "node:assert/strict";
import { test } from "node:test";

import { readContent } from "../../../deploy/messages/contents.ts";
import { strictProgramProblems } from "../../../deploy/messages/strict.ts";

const STORE = "cafe".repeat(16);
type Json = Record<string, unknown>;

/** A content that a CRN starts: every default spelled out. */
function program() {
  return {
    address: "0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A",
    time: 1_800_000_000.123 as unknown,
    type: "vm-function",
    allow_amend: false as unknown,
    code: { encoding: "squashfs", entrypoint: "server", ref: STORE, interface: "binary", use_latest: false } as Json,
    on: { http: true, persistent: false } as Json,
    environment: { reproducible: false, internet: false, aleph_api: false, shared_cache: false } as Json,
    resources: { vcpus: 4, memory: 8192, seconds: 290 } as Json,
    runtime: { ref: STORE, use_latest: false, comment: "" } as Json,
    volumes: [{ mount: "/models/a", ref: STORE, use_latest: false }] as Json[] | undefined,
    variables: { MODEL: "/models/a/model.gguf" } as Json,
    metadata: { name: "a" } as Json | null | undefined,
    payment: { chain: "ETH", type: "credit" } as Json | undefined,
  };
}
type Program = ReturnType<typeof program> & Json;

const data = { encoding: "zip", mount: "/data", ref: STORE, use_latest: false };
const persistent = { mount: "/p", name: "p", persistence: "host", size_mib: 10 };

/** What changes, and whether a CCN and a CRN take it. Observed with aleph-message 1.1.1. */
const VARIATIONS: readonly (readonly [string, (content: Program) => void, ccn: boolean, crn: boolean])[] = [
  ["nothing", () => {}, true, true],
  ["volumes omitted", (c) => (c.volumes = undefined), true, false],
  ["code.use_latest omitted", (c) => delete c.code["use_latest"], true, false],
  ["runtime.use_latest omitted", (c) => delete c.runtime["use_latest"], true, false],
  ["volume use_latest omitted", (c) => (c.volumes = [{ mount: "/a", ref: STORE }]), true, false],
  ["data with use_latest", (c) => (c["data"] = data), true, true],
  ["data.use_latest omitted", (c) => (c["data"] = { ...data, use_latest: undefined }), true, false],
  ["persistent volume", (c) => (c.volumes = [persistent]), true, true],
  ["parent.use_latest omitted", (c) => (c.volumes = [{ ...persistent, parent: { ref: STORE } }]), true, false],
  ["resources.seconds omitted", (c) => delete c.resources["seconds"], true, false],
  ["resources.vcpus omitted", (c) => delete c.resources["vcpus"], true, false],
  ["resources.memory omitted", (c) => delete c.resources["memory"], true, false],
  ["reproducible omitted", (c) => delete c.environment["reproducible"], true, false],
  ["internet omitted", (c) => delete c.environment["internet"], true, false],
  ["aleph_api omitted", (c) => delete c.environment["aleph_api"], true, false],
  ["shared_cache omitted", (c) => delete c.environment["shared_cache"], true, false],
  ["metadata null", (c) => (c.metadata = null), true, false],
  ["payment.receiver null", (c) => (c.payment = { ...c.payment, receiver: null }), true, false],
  ["null inside metadata", (c) => (c.metadata = { a: null }), true, true],
  ["unknown key in code", (c) => (c.code["x"] = 1), true, false],
  ["unknown key in runtime", (c) => (c.runtime["x"] = 1), true, false],
  ["unknown key in resources", (c) => (c.resources["x"] = 1), true, false],
  ["unknown key in environment", (c) => (c.environment["x"] = 1), true, false],
  ["unknown key at the top", (c) => (c["x"] = 1), false, false],
  ["unknown key in on", (c) => (c.on["x"] = 1), false, false],
  ["unknown key in a volume", (c) => (c.volumes = [{ ...c.volumes?.[0], x: 1 }]), false, false],
  ["a number as a string", (c) => (c.resources["vcpus"] = "2"), true, false],
  ["a boolean as a string", (c) => (c.allow_amend = "false"), true, false],
  ["ephemeral volume", (c) => (c.volumes = [{ mount: "/e", ephemeral: true, size_mib: 1000 }]), true, true],
  ["ephemeral volume without its flag", (c) => (c.volumes = [{ mount: "/e", size_mib: 1000 }]), true, false],
  ["integer time", (c) => (c.time = 1_800_000_000), true, true],
  ["on.persistent omitted", (c) => delete c.on["persistent"], true, true],
  ["payment omitted", (c) => (c.payment = undefined), true, true],
  ["metadata omitted", (c) => (c.metadata = undefined), true, true],
  ["code.args", (c) => (c.code["args"] = ["a"]), true, true],
  ["requirements", (c) => (c["requirements"] = { cpu: { architecture: "x86_64" } }), true, true],
  ["published ports", (c) => (c.resources["published_ports"] = [{ protocol: "tcp", port: 80 }]), true, true],
  ["ephemeral volume of 1001 MiB", (c) => (c.volumes = [{ ephemeral: true, size_mib: 1001 }]), false, false],
  ["seconds 0", (c) => (c.resources["seconds"] = 0), false, false],
  ["memory 1.5", (c) => (c.resources["memory"] = 1.5), false, false],
  ["a variable of 4097 characters", (c) => (c.variables = { A: "a".repeat(4097) }), false, false],
  ["a variable that is a number", (c) => (c.variables = { A: 1 }), false, false],
  ["a raw-leaf ref", (c) => (c.code["ref"] = `bafk${"a".repeat(55)}`), false, false],
  ["an upper-case ref", (c) => (c.runtime["ref"] = STORE.toUpperCase()), false, false],
  ["a comment as an array", (c) => (c.volumes = [{ ...c.volumes?.[0], comment: ["a"] }]), false, false],
  ["a comment as a string", (c) => (c.volumes = [{ ...c.volumes?.[0], comment: "a" }]), true, true],
];

for (const [what, change, ccn, crn] of VARIATIONS) {
  test(`a program with ${what} is ${ccn ? "taken" : "refused"} by a CCN and ${crn ? "started" : "refused"} by a CRN`, () => {
    const content: Program = program();
    change(content);
    const text = JSON.stringify(content);
    assert.equal(readContent("PROGRAM", JSON.parse(text)).ok, ccn);
    assert.equal(strictProgramProblems(text).length === 0, crn, strictProgramProblems(text).join("; "));
  });
}

test("the problems say which key and what to write", () => {
  const content: Program = program();
  delete content.code["use_latest"];
  content.metadata = null;
  content.resources["vcpus"] = "2";
  assert.deepEqual(strictProgramProblems(JSON.stringify(content)), [
    "code.use_latest: missing; write false",
    'resources.vcpus: "2" is of the wrong type; write the value as a JSON number, boolean or object',
    "metadata: null; leave the key out",
  ]);
});
