"""The form that each answer of a snapshot has: a file that anybody may have written is held against it (PURE).

A type stands for itself, None for nothing, `Any` of several forms is a set; a list with one form holds any number of
it, a tuple that many; a dictionary has these keys at least, with the key `str` any keys.
"""

from __future__ import annotations

import re
from typing import Any, Final

_MAYBE_TEXT: Final = frozenset({str, None})
_MAYBE_YES_NO: Final = frozenset({bool, None})
_MAYBE_NUMBER: Final = frozenset({int, None})
_LOG: Final = (_MAYBE_TEXT, _MAYBE_TEXT)
_RUNTIMES: Final = [(str, _MAYBE_TEXT)]
_KEPT: Final[dict[str, Any]] = {
    "/etc/docker/": {
        "runtimes": _RUNTIMES,
        "default_runtime": _MAYBE_TEXT,
        "cgroup_driver": _MAYBE_TEXT,
        "cdi": _MAYBE_YES_NO,
        "data_root": _MAYBE_TEXT,
    },
    "/etc/containerd/": {
        "version": _MAYBE_NUMBER,
        "has_cri": bool,
        "runtimes": _RUNTIMES,
        "default_runtime": _MAYBE_TEXT,
        "cdi": _MAYBE_YES_NO,
    },
    "/etc/nvidia-container-runtime/": {"no_cgroups": _MAYBE_YES_NO, "mode": _MAYBE_TEXT},
    "": {
        "kind": _MAYBE_TEXT,
        "cdi_version": _MAYBE_TEXT,
        "devices": int,
        "releases": [str],
        "missing": [str],
        "nodes": [str],
    },
}
_KEPT["/var/snap/docker/"] = _KEPT["/etc/docker/"]
_SCAN: Final[dict[str, Any]] = {
    "kind": str,
    "sees_system": bool,
    "filesystem": _MAYBE_TEXT,
    "python_h": _MAYBE_YES_NO,
    "python": {
        "version": _MAYBE_TEXT,
        "implementation": str,
        "is_free_threaded": bool,
        "can_run": bool,
        "started": _MAYBE_TEXT,
    },
    "distributions": [(str, str, _MAYBE_TEXT, _MAYBE_TEXT, _MAYBE_TEXT, _MAYBE_TEXT)],
    "duplicates": [[str]],
    "requires": [(str, str)],
    "broken": [str],
    "conda": [(str, str, str)],
    "missing": [(str, int, str)],
    "shared": [(str, str, int, str)],
}
_TORCH: Final[dict[str, Any]] = {
    "has_version": bool,
    "version": _MAYBE_TEXT,
    "cuda": _MAYBE_TEXT,
    "hip": _MAYBE_TEXT,
    "debug": _MAYBE_YES_NO,
    "cuda_library": bool,
    "own_cudart": bool,
    "ptxas": bool,
    "cxx11_abi": _MAYBE_YES_NO,
}
_RECEIPT: Final[dict[str, Any]] = {
    "torch": str,
    "variant": str,
    "left_out": [int],
    "distributions": [(str, str, _MAYBE_TEXT)],
}
_INTERPRETER: Final = (str, str, str, bool, _MAYBE_TEXT, _MAYBE_TEXT)
FORMS: Final[tuple[tuple[str, Any], ...]] = (
    (r"now", frozenset({int, float})),
    (r"program .*|module pynvml|container of process 1|cpu\.affinity|env\.path|group \d+", str),
    (r"library .*", {"path": str, "source": str, "real": str}),
    (r"python\.interpreters", [frozenset({_INTERPRETER, (*_INTERPRETER, _MAYBE_TEXT)})]),
    (r"driver\.blocked_(?:processes|lasting)|errors in .*|wsl\.driver_packages", [str]),
    (r"driver modules on disk", {str: _MAYBE_TEXT}),
    (r"SecureBoot of EFI|imex nodes|limit memlock|page size|shm\.left_behind", int),
    (r"adjtimex", {"state": int, "status": int}),
    (r"cpu\.governors", [(str, str, int)]),
    (r"cuda\.jit_cache", {str: frozenset({str, int, bool, None})}),
    (r"denials of .*|kernel lines of .*", _LOG),
    (r"driver upgrades in the history of apt", [(str, bool, str, str, str)]),
    (r"files that set variables", {str: [str]}),
    (r"gpu\.pids_gone", [int]),
    (r"key of NVIDIA's repository|process nv-fabricmanager|vpd .* has SW_MNG", bool),
    (r"libraries before the loader's own", [(str, str, str, str)]),
    (
        r"mounts",
        {"mounts": [(str, str, bool, bool, bool)], "places": [(str, str, _MAYBE_TEXT, _MAYBE_TEXT, bool)]},
    ),
    (r"package sources", [(str, str, _MAYBE_TEXT, int, frozenset({int, float}))]),
    (r"process\.limits", dict.fromkeys(("open_files", "processes"), (_MAYBE_NUMBER, _MAYBE_NUMBER))),
    (r"processes", {"count": int, "zombies": int, "parents": [(int, str, int)], "time_daemons": [str]}),
    (r"proxy variables", {str: {"lower": bool, "upper": bool, "fault": _MAYBE_TEXT}}),
    (r"user", {"uid": int, "gids": [int]}),
    (r"variables that name paths", {str: str}),
)
LARGEST_NUMBER: Final = 2.0**80
"""Numbers of a machine are smaller, also the room of filesystems that pretend to have no end."""


