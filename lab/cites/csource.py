"""Finds a definition in C source and says whether an identifier occurs in its body.

No compiler: comments are blanked, preprocessor branches are followed so that braces balance,
and what stands before a brace at depth 0 tells what is defined there. Offsets never change, so
a line number counted in the blanked text is the line number in the file.
"""

import re
from bisect import bisect_right
from typing import List, NamedTuple, Optional, Tuple

COMMENT_OR_LITERAL = re.compile(
    r"//(?:\\\n|[^\n])*|/\*.*?\*/|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'", re.DOTALL)
DIRECTIVE = re.compile(r"^[ \t]*#[ \t]*(\w*)((?:\\\n|[^\n])*)", re.MULTILINE)
# What may stand between a parameter list and the body: annotations, which C writes in capitals
# or with leading underscores.
ANNOTATIONS = re.compile(r"(?:\s|[A-Z_][A-Z0-9_]+\b|__\w+)*\Z")
SCALAR = r"(?:^|[;}}])[^;{{}}()]*\b{name}\b\s*=[^;{{]*;"


def blank(text: str) -> str:
    """The same characters and lines, and nothing in them but the backslashes that join lines."""
    return re.sub(r"(?!\\\n)[^\n]", " ", text)


class Block(NamedTuple):
    """One brace at depth 0: where what stands before it begins, and where it opens and closes."""
    header: int
    opens: int
    closes: int


class CSource:
    """One C file, read once and asked often."""

    def __init__(self, text: str):
        text = text.replace("\r\n", "\n")
        self.lines = [m.end() for m in re.finditer("\n", text)]
        self.commented = text
        # Comments blanked, literals kept: where needles are looked for.
        self.directives = _directives(text)
        self.code = _without_dead_branches(COMMENT_OR_LITERAL.sub(
            lambda m: blank(m[0]) if m[0].startswith("/") else m[0], text), self.directives)
        # Literals blanked too: where braces are counted.
        shape = COMMENT_OR_LITERAL.sub(lambda m: blank(m[0]), self.code)
        for d in self.directives:
            shape = shape[:d.start()] + blank(shape[d.start():d.end()]) + shape[d.end():]
        self.shape = shape
        # Only a file whose braces do not balance needs the weaker rule.
        self.blocks = _blocks(self.shape, self.directives, False) or _blocks(self.shape, self.directives, True) or []

    def line(self, offset: int) -> int:
        """The line number, from 1, of an offset."""
        return bisect_right(self.lines, offset) + 1

    def bodies(self, name: str) -> List[Tuple[int, int]]:
        """Every definition of `name`: function, macro, aggregate type or initialised object."""
        found = [(b.opens, b.closes) for b in self.blocks if self._defines(b, name)]
        for d in self.directives:
            if d[1] == "define" and re.match(rf"\s*{re.escape(name)}\b", d[2]):
                found.append(d.span())
        if not found:
            outside = list(self.shape)
            for b in self.blocks:
                outside[b.opens + 1:b.closes] = blank(self.shape[b.opens + 1:b.closes])
            scalar = re.compile(SCALAR.format(name=re.escape(name)), re.MULTILINE)
            found = [m.span() for m in scalar.finditer("".join(outside))]
        return found

    def find(self, needle: str, name: Optional[str]) -> Tuple[Optional[int], str]:
        """The line of `needle` in the definition of `name` (None: anywhere in the file), or why not."""
        spans = [(0, len(self.code))] if name is None else self.bodies(name)
        if not spans:
            seen = re.search(rf"\b{re.escape(name)}\b", self.code)
            return None, (f"no definition of {name}, only mentioned at line {self.line(seen.start())}"
                          if seen else f"{name} does not occur")
        pattern = needle_pattern(needle)
        for start, end in spans:
            hit = pattern.search(self.code, start, end)
            if hit:
                return self.line(hit.start()), ""
        for start, end in spans:
            hit = pattern.search(self.commented, start, end)
            if hit:
                return None, f"only in a comment or a dead branch, line {self.line(hit.start())}"
        where = f"in {name} (lines {', '.join(self._range(s) for s in spans)})" if name else "in the file"
        other = pattern.search(self.code)
        return None, (f"not {where}, but at line {self.line(other.start())}" if other else f"not {where}")

    def _range(self, span: Tuple[int, int]) -> str:
        return f"{self.line(span[0])}-{self.line(span[1])}"

    def _defines(self, block: Block, name: str) -> bool:
        header = self.shape[block.header:block.opens]
        name = re.escape(name)
        if re.search(rf"\b(?:struct|union|enum)\s+{name}\b(?P<rest>[^;={{}}()]*)\Z", header):
            return True
        if re.search(rf"\b{name}\s*(?:\[[^\]]*\]\s*)*[A-Z_a-z0-9\s()]*=\s*\Z", header):
            return True
        tail = self.shape[block.closes + 1:block.closes + 200]
        if re.search(r"\btypedef\b[^;]*\Z", header) and re.match(rf"[\s\w]*\b{name}\s*;", tail):
            return True
        # The last one, since prototypes and other names may stand in the same stretch of text.
        calls = list(re.finditer(rf"\b{name}\s*\(", header))
        if calls and _ends_as_function(header, calls[-1].end() - 1):
            return True
        # SYSCALL_DEFINE3(bind, …) {
        made = list(re.finditer(rf"\b[A-Z_][A-Z0-9_]*\s*(\()\s*{name}\s*[,)]", header))
        return bool(made) and _ends_as_function(header, made[-1].start(1))


