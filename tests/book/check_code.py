"""The code blocks of the README, CONTRIBUTING and the book are what they say they are.

    python3 tests/book/check_code.py [PROGRAM]

JSON, TOML and Python must parse. In `sh` blocks and in the comments of recipes, a recipe, a script or a
manifest that is named must be there, `just` must know what it is asked for, and with PROGRAM, the built
`offramp`, every subcommand, option and value of an `offramp` line must be one that it takes: the line is
run with `--help` behind it. Where Node is at hand, KaTeX must typeset every formula. Blocks of `rust,no_run` are
compiled by the documentation tests of crates/offramp; a block of `rust` names in its first line the file,
which CI compiles, whose parts it shows, `// ...` between them.
"""

import glob
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BLOCK = re.compile(r"^( *)```(\w[\w,-]*)?\n(.*?)^ *```$", re.M | re.S)
LANGUAGES = {"dockerfile", "json", "math", "python", "rust", "rust,no_run", "sh", "text", "toml", "yaml"}


def blocks(path, text):
    """Place, language and text of each block; a block in a list has its indent taken off."""
    for match in BLOCK.finditer(text):
        indent, language, body = match.groups()
        body = re.sub(rf"^{indent}", "", body, flags=re.M)
        yield f"{path}:{text.count(chr(10), 0, match.start()) + 1}", language or "", body


def commands(body):
    """The commands of a shell block, comments and line breaks taken out, as lists of words."""
    for line in body.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
            words.pop(0)
        if words:
            yield words


# Reads formulas as JSON, prints what KaTeX says of each: null, or an error.
TYPESET = """
const katex = require(process.argv[1]);
const formulas = JSON.parse(require("fs").readFileSync(0, "utf8"));
console.log(JSON.stringify(formulas.map((formula) => {
  try { katex.renderToString(formula, { strict: "error" }); return null; } catch (error) { return error.message; }
})));
"""


class Checker:
    def __init__(self, program):
        self.program, self.checked, self.wrong = program, 0, []
        self.formulas = []
        with open(os.path.join(ROOT, "justfile"), encoding="utf-8") as file:
            self.just = set(re.findall(r"^([a-z][\w-]*)(?: [^:\n]*)?:", file.read(), re.M))

    def fail(self, place, what):
        self.wrong.append(f"{place}: {what}")

    def command(self, place, words):
        self.checked += 1
        for word in words:
            # A recipe whose name is a placeholder is none.
            if re.fullmatch(r"(recipes|tests|benches|crates|web)/[a-z0-9/_.-]+\.\w+", word):
                if not os.path.exists(os.path.join(ROOT, word)):
                    self.fail(place, f"there is no {word}")
        if words[0] == "just" and words[1] not in self.just and not words[1].startswith("-"):
            self.fail(place, f"the justfile has no {words[1]}")
        if words[0] == "offramp" and self.program:
            if ">" in words:
                words = words[: words.index(">")]
            result = subprocess.run([self.program, *words[1:], "--help"], capture_output=True, text=True)
            if result.returncode != 0:
                self.fail(place, f"{shlex.join(words)}\n{result.stderr.strip()}")

    def block(self, place, language, body):
        self.checked += 1
        try:
            if language == "math":
                self.formulas.append((place, body.strip()))
            elif language == "json":
                json.loads(body)
            elif language == "toml":
                tomllib.loads(body)
            elif language == "python":
                compile(body, place, "exec")
            elif language == "rust":
                self.excerpt(place, body)
            elif language == "sh":
                for words in commands(body):
                    self.command(place, words)
            elif language not in LANGUAGES:
                self.fail(place, f"a block of {language or 'no language'}: {', '.join(sorted(LANGUAGES))} are known")
        except (SyntaxError, ValueError) as error:
            self.fail(place, f"{language}: {error}")

    def excerpt(self, place, body):
        """A block of Rust: a path in a comment, then parts of that file."""
        first, _, rest = body.partition("\n")
        path = os.path.join(ROOT, first.removeprefix("// "))
        if not first.startswith("// ") or not os.path.isfile(path):
            self.fail(place, "the first line of a block of `rust` is `// FILE`, the file that it is a part of")
            return
        with open(path, encoding="utf-8") as file:
            text = file.read()
        for part in rest.split("// ...\n"):
            if part not in text:
                self.fail(place, f"{first.removeprefix('// ')} has no longer\n{part}")

    def typeset(self):
        if not shutil.which("node"):
            print("left out: formulas, without node")
            return
        katex = os.path.join(ROOT, "docs/src/katex/katex.min.js")
        formulas = json.dumps([formula for _, formula in self.formulas])
        result = subprocess.run(
            ["node", "-e", TYPESET, katex], input=formulas, capture_output=True, text=True, check=True
        )
        self.checked += len(self.formulas)
        for (place, _), error in zip(self.formulas, json.loads(result.stdout)):
            if error:
                self.fail(place, error)

    def run(self):
        pages = ["README.md", "CONTRIBUTING.md", *glob.glob("docs/src/**/*.md", root_dir=ROOT, recursive=True)]
        for path in sorted(pages):
            with open(os.path.join(ROOT, path), encoding="utf-8") as file:
                text = file.read()
            for block in blocks(path, text):
                self.block(*block)
            for match in re.finditer(r"(?<!`)\$`([^`]+)`\$", BLOCK.sub("", text)):
                self.formulas.append((path, match[1]))
        self.typeset()
        for path in sorted(glob.glob("recipes/**/*.toml", root_dir=ROOT, recursive=True)):
            with open(os.path.join(ROOT, path), encoding="utf-8") as file:
                for line in re.findall(r"^# (?:or: )?(offramp .*)$", file.read(), re.M):
                    for part in re.split(r", or: ", line):
                        self.command(path, shlex.split(part))


def main():
    checker = Checker(os.path.abspath(sys.argv[1]) if len(sys.argv) > 1 else None)
    checker.run()
    for line in checker.wrong:
        print(line, file=sys.stderr)
    without = "" if checker.program else "; options of `offramp` were not checked, for want of the program"
    print(f"{checker.checked} blocks, commands and formulas: {len(checker.wrong)} wrong{without}")
    sys.exit(1 if checker.wrong else 0)


if __name__ == "__main__":
    main()
