import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";

import { curlLine } from "../../deploy/stages/first-answer.ts";

test(
  "the curl line survives a shell, whatever the model is called",
  { skip: process.platform === "win32" && "needs a POSIX shell" },
  () => {
    for (const model of ["tiny", 'it\'s $HOME `x` \\ "q"']) {
      const line = curlLine("http://127.0.0.1:1/vm/x/v1", model).replace(/^curl /, "printf '%s\\n' ");
      const [address, flag, header, data, body = ""] = execFileSync("/bin/sh", ["-c", line], {
        encoding: "utf8",
      }).split("\n");
      assert.equal(address, "http://127.0.0.1:1/vm/x/v1/chat/completions");
      assert.deepEqual([flag, header, data], ["-H", "content-type: application/json", "-d"]);
      assert.equal((JSON.parse(body) as { model: string }).model, model);
    }
  },
);
