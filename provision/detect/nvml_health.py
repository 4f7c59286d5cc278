"""What NVML knows about the health of each GPU: the `health` depth of nvml_probe.py, in the same child process.

Standard library only, and nothing of this package: nvml_probe.py loads it by its folder and hands over its `Probe`.
docs/readings.md lists every fact with its unit and the NVML function that gives it.
"""

from __future__ import annotations

import ctypes
import math
import time

TYPE_CHECKING = False  # the module typing is not worth its import time here
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Any

    Turn = Callable[[Any], Any]
    Row = tuple[str, str, tuple[Any, ...], Turn]

_NOT_AVAILABLE = {0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF}  # NVML_VALUE_NOT_AVAILABLE as 32 and as 64 bits
_INVALID_ARGUMENT, _NOT_SUPPORTED, _INSUFFICIENT_SIZE, _CORRUPTED_INFOROM = 2, 3, 7, 14
_MOST_PAIRED = 16  # pairs grow with the square of the GPUs, and no box that is known holds more
_MOST_LINKS = 36  # NVML_NVLINK_MAX_LINKS
_MOST_LISTED = 1024  # processes of one kind on one GPU
_AFFINITY_WORDS = 16  # of 64 NUMA nodes each
_GSP_VERSION_BYTES = 64  # NVML_GSP_FIRMWARE_VERSION_BUF_SIZE
_MOST_PAGES = 256  # a board retires 64 at most

# --- answers as plain values


def number(answer: Any) -> int:
    """A count or a figure; the value that stands for "not available" is none."""
    if answer in _NOT_AVAILABLE:
        raise ValueError("NVML answered that the value is not available")
    return int(answer)


def signed(answer: Any) -> int:
    """A figure that may be below zero, also where NVML calls its 32 bits unsigned."""
    figure = int(answer)
    return figure - 2**32 if 2**31 <= figure < 2**32 else figure


def watts(answer: Any) -> float:
    """From milliwatts."""
    return number(answer) / 1000


def mask(answer: Any) -> int:
    """Bits as they are."""
    return int(answer)


def bits(words: Iterable[int]) -> list[int]:
    """Numbers of the bits that are set in 64-bit words, the lowest first."""
    return [64 * place + bit for place, word in enumerate(words) for bit in range(64) if word >> bit & 1]


def flag(answer: Any) -> bool:
    """NVML writes 0 and 1; anything else is no answer."""
    if answer not in (0, 1):
        raise ValueError(f"NVML answered {answer} where only 0 and 1 have a meaning")
    return bool(answer)


def error_rate(encoded: int) -> float:
    """A bit error rate: mantissa in bits 8 to 11, negative decimal exponent in bits 0 to 7 (nvml.h)."""
    return float(f"{encoded >> 8 & 0xF}e-{encoded & 0xFF}")


def text(answer: Any) -> str:
    """Older nvidia-ml-py answers bytes."""
    return answer.decode("utf-8", "replace") if isinstance(answer, bytes) else str(answer)


def word(words: dict[int, str]) -> Turn:
    """The word for a number of an enumeration."""

    def turn(answer: Any) -> str:
        if answer not in words:
            raise ValueError(f"NVML answered {answer}, which stands for nothing that is known")
        return words[answer]

    return turn


def numbered(words: str, *, first: int = 0) -> Turn:
    """The same for numbers in a row."""
    return word(dict(enumerate(words.split(), first)))


def each(turn: Turn) -> Turn:
    """The same for every part of an answer."""
    return lambda answer: [turn(part) for part in answer]


def parts(names: str, turn: Turn = number) -> Turn:
    """These fields of a structure, in this order."""
    return lambda answer: [turn(getattr(answer, name)) for name in names.split()]


