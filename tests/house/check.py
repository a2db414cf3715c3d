"""House rules that no compiler checks: headers, places of `unsafe`, and words.

    python3 tests/house/check.py

- every Rust file begins with `//!`;
- `unsafe` stands only where CONTRIBUTING.md says, and every place that it names has some;
- words of a private language, which the glossary has replaced, are gone: in all files, or in the crates.

Prints what is wrong with its place and ends with 1.
"""

import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
RUST = ("crates/", "benches/", "examples/", "fuzz/")
CRATES = ("crates/base/", "crates/deploy/", "crates/cli/", "crates/learn/")

# Written in two parts, since this file is searched as well.
EVERYWHERE = ["Fac" "ulty", "Sh" "elf", "Se" "at", "lec" "tures", "class" "room", "Sh" "own", "Tr" "ail", "ma" "tes"]
PRIVATE = ["re" "hearse", "Les" "son", "W" "alk", "Sa" "id", "Fr" "ont", "Te" "am", "one an" " exit", "so" " many", "de" "ar"]
# An input of a network is an image. Names of crates and folders, keys and codes of file formats stay.
PICTURE = re.compile(r"(?<![\w/`-])pictures?(?!\w)|\bPictures?\b|\bfn \w*picture\w*", re.M)
PICTURE_KEYS = re.compile(r"\\?\"pictures\\?\"|\"pictures\[|`pictures\[")


def files():
    """All files of the repository: those of git where there is one, else what lies in the folders."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listed.returncode == 0:
        yield from (path for path in listed.stdout.split("\0") if path and os.path.isfile(f"{ROOT}/{path}"))
        return
    for folder, folders, names in os.walk(ROOT):
        folders[:] = [name for name in folders if not name.startswith(".") and name not in ("target", "shared")]
        yield from (os.path.relpath(os.path.join(folder, name), ROOT) for name in names)


def read(path):
    """The text of a file; nothing for a binary one."""
    with open(f"{ROOT}/{path}", "rb") as file:
        data = file.read()
    return "" if b"\0" in data else data.decode("utf-8", errors="replace")


def place(path, text, at):
    return f"{path}:{text.count(chr(10), 0, at) + 1}"


def headers(texts):
    """Rust files that say nothing at their beginning."""
    for path, text in texts.items():
        if path.endswith(".rs") and path.startswith(RUST) and not text.startswith("//!"):
            yield f"{path}: begins without `//!`; say in a line what the file holds"


def code(text):
    """Rust without comments and strings, every character in its place."""
    token = r"//[^\n]*|/\*.*?\*/|r(#*)\".*?\"\1|\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\\n])'"
    blank = lambda found: re.sub(r"[^\n]", " ", found.group())
    return re.sub(token, blank, text, flags=re.S)


def unsafe_places(texts):
    """`unsafe` outside the places of CONTRIBUTING.md, and places there without any."""
    text = texts["CONTRIBUTING.md"]
    start = text.find("`unsafe` is denied but for these places")
    allowed = re.findall(r"^  - `([^`]+)`", text[start:], re.M) if start >= 0 else []
    if not allowed:
        yield "CONTRIBUTING.md: the list of places with `unsafe` is not found"
    used = set()
    for path, text in texts.items():
        found = path.endswith(".rs") and "unsafe" in text and re.search(r"\bunsafe\b|\bunsafe_code\b", code(text))
        if found:
            home = next((place for place in allowed if path == place or path.startswith(f"{place}/")), None)
            used.add(home)
            if not home:
                yield f"{place(path, text, found.start())}: `unsafe`, and CONTRIBUTING.md does not name this place"
    for home in allowed:
        if home not in used:
            yield f"CONTRIBUTING.md: names `{home}` for `unsafe`, which has none"


def words(texts):
    """Words that the glossary has replaced."""
    everywhere = re.compile(rf"\b(?:{'|'.join(EVERYWHERE)})\b")
    private = re.compile(rf"\b(?:{'|'.join(PRIVATE)})\b")
    for path, text in texts.items():
        if path == "CHANGELOG.md":
            continue
        patterns = [everywhere]
        if path.startswith(CRATES) or path.endswith(".md") and not path.startswith("docs/results/"):
            patterns.append(private)
        for pattern in patterns:
            for found in pattern.finditer(text):
                yield f"{place(path, text, found.start())}: `{found.group()}`; the glossary has the field's word"
        if path.startswith(CRATES) and path.endswith((".rs", ".html", ".js")):
            keys = PICTURE_KEYS.sub(lambda key: " " * len(key.group()), text)
            for found in PICTURE.finditer(keys):
                yield f"{place(path, text, found.start())}: `{found.group()}`; an input of a network is an image"


def main():
    texts = {path: read(path) for path in files()}
    wrong = [line for check in (headers, unsafe_places, words) for line in check(texts)]
    print("\n".join(wrong) if wrong else f"house rules: {len(texts)} files, nothing wrong")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
