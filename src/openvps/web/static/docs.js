// The pages work without this: it adds copy buttons, and keeps the sample language that was chosen last.
const texts = document.body.dataset;
const KEY = "openvps-sample-language";

for (const sample of document.querySelectorAll(".sample")) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "copy";
  button.textContent = texts.copy;
  const pre = sample.querySelector("pre");
  const title = pre.getAttribute("aria-label");
  if (title) button.setAttribute("aria-label", `${texts.copy}: ${title}`);
  button.addEventListener("click", async () => {
    await copy(pre);
    button.textContent = texts.copied;
    setTimeout(() => { button.textContent = texts.copy; }, 2000);
  });
  sample.append(button);
}

// Over plain HTTP a browser has no clipboard to write to: then the text is selected, and copied as of old.
async function copy(pre) {
  if (navigator.clipboard) return navigator.clipboard.writeText(pre.textContent);
  getSelection().selectAllChildren(pre);
  document.execCommand("copy");
}

function choose(language) {
  for (const one of document.querySelectorAll(`.samples input[value="${CSS.escape(language)}"]`)) one.checked = true;
}

function remembered(language) {
  try {
    if (language) localStorage.setItem(KEY, language);
    return localStorage.getItem(KEY);
  } catch {
    return null; // storage is switched off
  }
}

document.addEventListener("change", (event) => {
  if (!event.target.matches(".samples input")) return;
  const top = event.target.getBoundingClientRect().top;
  choose(event.target.value);
  scrollBy(0, event.target.getBoundingClientRect().top - top); // samples above may have become shorter
  remembered(event.target.value);
});

const before = remembered();
if (before) choose(before);
