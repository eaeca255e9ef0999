import { CodedError } from "../../src/domain/errors.ts";

export function invalidImage(why: string): never {
  throw new CodedError("image_invalid", `the image is damaged: ${why}`);
}
