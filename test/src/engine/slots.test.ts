import assert from "node:assert/strict";
import { test } from "node:test";

import {
  chooseSeat,
  createSlots,
  cutSlot,
  extendSlot,
  sharedPrefix,
  type SeatOptions,
  type Slot,
} from "../../../src/engine/slots.ts";

const range = (from: number, count: number) => Array.from({ length: count }, (_, index) => from + index);

function slots(...states: { tokens?: number[]; busy?: boolean; lastUsed?: number }[]): Slot<string>[] {
  return createSlots<string>(states.length).map((slot, index) => {
    const { tokens = [], busy = false, lastUsed = 0 } = states[index]!;
    return { ...slot, tokens, lastUsed, job: busy ? "job" : undefined };
  });
}
const seatOf = (all: Slot<string>[], prompt: number[], options: Partial<SeatOptions> = {}) => {
  const seat = chooseSeat(all, prompt, { reuse: true, wantedSlot: undefined, isExact: false, ...options });
  return seat === undefined ? undefined : { slot: seat.slot.id, source: seat.source?.id, shared: seat.shared };
};

test("the shared prefix is counted from the beginning", () => {
  assert.equal(sharedPrefix([1, 2, 3], [1, 2, 4, 3]), 2);
  assert.equal(sharedPrefix([], [1]), 0);
});

test("no free slot, no seat", () => {
  assert.equal(seatOf(slots({ busy: true }), [1, 2]), undefined);
});

test("a follow-up turn continues its own slot", () => {
  const all = slots({ tokens: range(500, 90), lastUsed: 1 }, { tokens: range(0, 100), lastUsed: 2 });
  assert.deepEqual(seatOf(all, range(0, 120)), { slot: 1, source: undefined, shared: 100 });
});

test("the same prompt leaves one token to evaluate", () => {
  assert.deepEqual(seatOf(slots({ tokens: range(0, 100) }), range(0, 100)), { slot: 0, source: undefined, shared: 99 });
});

test("another conversation under the same system prompt is copied from, not overwritten", () => {
  const all = slots({ tokens: [...range(0, 50), ...range(900, 200)], lastUsed: 5 }, { lastUsed: 1 });
  assert.deepEqual(seatOf(all, [...range(0, 50), 7]), { slot: 1, source: 0, shared: 50 });
});

test("a busy slot can be copied from", () => {
  const all = slots({ tokens: range(0, 60), busy: true }, {});
  assert.deepEqual(seatOf(all, [...range(0, 60), 7]), { slot: 1, source: 0, shared: 60 });
});

test("a short shared prefix is not worth a copy", () => {
  const all = slots({ tokens: range(0, 60), busy: true }, {});
  assert.deepEqual(seatOf(all, [...range(0, 10), 7]), { slot: 1, source: undefined, shared: 0 });
});

test("without anything shared, the least recently used free slot is taken", () => {
  const all = slots({ tokens: [9, 9], lastUsed: 3 }, { tokens: [8, 8], lastUsed: 1 }, { tokens: [7, 7], lastUsed: 2 });
  assert.deepEqual(seatOf(all, [1, 2, 3]), { slot: 1, source: undefined, shared: 0 });
});

test("a wanted slot is taken where it is free, and gets what another one holds", () => {
  const all = slots({ tokens: range(0, 100), lastUsed: 1 }, { tokens: [9], lastUsed: 9 }, { busy: true });
  assert.deepEqual(seatOf(all, range(0, 120), { wantedSlot: 1 }), { slot: 1, source: 0, shared: 100 });
  assert.deepEqual(seatOf(all, range(0, 120), { wantedSlot: 2 }), { slot: 0, source: undefined, shared: 100 });
  assert.deepEqual(seatOf(all, [1], { wantedSlot: 1 }), { slot: 1, source: undefined, shared: 0 });
});

test("nothing is reused where that is not wanted", () => {
  const all = slots({ tokens: range(0, 100) });
  assert.deepEqual(seatOf(all, range(0, 120), { reuse: false }), { slot: 0, source: undefined, shared: 0 });
});

test("a slot beside a busy one is taken first: neighbours are computed together", () => {
  const all = slots({ lastUsed: 1 }, { lastUsed: 3 }, { busy: true }, { lastUsed: 2 });
  assert.equal(seatOf(all, [1, 2])?.slot, 3);
});

test("exact reuse takes only what was evaluated as the prompt's beginning would be", () => {
  const [slot] = slots({});
  extendSlot(slot!, Uint32Array.from(range(0, 100)));
  extendSlot(slot!, Uint32Array.from(range(100, 30)));
  const exact = { isExact: true };
  assert.equal(seatOf([slot!], range(0, 300), exact)?.shared, 100);
  assert.equal(seatOf([slot!], range(0, 120), exact)?.shared, 56);
  assert.equal(seatOf([slot!], range(0, 40), exact)?.shared, 0);
  const [short] = slots({});
  for (const token of range(0, 50)) extendSlot(short!, Uint32Array.of(token));
  assert.equal(seatOf([short!], range(0, 60), exact)?.shared, 50);
  assert.equal(seatOf([short!], range(0, 80), exact)?.shared, 0);
  cutSlot(slot!, 64);
  assert.equal(seatOf([slot!], range(0, 300), exact)?.shared, 64);
});
