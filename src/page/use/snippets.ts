/** Code to call this very URL. Pure. */

export interface Endpoint {
  /** With a slash at its end. */
  readonly baseUrl: string;
  readonly model: string;
  readonly requiresKey: boolean;
}

export interface Snippet {
  readonly name: string;
  readonly language: string;
  readonly install: string | undefined;
  readonly code: string;
}

const QUESTION = "Say this is a test";

export function snippetsFor({ baseUrl, model, requiresKey }: Endpoint): readonly Snippet[] {
  return [
    {
      name: "Python",
      language: "python",
      install: "pip install openai",
      code: `import openai

client = openai.OpenAI(
    base_url=${text(baseUrl)},
    api_key=${requiresKey ? text("YOUR_KEY") : text("any")},
)
stream = client.chat.completions.create(
    model=${text(model)},
    messages=[{"role": "user", "content": ${text(QUESTION)}}],
    max_tokens=128,
    stream=True,
)
for chunk in stream:
    if chunk.choices:
        print(chunk.choices[0].delta.content or "", end="", flush=True)
`,
    },
    {
      name: "JavaScript",
      language: "javascript",
      install: "npm install openai",
      code: `import OpenAI from "openai";

const client = new OpenAI({
  baseURL: ${text(baseUrl)},
  apiKey: ${requiresKey ? text("YOUR_KEY") : text("any")},
});
const stream = await client.chat.completions.create({
  model: ${text(model)},
  messages: [{ role: "user", content: ${text(QUESTION)} }],
  max_tokens: 128,
  stream: true,
});
for await (const chunk of stream) process.stdout.write(chunk.choices[0]?.delta.content ?? "");
`,
    },
    {
      name: "curl",
      language: "bash",
      install: undefined,
      code: `curl ${quoted(`${baseUrl}chat/completions`)} \\
  -H 'Content-Type: application/json' \\
${requiresKey ? "  -H 'Authorization: Bearer YOUR_KEY' \\\n" : ""}  -d ${quoted(body(model))}
`,
    },
  ];
}

function body(model: string): string {
  return JSON.stringify({ model, messages: [{ role: "user", content: QUESTION }], max_tokens: 128 });
}

/**
 * A literal of JavaScript and of Python alike: a JSON string in ASCII, where pairs of surrogates, which Python does not
 * join, are written out.
 */
function text(value: string): string {
  return JSON.stringify(value).replaceAll(/[\u007f-\u{ffff}]/gu, (character) => {
    return `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
  });
}

/** One word for any shell. */
function quoted(value: string): string {
  return `'${value.replaceAll("'", String.raw`'\''`)}'`;
}
