"""Hooks of the documentation site: pages from the repository, pages of the API, and the links between them.

The pages in docs/ and README.md are plain Markdown with links to files of the repository. Here a link to a Markdown
file becomes one to a page of the site, and a link to any other file one to a copy of it, which a browser shows as text.
"""

import os
import posixpath
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parent.parent
#: Packages of the API reference, a page each.
API = [
    "dreamer", "dreamer_v1", "dreamer_v2", "dreamer_v3", "common.api", "common.agent", "common.config",
    "common.datasets", "common.deploy", "common.envs", "common.nn", "common.replay", "common.storage",
    "common.training",
]  # fmt: skip
#: Code, which comes first where both match, or a link.
CODE_OR_LINK = re.compile(
    r"^```.*?^```|`[^`\n]*`|(?P<head>!?\[(?:[^\[\]]|\[[^\]]*\])*\]\()(?P<target>[^()\s]+)(?P<tail>\))",
    re.MULTILINE | re.DOTALL,
)
ELSEWHERE = re.compile(r"""<(?:script|link|img|iframe|source)\b[^>]*?\b(?:src|href)=["']?(?:https?:)?//[^"' >]*""")
ELSEWHERE_IN_STYLES = re.compile(r"""url\(["']?(?:https?:)?//[^)]*|@import\s+["'](?:https?:)?//[^"']*""")
#: The first line of a block of code, with words after the language; the highlighter does not know them.
FENCE_WORDS = re.compile(r"^(```\w+) .*$", re.MULTILINE)
IMAGES = {".png", ".gif", ".svg", ".jpg"}

sources: dict[str, Path] = {}  # page or copy in the site -> file of the repository


def github_slug(text: str, separator: str) -> str:
    """Return the anchor of a heading as GitHub makes it, which the links in the pages use."""
    kept = re.sub(r"[^\w\- ]", "", unicodedata.normalize("NFC", text).lower().strip())
    return kept.replace(" ", separator)


def site_path(path: Path) -> str:
    """Return the place in the site of a file of the repository."""
    name = path.relative_to(ROOT).as_posix()
    if name == "README.md":
        return "index.md"
    if name.startswith("docs/"):
        return name.removeprefix("docs/")
    if path.is_dir():
        return f"repository/{name}/index.md"
    if path.suffix == ".md" or path.suffix in IMAGES:
        return f"repository/{name}"
    return f"repository/{name}.txt"


def linked_files(path: Path) -> Iterator[Path]:
    """Yield the files of the repository that a Markdown file links to."""
    for match in CODE_OR_LINK.finditer(path.read_text(encoding="utf-8")):
        if match["target"] and (found := linked_file(path, match["target"])):
            yield found


def linked_file(path: Path, target: str) -> Path | None:
    """Return the file of the repository that a link in `path` names, or None if it names something else.

    The file of a folder is its README.md, or the folder itself.
    """
    name = target.partition("#")[0]
    if not name or re.match(r"[a-z]+:", name):
        return None
    found = (path.parent / name).resolve()
    if (found / "README.md").is_file():
        found = found / "README.md"
    return found if found.exists() and found.is_relative_to(ROOT) else None


def all_sources() -> dict[str, Path]:
    """Return every page of the site, with all files that they link to, directly or by another page."""
    waiting, found = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))], {}
    while waiting:
        path = waiting.pop()
        if site_path(path) not in found:
            found[site_path(path)] = path
            waiting += linked_files(path) if path.suffix == ".md" else []
    return found


def api_pages() -> dict[str, str]:
    """Return the pages of the API reference: a package each, with all its modules."""
    return {f"api/{name}.md": api_page(name) for name in API}


def api_page(package: str) -> str:
    """Return the Markdown of a package's page."""
    folder = ROOT / package.replace(".", "/")
    files = sorted(folder.rglob("*.py")) if folder.is_dir() else [folder.with_suffix(".py")]
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for path in files]
    return "\n\n".join([f"# {package}", *(f"::: {name}" for name in names)]) + "\n"


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Add the pages that the navigation does not list."""
    listed = set(re.findall(r"[\w/]+\.md", str(config.nav)))
    pages = {path.name for path in (ROOT / "docs").glob("*.md")}
    if missing := listed - pages - {"index.md"}:
        raise SystemExit(f"docs_site/mkdocs.yml lists pages that docs/ does not have: {', '.join(sorted(missing))}")
    others = sorted(pages - listed)
    config.nav = [
        *(config.nav or []),
        {"More": [*others, "repository/CONTRIBUTING.md", "repository/CHANGELOG.md"]},
        {"API": list(api_pages())},
    ]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add README.md, the files that pages link to, and the API reference."""
    sources.update(all_sources())
    for name, path in sources.items():
        if files.get_file_from_path(name) is None:
            files.append(File.generated(config, name, content=content_of(path)))
    for name, content in api_pages().items():
        files.append(File.generated(config, name, content=content))
    for file in list(files):
        if file.src_uri.endswith(".py"):  # a program next to the pages
            files.remove(file)
    return files


def content_of(path: Path) -> str | bytes:
    """Return the content of a page or copy; of a folder, a list of what it has."""
    if path.is_dir():
        names = sorted(child.name + "/" * child.is_dir() for child in path.iterdir() if child.name[0] not in "._")
        return "\n".join([f"# {path.relative_to(ROOT)}/\n", *(f"- `{name}`" for name in names)])
    return path.read_text(encoding="utf-8") if path.suffix == ".md" else path.read_bytes()


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Point the links of a page to pages and copies in the site, and leave out what tests read in blocks of code."""
    path = sources.get(page.file.src_uri)
    if path is None:
        return markdown
    here = posixpath.dirname(page.file.src_uri)

    def changed(match: re.Match[str]) -> str:
        found = linked_file(path, match["target"]) if match["target"] else None
        if found is None:
            return match[0]
        target = posixpath.relpath(site_path(found), here or os.curdir)
        hash_ = match["target"].partition("#")
        return f"{match['head']}{target}{hash_[1]}{hash_[2]}{match['tail']}"

    return FENCE_WORDS.sub(r"\1", CODE_OR_LINK.sub(changed, markdown))


def on_post_build(config: MkDocsConfig) -> None:
    """Fail if a page or style sheet loads something from another server."""
    for pattern, kind in ((ELSEWHERE, "*.html"), (ELSEWHERE_IN_STYLES, "*.css")):
        for path in Path(config.site_dir).rglob(kind):
            if found := pattern.search(path.read_text(encoding="utf-8")):
                raise SystemExit(f"{path} loads from another server: {found[0]}. The site must work without a network.")
