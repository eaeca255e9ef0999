// Asks a deployed model one question with the `openai` package (npm install openai).
//
//     node examples/chat.mjs http://127.0.0.1:4020/vm/<item hash>/v1/
import OpenAI from "openai";

const client = new OpenAI({
  baseURL: process.argv[2],
  apiKey: "any", // programs are open unless their operator set keys
});

const stream = await client.chat.completions.create({
  model: "openhermes-2.5",
  messages: [{ role: "user", content: "Say this is a test" }],
  max_tokens: 128,
  stream: true,
});

for await (const chunk of stream) process.stdout.write(chunk.choices[0]?.delta.content ?? "");
process.stdout.write("\n");
