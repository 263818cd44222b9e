"""Print the families of golden cases that a version of River is wanted for.

    python families.py FOLDER VERSION [FAMILY ...]
"""

import ast
import pathlib
import sys

DEFAULT = "0.26.1"  # as in golden.py


def versions(path):
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Assign) and any(getattr(t, "id", "") == "RIVER" for t in node.targets):
            try:
                value = ast.literal_eval(node.value)
            except ValueError:  # it is computed: golden.py will see
                return None
            return {value} if isinstance(value, str) else {DEFAULT, *value.values()}
    return {DEFAULT}


def main(folder, version, *wanted):
    known = {p.stem.removeprefix("cases_"): p for p in sorted(pathlib.Path(folder).glob("cases_*.py"))}
    for family in wanted or known:
        if family not in known:
            sys.exit(f"there is no family {family}: {', '.join(known)}")
        found = versions(known[family])
        if found is None or version in found:
            print(family)


if __name__ == "__main__":
    main(*sys.argv[1:])
