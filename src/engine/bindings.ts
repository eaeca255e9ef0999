import { CodedError } from "../domain/errors.ts";
import { openNative, type Native } from "./native.ts";

/** `addon`: the library's own classes, of one version; `public`: what it promises to keep, slower and without grammars. */
export type Bindings = "addon" | "public";

/** Errors: `model_load_failed` where the library does not run here, or is not there. */
export async function openBindings(bindings: Bindings): Promise<Native> {
  return bindings === "addon" ? openNative() : (await loadPublic()).openPublicNative();
}

async function loadPublic(): Promise<{ openPublicNative(): Promise<Native> }> {
  try {
    return await import("./public-native.ts");
  } catch (cause) {
    throw new CodedError(
      "model_load_failed",
      "PINFERENCE_BINDINGS=public needs node-llama-cpp as a whole, which an npm installation has; " +
        "a code volume holds its addon only, so leave the variable out",
      { cause },
    );
  }
}
