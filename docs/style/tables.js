// Names in the cells of tables may be broken behind their separators: train::|ExitReport.
for (const code of document.querySelectorAll("main td:not(:first-child) code")) {
  if (code.childElementCount > 0 || code.previousSibling?.data?.endsWith("$")) continue;
  const parts = code.textContent.split(/(?<=::|[._\/=])(?=\w)/);
  code.replaceChildren(...parts.flatMap((part, i) => (i ? [document.createElement("wbr"), part] : [part])));
}
