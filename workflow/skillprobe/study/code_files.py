"""Which files of the package a script depends on, from its imports: the code inputs of each rule.

An edit then reruns exactly the rules that can reach the edited file. Imports anywhere in a file count, lazy
ones inside functions too. Dynamic ones (`importlib`) don't: a rule names those modules itself, so that
editing one task doesn't rerun the others.
"""

import ast
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from skillprobe.errors import UserError

STATEMENTS = (ast.stmt, ast.excepthandler, ast.match_case)


def code_files(script: str | Path, package: str | Path, extra: Iterable[str] = ()) -> list[str]:
    """The script and the package's files that it reaches, as sorted paths relative to the repository.

    package: the package's folder, workflow/skillprobe, two levels below the repository; extra: names of
    modules that it imports dynamically, such as "skillprobe.tasks.topic". With a module comes the
    `__init__.py` of every package on the way, but for files with nothing but a docstring, the version, and
    what the package's own file lends to users, which no job imports: a new version number alone recomputes
    nothing. Raises UserError for an import of a module that isn't there.
    """
    script, package = Path(script).resolve(), Path(package).resolve()
    files: set[Path] = set()
    waiting = [script]
    for name in extra:
        waiting += _module_files(name, package, needed_by="a rule")
    while waiting:
        path = waiting.pop()
        if path not in files:
            files.add(path)
            stat = path.stat()
            waiting += _imported_files(path, package, stat.st_mtime_ns, stat.st_size)
    root = package.parent.parent
    return sorted(
        path.relative_to(root).as_posix() for path in files if path == script or not _is_bare(path, package)
    )


def _module_files(name: str, package: Path, needed_by: str | None) -> list[Path]:
    """The file of a module and the `__init__.py` of each package above it; none for an attribute's name."""
    parts = name.split(".")
    folders = [package.joinpath(*parts[1:depth]) for depth in range(1, len(parts) + 1)]
    above = [init for folder in folders[:-1] if (init := folder / "__init__.py").is_file()]
    for path in (folders[-1] / "__init__.py", folders[-1].with_suffix(".py")):
        if path.is_file():
            return [*above, path]
    if needed_by is not None:
        raise UserError(f"{needed_by} needs the module {name}, which doesn't exist; correct the name")
    return []


@cache
def _imported_files(path: Path, package: Path, mtime_ns: int, size: int) -> list[Path]:
    """The package's files that a file imports itself (time and size: as in `_parsed`)."""
    files = []
    for name, level, members in _parsed(str(path), mtime_ns, size)[0]:
        if level and path.is_relative_to(package):
            here = path.relative_to(package.parent).parent.parts
            name = ".".join([*here[: len(here) - level + 1], *([name] if name else [])])
        if name.split(".")[0] == package.name:
            files += _module_files(name, package, needed_by=str(path))
            for member in members:  # A module, or something in the module.
                files += _module_files(f"{name}.{member}", package, needed_by=None)
    return files


def _is_bare(path: Path, package: Path) -> bool:
    if path.name != "__init__.py":
        return False
    stat = path.stat()
    body = _parsed(str(path), stat.st_mtime_ns, stat.st_size)[1]
    lends = path.parent == package
    return all(_is_docstring(node) or _is_version(node) or (lends and _is_lent(node)) for node in body)


@cache
def _parsed(path: str, mtime_ns: int, size: int) -> tuple[list[tuple[str, int, list[str]]], list[ast.stmt]]:
    """The imports of a file as (module, level, imported names), and its statements.

    Time and size are there for the cache: a changed file is parsed anew.
    """
    try:
        tree = ast.parse(Path(path).read_bytes(), filename=path)
    except SyntaxError as error:
        raise UserError(f"{path}, line {error.lineno} is not valid Python ({error.msg})") from error
    found, nodes = [], [tree]
    for node in nodes:
        # Expressions, most of the tree, hold no imports.
        nodes += [child for child in ast.iter_child_nodes(node) if isinstance(child, STATEMENTS)]
        if isinstance(node, ast.Import):
            found += [(alias.name, 0, []) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found.append((node.module or "", node.level, [alias.name for alias in node.names]))
    return found, tree.body


def _is_docstring(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _is_version(node: ast.stmt) -> bool:
    return _assigned(node) == "__version__"


def _is_lent(node: ast.stmt) -> bool:
    """What users import from the package itself, and how it is found."""
    if isinstance(node, ast.FunctionDef):
        return node.name in ("__getattr__", "__dir__")
    return ast.unparse(node) == "import importlib" or _assigned(node) in ("__all__", "_EXPORTS")


def _assigned(node: ast.stmt) -> str:
    """The one name that a statement gives a value, or ""."""
    if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
        return node.targets[0].id
    return ""