def needle_pattern(needle: str) -> "re.Pattern[str]":
    """`needle` as whole words, any white space where it has some."""
    body = r"\s+".join(re.escape(word) for word in needle.split())
    before = r"(?<!\w)" if re.match(r"\w", needle) else ""
    after = r"(?!\w)" if re.search(r"\w\Z", needle) else ""
    return re.compile(before + body + after)


def _ends_as_function(header: str, opening: int) -> bool:
    """Whether the parenthesis at `opening` is a parameter list and a body may follow it."""
    closing = _closing(header, opening)
    if closing is None:
        return False
    if re.search(r"=[^;}]*\Z", header[:opening]):
        return False
    rest = header[closing + 1:]
    while (found := rest.find("(")) >= 0 and (end := _closing(rest, found)):
        rest = rest[:found] + rest[end + 1:]
    if ANNOTATIONS.match(rest):
        return True
    # As before ANSI C: names in the list, their types between it and the body.
    names = re.fullmatch(r"\s*\w+(?:\s*,\s*\w+)*\s*", header[opening + 1:closing])
    return bool(names and "=" not in rest and not rest.lstrip().startswith(";") and re.search(r";\s*\Z", rest))


def _closing(text: str, opening: int) -> Optional[int]:
    """Where the parenthesis at `opening` closes."""
    depth = 0
    for paren in re.finditer(r"[()]", text[opening:]):
        depth += 1 if paren[0] == "(" else -1
        if depth == 0:
            return opening + paren.start()
    return None


def _directives(text: str) -> List["re.Match[str]"]:
    """The preprocessor lines. A comment that goes on to the next line takes its directive along."""
    return list(DIRECTIVE.finditer(COMMENT_OR_LITERAL.sub(lambda m: blank(m[0]).replace("\n", "\1"), text)))


def _without_dead_branches(code: str, directives: List["re.Match[str]"]) -> str:
    """Blanks what `#if 0` leaves out; conditions that depend on a configuration stay."""
    out, kept = [], 0
    stack: List[bool] = []  # for each open conditional: does it begin with `#if 0`
    dead_from = None
    for d in directives:
        kind = d[1]
        if kind.startswith("if"):
            stack.append(kind == "if" and d[2].strip() == "0")
            if stack[-1] and dead_from is None:
                dead_from, dead_depth = d.end(), len(stack)
        elif kind in ("else", "elif", "endif") and stack:
            if dead_from is not None and len(stack) == dead_depth:
                out += [code[kept:dead_from], blank(code[dead_from:d.start()])]
                kept, dead_from = d.start(), None
            if kind == "endif":
                stack.pop()
    return "".join(out) + code[kept:]


def _blocks(shape: str, directives: List["re.Match[str]"], first_column: bool) -> Optional[List[Block]]:
    """The blocks at depth 0; None if a brace is left open.

    Each branch of a conditional starts at the depth the first one did. With `first_column`, a
    closing brace there closes everything, as kernel style has it at the end of a function.
    """
    events = [(m.start(), m[0]) for m in re.finditer(r"[{}]", shape)]
    events += [(d.start(), d[1]) for d in directives]
    blocks: List[Block] = []
    depth, header = 0, 0
    pending: List[Tuple[int, int]] = []
    stack: List[List[Optional[int]]] = []  # depth before, depth after the first branch
    for at, what in sorted(events):
        if what == "{":
            if depth == 0 and re.search(r"\bextern\s*\Z", shape[header:at]):
                continue  # extern "C": its closing brace is ignored at depth 0
            if depth == 0:
                pending.append((header, at))
            depth += 1
        elif what == "}":
            depth = 0 if first_column and shape[at - 1:at] in ("", "\n") else max(depth - 1, 0)
            if depth == 0:
                blocks += [Block(begins, opens, at) for begins, opens in pending]
                pending, header = [], at + 1
        elif what.startswith("if"):
            stack.append([depth, None])
        elif what in ("else", "elif") and stack:
            if stack[-1][1] is None:
                stack[-1][1] = depth
            depth = stack[-1][0]
        elif what == "endif" and stack:
            first = stack.pop()[1]
            depth = depth if first is None else first
    return blocks if first_column or depth == 0 else None
