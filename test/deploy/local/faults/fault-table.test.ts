import assert from "node:assert/strict";
import { test } from "node:test";

import { FAULTS, listFaults, parseFault } from "../../../../deploy/local/faults/fault-table.ts";
import { Faults } from "../../../../deploy/local/faults/faults.ts";

test("a fault is read with its argument, and how often it acts", () => {
  assert.deepEqual(parseFault("down"), { name: "down", argument: true, times: Infinity });
  assert.deepEqual(parseFault("reject-program:301*3"), { name: "reject-program", argument: 301, times: 3 });
  assert.deepEqual(parseFault("reject-store:-1"), { name: "reject-store", argument: -1, times: Infinity });
  assert.deepEqual(parseFault("crn:full*1"), { name: "crn", argument: "full", times: 1 });
});

for (const [text, says] of [
  ["broken", /there is no fault "broken"; `pinference node --help` lists them/],
  ["constructor", /there is no fault/],
  ["down*0", /there is no fault/],
  ["down:5", /takes no argument, got "5"/],
  ["api-status", /takes a number 400 to 599, as in api-status:400/],
  ["api-status:200", /takes a number 400 to 599/],
  ["crn:tired", /takes one of full, strict, .* as in crn:full/],
  ["reject-store:7", /takes one of .*504/],
] as const) {
  test(`the fault ${text} is refused, with what there is`, () => {
    assert.throws(() => parseFault(text), { code: "usage", message: says });
  });
}

test("a fault acts as often as was said, and never after it was cleared", () => {
  const faults = new Faults(["slow:5*2", "slow:7*1"]);
  assert.deepEqual(
    [1, 2, 3, 4].map(() => faults.take("slow")),
    [5, 5, 7, undefined],
  );
  faults.arm("down");
  assert.equal(faults.take("silent"), undefined);
  assert.equal(faults.take("down"), true);
  faults.clear();
  assert.equal(faults.take("down"), undefined);
});

test("the help has a line for each fault", () => {
  assert.equal(listFaults().length, Object.keys(FAULTS).length);
  assert.ok(listFaults().every(([written, help]) => written !== "" && help !== ""));
});