def has_form(name: str, value: Any) -> bool:
    """Whether an answer is nothing, or what the question of that name is answered by; any answer to others is."""
    if value is None:
        return True
    if name == "env.scan":
        return _is_scan(value)
    if name.startswith("kept of "):
        return _is_kept(name.removeprefix("kept of "), value)
    form = next((form for pattern, form in FORMS if re.fullmatch(pattern, name)), None)
    return form is None or fits(value, form)


def fits(value: Any, form: Any) -> bool:
    """Whether a JSON value has a form."""
    if isinstance(form, frozenset):
        return any(fits(value, one) for one in form)
    if form is None:
        return value is None
    if isinstance(form, type):
        # True is no number here, and neither is one without end.
        is_it = type(value) is form
        return is_it and (form not in (int, float) or -LARGEST_NUMBER < value < LARGEST_NUMBER)
    if isinstance(form, list):
        return isinstance(value, list) and all(fits(one, form[0]) for one in value)
    if isinstance(form, tuple):
        is_long = isinstance(value, list) and len(value) == len(form)
        return is_long and all(fits(one, wanted) for one, wanted in zip(value, form, strict=True))
    if not isinstance(value, dict):
        return False
    if str in form:
        return all(fits(one, form[str]) for one in value.values())
    return all(name in value and fits(value[name], wanted) for name, wanted in form.items())


def _is_kept(path: str, value: Any) -> bool:
    if not isinstance(value, dict):
        return False
    if value.get("state") != "read":
        return value.get("state") in ("absent", "unreadable", "broken") and isinstance(value.get("why"), str)
    named = (form for start, form in _KEPT.items() if start and path.startswith(start))
    return fits(value, next(named, _KEPT[""]))


def _is_scan(value: Any) -> bool:
    if not isinstance(value, dict):
        return False
    if value.get("failure") is not None:
        return isinstance(value["failure"], str)
    torch, receipt = value.get("torch"), value.get("receipt")
    return (
        {"torch", "receipt"} <= value.keys()
        and fits(value, _SCAN)
        and (torch is None or fits(torch, _TORCH))
        and (
            receipt is None
            or (isinstance(receipt, dict) and (fits(receipt, _RECEIPT) or fits(receipt, {"failure": str})))
        )
        and fits(value.get("torch_version_as_recorded"), _MAYBE_YES_NO)
    )