_MODE = numbered("disabled enabled")
_BRAND = numbered(
    "unknown quadro tesla nvs grid geforce titan nvidia-vapps nvidia-vpc nvidia-vcs nvidia-vws nvidia-cloud-gaming "
    "quadro-rtx nvidia-rtx nvidia geforce-rtx titan-rtx nvidia-dla nvidia-vgamedev nvidia-npu"
)
_ARCHITECTURE = numbered("kepler maxwell pascal volta turing ampere ada hopper blackwell dla dla2 rubin", first=2)
_VIRTUALIZATION = numbered("none passthrough vgpu host-vgpu host-vsga")
_TOPOLOGY = word({0: "internal", 10: "single", 20: "multiple", 30: "hostbridge", 40: "node", 50: "system"})
_P2P = numbered(
    "ok chipset-not-supported gpu-not-supported topology-not-supported disabled-by-regkey not-supported unknown"
)
_RECOVERY = numbered("none gpu-reset node-reboot drain-p2p drain-and-reset recover-imex-domain bus-reset system-reboot")
_FABRIC_STATE = numbered("not-supported not-started in-progress completed")
_FABRIC_SUMMARY = numbered("not-supported healthy unhealthy limited-capacity")
_LINK_STATE = numbered("inactive active sleep traffic-disabled")
_LINK_VERSION = numbered("1.0 2.0 2.2 3.0 3.1 4.0 5.0 6.0", first=1)
_LINK_REMOTE = word({0: "gpu", 1: "ibm-npu", 2: "switch", 255: "unknown"})
_LICENCE_EXPIRY = numbered("not-available invalid valid not-applicable permanent")
_CONF_ENVIRONMENT = numbered("unavailable simulation production")

