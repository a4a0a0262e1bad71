// Stream one answer of `MODEL` and print every chunk; with a third word, ask for usage.
import OpenAI from 'openai';

const [model, content, usage] = process.argv.slice(2);
const client = new OpenAI();

const stream = await client.chat.completions.create({
  model,
  messages: [{ role: 'user', content }],
  stream: true,
  ...(usage && { stream_options: { include_usage: true } }),
});
const chunks = [];
for await (const chunk of stream) chunks.push(chunk);
console.log(JSON.stringify({ chunks }));
