import assert from "node:assert/strict";
import { test } from "node:test";

import { AdaptiveP } from "../../../../src/engine/samplers/adaptive-p.ts";
import { findBreakers } from "../../../../src/engine/samplers/breakers.ts";
import { ListTooShort, type Candidates } from "../../../../src/engine/samplers/candidates.ts";
import { Dry } from "../../../../src/engine/samplers/dry.ts";
import { Mirostat } from "../../../../src/engine/samplers/mirostat.ts";
import { Penalties } from "../../../../src/engine/samplers/penalties.ts";
import { Random } from "../../../../src/engine/samplers/random.ts";
import { temperature } from "../../../../src/engine/samplers/temperature.ts";
import { minP, topK, topNSigma, topP, typicalP, xtc } from "../../../../src/engine/samplers/truncation.ts";
import { beginning, distributions, syntheticLogits, whole } from "./distributions.ts";
import * as reference from "./reference.ts";

const kept = (list: Candidates) => Array.from(list.tokens).sort((a, b) => a - b);

function near(actual: number, expected: number, tolerance = 1e-9): void {
  assert.ok(Math.abs(actual - expected) <= tolerance, `${actual} is not ${expected}`);
}

for (const [name, logits] of distributions) {
  const plain = [...logits];

  for (const p of [0.1, 0.5, 0.9, 0.99]) {
    for (const minKeep of [0, 7]) {
      test(`top-p ${p} with at least ${minKeep} keeps the nucleus of a ${name} distribution`, () => {
        const list = whole(logits);
        topP(list, p, minKeep);
        assert.deepEqual(kept(list), reference.nucleus(plain, p, minKeep));
      });
      test(`min-p ${p} with at least ${minKeep} keeps the likely of a ${name} distribution`, () => {
        const list = whole(logits);
        minP(list, p, minKeep);
        assert.deepEqual(kept(list), reference.minProbability(plain, p, minKeep));
      });
      test(`typical-p ${p} with at least ${minKeep} keeps the typical of a ${name} distribution`, () => {
        const list = whole(logits);
        typicalP(list, p, minKeep);
        assert.deepEqual(kept(list), reference.typical(plain, p, minKeep));
        assert.deepEqual(
          [...list.logits],
          [...list.logits].sort((a, b) => b - a),
        );
      });
    }
  }

  for (const n of [0.5, 1, 2]) {
    test(`top-n-sigma ${n} keeps what is near the best of a ${name} distribution`, () => {
      const list = whole(logits);
      topNSigma(list, n);
      assert.deepEqual(kept(list), reference.nSigma(plain, n));
    });
  }

  test(`the dynamic temperature of a ${name} distribution follows its entropy`, () => {
    for (const [value, range, exponent] of [
      [0.8, 0.5, 1],
      [1, 2, 0.5],
      [0.5, 0.5, 3],
    ] as const) {
      const list = whole(logits);
      temperature(list, value, range, exponent);
      if (plain.length === 1) assert.deepEqual([...list.logits], plain);
      else near(list.temperature, reference.dynamicTemperature(plain, value, range, exponent));
    }
  });

  test(`XTC drops all above the threshold but the last of a ${name} distribution, as often as asked`, () => {
    const above = reference.softmax(plain).filter((probability) => probability >= 0.01).length;
    const list = whole(logits);
    xtc(list, 0.5, 0.01, 0, 0.4);
    assert.equal(list.tokens[0], Math.max(0, above - 1));
    const spared = whole(logits);
    xtc(spared, 0.5, 0.01, 0, 0.6);
    assert.equal(spared.length, logits.length);
  });

  test(`adaptive-p draws from a ${name} distribution as its definition says`, () => {
    const random = new Random(5n);
    const sampler = new AdaptiveP(0.4, 0.8);
    let [weighted, total] = [0.4 / 0.2, 1 / 0.2];
    for (let step = 0; step < 20; step++) {
      const uniform = random.next();
      const expected = reference.adaptive(plain, 0.4, weighted / total);
      const index = sampler.choose(whole(logits), uniform);
      sampler.commit();
      const before = expected.slice(0, index).reduce((sum, probability) => sum + probability, 0);
      assert.ok(before - 1e-9 <= uniform && uniform <= before + expected[index]! + 1e-9);
      weighted = reference.softmax(plain)[index]! + 0.8 * weighted;
      total = 1 + 0.8 * total;
    }
  });

  test(`mirostat 1 keeps as many of a ${name} distribution as its formula says`, () => {
    for (const tau of [0.5, 2, 4]) {
      const list = whole(logits);
      new Mirostat({ version: 1, tau, eta: 0.1, vocabularySize: logits.length }).choose(list, 0);
      const rank = logits.length === 1 ? 1 : reference.mirostatRank(plain, 2 * tau, logits.length);
      assert.equal(list.length, Math.min(rank, logits.length));
    }
  });

  test(`mirostat 2 keeps those of a ${name} distribution whose surprise is at most mu`, () => {
    for (const tau of [0.5, 2, 4]) {
      const list = whole(logits);
      new Mirostat({ version: 2, tau, eta: 0.1, vocabularySize: logits.length }).choose(list, 0);
      const expected = reference.softmax(plain).filter((probability) => -Math.log2(probability) <= 2 * tau).length;
      assert.equal(list.length, Math.max(1, expected));
    }
  });
}

