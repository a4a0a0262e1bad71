// One turn of a task and one plain question, asked by the OpenAI SDK that Roo Code ships with, with Roo's own headers
// and bodies. Prints what its loop would read, or the error, and how many requests were sent.
import OpenAI from 'openai-5';

const [model, task, text] = process.argv.slice(2);
let requests = 0;
const client = new OpenAI({
  baseURL: process.env.OPENAI_BASE_URL.replace(/\/v1$/, '/proxy/v1'),
  apiKey: process.env.OPENAI_API_KEY,
  defaultHeaders: {
    'HTTP-Referer': 'https://github.com/RooVetGit/Roo-Cline',
    'X-Title': 'Roo Code',
    'User-Agent': 'RooCode/3.52.1',
  },
  fetch: (...given) => (requests++, fetch(...given)),
});
const parameters = { type: 'object', properties: { path: { type: 'string' } }, required: ['path'], additionalProperties: false };
const read = { type: 'function', function: { name: 'read_file', description: 'Read', strict: true, parameters } };

try {
  const stream = await client.chat.completions.create(
    {
      model,
      max_tokens: 800,
      temperature: 0,
      messages: [
        { role: 'system', content: 'You are Roo.' },
        { role: 'user', content: [{ type: 'text', text }] },
      ],
      stream: true,
      stream_options: { include_usage: true },
      reasoning: { enabled: true, effort: 'medium' },
      tools: [read],
      tool_choice: 'auto',
    },
    { headers: { 'X-Roo-App-Version': '3.52.1', 'X-Roo-Task-ID': task } },
  );
  let said = '';
  const calls = [];
  let usage;
  let finish;
  for await (const chunk of stream) {
    const delta = chunk.choices[0]?.delta; // as the extension does: a chunk without `choices` would throw here
    finish = chunk.choices[0]?.finish_reason ?? finish;
    said += delta?.content ?? '';
    for (const call of delta?.tool_calls ?? []) {
      calls[call.index] ??= { id: call.id, name: '', arguments: '' };
      calls[call.index].name += call.function?.name ?? '';
      calls[call.index].arguments += call.function?.arguments ?? '';
    }
    usage = chunk.usage ?? usage;
  }
  const plain = await client.chat.completions.create({ model, messages: [{ role: 'user', content: text }] });
  print({ said, calls, usage, finish, plain: plain.choices[0].message.content, requests });
} catch (error) {
  if (!(error instanceof OpenAI.APIError)) throw error;
  print({ error: { status: error.status, code: error.code, message: error.message }, requests });
}

function print(document) {
  console.log(JSON.stringify(document));
}
