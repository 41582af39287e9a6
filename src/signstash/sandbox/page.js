// Signs a document as soon as it is dropped or chosen. Without scripts the button does the same.
const form = document.querySelector("form.try");
const drop = form.querySelector(".drop");
const input = form.querySelector("input[type=file]");
for (const kind of ["dragover", "dragleave", "drop"]) {
  drop.addEventListener(kind, (event) => {
    event.preventDefault();
    drop.classList.toggle("over", kind === "dragover");
  });
}
drop.addEventListener("drop", (event) => {
  input.files = event.dataTransfer.files;
  if (input.files.length) form.requestSubmit();
});
input.addEventListener("change", () => { if (input.files.length) form.requestSubmit(); });
