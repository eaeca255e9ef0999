import assert from "node:assert/strict";
import { test } from "node:test";

import { ObjectBuffer } from "../../../src/guest/object-buffer.ts";
import {
  type Configuration,
  encodeAnswer,
  encodeConfiguration,
  encodeRunRequest,
  encodeSetupAnswer,
  parseAnswer,
  parseConfiguration,
  parseRunRequest,
  parseSetupAnswer,
  ProtocolError,
  READY,
  WrongAnswer,
} from "../../../src/guest/protocol.ts";

// Recorded from msgpack 1.2, which supervisors use.
const CAFE = "cafe".repeat(16);
const CONFIGURATION_2 = Buffer.from(
  "8eaa696e7075745f64617461c0a9696e74657266616365aa65786563757461626c65a7766d5f68617368d940" +
    Buffer.from(CAFE).toString("hex") +
    "a8656e636f64696e67a87371756173686673aa656e747279706f696e74a672756e2e7368a4636f6465c400a26970aa3137322e31362e342e32a5726f757465" +
    "aa3137322e31362e342e31ab646e735f7365727665727391a7312e312e312e31a7766f6c756d65739183a56d6f756e74a92f6f70742f636f6465a6646576" +
    "696365a3766462a9726561645f6f6e6c79c3a97661726961626c657381a141a131a469707636bf666330303a313a323a333a313a636166653a63" +
    "6166653a636166312f313234ac697076365f67617465776179bb666330303a313a323a333a313a636166653a636166653a63616630af617574686f72697a65645f6b657973c0",
  "hex",
);
const RUN = Buffer.from(
  "81a573636f706586a474797065a468747470a470617468aa2f76312f6d6f64656c73a66d6574686f64a3474554ac71756572795f737472696e67a3613d31" +
    "a7686561646572739292c404686f7374c4017892c406616363657074c4032a2f2aa4626f6479c400",
  "hex",
);
const ANSWER = Buffer.from(
  "84a76865616465727382a7686561646572739192c40c636f6e74656e742d74797065c4106170706c69636174696f6e2f6a736f6ea6737461747573ccc8" +
    "a4626f647981a4626f6479c4027b7da66f7574707574a0ab6f75747075745f64617461c0",
  "hex",
);

const configuration: Configuration = {
  interface: "executable",
  vmHash: CAFE,
  encoding: "squashfs",
  entrypoint: "run.sh",
  volumes: [{ mount: "/opt/code", device: "vdb", readOnly: true }],
  variables: { A: "1" },
};
const network = {
  ip: "172.16.4.2",
  route: "172.16.4.1",
  dnsServers: ["1.1.1.1"],
  ipv6: "fc00:1:2:3:1:cafe:cafe:caf1/124",
  ipv6Gateway: "fc00:1:2:3:1:cafe:cafe:caf0",
};
const request = {
  method: "GET",
  path: "/v1/models",
  queryString: "a=1",
  headers: [
    ["host", "x"],
    ["accept", "*/*"],
  ],
  body: new Uint8Array(0),
} as const;
const answer = { status: 200, headers: [["content-type", "application/json"]], body: Buffer.from("{}") } as const;

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

test("the ready message, setup answers, requests and answers are the recorded bytes", () => {
  assert.equal(hex(READY), "81a776657273696f6ea5322e302e30");
  assert.equal(hex(encodeSetupAnswer({ success: true })), "81a773756363657373c3");
  assert.equal(hex(encodeRunRequest(request)), hex(RUN));
  assert.equal(hex(encodeAnswer(answer)), hex(ANSWER));
});

test("a configuration is the recorded bytes with their length in front, in both versions", () => {
  assert.equal(CONFIGURATION_2.length, 361);
  assert.equal(hex(encodeConfiguration(configuration, network)), hex(Buffer.from("361\n")) + hex(CONFIGURATION_2));
  const first = encodeConfiguration(configuration, network, 1);
  assert.equal(first.toString("latin1", 0, 4), "266\n");
  assert.equal(first[4], 0x8b);
  // Version 1 is version 2 without its last three keys.
  assert.equal(hex(first.subarray(5)), hex(CONFIGURATION_2.subarray(1, 266)));
});

