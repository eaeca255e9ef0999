/** Plays the whole story on a local node and writes docs/transcript.md: `npm run story`. Takes a minute or two. */
import { writeFileSync } from "node:fs";

import { VM_PACKAGES } from "../test/support/vm-packages.ts";
import { playTranscript, TRANSCRIPT } from "./story/transcript.ts";

writeFileSync(TRANSCRIPT, await playTranscript(VM_PACKAGES));
console.log(`wrote ${TRANSCRIPT}`);
