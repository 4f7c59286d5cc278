"""Checks of the network that an install and a job need: net."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..records import Evidence
from .base import check
from .sys_words import rows

if TYPE_CHECKING:
    from ..records import Finding
    from .base import Facts, Verdict


@check("net.proxy", level="instant", not_on=("paste",))
def proxy(facts: Facts, say: Verdict) -> Finding:
    """The variables that name a proxy agree with each other.

    What it finds
        http_proxy and HTTP_PROXY (and the others) set to two values, and values with quotes or blanks in them.

    Why it matters
        Some programs read one spelling and some the other: curl works where pip hangs. Quotes get into a value from
        files of `docker --env-file` and /etc/environment, and no host has such a name.

    How it is decided
        Both spellings set and different warns, apart from a slash at the end. So does a quote at the start or a blank
        inside of an address. The values are compared and never kept or shown.

    What to do
        Set one spelling, or both alike, and no quotes in files that no shell reads.

    Sources
        curl(1), environment; documentation of requests and of uv about proxies.
    """
    variables = rows(facts, "proxy.variable")
    if not variables:
        return say.unknown("The variables are not among these facts.")
    bad = [(name, fault) for name, _, _, fault in variables if fault]
    if bad:
        name, fault = bad[0]
        return say.warned(
            f"{name} and {name.upper()}: {fault}."
            if "spellings" in fault
            else f"{name} or {name.upper()} can't be an address: {fault}.",
            *(Evidence(one[0], one[3] or "agree", source="environment") for one in variables if one[1] or one[2]),
            safe=("env | grep -i _proxy", f"unset {name.upper()}", "grep -i proxy /etc/environment ~/.profile"),
        )
    used = [name for name, lower, upper, _ in variables if lower or upper]
    return say.passed(f"Set: {', '.join(used)}." if used else "No proxy is set.")


@check("net.index", level="standard", not_on=("paste",), leads=("net.latency",))
def index(facts: Facts, say: Verdict) -> Finding:
    """A configured package source answers and holds torch.

    What it finds
        Package indexes, mirrors and folders of the user's configuration that do not answer, refuse, or hold no torch.

    Why it matters
        An install that can't reach its source fails after long retries, and says little about name lookup, proxy or
        certificate.

    How it is decided
        At level standard the sources that an install of the build for this machine would use are asked for their list
        of torch, through the proxies, certificates and logins of pip's and uv's configuration. None that holds torch
        fails; one that the user configured and that does not answer beside one that does warns. PyTorch's own index,
        which nobody configured, may be out of reach of a machine with a mirror: then it passes and is told.

    What to do
        What the reason says: the proxy (HTTPS_PROXY), the certificates (SSL_CERT_FILE, or cert in pip's
        configuration), the name of the host, or another mirror.

    Sources
        Measured here: an installer spends 6 to 8 s on an index out of reach and names none of these (2026-11).
    """
    sources = rows(facts, "net.source")
    if not sources:
        return say.skipped("Package sources were not asked.")
    shown = tuple(_answered(row) for row in sources)
    silent = [row for row in sources if row[2]]
    if not any(row[3] for row in sources):
        first = silent[0] if silent else sources[0]
        why = f"{first[0]}: {first[2]}" if first[2] else "each answers, and none holds torch"
        return say.failed(
            f"No package source that is configured here holds torch ({why}).",
            *shown,
            safe=(
                "gpusetup plan --check-sources",
                "pip config list",
                "env | cut -d= -f1 | grep -i -e proxy -e ssl",
            ),
        )
    configured = [row for row in silent if row[1] != _BUILT_IN]
    if silent and not configured:
        return say.passed(f"A configured source holds torch; {silent[0][0]} is out of reach and not needed.", *shown)
    if silent:
        names = ", ".join(str(row[0]) for row in configured)
        return say.warned(
            f"Another source holds torch; no answer from {names}.", *shown, safe=("gpusetup plan --check-sources",)
        )
    return say.passed(f"{len(sources)} package sources answer.", *shown)


_BUILT_IN = "matrix"
"""Name of the source that is taken where the user's configuration names none."""


def _answered(row: tuple[Any, ...]) -> Evidence:
    address, name, failure, wheels, seconds = row
    said = str(failure) if failure else f"{wheels} torch wheels in {seconds:.1f} s"
    return Evidence(str(address), said, source=str(name))


