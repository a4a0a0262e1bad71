// Let `MODEL` work with two tools on files in memory until it ends, by the SDK's own runner; with a second word, streamed.
import OpenAI from 'openai';

const [model, streamed] = process.argv.slice(2);
const client = new OpenAI();
const files = new Map();
const usages = [];

function tool(name, description, properties, work) {
  return {
    type: 'function',
    function: {
      name,
      description,
      parameters: { type: 'object', properties, required: Object.keys(properties) },
      parse: JSON.parse,
      function: work,
    },
  };
}

const text = { type: 'string' };
const runner = client.chat.completions.runTools({
  model,
  stream: Boolean(streamed),
  messages: [{ role: 'user', content: 'Write a program that greets.' }],
  tools: [
    tool('write_to_file', 'Write a file.', { path: text, content: text }, ({ path, content }) => {
      files.set(path, content);
      return `Wrote ${content.length} characters.`;
    }),
    tool('read_file', 'Read a file.', { path: text }, ({ path }) => files.get(path)),
  ],
});
runner.on('chatCompletion', (completion) => usages.push(completion.usage));
const last = await runner.finalContent();
console.log(JSON.stringify({ last, messages: runner.messages, files: Object.fromEntries(files), usages }));
