"""Every link of the book and of the repository's own pages leads somewhere; no network is asked.

    mdbook build docs && python3 tests/book/check_links.py

Read are the HTML files in docs/book and all Markdown files that git knows. A link within the book must
name a page or a file of it and, after `#`, an element of that page. A link to a file of the repository
must name a file or folder that git knows and, in a Markdown file, a heading. Addresses of other sites
are counted, not asked. Each folder of docs/results must be linked to from docs/src/logs.md, each page of
docs/src must stand in SUMMARY.md, and each crate in the table of docs/src/architecture.md.
"""

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from urllib.parse import unquote, urlsplit

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BOOK = os.path.join(ROOT, "docs", "book")
REPOSITORY = "https://github.com/offramp-rs/offramp"


class Page(HTMLParser):
    """The links of an HTML page (line, address, whether it is embedded), and what `#` may name."""

    def __init__(self, text):
        super().__init__()
        self.links, self.names = [], {"", "top"}
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.names.update(filter(None, (attributes.get("id"), attributes.get("name"))))
        for key in ("href", "src"):
            if attributes.get(key):
                self.links.append((self.getpos()[0], attributes[key], key == "src"))


def without_code(markdown):
    """The text with blocks and spans of code blanked, line for line."""
    blank = lambda match: re.sub(r"[^\n]", " ", match[0])
    markdown = re.sub(r"^(```|~~~).*?^\1[^\n]*$", blank, markdown, flags=re.M | re.S)
    return re.sub(r"(`+)(?!`).+?(?<!`)\1(?!`)", blank, markdown)


def markdown_links(markdown):
    text = without_code(markdown)
    for match in re.finditer(r"\]\(\s*<?([^)\s>]+)>?[^)]*\)|^\[[^\]]+\]:\s*(\S+)", text, re.M):
        yield text.count("\n", 0, match.start()) + 1, match[1] or match[2]


def headings(markdown):
    """The anchors of a Markdown file as GitHub and mdBook make them."""
    seen, anchors = {}, {""}
    blocks = re.sub(r"^(```|~~~).*?^\1[^\n]*$", "", markdown, flags=re.M | re.S)
    for title in re.findall(r"^#{1,6}\s+(.+?)\s*$", blocks, re.M):
        title = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title).lower()
        slug = re.sub(r"[^\w\- ]", "", title).replace(" ", "-")
        count = seen.get(slug, 0)
        seen[slug] = count + 1
        anchors.add(f"{slug}-{count}" if count else slug)
    return anchors


class Checker:
    def __init__(self):
        listed = subprocess.run(
            ["git", "-C", ROOT, "ls-files", "--cached", "--others", "--exclude-standard"],
            check=True, capture_output=True, text=True,
        )
        self.files = {path for path in listed.stdout.splitlines() if os.path.exists(os.path.join(ROOT, path))}
        self.folders = {""}
        for path in self.files:
            while path := os.path.dirname(path):
                self.folders.add(path)
        self.checked, self.elsewhere, self.broken = 0, 0, []

    def fail(self, place, link, why):
        self.broken.append(f"{place}: {link}: {why}")

    def read(self, path):
        with open(os.path.join(ROOT, path), encoding="utf-8") as file:
            return file.read()

    def in_repository(self, place, link, path, fragment):
        """`path` is a file or folder of the repository."""
        path = os.path.normpath(path).removeprefix("./")
        path = "" if path == "." else path
        if path not in self.files and path not in self.folders:
            self.fail(place, link, f"git knows no {path}")
        elif fragment and path.endswith(".md") and fragment not in headings(self.read(path)):
            self.fail(place, link, f"{path} has no heading #{fragment}")

    def outside(self, place, link):
        """An address with a host; those of the repository name files of it."""
        match = re.fullmatch(re.escape(REPOSITORY) + r"/(?:blob|tree|edit)/main/([^#?]*)#?(.*)", link)
        if match:
            self.in_repository(place, link, unquote(match[1]), match[2])
        else:
            self.elsewhere += 1

    def markdown(self):
        for path in sorted(file for file in self.files if file.endswith(".md")):
            # A link to a page elsewhere is checked where that page lies.
            if os.path.islink(os.path.join(ROOT, path)):
                continue
            for line, link in markdown_links(self.read(path)):
                self.checked += 1
                place, parts = f"{path}:{line}", urlsplit(link)
                if parts.scheme or parts.netloc:
                    self.outside(place, link)
                    continue
                target = os.path.join(os.path.dirname(path), unquote(parts.path)) if parts.path else path
                self.in_repository(place, link, target, unquote(parts.fragment))

    def book(self):
        pages = {}
        for folder, _, names in os.walk(BOOK):
            for name in names:
                path = os.path.relpath(os.path.join(folder, name), BOOK)
                pages[path] = None
                if name.endswith(".html"):
                    with open(os.path.join(BOOK, path), encoding="utf-8") as file:
                        pages[path] = Page(file.read())
        if "index.html" not in pages:
            sys.exit(f"{BOOK} holds no book; build it first: mdbook build docs")
        built = os.path.getmtime(os.path.join(BOOK, "index.html"))
        for path in sorted(path for path in self.files if re.fullmatch(r"docs/src/.*\.md", path)):
            if os.path.getmtime(os.path.join(ROOT, path)) > built:
                sys.exit(f"{path} is newer than docs/book; build it again: mdbook build docs")
        for path, page in sorted(pages.items()):
            for line, link, embedded in page.links if page else ():
                self.checked += 1
                place, parts = f"docs/book/{path}:{line}", urlsplit(link)
                if parts.scheme in ("data", "javascript"):
                    continue
                if parts.scheme or parts.netloc:
                    self.outside(place, link)
                    if embedded:
                        self.fail(place, link, "an image or script must be a file of the book")
                    continue
                if path == "404.html" and link == "/":
                    continue
                target = os.path.normpath(os.path.join(os.path.dirname(path), unquote(parts.path)))
                target = path if not parts.path else target
                if target not in pages:
                    self.fail(place, link, f"the book has no {target}")
                elif pages[target] and unquote(parts.fragment) not in pages[target].names:
                    self.fail(place, link, f"{target} has no #{parts.fragment}")

    def completeness(self):
        linked = {link for _, link in markdown_links(self.read("docs/src/SUMMARY.md"))}
        for path in sorted(self.files):
            if re.fullmatch(r"docs/src/.*\.md", path) and path != "docs/src/SUMMARY.md":
                if path.removeprefix("docs/src/") not in linked:
                    self.fail("docs/src/SUMMARY.md", path, "this page is not in it")
        logs = self.read("docs/src/logs.md")
        for folder in sorted(path for path in self.folders if re.fullmatch(r"docs/results/[^/]+", path)):
            if f"](../results/{os.path.basename(folder)}" not in logs:
                self.fail("docs/src/logs.md", folder, "these logs are not linked there")
        crates = self.read("docs/src/architecture.md")
        for manifest in sorted(path for path in self.files if re.fullmatch(r"crates/.*/Cargo\.toml", path)):
            name = re.search(r'^name = "(.+)"', self.read(manifest), re.M)[1]
            if f"`{name}`" not in crates:
                self.fail("docs/src/architecture.md", name, "this crate is not in the table")


def main():
    checker = Checker()
    checker.book()
    checker.markdown()
    checker.completeness()
    for line in checker.broken:
        print(line, file=sys.stderr)
    print(
        f"{checker.checked} links: {len(checker.broken)} broken, "
        f"{checker.elsewhere} of other sites, which were not asked"
    )
    sys.exit(1 if checker.broken else 0)


if __name__ == "__main__":
    main()
