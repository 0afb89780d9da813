"""`nas list`: the components that are installed, without importing any."""

from __future__ import annotations

from nas_core.errors import InvalidOption
from nas_core.registry import GROUPS, entries
from nas_search.cli.output import columns, print_json


def list_components(kind: str | None, json: bool) -> None:
    """Print every component, or those of one kind ("spaces"), with the package that brings it.

    Raises:
        InvalidOption: no such kind.
    """
    kinds = {f"{kind}s": kind for kind in GROUPS}
    if kind is not None and kind not in kinds:
        raise InvalidOption("no such kind of component", value=kind, expected="one of " + ", ".join(kinds))
    found = [entry for name, one in kinds.items() if kind in (None, name) for entry in entries(one)]
    if json:
        fields = ("kind", "name", "package", "version", "target")
        print_json({"components": [{field: getattr(entry, field) for field in fields} for entry in found]})
        return
    if not found:
        print(f"no {kind or 'components'} installed")
        return
    rows = [(entry.kind, entry.name, f"{entry.package} {entry.version}", entry.target) for entry in found]
    print(columns([("kind", "name", "package", "defined in"), *rows]))
