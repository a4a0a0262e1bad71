// The page that leads back to an editor: it opens it once, and looks whether the editor has come for its ticket.
const link = document.querySelector("[data-callback-url]");
const seen = "went:" + link.dataset.callbackUrl.length + link.dataset.callbackUrl.slice(-40);
if (!sessionStorage.getItem(seen)) {
  sessionStorage.setItem(seen, "1");
  location.href = link.dataset.callbackUrl;
}
setInterval(async () => {
  const page = await fetch(location.href, { headers: { accept: "text/html" } }).catch(() => null);
  if (page?.ok && !(await page.text()).includes("data-callback-url")) location.reload();
}, 2000);
