// An open run: what happens is added to its timeline, its figures follow. Without script the page loads itself again.
const run = document.querySelector("[data-run-events]"), list = document.getElementById("timeline");
// Whoever is on the way to another page is not called back.
let leaving = false;
addEventListener("beforeunload", () => (leaving = true));

const add = ({ data, lastEventId }) => {
  const item = JSON.parse(data);
  if (!list || !item.icon) return;
  const line = document.getElementById("timeline-item").content.cloneNode(true);
  const put = (query, text, drop) => {
    const part = line.querySelector(query);
    if (text) part.textContent = text;
    else (drop ? part.closest(drop) : part).remove();
  };
  line.querySelector("time").dateTime = item.at;
  put("time", item.clock);
  put(".timeline__text", item.text || " ");
  put("code", item.code);
  put(".timeline__quote", item.quote, ".timeline__more");
  put(".output", item.output, ".timeline__more");
  const mark = line.querySelector(".timeline__mark");
  if (item.tone) mark.classList.add(`timeline__mark--${item.tone}`);
  mark.append(document.querySelector(`[data-icon="${item.icon}"]`).content.cloneNode(true));
  list.append(line);
};

const figures = ({ data }) => {
  const now = JSON.parse(data);
  for (const part of document.querySelectorAll("[data-run-figure]")) part.textContent = now.shown[part.dataset.runFigure];
  // Buttons and banners differ by state; a half-written message is not thrown away.
  if (now.state !== run.dataset.runNow) {
    const badge = document.querySelector("[data-run-state] .badge");
    badge.textContent = now.shown.state;
    badge.className = `badge badge--${now.shown.tone || "plain"}`;
    if (!document.getElementById("message")?.value && !document.querySelector(":modal, :popover-open"))
      setTimeout(() => leaving || location.reload(), 300);
    run.dataset.runNow = now.state;
  }
};

if (run) {
  const source = new EventSource(run.dataset.runEvents);
  const types = "message thought tool_call tool_output usage file_change setup_log test_result git notice egress_denied log state";
  for (const type of types.split(" ")) source.addEventListener(type, add);
  source.addEventListener("figures", figures);
  source.addEventListener("end", () => source.close());
}