_SLOW_S, _TOO_SLOW_S = 2.0, 7.0


@check("net.latency", level="standard", not_on=("paste",))
def latency(facts: Facts, say: Verdict) -> Finding:
    """Package sources answer quickly.

    What it finds
        Sources whose list of torch takes seconds to come.

    Why it matters
        An install asks dozens of such questions.

    How it is decided
        The time until the list of torch was there, of sources that answered: over 2 s warns, and over 7 s for all of
        them fails. A page of the general index has several megabytes, so this is more than a round trip.

    What to do
        A mirror that is nearer, or the proxy's administrator.

    Sources
        The catalogue's limit of 7 s for a connection is gpud's (components/network/latency); 2 s is our proposal.
    """
    answered = [row for row in rows(facts, "net.source") if not row[2] and isinstance(row[4], (int, float))]
    if not answered:
        return say.skipped("No package source was asked, or none answered.")
    slow = [row for row in answered if row[4] > _SLOW_S]
    shown = tuple(_answered(row) for row in slow)
    if slow and all(row[4] > _TOO_SLOW_S for row in answered):
        return say.failed(
            f"Every package source takes longer than {_TOO_SLOW_S:g} s to list torch.",
            *shown,
            safe=("gpusetup plan --check-sources", "use a mirror that is nearer: index-url in pip's configuration"),
        )
    if slow:
        worst = max(slow, key=lambda row: row[4])
        return say.warned(
            f"{worst[0]} takes {worst[4]:.1f} s to list torch.", *shown, safe=("gpusetup plan --check-sources",)
        )
    return say.passed(f"The slowest of {len(answered)} package sources takes {max(row[4] for row in answered):.1f} s.")


@check("net.rendezvous", level="quick", not_on=("paste",))
def rendezvous(facts: Facts, say: Verdict) -> Finding:
    """Other nodes of a job can reach this one by the name that it goes by.

    What it finds
        In a job of several nodes: a host name that leads to the loopback address, or nowhere. On every box with
        several GPUs: a network interface chosen for Gloo that does not exist, and a name that takes seconds.

    Why it matters
        The first process tells the others its name or address. With 127.0.1.1 they wait for themselves, and the job
        ends with a timeout after half an hour.

    How it is decided
        Name service is asked for the host name. Only loopback or no address fails when the batch system says that the
        job has two or more nodes; otherwise it is told and passes, as one node needs no more. An interface of
        GLOO_SOCKET_IFNAME that is not there warns. No answer within 5 s is a time-out.

    What to do
        Put the host's real address into /etc/hosts or DNS, or name the first node by address in MASTER_ADDR.

    Sources
        PyTorch documentation, distributed (GLOO_SOCKET_IFNAME, MASTER_ADDR); debian-reference on 127.0.1.1.
    """
    if not facts.was_looked_at("net.own_addresses"):
        return say.skipped("Nobody asked: the box has no second GPU.")
    missing = [(name, wanted) for name, wanted, is_there in rows(facts, "net.interface_wanted") if not is_there]
    if missing:
        name, wanted = missing[0]
        return say.warned(
            f"{name} names the interface {wanted}, which this machine does not have.",
            *facts.evidence("net.interface_wanted"),
            safe=("ip -brief address", f"unset {name}"),
        )
    nodes = max((int(one) for one in facts.values("job.nodes") if isinstance(one, int)), default=1)
    kinds, why = facts.texts("net.own_addresses") or (), facts.failure("net.own_addresses")
    evidence = facts.evidence("net.own_addresses", "job.nodes")
    safe = (
        "getent ahosts $(hostname); hostname -I",
        "put the address of this host into /etc/hosts, or set MASTER_ADDR",
    )
    if why and why.startswith("no answer"):
        return say.timed_out("Looking up this machine's own name took more than 5 s.", *evidence, safe=safe)
    if set(kinds) - {"loopback", "link-local"}:
        return say.passed("This machine's name leads to an address that others can use.", *evidence)
    said = f"leads to {', '.join(kinds)} only" if kinds else f"leads nowhere ({why})"
    if nodes > 1:
        return say.failed(f"The job has {nodes} nodes, and this one's name {said}.", *evidence, safe=safe)
    return say.passed(f"This machine's name {said}; that is enough for one node.", *evidence)


CHECKS = (proxy, index, latency, rendezvous)
