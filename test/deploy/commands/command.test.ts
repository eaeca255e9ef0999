import assert from "node:assert/strict";
import { test } from "node:test";

import { command, parseArguments } from "../../../deploy/commands/command.ts";

const pack = command({
  name: "pack",
  summary: "Pack things",
  positionals: { name: "THING", help: "what to pack" },
  options: {
    port: { type: "integer", value: "PORT", min: 0, max: 65_535, default: 4020, help: "a port" },
    slots: { type: "integer", value: "N", min: 1, max: 8, help: "seats" },
    "data-dir": { type: "string", value: "DIR", help: "a place" },
    open: { type: "boolean", help: "open it" },
  },
  run: () => Promise.resolve(),
});

const STANDARD = { port: 4020, slots: undefined, "data-dir": undefined, open: false, json: false, help: false };

const READ = [
  [[], {}, []],
  [["--port", "0"], { port: 0 }, []],
  [["--port=65535", "a", "b"], { port: 65_535 }, ["a", "b"]],
  [["a", "--open", "--json"], { open: true, json: true }, ["a"]],
  [["--data-dir", "/x", "--", "--open"], { "data-dir": "/x" }, ["--open"]],
  [["--slots", "8", "--slots", "2"], { slots: 2 }, []],
] as const;

for (const [args, values, positionals] of READ) {
  test(`\`pack ${args.join(" ")}\` is read`, () => {
    assert.deepEqual(parseArguments(pack, args), { values: { ...STANDARD, ...values }, positionals });
  });
}

const REFUSED = [
  [["--port", "65536"], /--port is a whole number from 0 to 65535, got "65536"/],
  [["--port", "-1"], /--port/],
  [["--port=1e3"], /got "1e3"/],
  [["--port=0x10"], /--port/],
  [["--port="], /--port/],
  [["--slots", "0"], /from 1 to 8/],
  [["--slots"], /^CodedError: --slots needs a value$/],
  [["--port", "--slots", "1"], /^CodedError: --port needs a value$/],
  [["--data-dir="], /--data-dir needs a value/],
  [["--prt", "1"], /^CodedError: there is no option --prt; did you mean --port\?$/],
  [["-x"], /^CodedError: there is no option -x; --help lists them$/],
  [["--open=yes"], /--open/],
] as const;

for (const [args, message] of REFUSED) {
  test(`\`pack ${args.join(" ")}\` is refused with the option's name`, () => {
    assert.throws(
      () => parseArguments(pack, args),
      (error: Error & { code?: string }) => {
        assert.equal(error.code, "usage");
        assert.match(String(error), message);
        return true;
      },
    );
  });
}
