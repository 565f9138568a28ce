"""Checks that every citation of the rule registry is in the sources. See ../check-cites.sh."""

import argparse
import os
import sys
from collections import Counter
from typing import Dict, List, NamedTuple, Optional, Tuple, Union

from csource import CSource
from sources import DebianLinux, Git, Unavailable

# Point releases are tags of the stable tree only.
LINUX, XNU = ("torvalds/linux", "gregkh/linux"), "apple-oss-distributions/xnu"
C_SUFFIXES = (".c", ".h", ".cc", ".cpp", ".m", ".s", ".defs")
Source = Union[Git, DebianLinux]


class Citation(NamedTuple):
    """One line of `portwise explain --cites`."""
    id: str
    repo: str
    rev: str
    path: str
    function: str
    needle: str
    expect: str


def parse(lines: List[str]) -> List[Citation]:
    """Citations, one a line; a line that is none ends the run: half a list proves nothing."""
    cites = []
    for number, line in enumerate(lines, 1):
        line = line.rstrip("\n")
        if not line.strip() or line.startswith("#"):
            continue
        fields = line.split("\t")
        if len(fields) == 6:
            fields.append("present")
        if len(fields) != 7 or fields[6] not in ("present", "absent") or not all(f.strip() for f in fields):
            sys.exit(usage(f"line {number} is not ID REPO REV PATH FUNCTION NEEDLE [present|absent]: {line!r}"))
        cites.append(Citation(*fields))
    return cites


def usage(message: str) -> int:
    """Says what is wrong with the question."""
    print(f"check-cites: {message}", file=sys.stderr)
    return 2


class Checker:
    """Reads each file once."""

    def __init__(self, sources: Dict[str, Source]):
        self.sources = sources
        self.files: Dict[Tuple[str, str, str], Optional[CSource]] = {}

    def check(self, cite: Citation) -> Tuple[str, str, str]:
        """`ok`, `MISSING` or `unread`, the place, and the reason."""
        place = cite.path
        try:
            source = self.sources.get(cite.repo)
            if source is None:
                raise Unavailable("no git directory given for it (--git REPO=DIR)")
            key = (cite.repo, cite.rev, cite.path)
            if key not in self.files:
                text = source.read(cite.rev, cite.path)
                # Comments mean something else outside C: there the text is taken as it is.
                self.files[key] = None if text is None else CSource(text)
                if text is not None and not cite.path.endswith(C_SUFFIXES):
                    self.files[key].code = text
        except Unavailable as e:
            return "unread", place, str(e)
        file = self.files[key]
        if file is None:
            return "MISSING", place, "no such file at this revision"
        line, why = file.find(cite.needle, None if cite.function == "-" else cite.function)
        if cite.expect == "absent":
            if line is None:
                return "ok", place, f"absent: {why}"
            return "MISSING", f"{place}:{line}", "is there, though cited as absent"
        return ("ok", f"{place}:{line}", "") if line else ("MISSING", place, why)


def check_all(cites: List[Citation], sources: Dict[str, Source]) -> int:
    """Prints a line per citation and a summary."""
    checker, counts, unread = Checker(sources), Counter(), Counter()
    for cite in cites:
        state, place, why = checker.check(cite)
        counts[state] += 1
        if state == "unread":
            unread[f"{cite.repo} {cite.rev}: {why}"] += 1
        row = [state, cite.id, cite.repo, cite.rev, place, cite.function, cite.needle]
        print("\t".join(row + ([f"({why})"] if why else [])), flush=True)
    print()
    for repo, rev in sorted({(c.repo, c.rev) for c in cites}):
        used = sum(1 for k, f in checker.files.items() if k[:2] == (repo, rev) and f is not None)
        if used:
            print(f"source: {repo} {rev}: {sources[repo].describe(rev)}; files read: {used}")
    for source in set(sources.values()):
        for warning in getattr(source, "warnings", []):
            print(f"warning: {warning}")
    for reason, count in unread.items():
        print(f"not run: {reason}; citations unread: {count}")
    print(f"cites: {len(cites)} citations, {counts['ok']} ok, {counts['MISSING']} missing, {counts['unread']} unread")
    return 1 if counts["MISSING"] else 3 if counts["unread"] else 0


def edge(repo: str, path: str, needle: str, glob: str, function: Optional[str], sources: Dict[str, Source]) -> int:
    """Prints each tag, in version order, at which the answer changes."""
    git = sources.get(repo)
    if not isinstance(git, Git):
        print(f"not run: --edge needs a repository with tags: --git {repo}=DIR")
        return 3
    try:
        tags = git.tags(glob)
        if not tags:
            print(f"not run: {git.directory} has no tag {glob}")
            return 3
        was, before, seen = None, None, {}
        for tag in tags:
            blob = git.blob(tag, path)
            if blob not in seen:
                text = git.read(tag, path) if blob else None
                line = CSource(text).find(needle, function)[0] if text is not None else None
                seen[blob] = "no-file" if text is None else "yes" if line else "no"
            if seen[blob] != was:
                print(f"{tag}\t{seen[blob]}" + (f"\t(last {was}: {before})" if was else ""))
            was, before = seen[blob], tag
        print(f"edge: {len(tags)} tags, {tags[0]} to {tags[-1]}")
        return 0 if "yes" in seen.values() else 1
    except Unavailable as e:
        print(f"not run: {e}")
        return 3


def main() -> int:
    """The command line."""
    cli = argparse.ArgumentParser(prog="check-cites.sh", description="Finds every citation in the sources it cites.")
    cli.add_argument("file", nargs="?", default="-", help="lines of `portwise explain --cites` (default: stdin)")
    cli.add_argument("--git", action="append", default=[], metavar="REPO=DIR", help="read REPO in a git directory")
    cli.add_argument("--xnu", metavar="DIR", default=os.environ.get("PORTWISE_XNU_GIT"),
                     help=f"the same for {XNU} (or PORTWISE_XNU_GIT)")
    cli.add_argument("--edge", nargs="+", metavar="ARG", help="REPO PATH NEEDLE [TAGGLOB]: where a needle comes or goes")
    cli.add_argument("--in", dest="function", help="with --edge: only inside this definition")
    args = cli.parse_args()

    debian = DebianLinux()
    sources: Dict[str, Source] = {repo: debian for repo in LINUX}
    for pair in args.git + ([f"{XNU}={args.xnu}"] if args.xnu else []):
        repo, equals, directory = pair.partition("=")
        if not equals:
            return usage(f"--git {pair}: write REPO=DIR")
        sources[repo] = Git(directory)

    if args.edge:
        if not 3 <= len(args.edge) <= 4:
            return usage("--edge takes REPO PATH NEEDLE [TAGGLOB]")
        repo, path, needle = args.edge[:3]
        return edge(repo, path, needle, args.edge[3] if len(args.edge) > 3 else "*", args.function, sources)

    try:
        with (sys.stdin if args.file == "-" else open(args.file, encoding="utf-8")) as lines:
            cites = parse(list(lines))
    except OSError as e:
        return usage(f"{args.file}: {e.strerror}")
    if not cites:
        return usage("no citations given: nothing was checked")
    return check_all(cites, sources)


sys.exit(main())
