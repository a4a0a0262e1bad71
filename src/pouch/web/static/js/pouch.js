// Everything here improves HTML that already works. No dependency, no build step; it is served without its comments.
const page = document, find = (what) => page.querySelector(what);

page.addEventListener("click", (event) => {
  // A link to a page that a dialog of this page replaces: <a href="/billing/buy" data-dialog="buy">.
  const dialog = find(`#${event.target.closest("a[data-dialog]")?.dataset.dialog}`);
  if (dialog && !(event.ctrlKey || event.metaKey || event.shiftKey)) {
    event.preventDefault();
    dialog.showModal();
  }
  // Browsers without invoker commands.
  const button = event.target.closest("[commandfor]");
  if (button && !button.command)
    find(`#${button.getAttribute("commandfor")}`)[button.matches("[command=close]") ? "close" : "showModal"]();
});

// What was typed is not lost when a page loads itself again, and whoever is on the way to another page is not called
// back. A download looks the same as going away: after ten seconds the page knows that it stayed.
let busy = 0;
page.oninput = () => busy++;
onbeforeunload = () => {
  busy++;
  setTimeout(() => busy--, 1e4);
};
const reload = () => (busy || find(":modal, :popover-open") ? setTimeout(reload, 2e3) : location.reload());

// A page about something that is still under way looks again. Without script, a refresh in its head does that.
const waiting = find("[data-reload-s]");
if (waiting) setTimeout(reload, 1000 * waiting.dataset.reloadS);

// A dialog that was opened from a menu cannot give the focus back to a menu that has closed: its button takes it.
page.addEventListener("close", ({ target }) => {
  const now = page.activeElement;
  if (now === page.body || target.contains(now)) find("#balance")?.focus();
}, true);

// Without a network nothing here changes any more, and nothing that is pressed arrives: say so.
const line = () => (find("[data-offline]").hidden = navigator.onLine);
ononline = onoffline = line;
line();

// One stream for all tabs: the visible tab that holds the lock listens, and tells the others. An event says how things
// are now; a list that was drawn of something else shows its link to the new one, or the page loads itself again.
const { events } = page.body.dataset;
if (events && navigator.locks) {
  const tabs = new BroadcastChannel(events);
  let asked, end, told = {};
  const show = (news) => {
    for (const name in news) {
      for (const part of page.querySelectorAll(`[data-${name}]`)) part.textContent = news[name];
      const list = find(`[data-fresh=${name}]`);
      if (list && list.dataset.seen !== news[name]) list.href ? (list.hidden = false) : reload();
    }
  };
  // A tab that has just opened asks for what the others were told while it was being drawn.
  tabs.onmessage = ({ data }) => (data ? show(data) : tabs.postMessage(told));
  tabs.postMessage(0);
  const listen = (done) => {
    const source = new EventSource(events);
    for (const name of ["balance", "purchases", "ledger", "calls"])
      source.addEventListener(name, ({ data }) => {
        told[name] = data;
        show(told);
        tabs.postMessage(told);
      });
    // The browser comes back by itself after a broken connection, but not after a refusal.
    source.onerror = () => source.readyState > 1 && setTimeout(attend, 6e4);
    end = () => done(source.close());
  };
  const attend = () => {
    end?.(told = {});
    if (!page.hidden) asked ||= navigator.locks.request(events, () => {
      asked = 0;
      return page.hidden || new Promise(listen);
    });
  };
  page.onvisibilitychange = attend;
  attend();
}
