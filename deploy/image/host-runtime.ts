import { FILE_MODE, planImage, type ImagePlan } from "./plan.ts";

const NOTE = `This image holds no operating system.

Programs of the local node's "process" backend run as processes of the machine that the node runs on, with that
machine's own Node.js. Their PROGRAM message has to name a runtime all the same, and it names this one. A program
that refers to it cannot boot as a virtual machine.
`;

/** What stands where a virtual machine's runtime would. */
export function planHostRuntime(): ImagePlan {
  return planImage([{ path: "README", mode: FILE_MODE, content: { kind: "bytes", content: Buffer.from(NOTE) } }]);
}
