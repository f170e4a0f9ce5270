"""`cosa init` copies a spec that comes with the program, with all that it extends, to start from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import yaml
from rich.markup import escape

from cosa.errors import UserError
from workflows.commands.listing import header_of
from workflows.spec.fragments import is_fragment
from workflows.spec.problems import UsageError, did_you_mean
from workflows.terminal.console import PlainConsole, table

TEMPLATES = Path(__file__).parents[1].joinpath("templates").resolve()  # In a checkout it is a link to experiments/.
SCHEMA = "spec.schema.json"


def templates() -> dict[str, Path]:
    """Return the specs that come with the program by name, such as retrieval/msrvtt."""
    files = (path for path in sorted(TEMPLATES.rglob("*.yaml")) if not is_fragment(path))
    return {path.relative_to(TEMPLATES).with_suffix("").as_posix(): path for path in files}


def show_templates() -> None:
    """Print the names of the templates, with a line about each."""
    shown = table("  template", "purpose", unbroken=("  template",))
    for name, path in templates().items():
        shown.add_row(f"  {escape(name)}", escape(header_of(path)))
    PlainConsole().print(shown)


def init(template: str, into: Path) -> None:
    """Copy a template and what it extends into a folder; say what was copied, what the spec needs and how to continue.

    Raises:
        UsageError: there is no such template, or the folder is a file.
        UserError: a file of the same name is there and says something else.
    """
    known, console = templates(), PlainConsole(soft_wrap=True)
    if template not in known:
        raise UsageError(f"no template {template!r}{did_you_mean(template, known)} (`cosa init --list` describes them)")
    if into.exists() and not into.is_dir():
        raise UsageError(f"--into: {into} is a file; give a folder")
    spec, *extended = dict.fromkeys(_with_extended(known[template]))
    targets = {file: into / file.relative_to(TEMPLATES) for file in (spec, *extended, TEMPLATES / SCHEMA)}
    written_as = f"experiments/{template}.yaml"  # Templates explain themselves as they are in a checkout.
    texts = {file: file.read_text(encoding="utf-8") for file in targets}
    texts[spec] = texts[spec].replace(written_as, str(targets[spec]))
    for file, target in targets.items():
        is_same = target.is_file() and (target.samefile(file) or target.read_bytes() == texts[file].encode())
        if target.exists() and not is_same:
            raise UserError(f"{target} exists and is not what would be copied; remove it, or choose another folder with --into")
    name, was_there = escape(str(targets[spec])), targets[spec].exists()
    for file, target in targets.items():
        if not target.exists():  # What exists says the same, and in a checkout may be the template itself.
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(texts[file], encoding="utf-8")
    if was_there:
        console.print(f"[bold]{name}[/] is here already; it is yours to edit, and beside it")
    else:
        console.print(f"copied [bold]{name}[/], which is yours to edit, and beside it")
    for file in extended:
        console.print(f"  {escape(str(targets[file]))}  [dim]the spec extends it[/]")
    console.print(f"  {escape(str(targets[TEMPLATES / SCHEMA]))}  [dim]editors check specs by it[/]")
    console.print("\nThe spec says:")
    for line in _opening_comment(texts[spec]):
        console.print(f"  [dim]{escape(line)}[/]")
    console.print("\nThen, from this folder:")
    console.print(f"  cosa plan {name}  [dim]names each file that is missing, and shows what would run[/]")
    console.print(f"  cosa run-experiment {name}")


def _with_extended(spec: Path) -> Iterator[Path]:
    """Yield a spec, the files that it extends, and those that these extend."""
    yield spec
    extended = yaml.safe_load(spec.read_text(encoding="utf-8")).get("extends", [])
    for name in [extended] if isinstance(extended, str) else extended:
        yield from _with_extended((spec.parent / name).resolve())


def _opening_comment(spec: str) -> Iterator[str]:
    """Yield the lines that explain a spec at its top, without the one for editors. spec: its text."""
    for line in spec.splitlines()[1:]:
        if not line.startswith("#"):
            return
        yield line.removeprefix("#").removeprefix(" ")
