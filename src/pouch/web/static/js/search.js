// "/" goes to the search field; inside a field the same key types a slash.
document.addEventListener("keydown", (event) => {
  if (event.key !== "/" || event.target.closest("input, textarea, select")) return;
  event.preventDefault();
  document.querySelector("[type=search]").focus();
});
