"""Public names of the crates that nothing outside their own sources names.

    python3 tests/house/unused_public.py [ROOT]

A public name is what a crate's root shows: what `lib.rs` declares or re-exports, and what its public modules do.
Outside are the other crates, all tests, benches, examples, fuzz targets and the book. A name that another public
item of its crate has in its signature, as a field or as an error, is counted apart: who calls that item needs it.
A help for looking through a crate, no rule: a crate may offer what nobody here needs yet.
"""

import os
import re
import sys

ITEM = re.compile(r"^pub (?:unsafe |const |async )*(?:fn|struct|enum|trait|const|static|type|union) (\w+)", re.M)
USE = re.compile(r"^pub use ([^;]+);", re.M)
MODULE = re.compile(r"^pub mod (\w+)", re.M)
COMMENT = re.compile(r"//[^\n]*")
# What a public item shows: its head up to the body, a public field, a variant with what it holds.
SIGNATURE = re.compile(
    r"^\s*pub (?!use\b|mod\b)[^{};]*[{};]"
    r"|^\s*fn [^{};]*[{};]"
    r"|^\s*type \w+ = [^;]*;"
    r"|^\s*(?:#\[from\] )?[A-Z]\w*\([^)]*\),"
    r"|^\s*\w+: [^;={}]*,$"
    r"|^impl[^{]*\{",
    re.M,
)


def text_of(path):
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()


def walk(root, endings):
    for folder, folders, files in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith(".") and name not in ("target", "results")]
        yield from (os.path.join(folder, name) for name in files if name.endswith(endings))


def used_names(tree):
    """The names that a `use` tree brings in."""
    tree = re.sub(r"\s+", " ", tree)
    inner = re.search(r"\{(.*)\}", tree)
    parts = inner.group(1).split(",") if inner else [tree]
    for part in filter(None, (part.strip() for part in parts)):
        name = re.split(r"::| as ", part)[-1].strip(" {}")
        if name not in ("*", "self", "_"):
            yield name


def exported(source, text):
    """The names that a module shows, those of its public modules included."""
    text = COMMENT.sub("", text)
    yield from ITEM.findall(text)
    for tree in USE.findall(text):
        if not re.match(r"offramp_\w+ as ", tree):
            yield from used_names(tree)
    for module in MODULE.findall(text):
        for path in (f"{source}/{module}.rs", f"{source}/{module}/mod.rs"):
            if os.path.exists(path):
                yield from exported(f"{source}/{module}", text_of(path))


def signatures(name, files):
    """Whether a public item other than `name` itself shows it."""
    own = re.compile(rf"\b(?:fn|struct|enum|trait|const|static|type) {name}\b|^impl\b.* for {name}\b|^impl(?:<.*>)? {name}\b")
    word = re.compile(rf"\b{name}\b")
    for text in files:
        for found in SIGNATURE.finditer(text):
            shown = found.group().strip()
            if word.search(shown) and not own.search(shown):
                return True
    return False


def main(root):
    libraries = (path for path in walk(f"{root}/crates", "lib.rs") if path.endswith("/src/lib.rs"))
    crates = sorted(os.path.dirname(os.path.dirname(path)) for path in libraries)
    words = {}
    for path in [*walk(root, (".rs", ".md", ".toml", ".html")), f"{root}/README.md"]:
        words[path] = set(re.findall(r"\w+", text_of(path)))
    total, alone, shown = 0, 0, 0
    for crate in crates:
        source = f"{crate}/src"
        names = sorted(set(exported(source, text_of(f"{source}/lib.rs"))))
        outside = set().union(*(found for path, found in words.items() if not path.startswith(f"{source}/")))
        unused = [name for name in names if name not in outside]
        files = [COMMENT.sub("", text_of(path)) for path in walk(source, ".rs")]
        in_signatures = [name for name in unused if signatures(name, files)]
        rest = [name for name in unused if name not in in_signatures]
        total, alone, shown = total + len(names), alone + len(rest), shown + len(in_signatures)
        if unused:
            print(f"{os.path.relpath(crate, root)}: {len(unused)} of {len(names)}")
            for what, found in (("", rest), ("in signatures: ", in_signatures)):
                if found:
                    print(f"  {what}{', '.join(found)}")
    print(f"{total} public names; named nowhere else: {alone + shown}, of which in public signatures {shown}")


if __name__ == "__main__":
    main(os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(__file__), "../..")))
