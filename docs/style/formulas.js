// Typesets formulas with KaTeX 0.19.1 (src/katex), which is loaded on pages that have any: code blocks
// of the language `math`, and code between dollars: $`a + b`$. GitHub typesets the same two forms.
// Without scripts the page shows the formula's source.
(() => {
  const inline = [...document.querySelectorAll("main code")].filter((code) =>
    code.previousSibling?.nodeType === Node.TEXT_NODE && code.previousSibling.data.endsWith("$") &&
    code.nextSibling?.nodeType === Node.TEXT_NODE && code.nextSibling.data.startsWith("$"));
  const blocks = [...document.querySelectorAll("main code.language-math")];
  if (inline.length + blocks.length === 0) return;

  const folder = `${typeof path_to_root === "string" ? path_to_root : ""}katex/`;
  const sheet = Object.assign(document.createElement("link"), {
    rel: "stylesheet", href: `${folder}katex.min.css`,
  });
  const script = Object.assign(document.createElement("script"), { src: `${folder}katex.min.js` });
  script.onload = () => {
    const typeset = (source, displayMode) => {
      const place = document.createElement(displayMode ? "div" : "span");
      if (displayMode) place.className = "formula";
      katex.render(source, place, { displayMode, throwOnError: false });
      return place;
    };
    for (const code of blocks) {
      (code.closest("pre").parentElement.closest(".pre-wrapper") ?? code.closest("pre"))
        .replaceWith(typeset(code.textContent, true));
    }
    for (const code of inline) {
      code.previousSibling.data = code.previousSibling.data.slice(0, -1);
      code.nextSibling.data = code.nextSibling.data.slice(1);
      code.replaceWith(typeset(code.textContent, false));
    }
    // An address that names a section was jumped to before the formulas had their height.
    if (location.hash) document.getElementById(decodeURIComponent(location.hash.slice(1)))?.scrollIntoView();
  };
  document.head.append(sheet, script);
})();
