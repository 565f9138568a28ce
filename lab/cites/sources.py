"""Where the text of a cited file comes from: a git directory, or a Debian source package."""

import os
import re
import subprocess
from pathlib import Path
from typing import Dict, List, Optional, Set

HERE = Path(__file__).resolve().parent
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "portwise-cites"
# Releases whose archives carry kernel source packages, oldest first.
SUITES = ["bullseye", "bullseye-security", "bookworm", "bookworm-security", "bookworm-backports",
          "trixie", "trixie-security", "trixie-backports"]


class Unavailable(Exception):
    """The source could not be had: nothing is known about the citation."""

    def __init__(self, message: str, output: str = ""):
        super().__init__(message)
        self.output = output


def run(*args: str, cwd: Optional[Path] = None) -> bytes:
    """Standard output of a command; its last words on failure."""
    try:
        done = subprocess.run(args, cwd=cwd, capture_output=True, check=False)
    except OSError as e:
        raise Unavailable(f"{args[0]}: {e.strerror}") from e
    if done.returncode:
        output = done.stderr.decode(errors="replace")
        words = output.strip().splitlines()
        raise Unavailable(f"{' '.join(args[:4])} …: {words[-1] if words else 'failed'}", output)
    return done.stdout


def decode(data: bytes) -> str:
    """Old kernel sources mix encodings; Latin-1 maps every byte."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("latin-1")


def version_key(tag: str) -> List[int]:
    """`xnu-4903.231.4` and `v6.12.117` in version order."""
    return [int(n) for n in re.findall(r"\d+", tag)]


class Git:
    """A repository with the cited revisions as tags (or anything git can name)."""

    def __init__(self, directory: str):
        self.directory = directory
        self.revisions: Set[str] = set()

    def describe(self, rev: str) -> str:
        """Which text a revision stands for."""
        return run("git", "-C", self.directory, "rev-parse", "--verify", "--quiet", f"{rev}^{{commit}}").decode()[:12]

    def read(self, rev: str, path: str) -> Optional[str]:
        """The file's text, or None if the revision has no such file."""
        if rev not in self.revisions:
            if not Path(self.directory).is_dir():
                raise Unavailable("the given git directory does not exist")
            try:
                self.describe(rev)
            except Unavailable as e:
                raise Unavailable("the given git directory has no such revision") from e
            self.revisions.add(rev)
        entry = run("git", "-C", self.directory, "ls-tree", rev, "--", path).decode().split()
        if len(entry) < 3 or entry[1] != "blob":
            return None
        # A listed file whose content is absent is a gap in this copy, not a missing file.
        return decode(run("git", "-C", self.directory, "cat-file", "blob", entry[2]))

    def tags(self, pattern: str) -> List[str]:
        """Matching tags in version order."""
        found = run("git", "-C", self.directory, "tag", "--list", pattern).decode().split()
        return sorted(found, key=version_key)

    def blob(self, rev: str, path: str) -> Optional[str]:
        """The object id of a file, so that equal contents are read once."""
        entry = run("git", "-C", self.directory, "ls-tree", rev, "--", path).decode().split()
        return entry[2] if len(entry) > 2 and entry[1] == "blob" else None


class DebianLinux:
    """Linux from Debian's `linux-source-X.Y` packages, which keep no old point release for long."""

    def __init__(self) -> None:
        self.trees: Dict[str, Path] = {}
        self.failed: Dict[str, str] = {}
        self.versions: Dict[str, str] = {}
        self.warnings: List[str] = []

    def describe(self, rev: str) -> str:
        """Which text a revision stands for."""
        return f"Debian linux-source {self.versions[rev]}, with Debian's patches"

    def read(self, rev: str, path: str) -> Optional[str]:
        """The file's text, or None if the package has no such file."""
        # Asking a dead archive once per citation would take minutes.
        if rev in self.failed:
            raise Unavailable(self.failed[rev])
        try:
            tree = self.trees.get(rev) or self._tree(rev)
            self._extract(rev, tree, path.split("/")[0])
        except Unavailable as e:
            self.failed[rev] = str(e)
            raise
        file = tree / path
        return decode(file.read_bytes()) if file.is_file() else None

    def _tree(self, rev: str) -> Path:
        release = re.fullmatch(r"v(\d+\.\d+)(?:\.\d+)?", rev)
        if not release:
            raise Unavailable(f"{rev} is not a release such as v6.12.117; give --git REPO=DIR")
        package = f"linux-source-{release[1]}"
        version = self._choose(package, rev[1:])
        if version.split("-")[0] != rev[1:]:
            self.warnings.append(f"{rev} is cited, {package} {version} was read")
        self.versions[rev] = version
        self.trees[rev] = CACHE / f"{package}_{version}"
        return self.trees[rev]

    def _choose(self, package: str, wanted: str) -> str:
        """The newest packaging of the cited point release, else the newest of the series."""
        rows = apt("apt-cache", "madison", package).decode().splitlines()
        versions = list(dict.fromkeys(row.split("|")[1].strip() for row in rows if row.count("|") > 1))
        cached = [p.name.split("_", 1)[1] for p in CACHE.glob(f"{package}_*") if p.is_dir()]
        exact = [v for v in cached + versions if v.split("-")[0] == wanted]
        if exact or versions:
            return (exact or versions)[0]
        raise Unavailable(f"no suite of this machine's Debian archive has {package}")

    def _extract(self, rev: str, tree: Path, top: str) -> None:
        """Unpacks one top directory of the kernel; moved into place only when complete."""
        # Every package has a Makefile at its root; a name with dots must not leave the tree.
        if (tree / top).exists() or top in ("", ".", ".."):
            return
        version = self.versions[rev]
        package = tree.name.split("_", 1)[0]
        debs = CACHE / "debs"
        debs.mkdir(parents=True, exist_ok=True)
        if not list(debs.glob(f"{package}_{version.replace(':', '%3a')}_*.deb")):
            print(f"fetching {package} {version} (about 150 MB)", flush=True, file=os.sys.stderr)
            apt("apt-get", "-qq", "download", f"{package}={version}", cwd=debs)
        deb = next(debs.glob(f"{package}_{version}_*.deb"), None)
        if deb is None:
            raise Unavailable(f"{package}={version} was not downloaded")
        partial = tree.with_name(f"{tree.name}.partial-{os.getpid()}")
        partial.mkdir(parents=True, exist_ok=True)
        inner = f"./usr/src/{package}.tar.xz"
        script = (f'set -o pipefail; export LC_ALL=C; dpkg-deb --fsys-tarfile "$1" | tar -xOf - "{inner}" | '
                  f'tar -xJf - -C "$2" --strip-components=1 "{package}/$3"')
        try:
            run("bash", "-c", script, "extract", str(deb), str(partial), top)
            tree.mkdir(exist_ok=True)
            (partial / top).rename(tree / top)
        except Unavailable as e:
            # tar says so only after reading to the end: the citation is wrong, not the package.
            if f"{package}/{top}: Not found in archive" not in e.output:
                raise
        finally:
            subprocess.run(["rm", "-rf", str(partial)], check=False)


def apt(*args: str, cwd: Optional[Path] = None) -> bytes:
    """Runs an apt command over lists that belong to these scripts alone."""
    return run(str(HERE.parent / "private-apt.sh"), *SUITES, "--", *args, cwd=cwd)
