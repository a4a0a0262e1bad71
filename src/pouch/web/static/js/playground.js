// The playground: the answer streams in, with its cost beside it. All is written as text; the words stand in the page.
const form = document.querySelector("[data-playground]");
const part = (name) => document.querySelector(`[data-part="${name}"]`);
const put = (name, text) => { part(name).textContent = text; };
const only = (...states) => {
  for (const each of document.querySelectorAll("[data-state]")) each.hidden = !states.includes(each.dataset.state);
};
const bytes = (text) => new TextEncoder().encode(text).length;
// At least two decimals and at most `places`, without idle zeros.
const dollars = (amount, places) => `$${Number(amount).toFixed(places).replace(/(\.\d\d\d*?)0+$/, "$1")}`;
const cost = (amount, places, about = "") => (amount ? about + dollars(amount, places) : part("cost").dataset.free);
let calls = 0, running;

async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  for (let rest = "", next; !(next = await reader.read()).done; ) {
    const whole = (rest + next.value).split("\n\n");
    rest = whole.pop();
    for (const event of whole) if (event.startsWith("data: {")) yield JSON.parse(event.slice(6));
  }
}

function refuse({ error, detail }) {
  const budget = error?.metadata;
  part("answer").hidden = part("figures").hidden = true;
  if (budget?.limit_source !== "credits") return refused(error?.message ?? detail);
  put("needed", dollars(budget.required_usd, 6));
  put("has", dollars(budget.available_usd, 6));
  only("no-credits");
}

function refused(text) {
  put("refusal", text);
  only("refused");
}

async function ask(signal) {
  const { model, prompt, max_tokens: longest, attempt } = form.elements;
  const content = prompt.value.trim(), prices = model.selectedOptions[0].dataset;
  const response = await fetch("/api/try", {
    method: "POST",
    signal,
    headers: { "content-type": "application/json", "idempotency-key": `${attempt.value}.${calls += 1}` },
    body: JSON.stringify({
      model: model.value,
      messages: [{ role: "user", content }],
      max_tokens: Number(longest.value),
      stream: true,
      stream_options: { include_usage: true },
    }),
  });
  if (!response.ok) return refuse(await response.json());
  const inward = bytes(content) / 4;
  let outward = 0, usage;
  for await (const chunk of events(response.body)) {
    if (chunk.error) return refused(chunk.error.message);
    const text = chunk.choices[0]?.delta?.content ?? "";
    part("answer").append(text);
    outward += bytes(text) / 4;
    put("in", `~${Math.ceil(inward)}`);
    put("out", `~${Math.ceil(outward)}`);
    put("cost", cost((inward * prices.input + outward * prices.output) / 1e15, 6, "~"));
    usage = chunk.usage ?? usage;
  }
  if (!usage) throw new Error("cut");
  put("in", usage.prompt_tokens);
  put("out", usage.completion_tokens);
  put("cost", cost(usage.cost, 9));
  only();
}

form?.addEventListener("submit", async (event) => {
  event.preventDefault();
  if (running) return;
  running = new AbortController();
  const send = part("send"), stop = part("stop"), answer = part("answer");
  part("result").hidden = answer.hidden = part("figures").hidden = stop.hidden = false;
  if (document.activeElement === send) stop.focus();
  send.disabled = true;
  answer.ariaBusy = "true";
  put("answer", "");
  for (const name of ["in", "out", "cost"]) put(name, "–");
  only("busy");
  await ask(running.signal).catch(() => only(running.signal.aborted ? "stopped" : "lost"));
  answer.ariaBusy = "false";
  send.disabled = false;
  if (document.activeElement === stop) send.focus();
  stop.hidden = true;
  running = null;
  const { available } = await fetch("/api/try/balance").then((balance) => balance.json());
  for (const each of document.querySelectorAll("[data-balance]")) each.textContent = available;
});

part("stop")?.addEventListener("click", () => running?.abort());
form?.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
});
