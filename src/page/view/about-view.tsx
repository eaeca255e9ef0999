import type { ComponentChildren } from "preact";

import { itemHashOf, pageAddress } from "../address.ts";
import type { About } from "../api.ts";
import { CodeBlock } from "./code-block.tsx";
import { CopyButton } from "./copy-button.tsx";

export function AboutView({ about }: { about: About | undefined }) {
  const itemHash = itemHashOf(location);
  const model = about?.model ?? undefined;
  const volumes = about?.volumes ?? [];
  const models = volumes.filter(({ kind }) => kind === "model").length;
  return (
    <section class="prose" aria-labelledby="about-title">
      <h2 id="about-title">What is this</h2>
      <p>
        A language model and an OpenAI-compatible server, packed as immutable images and published as a program. The
        hash in its URL commits to the exact code and the exact weights.
      </p>
      <dl class="facts">
        <Fact name="Model">{model?.id ?? "still loading"}</Fact>
        {model !== undefined && (
          <>
            <Fact name="Licence">{model.licence ?? "not stated"}</Fact>
            <Fact name="Quantization">{model.quantization}</Fact>
            <Fact name="Context length">
              {model.context_length.toLocaleString("en")} tokens
              {model.trained_context_length > model.context_length &&
                `, trained for ${model.trained_context_length.toLocaleString("en")}`}
            </Fact>
            <Fact name="Size">
              {bytesText(model.bytes)}, {countText(model.parameters)} parameters
            </Fact>
            <Fact name="File">{model.file_name}</Fact>
            <Fact name="At once">
              {model.slots} {model.slots === 1 ? "request" : "requests"}
            </Fact>
          </>
        )}
      </dl>
      <h3>What the hashes prove</h3>
      {itemHash === undefined && volumes.length === 0 && (
        <p>
          This server was started by hand, not as a published program: nothing here can be verified, and there is no
          hash to verify it with.
        </p>
      )}
      <dl class="hashes">
        {itemHash !== undefined && (
          <Hash name="Item hash" value={itemHash}>
            Names the signed PROGRAM message. It commits to the message's every word: which runtime, code and model
            volumes are mounted, and the hashes below. Change one byte, and the URL is another.
          </Hash>
        )}
        {volumes.map(({ kind, sha256 }, at) =>
          kind === "code" ? (
            <Hash key={sha256} name="Code volume, sha256" value={sha256}>
              The image of the server that answers you, this page included. Anybody can build it from the source and
              gets the same bytes.
            </Hash>
          ) : (
            <Hash
              key={sha256}
              name={`Model volume${models > 1 ? ` ${at - volumes.length + models + 1}` : ""}, sha256`}
              value={sha256}
            >
              The image of the model file. Anybody can pack the published weights and gets the same bytes.
            </Hash>
          ),
        )}
      </dl>
      {volumes.length > 0 && (
        <>
          <h3>Verify it yourself</h3>
          <p>
            The server's word is not proof. In a checkout of the source, this walks from the URL to the signed messages
            and the files that they pin, builds the same images again, and compares:
          </p>
          <CodeBlock text={`npx pinference verify ${pageAddress(location)}`} language="bash" />
        </>
      )}
      <h3>Who can read what you write</h3>
      <p>
        Whoever operates the machine that runs this program can read its memory, prompts included. The program itself
        keeps nothing, and the page keeps chats in this browser only.
      </p>
      <p class="hint">
        <a href="about.json">These facts as JSON</a> ·{" "}
        <a href={document.body.dataset["licences"] ?? ""}>licences of this page's libraries</a>
      </p>
    </section>
  );
}

function Fact({ name, children }: { name: string; children: ComponentChildren }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}

function Hash({ name, value, children }: { name: string; value: string; children: ComponentChildren }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>
        <code class="hash">{value}</code> <CopyButton text={value} label={`Copy ${name}`} />
        <p>{children}</p>
      </dd>
    </div>
  );
}

function bytesText(bytes: number): string {
  if (bytes >= 1e9) return `${(bytes / 1e9).toFixed(2)} GB`;
  return bytes >= 1e6 ? `${(bytes / 1e6).toFixed(1)} MB` : `${Math.ceil(bytes / 1e3)} kB`;
}

function countText(count: number): string {
  if (count >= 1e9) return `${(count / 1e9).toFixed(1)} billion`;
  return count >= 1e6 ? `${(count / 1e6).toFixed(1)} million` : count.toLocaleString("en");
}