test("recorded bytes are read: both configurations, requests, answers, setup answers", () => {
  assert.deepEqual(parseConfiguration(CONFIGURATION_2), configuration);
  const first = encodeConfiguration(configuration, network, 1);
  assert.deepEqual(parseConfiguration(first.subarray(4)), configuration);
  const { body, ...read } = parseRunRequest(RUN);
  const { body: _empty, ...expected } = request;
  assert.deepEqual({ ...read, bytes: body.byteLength }, { ...expected, bytes: 0 });
  const parsed = parseAnswer(ANSWER);
  assert.ok("status" in parsed);
  assert.deepEqual({ ...parsed, body: hex(parsed.body) }, { ...answer, body: "7b7d" });
  assert.deepEqual(parseSetupAnswer(Buffer.from("81a773756363657373c3", "hex")), { success: true });
  const refusal = encodeSetupAnswer({ success: false, error: "no vdb" });
  assert.deepEqual(parseSetupAnswer(refusal), { success: false, error: "no vdb" });
});

test("a configuration with nil for variables, unknown keys and inline code is read", () => {
  const text = CONFIGURATION_2.toString("latin1")
    .replace("variables\x81\xa1A\xa11", "variables\xc0")
    .replace("\xafauthorized_keys\xc0", "\xa3new\x90");
  const read = parseConfiguration(Buffer.from(text, "latin1"));
  assert.deepEqual(read, { ...configuration, variables: {} });
});

test("the protocol's error is a traceback, and an answer of other types is told from bytes that are no msgpack", () => {
  const failure = Buffer.from("83a56572726f72a165a974726163656261636ba174a66f7574707574c0", "hex");
  assert.deepEqual(parseAnswer(failure), { traceback: "t" });
  const withText = Buffer.from(ANSWER.toString("latin1").replace("\xc4\x0ccontent-type", "\xaccontent-type"), "latin1");
  assert.throws(() => parseAnswer(withText), WrongAnswer);
  for (const bytes of [ANSWER.subarray(0, -1), Buffer.concat([ANSWER, Buffer.of(0xc0)]), Buffer.from("hello")]) {
    assert.throws(
      () => parseAnswer(bytes),
      (error) => error instanceof ProtocolError && !(error instanceof WrongAnswer),
    );
  }
});

test("header bytes arrive as they were; an answer's become UTF-8", () => {
  const latin = { ...request, headers: [["x-name", "caf\xe9 \xff"]] } as const;
  assert.deepEqual(parseRunRequest(encodeRunRequest(latin)).headers, latin.headers);
  const utf8 = Buffer.from("é").toString("latin1");
  const read = parseAnswer(
    encodeAnswer({
      ...answer,
      headers: [
        ["x-a", utf8],
        ["x-b", "\xe9"],
      ],
    }),
  );
  assert.ok("headers" in read);
  assert.deepEqual(read.headers, [
    ["x-a", utf8],
    ["x-b", utf8],
  ]);
});

test("an object's end is found wherever it is cut, for every type of msgpack", () => {
  const all = Buffer.from(
    [
      "dc0023", // an array of 35
      "00 7f e0 ff c0 c2 c3 ca00000000 cb0000000000000000 cc00 cd0000 ce00000000 cf0000000000000000",
      "d000 d10000 d200000000 d30000000000000000 d40000 d5000000 d60000000000 d7000000000000000000",
      `d8${"00".repeat(17)} a161 d90161 da000161 db0000000161 c40161 c5000161 c60000000161 c7010061 c800010061`,
      "c90000000100 61 9101 81a16101 de0001a16101",
    ]
      .join("")
      .replaceAll(" ", ""),
    "hex",
  );
  for (let cut = 0; cut < all.length; cut += 1) {
    const object = new ObjectBuffer(1000);
    assert.equal(object.push(all.subarray(0, cut)), false, `whole after ${cut} of ${all.length} bytes`);
    assert.equal(object.push(all.subarray(cut)), true, `cut at ${cut}`);
  }
  const bytewise = new ObjectBuffer(1000);
  const outcomes = Array.from(all, (byte) => bytewise.push(Buffer.of(byte)));
  assert.deepEqual(outcomes.indexOf(true), all.length - 1);
  for (const wide of ["dd00000001 00", "df0000000100 00"]) {
    assert.equal(new ObjectBuffer(100).push(Buffer.from(wide.replaceAll(" ", ""), "hex")), true);
  }
});

test("what announces more than the limit is refused before it comes", () => {
  for (const head of ["c6ffffffff", "dbffffffff", "ddffffffff", "dfffffffff", "c9ffffffff00", "dcffff"]) {
    assert.throws(() => new ObjectBuffer(60_000).push(Buffer.from(head, "hex")), { isTooLarge: true }, head);
  }
  assert.throws(() => new ObjectBuffer(100).push(Buffer.from("c1", "hex")), { isTooLarge: false });
  const nested = new ObjectBuffer(100_000);
  assert.equal(nested.push(Buffer.alloc(99_000, 0x91)), false);
});
