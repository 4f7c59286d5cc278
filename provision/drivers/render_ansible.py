"""A driver plan as a file of Ansible tasks, with modules of ansible.builtin alone (PURE).

Strings are written as JSON writes them, which YAML reads as they are.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from .steps import FetchKey, Packages, Reboot, RemoveFile, Run, WriteFile
from .unattended import require_unattended
from .words import package_words, packages_argv

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .plan import DriverPlan
    from .steps import Action, Proof, Step

_REBOOT_TIMEOUT_S = 1800
"""Servers with much memory take many minutes to start."""
_NOT_DONE = "not gpusetup_is_done"


def render_ansible(plan: DriverPlan) -> str:
    """The tasks; UsageError where a step asks a person."""
    require_unattended(plan, "ansible")
    lines = [
        f"# {plan.distribution}: NVIDIA driver branch {plan.branch}, {plan.kernel_module} kernel module.",
        "# Written by: gpusetup driver plan --format ansible. For ansible.builtin.include_tasks, with become: true.",
    ]
    tasks = [_block(step) for step in plan.steps]
    if not tasks:
        tasks = [{"name": "nothing to do", "ansible.builtin.debug": {"msg": "the right driver is there"}}]
    lines += _yaml(tasks, 0)
    return "---\n" + "\n".join(lines) + "\n"


def _block(step: Step) -> dict[str, Any]:
    patterns = [proof.matches or "" for proof in (*step.done_when, *step.needs)]
    tasks: list[dict[str, Any]] = []
    tests = []
    for number, proof in enumerate(step.done_when):
        answer = f"gpusetup_done_{number}"
        tasks.append({**_asking(step, proof, "done when"), "register": answer, "failed_when": False})
        tests.append(_holds(proof, answer, number))
    done = " and ".join(tests) if tests else "false"
    tasks.append(
        {
            "name": f"{step.id}: whether it is done",
            "ansible.builtin.set_fact": {"gpusetup_is_done": f"{{{{ {done} }}}}"},
        }
    )
    for number, proof in enumerate(step.needs, len(step.done_when)):
        tasks.append(
            {
                **_asking(step, proof, "needs"),
                "register": "gpusetup_answer",
                "failed_when": f"not ({_holds(proof, 'gpusetup_answer', number)})",
                "when": _NOT_DONE,
            }
        )
    tasks += [{**task, "when": _NOT_DONE} for action in step.actions for task in _action(step, action)]
    return {"name": f"{step.id}: {step.why}", "vars": {"gpusetup_patterns": patterns}, "block": tasks}


def _asking(step: Step, proof: Proof, word: str) -> dict[str, Any]:
    said = f"{step.id} {word}: {proof.means}" + (f" ({proof.do})" if proof.do and word == "needs" else "")
    return {
        "name": said,
        "ansible.builtin.command": {"argv": list(proof.argv), "strip_empty_ends": False},
        "environment": {"LC_ALL": "C"},
        "changed_when": False,
        "check_mode": False,
    }


def _holds(proof: Proof, answer: str, number: int) -> str:
    if proof.matches is None:
        return f"({answer}.rc | default(1)) == 0"
    return f"({answer}.stdout | default('')) is search(gpusetup_patterns[{number}])"


def _action(step: Step, action: Action) -> Iterator[dict[str, Any]]:
    name = step.id
    if isinstance(action, Packages):
        yield from _packages(name, action)
    elif isinstance(action, WriteFile):
        content = {
            "dest": action.path,
            "content": action.text,
            "owner": "root",
            "group": "root",
            "mode": f"{action.mode:04o}",
        }
        yield {"name": f"{name}: {action.path}", "ansible.builtin.copy": content}
    elif isinstance(action, RemoveFile):
        yield {
            "name": f"{name}: without {action.path}",
            "ansible.builtin.file": {"path": action.path, "state": "absent"},
        }
    elif isinstance(action, FetchKey):
        yield from _key(name, action)
    elif isinstance(action, Run):
        yield {
            "name": f"{name}: {action.argv[0]}",
            "ansible.builtin.command": {"argv": list(action.argv)},
            "changed_when": True,
        }
    elif isinstance(action, Reboot):
        yield {"name": f"{name}: restart", "ansible.builtin.reboot": {"reboot_timeout": _REBOOT_TIMEOUT_S}}


def _packages(name: str, action: Packages) -> Iterator[dict[str, Any]]:
    said = f"{name}: {action.verb} {' '.join(package_words(action))}".rstrip()
    states = {"install": "present", "remove": "absent"}
    if action.manager == "apt" and action.verb == "refresh":
        yield {"name": said, "ansible.builtin.apt": {"update_cache": True}}
    elif action.manager == "apt" and action.verb in states and not action.without:
        yield {"name": said, "ansible.builtin.apt": {"name": list(action.names), "state": states[action.verb]}}
    elif action.manager == "apt" and action.verb in ("hold", "unhold"):
        selection = "hold" if action.verb == "hold" else "install"
        yield {
            "name": said,
            "ansible.builtin.dpkg_selections": {"name": "{{ item }}", "selection": selection},
            "loop": list(action.names),
        }
    elif action.manager == "dnf" and action.verb in states and not action.without:
        yield {"name": said, "ansible.builtin.dnf": {"name": list(action.names), "state": states[action.verb]}}
    else:  # zypper has no module in ansible.builtin, versionlock none at all, and none exchanges packages for others
        argv = list(packages_argv(action))
        yield {"name": said, "ansible.builtin.command": {"argv": argv}, "changed_when": action.verb != "refresh"}


def _key(name: str, action: FetchKey) -> Iterator[dict[str, Any]]:
    fetched = f"{action.path}.fetched"
    yield {
        "name": f"{name}: fetch {action.url}",
        "ansible.builtin.get_url": {"url": action.url, "dest": fetched, "mode": "0644", "force": True},
    }
    yield {
        "name": f"{name}: read its fingerprint",
        "ansible.builtin.command": {"argv": ["gpg", "--batch", "--show-keys", "--with-colons", fetched]},
        "register": "gpusetup_key",
        "changed_when": False,
    }
    # The line after each `pub` that begins with `fpr` is that of a primary key.
    primary = "gpusetup_key.stdout | regex_findall('(?m)^pub:.*\\n(?:(?!fpr:|pub:).*\\n)*fpr:+([0-9A-F]+):')"
    yield {
        "name": f"{name}: it is {action.fingerprint} and no other",
        "ansible.builtin.assert": {"that": [f"({primary}) == ['{action.fingerprint}']"]},
    }
    if action.path.endswith(".gpg"):
        argv = ["gpg", "--batch", "--yes", "--dearmor", "-o", action.path, fetched]
        yield {
            "name": f"{name}: put it in its place",
            "ansible.builtin.command": {"argv": argv, "creates": action.path},
        }
    else:
        copy = {"src": fetched, "dest": action.path, "remote_src": True, "mode": "0644"}
        yield {"name": f"{name}: put it in its place", "ansible.builtin.copy": copy}
    yield {"name": f"{name}: without the copy", "ansible.builtin.file": {"path": fetched, "state": "absent"}}


# --- YAML ---------------------------------------------------------------------------------------


def _yaml(value: Sequence[Any], depth: int) -> Iterator[str]:
    """A list of tasks: mappings in block style, everything in them that is a leaf as JSON."""
    pad = "  " * depth
    for task in value:
        mark = "- "
        for key, entry in task.items():
            lead, mark = f"{pad}{mark}{key}:", "  "
            if key == "block":
                yield lead
                yield from _yaml(entry, depth + 2)
            elif isinstance(entry, dict):
                yield lead
                yield from (f"{pad}    {name}: {_leaf(leaf, key)}" for name, leaf in entry.items())
            else:
                yield f"{lead} {_leaf(entry, key)}"


def _leaf(value: Any, key: str) -> str:
    if isinstance(value, str):
        return _text(value, key)
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_leaf(one, key) for one in value) + "]"
    return json.dumps(value)


def _text(value: str, key: str) -> str:
    """A string; the running kernel is asked of the facts, and what looks like a template by chance is none."""
    if "{kernel}" in value:
        return json.dumps(value.replace("{kernel}", "{{ ansible_kernel }}"))
    is_template = any(mark in value for mark in ("{{", "{%", "{#"))
    own = key in (
        "ansible.builtin.set_fact",
        "ansible.builtin.dpkg_selections",
        "when",
        "failed_when",
        "ansible.builtin.assert",
    )
    return ("" if own or not is_template else "!unsafe ") + json.dumps(value)
