"""Checks of virtual GPUs and confidential computing: gpu."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from .base import check, counted
from .gpu_answers import fact, named, shown

if TYPE_CHECKING:
    from ..records import Finding, Gpu
    from .base import Facts, Verdict


@check("gpu.vgpu_guest", level="quick", needs=("nvml",))
def vgpu_guest(facts: Facts, say: Verdict) -> Finding:
    """A virtual GPU has its licence.

    What it finds
        Guests of NVIDIA vGPU without a licence, or with one that has run out.

    Why it matters
        Some minutes after its start a virtual GPU without licence is slowed to a crawl or refuses to compute.

    How it is decided
        nvmlDeviceGetVirtualizationMode is vGPU, and nvmlDeviceGetGridLicensableFeatures: licensable and not active
        fails; an invalid or past expiry warns. A whole GPU, passed through or not, needs no licence and is skipped.

    What to do
        Put the client token into /etc/nvidia/ClientConfigToken, choose FeatureType in /etc/nvidia/gridd.conf, restart
        nvidia-gridd, and look at its log.

    Sources
        NVML API reference, nvmlDeviceGetGridLicensableFeatures_v4; NVIDIA, vGPU Client Licensing User Guide
        (read 2026-11).
    """
    guests = tuple(gpu for gpu in facts.gpus if facts.text(fact(gpu, "virtualization_mode")) == "vgpu")
    if not guests:
        return say.skipped("No virtual GPU is here.")
    names = ("licence_active", "licence_product", "licence_expiry", "licence_expires")
    wanting = tuple(gpu for gpu in guests if facts.flag(fact(gpu, "licence_supported")))
    without = tuple(gpu for gpu in wanting if facts.flag(fact(gpu, "licence_active")) is False)
    if without:
        return say.failed(
            f"A virtual GPU has no licence and will be slowed down or refuse to compute: {named(without)}.",
            *shown(facts, without, *names, needs="true"),
            safe=_LICENCE_STEPS,
        )
    expired = tuple(gpu for gpu in wanting if _is_expired(facts, gpu))
    if expired:
        return say.warned(
            f"The licence of a virtual GPU has run out or is invalid: {named(expired)}.",
            *shown(facts, expired, "licence_expires", "licence_expiry"),
            safe=_LICENCE_STEPS,
        )
    unread = tuple(gpu for gpu in guests if facts.flag(fact(gpu, "licence_supported")) is None)
    if unread:
        why = facts.why_not(fact(unread[0], "licence_supported"))
        return say.unknown(f"Whether a virtual GPU has its licence could not be read on {named(unread)}: {why}.")
    return say.passed(
        f"{counted(len(guests), 'virtual GPU')}, licensed or in no need of it.", *shown(facts, guests, *names[:2])
    )


_LICENCE_STEPS = (
    "nvidia-smi -q | grep -A 3 'vGPU Software Licensed Product'",
    "sudo systemctl status nvidia-gridd; sudo journalctl -u nvidia-gridd --no-pager | tail -n 20",
    "put the client token into /etc/nvidia/ClientConfigToken, then: sudo systemctl restart nvidia-gridd",
)


def _is_expired(facts: Facts, gpu: Gpu) -> bool:
    if facts.text(fact(gpu, "licence_expiry")) == "invalid":
        return True
    expires, now = facts.text(fact(gpu, "licence_expires")), facts.context.now
    if expires is None or now is None:
        return False
    try:
        return dt.datetime.fromisoformat(expires.replace("Z", "+00:00")).timestamp() < now
    except ValueError:
        return False


@check("gpu.conf_compute", level="quick", needs=("nvml",))
def conf_compute(facts: Facts, say: Verdict) -> Finding:
    """Where confidential computing is on, the GPUs are ready for work.

    What it finds
        Machines in confidential mode whose GPUs nobody has set ready after attestation.

    Why it matters
        Until then CUDA refuses to start ("system not yet initialized") on GPUs that look healthy.

    How it is decided
        nvmlSystemGetConfComputeState: off is skipped. On, and nvmlSystemGetConfComputeGpusReadyState says no: fails.

    What to do
        Attest the GPUs, then `sudo nvidia-smi conf-compute -srs 1`; nvidia-persistenced with --uvm-persistence-mode
        keeps the state.

    Sources
        NVML API reference, nvmlSystemGetConfComputeGpusReadyState; NVIDIA/gpu-operator (confidential computing)
        (read 2026-11).
    """
    if facts.text("nvml.conf_compute") != "enabled":
        return say.skipped("Confidential computing is not on.")
    seen = facts.evidence("nvml.conf_compute", "nvml.conf_compute_ready", "nvml.conf_compute_environment")
    is_ready = facts.flag("nvml.conf_compute_ready")
    if is_ready is None:
        return say.unknown(
            f"Confidential computing is on; whether the GPUs are ready: {facts.why_not('nvml.conf_compute_ready')}.",
            *seen,
        )
    if not is_ready:
        return say.failed(
            "Confidential computing is on and the GPUs are not set ready: CUDA will not start.",
            *seen,
            safe=("nvidia-smi conf-compute -grs", "after attestation: sudo nvidia-smi conf-compute -srs 1"),
        )
    return say.passed("Confidential computing is on and the GPUs are ready.", *seen)


CHECKS = (vgpu_guest, conf_compute)
