"""An mdBook preprocessor: links that work in a clone and on GitHub, but not in the built book.

Pages link to logs and source files by relative paths. The book holds only what lies in `src`, so a link
to another file is given the repository's address. And mdBook renames a folder's README.md to index.md,
but not the links to it. Numbers stay on one line with their `%` or `±`.
"""

import json
import os
import re
import sys

FENCE = re.compile(r"^(```|~~~).*?^\1[^\n]*$", re.MULTILINE | re.DOTALL)
SPACE = re.compile(r"(?<=\d) (?=[%±])|(?<=\d ±) (?=\d)")
LINK = re.compile(r"\]\(([^)\s#:]+)(#[^)\s]*)?\)")


def rewrite(text, page, root, repository):
    """`text` of the chapter `page`, a path in `src`."""

    def link(match):
        path = os.path.normpath(os.path.join("docs/src", os.path.dirname(page), match[1]))
        fragment = match[2] or ""
        if path.startswith("docs/src/"):
            return f"]({re.sub(r'README[.]md$', 'index.md', match[1])}{fragment})"
        kind = "tree" if os.path.isdir(os.path.join(root, path)) else "blob"
        return f"]({repository}/{kind}/main/{path}{fragment})"

    def prose(part):
        return LINK.sub(link, SPACE.sub("\u00a0", part))

    parts, end = [], 0
    for fence in FENCE.finditer(text):
        parts += [prose(text[end : fence.start()]), fence[0]]
        end = fence.end()
    return "".join(parts) + prose(text[end:])


def chapters(items):
    for item in items:
        if isinstance(item, dict) and "Chapter" in item:
            yield item["Chapter"]
            yield from chapters(item["Chapter"]["sub_items"])


def main():
    if sys.argv[1:2] == ["supports"]:
        sys.exit(0 if sys.argv[2] == "html" else 1)
    context, book = json.load(sys.stdin)
    if "items" not in book:
        sys.exit(f"mdBook 0.5 is needed, this is {context['mdbook_version']}")
    root = os.path.dirname(os.path.abspath(context["root"]))
    repository = context["config"]["output"]["html"]["git-repository-url"]
    for chapter in chapters(book["items"]):
        if chapter["path"]:
            chapter["content"] = rewrite(chapter["content"], chapter["path"], root, repository)
    json.dump(book, sys.stdout)


if __name__ == "__main__":
    main()