# facts; NVML functions, the later ones asked where the first is unknown or wants another structure; arguments; turn
_ROWS: tuple[Row, ...] = (
    ("board_part_number", "nvmlDeviceGetBoardPartNumber", (), text),
    ("vbios_version", "nvmlDeviceGetVbiosVersion", (), text),
    ("inforom_image_version", "nvmlDeviceGetInforomImageVersion", (), text),
    ("brand", "nvmlDeviceGetBrand", (), _BRAND),
    ("architecture", "nvmlDeviceGetArchitecture", (), _ARCHITECTURE),
    ("minor_number", "nvmlDeviceGetMinorNumber", (), number),
    ("numa_node", "nvmlDeviceGetNumaNodeId", (), number),
    ("numa_affinity", "nvmlDeviceGetMemoryAffinity", (_AFFINITY_WORDS, 0), bits),
    ("virtualization_mode", "nvmlDeviceGetVirtualizationMode", (), _VIRTUALIZATION),
    ("host_vgpu_mode", "nvmlDeviceGetHostVgpuMode", (), word({0: "non-sriov", 1: "sriov"})),
    ("display_mode", "nvmlDeviceGetDisplayMode", (), _MODE),
    ("display_active", "nvmlDeviceGetDisplayActive", (), _MODE),
    # memory errors
    ("ecc_mode ecc_pending", "nvmlDeviceGetEccMode", (), each(_MODE)),
    ("ecc_corrected_volatile", "nvmlDeviceGetTotalEccErrors", (0, 0), number),
    ("ecc_uncorrected_volatile", "nvmlDeviceGetTotalEccErrors", (1, 0), number),
    ("ecc_corrected_aggregate", "nvmlDeviceGetTotalEccErrors", (0, 1), number),
    ("ecc_uncorrected_aggregate", "nvmlDeviceGetTotalEccErrors", (1, 1), number),
    ("ecc_dram_corrected_volatile", "nvmlDeviceGetMemoryErrorCounter", (0, 0, 2), number),
    ("ecc_dram_uncorrected_volatile", "nvmlDeviceGetMemoryErrorCounter", (1, 0, 2), number),
    ("ecc_sram_corrected_volatile", "nvmlDeviceGetMemoryErrorCounter", (0, 0, 7), number),
    ("ecc_sram_uncorrected_volatile", "nvmlDeviceGetMemoryErrorCounter", (1, 0, 7), number),
    (
        "remapped_rows_corrected remapped_rows_uncorrected remapped_rows_pending remapped_rows_failed",
        "nvmlDeviceGetRemappedRows",
        (),
        lambda rows: [number(rows[0]), number(rows[1]), flag(rows[2]), flag(rows[3])],
    ),
    (
        "row_remap_banks_max row_remap_banks_high row_remap_banks_partial row_remap_banks_low row_remap_banks_none",
        "nvmlDeviceGetRowRemapperHistogram",
        (),
        parts("max high partial low none"),
    ),
    ("retired_pages_pending", "nvmlDeviceGetRetiredPagesPendingStatus", (), flag),
    ("unrepairable_memory", "nvmlDeviceGetUnrepairableMemoryFlag_v1", (), flag),
    ("channel_repair_pending tpc_repair_pending", "nvmlDeviceGetRepairStatus", (), each(flag)),
    # temperatures in °C, clocks in MHz, power in W
    ("temperature_c", "nvmlDeviceGetTemperatureV nvmlDeviceGetTemperature", (0,), number),
    ("temperature_margin_c", "nvmlDeviceGetMarginTemperature", (), number),
    ("temperature_shutdown_c", "nvmlDeviceGetTemperatureThreshold", (0,), number),
    ("temperature_slowdown_c", "nvmlDeviceGetTemperatureThreshold", (1,), number),
    ("temperature_memory_max_c", "nvmlDeviceGetTemperatureThreshold", (2,), number),
    ("temperature_gpu_max_c", "nvmlDeviceGetTemperatureThreshold", (3,), number),
    ("clock_graphics_mhz", "nvmlDeviceGetClockInfo", (0,), number),
    ("clock_sm_mhz", "nvmlDeviceGetClockInfo", (1,), number),
    ("clock_memory_mhz", "nvmlDeviceGetClockInfo", (2,), number),
    ("clock_graphics_max_mhz", "nvmlDeviceGetMaxClockInfo", (0,), number),
    ("clock_sm_max_mhz", "nvmlDeviceGetMaxClockInfo", (1,), number),
    ("clock_memory_max_mhz", "nvmlDeviceGetMaxClockInfo", (2,), number),
    ("clock_graphics_application_mhz", "nvmlDeviceGetApplicationsClock", (0,), number),
    ("clock_memory_application_mhz", "nvmlDeviceGetApplicationsClock", (2,), number),
    ("clock_graphics_application_default_mhz", "nvmlDeviceGetDefaultApplicationsClock", (0,), number),
    ("clock_memory_application_default_mhz", "nvmlDeviceGetDefaultApplicationsClock", (2,), number),
    (
        "clock_event_reasons",
        "nvmlDeviceGetCurrentClocksEventReasons nvmlDeviceGetCurrentClocksThrottleReasons",
        (),
        mask,
    ),
    (
        "clock_event_reasons_supported",
        "nvmlDeviceGetSupportedClocksEventReasons nvmlDeviceGetSupportedClocksThrottleReasons",
        (),
        mask,
    ),
    *(
        (f"violation_{policy}_ns", "nvmlDeviceGetViolationStatus", (code,), lambda status: number(status.violationTime))
        for policy, code in (
            *(("power", 0), ("thermal", 1), ("sync_boost", 2), ("board_limit", 3), ("low_utilization", 4)),
            *(("reliability", 5), ("total_app_clocks", 10), ("total_base_clocks", 11)),
        )
    ),
    ("performance_state", "nvmlDeviceGetPerformanceState", (), word({state: f"P{state}" for state in range(16)})),
    ("power_w", "nvmlDeviceGetPowerUsage", (), watts),
    ("power_limit_w", "nvmlDeviceGetPowerManagementLimit", (), watts),
    ("power_limit_enforced_w", "nvmlDeviceGetEnforcedPowerLimit", (), watts),
    ("power_limit_default_w", "nvmlDeviceGetPowerManagementDefaultLimit", (), watts),
    ("power_limit_min_w power_limit_max_w", "nvmlDeviceGetPowerManagementLimitConstraints", (), each(watts)),
    # buses and memory
    ("pcie_link_gen", "nvmlDeviceGetCurrPcieLinkGeneration", (), number),
    ("pcie_link_gen_max", "nvmlDeviceGetMaxPcieLinkGeneration", (), number),
    ("pcie_link_gen_device_max", "nvmlDeviceGetGpuMaxPcieLinkGeneration", (), number),
    ("pcie_link_width", "nvmlDeviceGetCurrPcieLinkWidth", (), number),
    ("pcie_link_width_max", "nvmlDeviceGetMaxPcieLinkWidth", (), number),
    ("pcie_replay_count", "nvmlDeviceGetPcieReplayCounter", (), number),
    ("bar1_total_bytes bar1_used_bytes", "nvmlDeviceGetBAR1MemoryInfo", (), parts("bar1Total bar1Used")),
    ("utilization_gpu_percent utilization_memory_percent", "nvmlDeviceGetUtilizationRates", (), parts("gpu memory")),
    ("c2c_mode", "nvmlDeviceGetC2cModeInfoV", (), lambda info: _MODE(info.isC2cEnabled)),
)

