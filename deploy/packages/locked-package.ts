/** A package of Debian's archive, named so exactly that its bytes are known. */
export interface LockedDebianPackage {
  readonly name: string;
  readonly version: string;
  readonly architecture: string;
  readonly bytes: number;
  readonly sha256: string;
}

/** A package of npm's registry. `integrity` is npm's own form: `sha512-` and base64. */
export interface LockedNpmPackage {
  readonly name: string;
  readonly version: string;
  readonly integrity: string;
}