test("a list that is cut off gives what the whole one gives, or asks for more", () => {
  const chains: [number | undefined, (list: Candidates) => void][] = [
    [1, (list) => topP(list, 0.7, 0)],
    [1, (list) => topP(list, 0.7, 30)],
    [undefined, (list) => minP(list, 0.02, 0)],
    [undefined, (list) => topK(list, 50)],
    [1, (list) => xtc(list, 1, 0.05, 0, 0.5)],
    [1.5, (list) => temperature(list, 1.5, 0, 1)],
    [1, (list) => typicalP(list, 0.5, 0)],
    [undefined, (list) => topNSigma(list, 1)],
    [undefined, (list) => temperature(list, 1, 0.5, 1)],
    [undefined, (list) => new Penalties({ repeat: 3, presence: 2, frequency: 0, window: 9 }, [0, 2, 5]).apply(list)],
  ];
  let decided = 0;
  for (const [name, logits] of distributions) {
    for (const [massAt, apply] of chains) {
      for (let step = 0; step < 20; step++) {
        const uniform = (step + 0.5) / 20;
        const all = whole(logits);
        apply(all);
        const expected = all.tokens[all.draw(uniform)];
        const some = beginning(logits, 60, massAt);
        try {
          apply(some);
          assert.equal(some.tokens[some.draw(uniform)], expected, name);
          decided++;
        } catch (error) {
          assert.ok(error instanceof ListTooShort, String(error));
        }
      }
    }
  }
  assert.ok(decided > 400, `${decided} decided`);
});

test("the penalties follow the window over prompt and answer, and restore the order", () => {
  const options = { repeat: 1.5, presence: 0.25, frequency: 0.5, window: 4 };
  const penalties = new Penalties(options, [9, 9, 0, 1]);
  for (const token of [1, 3]) penalties.accept(token);
  const list = whole(Float64Array.of(3, 2, 1, -1));
  penalties.apply(list);
  const expected = new Map([
    [0, 3 / 1.5 - 0.75],
    [1, 2 / 1.5 - 2 * 0.5 - 0.25],
    [2, 1],
    [3, -1 * 1.5 - 0.75],
  ]);
  for (const [index, token] of list.tokens.entries()) near(list.logits[index]!, expected.get(token)!);
  assert.deepEqual([...list.tokens], [0, 2, 1, 3]);
});

test("DRY lowers what would go on with a repetition, as its definition says", () => {
  const random = new Random(11n);
  const logits = syntheticLogits(5, 1, 4n);
  const settings = { multiplier: 0.8, base: 1.75, allowed: 2 };
  for (let run = 0; run < 50; run++) {
    const breakers = new Map([[4, [[]]]]);
    const dry = new Dry({ multiplier: 0.8, base: 1.75, allowedLength: 2, window: 30, breakers });
    const answer = Array.from({ length: 40 }, () => Math.floor(random.next() * (run % 2 === 0 ? 3 : 5)));
    for (const token of answer) dry.accept(token);
    const list = whole(logits);
    dry.apply(list);
    const expected = reference.dryPenalties(answer.slice(-30), settings, new Set([4]));
    for (const [index, token] of list.tokens.entries()) {
      near(list.logits[index]!, logits[token]! - (expected.get(token) ?? 0));
    }
  }
});

test("a breaker is found in one token, or begun by one and completed by others", () => {
  const found = findBreakers(["a", "xab", "ab", "b", "zz"], ["ab"], (text) => [text.length]);
  assert.deepEqual(
    [...found],
    [
      [0, [[1]]],
      [1, [[]]],
      [2, [[]]],
    ],
  );
});

test("the temperature divides, and 0 leaves the best", () => {
  const list = whole(Float64Array.of(2, 1));
  temperature(list, 0.5, 0, 1);
  assert.deepEqual([...list.logits], [4, 2]);
  temperature(list, 0, 3, 1);
  assert.deepEqual([...list.tokens], [0]);
});

test("random numbers are uniform and repeat with their seed", () => {
  const [one, two] = [new Random(1n), new Random(1n)];
  const numbers = Array.from({ length: 4000 }, () => one.next());
  assert.deepEqual(
    Array.from({ length: 4000 }, () => two.next()),
    numbers,
  );
  near(numbers.reduce((sum, number) => sum + number, 0) / 4000, 0.5, 0.02);
  assert.notEqual(new Random(2n).next(), numbers[0]);
});

for (const version of [1, 2] as const) {
  for (const tau of [2, 4, 7]) {
    test(`mirostat ${version} holds the mean surprise at ${tau} bits on a vocabulary of 150k tokens`, () => {
      const rows = [2.2, 2.6, 3].map((spread, index) => syntheticLogits(150_000, spread, BigInt(20 + index)));
      const mirostat = new Mirostat({ version, tau, eta: 0.1, vocabularySize: 150_000 });
      const random = new Random(3n);
      let surprise = 0;
      const steps = 200;
      const [warmUp, tolerance] = [100, 0.25];
      for (let step = 0; step < steps + warmUp; step++) {
        const logits = rows[step % rows.length]!;
        const uniform = random.next();
        let list = beginning(logits, 4000, 1);
        let index: number;
        try {
          index = mirostat.choose(list, uniform);
        } catch (error) {
          if (!(error instanceof ListTooShort)) throw error;
          list = whole(logits);
          index = mirostat.choose(list, uniform);
        }
        mirostat.commit();
        if (step >= warmUp) surprise -= Math.log2(list.probabilities()[index]!) / steps;
      }
      near(surprise, tau, tolerance);
    });
  }
}