_SRAM = (
    "sram_ecc_threshold_exceeded sram_ecc_uncorrected_parity_volatile sram_ecc_uncorrected_secded_volatile "
    "sram_ecc_corrected_volatile sram_ecc_uncorrected_parity_aggregate sram_ecc_uncorrected_secded_aggregate "
    "sram_ecc_corrected_aggregate sram_ecc_uncorrected_l2 sram_ecc_uncorrected_sm sram_ecc_uncorrected_pcie "
    "sram_ecc_uncorrected_mcu sram_ecc_uncorrected_other"
)
_SRAM_FIELDS = (
    "volatile_parity volatile_secded volatile_corrected aggregate_parity aggregate_secded aggregate_corrected "
    "l2 sm pcie mcu other"
)
_SRAM_COUNTS = (
    "aggregate_parity aggregate_secded aggregate_corrected volatile_parity volatile_secded volatile_corrected "
    "l2 sm pcie mcu other"
)  # as they lie in the structure
_MEMORY = "memory_total_bytes memory_used_bytes memory_free_bytes memory_reserved_bytes"
_FABRIC = "fabric_state fabric_status fabric_clique_id fabric_health_mask fabric_health_summary"
_LICENCE = "licence_supported licence_active licence_product licence_expiry licence_expires"

# Field values by number, because older releases of nvidia-ml-py lack the names. Only up to 250: the numbers above were
# given other meanings between driver branches.
_FIELDS: tuple[tuple[str, int, Turn], ...] = (
    ("recovery_action", 230, _RECOVERY),  # NVML_FI_DEV_GET_GPU_RECOVERY_ACTION
    ("temperature_memory_c", 82, number),  # NVML_FI_DEV_MEMORY_TEMP
    ("temperature_shutdown_tlimit_c", 193, signed),  # NVML_FI_DEV_TEMPERATURE_SHUTDOWN_TLIMIT
    ("temperature_slowdown_tlimit_c", 194, signed),  # NVML_FI_DEV_TEMPERATURE_SLOWDOWN_TLIMIT
    ("temperature_memory_max_tlimit_c", 195, signed),  # NVML_FI_DEV_TEMPERATURE_MEM_MAX_TLIMIT
    ("temperature_gpu_max_tlimit_c", 196, signed),  # NVML_FI_DEV_TEMPERATURE_GPU_MAX_TLIMIT
    ("nvlink_count", 91, number),  # NVML_FI_DEV_NVLINK_LINK_COUNT
    ("c2c_link_count", 170, number),  # NVML_FI_DEV_C2C_LINK_COUNT
)
_LINK_FIELDS: tuple[tuple[str, int, Turn], ...] = (
    ("nvlink_dl_replay_errors", 161, number),  # NVML_FI_DEV_NVLINK_ERROR_DL_REPLAY
    ("nvlink_dl_recovery_errors", 162, number),  # NVML_FI_DEV_NVLINK_ERROR_DL_RECOVERY
    ("nvlink_dl_crc_errors", 163, number),  # NVML_FI_DEV_NVLINK_ERROR_DL_CRC
    ("nvlink_integrity_errors", 211, number),  # NVML_FI_DEV_NVLINK_COUNT_LOCAL_LINK_INTEGRITY_ERRORS
    ("nvlink_recovery_events", 215, number),  # NVML_FI_DEV_NVLINK_COUNT_LINK_RECOVERY_EVENTS
    ("nvlink_recovery_failed_events", 214, number),  # NVML_FI_DEV_NVLINK_COUNT_LINK_RECOVERY_FAILED_EVENTS
    ("nvlink_effective_errors", 219, number),  # NVML_FI_DEV_NVLINK_COUNT_EFFECTIVE_ERRORS
    ("nvlink_effective_ber", 220, error_rate),  # NVML_FI_DEV_NVLINK_COUNT_EFFECTIVE_BER
    ("nvlink_symbol_errors", 221, number),  # NVML_FI_DEV_NVLINK_COUNT_SYMBOL_ERRORS
    ("nvlink_symbol_ber", 222, error_rate),  # NVML_FI_DEV_NVLINK_COUNT_SYMBOL_BER
)
_LINK_ROWS: tuple[Row, ...] = (
    ("nvlink_version", "nvmlDeviceGetNvLinkVersion", (), _LINK_VERSION),
    ("nvlink_remote", "nvmlDeviceGetNvLinkRemoteDeviceType", (), _LINK_REMOTE),
    ("nvlink_replay_errors", "nvmlDeviceGetNvLinkErrorCounter", (0,), number),
    ("nvlink_recovery_errors", "nvmlDeviceGetNvLinkErrorCounter", (1,), number),
    ("nvlink_crc_flit_errors", "nvmlDeviceGetNvLinkErrorCounter", (2,), number),
    ("nvlink_crc_data_errors", "nvmlDeviceGetNvLinkErrorCounter", (3,), number),
)


