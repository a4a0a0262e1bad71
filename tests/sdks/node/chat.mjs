// Ask `MODEL` one question and print the answer, or the error that the SDK made of it.
import OpenAI from 'openai';

const [model, content] = process.argv.slice(2);
const client = new OpenAI();

try {
  const asked = client.chat.completions.create({ model, messages: [{ role: 'user', content }] });
  const { data, response } = await asked.withResponse();
  print({ answer: data, generation: response.headers.get('x-generation-id') });
} catch (error) {
  if (!(error instanceof OpenAI.APIError)) throw error;
  const { status, type, message, error: body } = error;
  print({ error: { name: error.constructor.name, status, type, message, metadata: body?.metadata } });
}

function print(document) {
  console.log(JSON.stringify(document));
}
