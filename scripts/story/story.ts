/** The story: a model from a hub to an address, checked, tampered with, changed, and taken off again. */
import { readFileSync, writeFileSync } from "node:fs";

import { flipOneBit } from "../../test/support/tamper.ts";
import type { Rehearsal, Scene } from "./rehearsal.ts";

export interface Chapter {
  readonly title: string;
  readonly text: string;
  readonly scenes: readonly Scene[];
}

const MODEL = "tiny-chat";
const REFERENCE = "hf:pinference/rehearsal/Tiny-Chat.Q8_0.gguf";
const SOMETHING = 4;
/** Whose key is CI's, here nobody's. */
const CI_ADDRESS = `0x${"c1".repeat(20)}`;

/** Errors: where a command ends otherwise than the story says, or does not say what it should. */
export async function tellStory(stage: Rehearsal): Promise<readonly Chapter[]> {
  const lockfile = stage.lockfileOptions;
  const chapters: Chapter[] = [];
  const tell = (title: string, text: string, ...scenes: readonly Scene[]) =>
    void chapters.push({ title, text, scenes });

  tell(
    "A network to practise on",
    "It checks what the network checks, and stays in this terminal. The commands below are typed in another one, with " +
      "`export ALEPH_API_SERVER=http://127.0.0.1:4021`; without that they speak to the real network.",
    await stage.startNode(),
  );

  tell(
    "Add a model",
    "From the hub come the file's size, its sha256, the revision and the licence; of the model itself only the header " +
      "is read, which tells what it takes to run.",
    await play(["model", "add", REFERENCE, "--id", MODEL], 0, /added to /),
  );

  tell(
    "Plan",
    "What would be sent and what it would cost. Nothing is sent yet; the exit code 4 says that there is something to do.",
    await play(["plan", MODEL, ...lockfile], SOMETHING, /publish \(it was never published\)/),
  );

  const deployed = await play(["deploy", MODEL, "--yes", ...lockfile], 0, /answers\s+"This is a test\."/);
  const first = stage.locked(MODEL);
  stage.name(first.itemHash, "<PROGRAM>");
  tell(
    "Deploy",
    "Download, pack, pin, publish, start, ask. Without `--yes` it shows the plan and asks.",
    deployed,
    await play(["plan", MODEL, ...lockfile], 0, /nothing to do/),
  );

  tell(
    "Talk to it",
    "At the address that the hash names, with any client of OpenAI's API, or with this:",
    await play(["chat", `${first.url}/`], 0, /This is a test/, "Say this is a test\n"),
  );

  tell("How it fares", "", await play(["status", ...lockfile], 0, /warm, answered in/));

  tell(
    "Verify",
    "Anybody can do this, without a key: from the address to the messages, from those to the files, and from the files " +
      "to this source tree and the model file, from which all three are built again.",
    await play(["verify", `${first.url}/v1`], 0, /verified/),
  );

  for (const [name, path] of [
    ["runtime", stage.fileOf(first.runtime.fileHash)],
    ["code volume", stage.fileOf(first.code.fileHash)],
    ["model volume", stage.fileOf(first.volumes[0]?.fileHash ?? "")],
  ] as const) {
    flipOneBit(path);
    const wrong = new RegExp(`^  WRONG +${name}  `, "m");
    const found = await play(["verify", `${first.url}/v1`, "--shallow"], SOMETHING, wrong);
    flipOneBit(path);
    tell(
      `One bit of the ${name} is changed`,
      `In the file that the network keeps. \`--shallow\` builds nothing again: the file's name is its hash.`,
      onlyWrong(found),
    );
  }

  await stage.stopNode();
  const journal = readFileSync(stage.messagesPath, "utf8");
  writeFileSync(stage.messagesPath, withOtherMemory(journal));
  await stage.startNode();
  const lied = await play(["verify", first.itemHash, "--shallow"], SOMETHING, /WRONG +PROGRAM message/);
  await stage.stopNode();
  writeFileSync(stage.messagesPath, journal);
  await stage.startNode();
  tell(
    "One digit of the PROGRAM message is changed",
    "The node was stopped, the memory that the program gets was changed in what it keeps, and it was started again.",
    onlyWrong(lied),
    await play(["verify", first.itemHash, "--shallow"], 0, /verified/, undefined, onlyWrong),
  );

  tell(
    "Let CI publish",
    "With a key of its own, which has no funds and may send STORE and PROGRAM messages in the owner's name, nothing else.",
    await play(["keys", "authorize", CI_ADDRESS, "--yes", ...lockfile], 0, /granted/),
    await play(["keys", "authorize", CI_ADDRESS, "--revoke", "--yes", ...lockfile], 0, /revoked/),
  );

  const changed = await play(["deploy", MODEL, "--slots", "2", "--yes", "--no-start", ...lockfile], 0, /published/);
  stage.name(stage.locked(MODEL).itemHash, "<second PROGRAM>");
  tell(
    "A change is another address",
    "Two requests at a time instead of one: another program, of the same files, with a hash of its own. The first one " +
      "stays as it was, and costs, until it is forgotten.",
    changed,
    await play(["plan", MODEL, "--slots", "2", ...lockfile], 0, /earlier program/),
    await play(["forget", MODEL, "--previous", "--yes", ...lockfile], 0, /is forgotten: 1 program/),
  );

  tell(
    "Forget",
    "The program, then the files that no other program uses.",
    await play(["forget", MODEL, "--yes", ...lockfile], 0, /is forgotten: 1 program\./),
    await play(["status", ...lockfile], 0, /0 an hour/),
  );
  return chapters.map((chapter) => ({ ...chapter, scenes: chapter.scenes.map((scene) => stage.named(scene)) }));

  async function play(
    args: readonly string[],
    code: number,
    says: RegExp,
    input?: string,
    cut: (scene: Scene) => Scene = (scene) => scene,
  ): Promise<Scene> {
    const at = args.indexOf("--lockfile");
    const shown = at < 0 ? args : args.slice(0, at);
    const scene = await stage.run(shown, at < 0 ? [] : args.slice(at), input);
    if (scene.code !== code || !says.test(scene.output)) {
      throw new Error(`${scene.command} ended with ${scene.code}, not as ${code} with ${says}:\n${scene.output}`);
    }
    return cut(scene);
  }
}

/** What is well is left out, as one line says. */
function onlyWrong(scene: Scene): Scene {
  const lines = scene.output.split("\n");
  const good = lines.filter((line) => line.startsWith("  ok "));
  const kept = lines.filter((line) => !line.startsWith("  ok "));
  return { ...scene, output: [`  (${good.length} lines that say ok)`, ...kept].join("\n") };
}

/** Of the PROGRAM, wherever the node's journal says it. */
function withOtherMemory(journal: string): string {
  const changed = journal.replaceAll(
    /(\\"memory\\":)(\d)/g,
    (_, key: string, digit: string) => `${key}${(Number(digit) % 9) + 1}`,
  );
  if (changed === journal) throw new Error("no PROGRAM message is in the journal");
  return changed;
}