class SramStatus(ctypes.Structure):
    """nvmlEccSramErrorStatus_v1_t (nvml.h). nvidia-ml-py got such structures late, or renamed their parts."""

    number = 0x01000068
    _fields_ = (
        ("version", ctypes.c_uint),
        *((name, ctypes.c_ulonglong) for name in _SRAM_COUNTS.split()),
        ("exceeded", ctypes.c_uint),
    )


_FABRIC_FIELDS = (
    ("cluster", ctypes.c_uint8 * 16),
    ("status", ctypes.c_uint),
    ("clique", ctypes.c_uint32),
    ("state", ctypes.c_uint),
)


class Fabric1(ctypes.Structure):
    """nvmlGpuFabricInfo_t, without a version."""

    _fields_ = _FABRIC_FIELDS


class Fabric2(ctypes.Structure):
    """nvmlGpuFabricInfo_v2_t."""

    number = 0x02000024
    _fields_ = (("version", ctypes.c_uint), *_FABRIC_FIELDS, ("mask", ctypes.c_uint32))


class Fabric3(ctypes.Structure):
    """nvmlGpuFabricInfo_v3_t."""

    number = 0x03000028
    _fields_ = (*Fabric2._fields_, ("summary", ctypes.c_uint8))


def field_number(value: Any) -> int | float:
    """Number of one field value, by the type that NVML says it has."""
    names = ("dVal", "uiVal", "ulVal", "ullVal", "sllVal", "siVal", "usVal")
    if not 0 <= value.valueType < len(names):
        raise ValueError(f"NVML gave a value of the unknown type {value.valueType}")
    found = getattr(value.value, names[value.valueType])
    if not math.isfinite(found):
        raise ValueError(f"NVML answered {found}")
    return int(found)


def system(probe: Any) -> None:
    """Confidential computing, which is of the whole box."""
    state = word({0: "disabled", 1: "enabled"})
    probe.tell(
        "conf_compute conf_compute_environment conf_compute_dev_tools",
        "nvmlSystemGetConfComputeState",
        turn=lambda told: [
            state(told.ccFeature),
            _CONF_ENVIRONMENT(told.environment),
            word({0: "off", 1: "on"})(told.devToolsMode),
        ],
    )
    probe.tell("conf_compute_ready", "nvmlSystemGetConfComputeGpusReadyState", turn=flag)


