"""Proxies and whether this machine's own name leads anywhere. Nothing here leaves the machine except name lookups."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from ...records import Reading
from . import Probe

if TYPE_CHECKING:
    import ipaddress
    from collections.abc import Iterator

    from ...records import Machine
    from ..surroundings import Surroundings

_PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
_NODE_COUNTS = ("SLURM_NNODES", "SLURM_JOB_NUM_NODES", "PET_NNODES", "OMPI_MCA_orte_num_nodes")
_INTERFACES = ("GLOO_SOCKET_IFNAME", "TP_SOCKET_IFNAME")


def read_proxies(around: Surroundings, machine: Machine) -> Iterator[Reading]:  # noqa: ARG001
    """Which proxy variables are set and whether both spellings agree; their values stay where they are."""
    for name, seen in (around.answer("proxy variables", lambda: _variables(around)) or {}).items():
        yield Reading("proxy.variable", "environment", (name, *(seen[key] for key in ("lower", "upper", "fault"))))


def _variables(around: Surroundings) -> dict[str, dict[str, Any]]:
    return {name: judge_proxy(name, around.environ.get(name), around.environ.get(name.upper())) for name in _PROXIES}


def judge_proxy(name: str, lower: str | None, upper: str | None) -> dict[str, Any]:
    """What may be told of the two spellings of a variable without telling a value."""
    fault = None
    if lower and upper and _compared(name, lower) != _compared(name, upper):
        fault = "the two spellings differ"
    for value in (lower, upper):
        if name != "no_proxy" and value and (value[0] in "\"'" or re.search(r"\s", value.strip())):
            fault = "the value has quotes or blanks in it"
    return {"lower": bool(lower), "upper": bool(upper), "fault": fault}


def _compared(name: str, value: str) -> object:
    """What of a value makes a difference: the order of exceptions and a slash at the end do not."""
    if name == "no_proxy":
        return frozenset(word.strip() for word in value.split(",") if word.strip())
    return value.strip().rstrip("/")


# 127.0.1.1       STREAM box
# 10.1.2.3        STREAM box
def parse_ahosts(text: str) -> tuple[str, ...]:
    """Kinds of the addresses in the output of `getent ahosts`, sorted: loopback, link-local, private, global."""
    import ipaddress  # slow to import, and most boxes have one GPU

    kinds = set()
    for line in text.splitlines():
        words = line.split()
        try:
            address = ipaddress.ip_address(words[0].partition("%")[0]) if words else None
        except ValueError:
            continue
        if address is not None:
            kinds.add(_kind(address))
    return tuple(sorted(kinds))


def _kind(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    if address.is_loopback:
        return "loopback"
    if address.is_link_local:
        return "link-local"
    return "private" if address.is_private else "global"


_KINDS = re.compile(r"loopback|link-local|private|global")


def read_rendezvous(around: Surroundings, machine: Machine) -> Iterator[Reading]:
    """Where this machine's name leads, the kinds of the addresses only; asked on boxes with several GPUs."""
    if len(machine.gpus) <= 1:
        return
    host = around.kernel.hostname
    said = around.ask(
        "addresses of this host",
        ["env", "LC_ALL=C", "getent", "ahosts", host],
        deadline_s=5.0,
        keep=lambda text: "\n".join(parse_ahosts(text)),
    )
    kinds = tuple(_KINDS.findall(said.stdout))
    why = None
    if not kinds:
        # getent(1): 2 is "not found"
        why = said.failure or ("no answer within 5 s" if said.timed_out else "the name leads to no address")
    yield Reading("net.own_addresses", "getent ahosts", kinds or None, why)
    for name in _NODE_COUNTS:
        seen = around.variable(name, re.compile(r"\d{1,5}"))
        if seen.value:
            yield Reading("job.nodes", name, int(seen.value))
    known = around.names("/sys/class/net")
    for name in _INTERFACES:
        seen = around.variable(name, re.compile(r"[\w.:@-]{1,32}"))
        if seen.value:
            yield Reading("net.interface_wanted", name, (name, seen.value, seen.value in known))


def read_sources(around: Surroundings, machine: Machine) -> Iterator[Reading]:
    """What each configured package source said about torch; nothing where nobody was asked."""
    asked = around.package_sources
    rows = around.answer("package sources", lambda: asked(machine) if asked else None)
    for row in rows if isinstance(rows, list) else ():
        if isinstance(row, list) and len(row) == 5:  # noqa: PLR2004 -- address, name, why not, wheels, seconds
            yield Reading("net.source", str(row[1]), tuple(row))


PROBES: tuple[Probe, ...] = (
    Probe("proxies", "instant", read_proxies),
    Probe("rendezvous", "quick", read_rendezvous),
    Probe("package sources", "standard", read_sources, is_after_driver=True),
)
