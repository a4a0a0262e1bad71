// Buttons that copy: <button data-copy="ID" hidden>. They appear where the browser can copy.
for (const button of navigator.clipboard ? document.querySelectorAll("[data-copy]") : []) {
  button.hidden = false;
  button.addEventListener("click", async () => {
    const from = document.getElementById(button.dataset.copy);
    await navigator.clipboard.writeText(from.value ?? from.textContent);
    const said = button.lastChild;
    const before = said.textContent;
    said.textContent = button.dataset.copied ?? "Copied";
    setTimeout(() => (said.textContent = before), 2000);
  });
}