class Device:
    """One GPU, asked one call at a time."""

    def __init__(self, probe: Any, handle: Any, gpu: int) -> None:
        self.probe, self.pynvml, self.handle, self.gpu = probe, probe.pynvml, handle, gpu

    def tell(self, facts: str, functions: str, *arguments: Any, turn: Turn) -> None:
        """Ask about this GPU and write."""
        self.probe.tell(facts, functions, self.handle, *arguments, gpu=self.gpu, turn=turn)

    def read(self, *, is_split: bool) -> None:
        """Every fact of this GPU; `is_split` when MIG is on."""
        started = time.monotonic()
        for facts, functions, arguments, turn in _ROWS:
            self.tell(facts, functions, *arguments, turn=turn)
        self.inforom()
        self.gsp()
        self.memory()
        self.sram()
        self.retired_pages()
        fields = self.fields(_FIELDS)
        self.processes()
        self.licence()
        self.fabric()
        self.links(fields.get("nvlink_count"))
        self.c2c_links(fields.get("c2c_link_count"))
        if is_split:
            self.mig()
        self.probe.emit(fact="sweep_s", gpu=self.gpu, value=round(time.monotonic() - started, 4))

    def inforom(self) -> None:
        """Corrupt is an answer, and not a failure to ask."""
        answer = self.probe.call("nvmlDeviceValidateInforom", self.handle, gpu=self.gpu)
        if getattr(answer, "value", None) == _CORRUPTED_INFOROM:
            answer = False
        self.probe.answer("inforom_valid", answer, gpu=self.gpu, turn=lambda told: told is not False)

    def gsp(self) -> None:
        """Mode and release of the firmware; nvidia-ml-py asked for other arguments in every branch."""
        modes = (ctypes.c_uint(), ctypes.c_uint())
        places = [ctypes.byref(mode) for mode in modes]
        answer = self.probe.call_library("nvmlDeviceGetGspFirmwareMode", self.handle, *places, gpu=self.gpu)
        self.probe.answer(
            "gsp_mode gsp_mode_default", answer, gpu=self.gpu, turn=lambda _: [_MODE(mode.value) for mode in modes]
        )
        release = ctypes.create_string_buffer(_GSP_VERSION_BYTES)
        answer = self.probe.call_library("nvmlDeviceGetGspFirmwareVersion", self.handle, release, gpu=self.gpu)
        self.probe.answer("gsp_version", answer, gpu=self.gpu, turn=lambda _: release.value.decode("utf-8"))

    def memory(self) -> None:
        """The structure that tells the driver's reserve from what is used; the old one counts it as used."""
        version = getattr(self.pynvml, "nvmlMemory_v2", None)
        if version is not None:
            answer = self.probe.call("nvmlDeviceGetMemoryInfo", self.handle, version, gpu=self.gpu)
            if not self.probe.is_unknown(answer):
                self.probe.answer(_MEMORY, answer, gpu=self.gpu, turn=parts("total used free reserved"))
                return
        answer = self.probe.call("nvmlDeviceGetMemoryInfo", self.handle, gpu=self.gpu)
        self.probe.answer(_MEMORY.rpartition(" ")[0], answer, gpu=self.gpu, turn=parts("total used free"))
        self.probe.emit(
            fact="memory_reserved_bytes",
            gpu=self.gpu,
            code=13,
            failure="the driver counts its own reserve as used memory: it has only the old structure",
        )

    def filled(self, function: str, *structures: type[ctypes.Structure]) -> Any:
        """A structure of ours that NVML filled; the later ones are for older libraries."""
        answer: Any = None
        for structure in structures:
            told = structure()
            if hasattr(structure, "number"):
                told.version = structure.number
            answer = self.probe.call_library(function, self.handle, ctypes.byref(told), gpu=self.gpu)
            if not isinstance(answer, Exception):
                return told
            if not self.probe.is_unknown(answer):
                break
        return answer

    def sram(self) -> None:
        """Errors of the on-chip memories; the sums per unit are aggregate."""
        answer = self.filled("nvmlDeviceGetSramEccErrorStatus", SramStatus)
        counts = parts(_SRAM_FIELDS)
        self.probe.answer(_SRAM, answer, gpu=self.gpu, turn=lambda told: [flag(told.exceeded), *counts(told)])

    def fabric(self) -> None:
        """How the GPU stands in its NVLink fabric; the older structures tell less."""
        answer = self.filled("nvmlDeviceGetGpuFabricInfoV", Fabric3, Fabric2)
        if self.probe.is_unknown(answer):
            answer = self.filled("nvmlDeviceGetGpuFabricInfo", Fabric1)

        def turn(told: Any) -> list[Any]:
            has_mask, has_summary = hasattr(told, "mask"), hasattr(told, "summary")
            return [
                _FABRIC_STATE(told.state),
                int(told.status),
                int(told.clique),
                mask(told.mask) if has_mask else self.probe.missing_from_library("a health mask"),
                _FABRIC_SUMMARY(told.summary) if has_summary else self.probe.missing_from_library("a health summary"),
            ]

        self.probe.answer(_FABRIC, answer, gpu=self.gpu, turn=turn)

    def fields(self, wanted: Sequence[tuple[str, int, Turn]], scope: int = 0) -> dict[str, Any]:
        """Field values in one call; the numbers that came."""
        values = self.field_values(wanted, scope)
        for fact, value in values.items():
            self.probe.answer(fact, value, gpu=self.gpu, turn=lambda told: told)
        return {fact: value for fact, value in values.items() if not isinstance(value, Exception)}

    def field_values(self, wanted: Sequence[tuple[str, int, Turn]], scope: int) -> dict[str, Any]:
        """For each fact its value, or the exception that says why there is none."""
        asked = [(number_of_field, scope) for _, number_of_field, _ in wanted]
        answer = self.probe.call("nvmlDeviceGetFieldValues", self.handle, asked, gpu=self.gpu)
        return {
            fact: answer if isinstance(answer, Exception) else self.field_value(answer[place], turn)
            for place, (fact, _, turn) in enumerate(wanted)
        }

    def field_value(self, value: Any, turn: Turn) -> Any:
        """One field value, or the exception that says why there is none."""
        if value.nvmlReturn != 0:
            return self.probe.error(value.nvmlReturn)
        try:
            return turn(field_number(value))
        except (ValueError, OverflowError) as err:
            return err

    def retired_pages(self) -> None:
        """How many pages, by cause; for those of double-bit errors also when, in seconds since 1970."""
        for fact, cause in (("retired_pages_single_bit", 0), ("retired_pages_double_bit", 1)):
            stamps = (ctypes.c_ulonglong * _MOST_PAGES)()
            pages = (ctypes.c_ulonglong * _MOST_PAGES)()
            arguments = (self.handle, ctypes.c_uint(cause))
            name = "nvmlDeviceGetRetiredPages_v2"
            count = self.listed(name, arguments, (pages, stamps), _MOST_PAGES)
            has_times = not self.probe.is_unknown(count)
            if not has_times:
                count = self.listed("nvmlDeviceGetRetiredPages", arguments, (pages,), _MOST_PAGES)
            self.probe.answer(fact, count, gpu=self.gpu, turn=number)
            if cause == 1:
                times = [int(stamp) // 10**6 for stamp in stamps[:count]] if isinstance(count, int) else count
                if not has_times and isinstance(count, int):
                    times = self.probe.missing(name)
                self.probe.answer(f"{fact}_times_s", times, gpu=self.gpu, turn=lambda told: told)

    def listed(self, function: str, before: tuple[Any, ...], buffers: tuple[Any, ...], most: int) -> Any:
        """How many entries NVML wrote into buffers of our own, or why none: nvidia-ml-py believes any count."""
        count = ctypes.c_uint(most)
        answer = self.probe.call_library(function, *before, ctypes.byref(count), *buffers, gpu=self.gpu)
        if isinstance(answer, Exception):
            return answer
        if count.value > most:
            return ValueError(f"NVML says that it wrote {count.value} entries where {most} have room")
        return count.value

    def processes(self) -> None:
        """Process numbers and their GPU memory in bytes: no names, no arguments."""
        for kind, name in (("compute", "Compute"), ("graphics", "Graphics"), ("mps", "MPSCompute")):
            structure = getattr(self.pynvml, "c_nvmlProcessInfo_v2_t", None)
            if structure is None:
                answer: Any = self.probe.missing("c_nvmlProcessInfo_v2_t")
            else:
                answer = self.running(f"nvmlDeviceGet{name}RunningProcesses", structure)
            self.probe.answer(
                f"{kind}_pids {kind}_memory_bytes",
                answer,
                gpu=self.gpu,
                turn=lambda found: [
                    [int(one.pid) for one in found],
                    [None if one.usedGpuMemory in _NOT_AVAILABLE else int(one.usedGpuMemory) for one in found],
                ],
            )

    def running(self, function: str, structure: Any) -> Any:
        """The processes that this function lists; versions 2 and 3 of it fill the same structure."""
        count: Any = None
        for name in (f"{function}_v3", f"{function}_v2"):
            found = (structure * _MOST_LISTED)()
            count = self.listed(name, (self.handle,), (found,), _MOST_LISTED)
            if not self.probe.is_unknown(count):
                break
        return count if isinstance(count, Exception) else found[:count]

    def licence(self) -> None:
        """Of a vGPU guest: the first feature that is on, or the first."""

        def turn(told: Any) -> list[Any]:
            found = list(told.gridLicensableFeatures[: min(told.licensableFeaturesCount, 3)])
            chosen = next((one for one in found if one.featureState), found[0] if found else None)
            if chosen is None:
                none = ValueError("NVML lists no feature that a licence could switch on")
                return [bool(told.isGridLicenseSupported), none, none, none, none]
            expiry = chosen.licenseExpiry
            when = f"{expiry.year:04d}-{expiry.month:02d}-{expiry.day:02d}T{expiry.hour:02d}:{expiry.min:02d}:"
            return [
                bool(told.isGridLicenseSupported),
                flag(chosen.featureState),
                text(chosen.productName),
                _LICENCE_EXPIRY(expiry.status),
                f"{when}{expiry.sec:02d}Z" if expiry.status == 2 else ValueError("there is no date"),  # noqa: PLR2004
            ]

        self.tell(_LICENCE, "nvmlDeviceGetGridLicensableFeatures_v4", turn=turn)

    def mig(self) -> None:
        """The MIG devices: uuid, slices of the GPU and of its compute, memory."""
        most = self.probe.call("nvmlDeviceGetMaxMigDeviceCount", self.handle, gpu=self.gpu)
        facts = "mig_uuids mig_gpu_slices mig_compute_slices mig_memory_bytes"
        if isinstance(most, Exception):
            self.probe.answer(facts, most, gpu=self.gpu, turn=lambda told: told)
            return
        columns: list[list[Any]] = [[], [], [], []]
        for place in range(min(most, self.probe.largest_count)):
            handle = self.probe.call("nvmlDeviceGetMigDeviceHandleByIndex", self.handle, place, gpu=self.gpu)
            if isinstance(handle, Exception):
                continue
            uuid = self.probe.call("nvmlDeviceGetUUID", handle, gpu=self.gpu)
            split = self.probe.call("nvmlDeviceGetAttributes_v2", handle, gpu=self.gpu)
            has_split = not isinstance(split, Exception)
            columns[0].append(None if isinstance(uuid, Exception) else text(uuid))
            columns[1].append(split.gpuInstanceSliceCount if has_split else None)
            columns[2].append(split.computeInstanceSliceCount if has_split else None)
            columns[3].append(split.memorySizeMB * 2**20 if has_split else None)
        self.probe.answer(facts, columns, gpu=self.gpu, turn=lambda told: told)

    def links(self, known: Any) -> None:
        """Lists with one entry per NVLink: null where that link gave no value."""
        answers = self.link_states(min(known, _MOST_LINKS) if isinstance(known, int) else None)
        if not answers or all(isinstance(one, Exception) for one in answers):
            why = answers[0] if answers else self.probe.error(_NOT_SUPPORTED)
            self.probe.answer("nvlink_state", why, gpu=self.gpu, turn=str)
            return
        self.probe.column("nvlink_state", answers, gpu=self.gpu, turn=_LINK_STATE)
        for fact, function, arguments, turn in _LINK_ROWS:
            column = [
                self.probe.call(function, self.handle, link, *arguments, gpu=self.gpu) for link in range(len(answers))
            ]
            self.probe.column(fact, column, gpu=self.gpu, turn=turn)
        rows = [self.field_values(_LINK_FIELDS, link) for link in range(len(answers))]
        for fact, _, _ in _LINK_FIELDS:
            self.probe.column(fact, [row[fact] for row in rows], gpu=self.gpu, turn=lambda told: told)

    def link_states(self, known: int | None) -> list[Any]:
        """State of every link; without a known count it ends at the first that does not exist."""
        states: list[Any] = []
        for link in range(_MOST_LINKS if known is None else known):
            state = self.probe.call("nvmlDeviceGetNvLinkState", self.handle, link, gpu=self.gpu)
            if known is None and link and getattr(state, "value", None) in {_INVALID_ARGUMENT, _NOT_SUPPORTED}:
                break
            states.append(state)
            if known is None and isinstance(state, Exception):
                break
        return states

    def c2c_links(self, count: Any) -> None:
        """State of every chip-to-chip link."""
        if not isinstance(count, int) or not count:
            return
        wanted = (("c2c_link_state", 171, _LINK_STATE),)  # NVML_FI_DEV_C2C_LINK_GET_STATUS
        column = [self.field_values(wanted, link)["c2c_link_state"] for link in range(min(count, _MOST_LINKS))]
        self.probe.column("c2c_link_state", column, gpu=self.gpu, turn=lambda told: told)


def pairs(probe: Any, handles: dict[int, Any]) -> None:
    """How each pair of GPUs can reach one another."""
    known = sorted(handles)[:_MOST_PAIRED]
    for first, second in ((i, j) for i in known for j in known if i < j):
        ends = (handles[first], handles[second])
        name = f"pair.{first}.{second}."
        probe.tell(f"{name}topology", "nvmlDeviceGetTopologyCommonAncestor", *ends, turn=_TOPOLOGY)
        for fact, index in (("p2p_read", 0), ("p2p_write", 1), ("p2p_nvlink", 2)):
            probe.tell(f"{name}{fact}", "nvmlDeviceGetP2PStatus", *ends, index, turn=_P2P)


def read(probe: Any, handles: dict[int, Any], split: Iterable[int]) -> None:
    """Everything of the `health` depth; `split` are the GPUs with MIG on."""
    is_split = set(split)
    system(probe)
    for gpu, handle in handles.items():
        Device(probe, handle, gpu).read(is_split=gpu in is_split)
    pairs(probe, handles)
