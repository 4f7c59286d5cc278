"""Shapes that pastes have in public issues and forums, with figures of our own and what each must be read as.

`says` lists, in order, a part of every sentence about what the text does not say.
"""

import html
from typing import Any, NamedTuple

from paste_texts import COLLECT_ENV, LIST, OLD_TABLE, QUERY, TABLE, VERSION, XML
from report_texts import (
    ACCELERATE,
    DETECTRON,
    LIGHTNING,
    MMCV,
    R610_TABLE,
    SGLANG,
    TRANSFORMERS,
    VLLM,
    WINDOWS_TABLE,
    WSL_TABLE,
)


class Shape(NamedTuple):
    text: str
    facts: dict[str, Any]
    says: tuple[str, ...] = ()


def per_line(text, change):
    return "\n".join(change(line) for line in text.splitlines()) + "\n"


def numbered(text, form):
    return "\n".join(form.format(n, line) for n, line in enumerate(text.splitlines(), 7)) + "\n"


def env(*, os=None, platform=None, libc=None, python=None, gpus=None, driver=None, available=None):
    """A collect_env with other facts; gpus is what stands at and below its label."""
    text = COLLECT_ENV
    for old, new in (
        ("Ubuntu 22.04.2 LTS (x86_64)", os),
        ("Linux-6.8.0-45-generic-x86_64-with-glibc2.35", platform),
        ("glibc-2.35", libc),
        ("3.11.9 (main, Apr  6 2024, 17:59:24) [GCC 11.4.0] (64-bit runtime)", python),
        ("\nGPU 0: NVIDIA A10G\nGPU 1: NVIDIA A10G\n", None if gpus is None else f" {gpus}"),
        ("550.90.07", driver),
        ("available: True", None if available is None else f"available: {available}"),
    ):
        text = text if new is None else text.replace(old, new)
    return text


TWO = ["NVIDIA L40S", "NVIDIA RTX PRO 6000 Blac..."]
TABLE_FACTS = {"gpus": TWO, "driver": "575.57.08", "cuda": "12.9", "system": "linux"}
TABLE_SAYS = ("has compute capability 12.0, as every name",)
ENV_FACTS = {
    "gpus": ["NVIDIA A10G", "NVIDIA A10G"],
    "driver": "550.90.07",
    "system": "linux",
    "os": "ubuntu",
    "os_version": "22.04",
    "arch": "x86_64",
    "glibc": "2.35",
    "python": "3.11.9",
}

NO_CUDA = env(gpus="No CUDA", driver="No CUDA", available="False")
FAILED = "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver. Make sure that\n"
ESCAPES = str.maketrans({sign: f"\\{sign}" for sign in "|-+=_"})

SHAPES: dict[str, Shape] = {
    # --- the table, and what forums make of it
    "table-in-details-of-a-template": Shape(
        f"### Versions\n\n<details>\n<summary>nvidia-smi</summary>\n\n```\n{TABLE}```\n</details>\n\ncc @ada\n",
        TABLE_FACTS,
        TABLE_SAYS,
    ),
    "table-with-single-blanks": Shape(
        per_line(TABLE, lambda line: " ".join(line.split())), {**TABLE_FACTS, "mib": [46068, 97887]}, TABLE_SAYS
    ),
    "table-on-one-line": Shape(" ".join(TABLE.split()), {**TABLE_FACTS, "mib": [46068, 97887]}, TABLE_SAYS),
    "table-quoted-in-a-quote-with-a-list": Shape(per_line(TABLE, "    > {}".format), TABLE_FACTS, TABLE_SAYS),
    "table-of-a-compose-service": Shape(
        per_line(TABLE, "trainer-1  | {}".format), {**TABLE_FACTS, "mib": [46068, 97887]}, TABLE_SAYS
    ),
    "table-of-a-compose-service-as-html": Shape(
        per_line(TABLE, '<span style="color:#00AAAA">trainer-1  |</span> {}'.format), TABLE_FACTS, TABLE_SAYS
    ),
    "table-of-a-build-log": Shape(per_line(TABLE, "2026-01-31T09:00:00.1234567Z {}".format), TABLE_FACTS, TABLE_SAYS),
    "table-of-cat-n": Shape(numbered(TABLE, "{:6}\t{}"), TABLE_FACTS, TABLE_SAYS),
    "table-of-an-editor": Shape(numbered(TABLE, "{:3} | {}"), TABLE_FACTS, TABLE_SAYS),
    "table-of-grep-n": Shape(numbered(TABLE, "{}:{}"), TABLE_FACTS, TABLE_SAYS),
    "table-escaped-by-markdown": Shape(TABLE.translate(ESCAPES), TABLE_FACTS, TABLE_SAYS),
    "table-as-html": Shape(
        html.escape(per_line(TABLE, "> {}".format)).replace("  ", "&nbsp; "), TABLE_FACTS, TABLE_SAYS
    ),
    "table-with-br": Shape(TABLE.replace("\n", "<br/>"), TABLE_FACTS, TABLE_SAYS),
    "table-of-a-word-processor": Shape(
        TABLE.replace("-", "\u2011").replace("...", "\u2026").replace("|", "\u2502").replace("  ", "\u2003 "),
        TABLE_FACTS,
        TABLE_SAYS,
    ),
    "table-with-invisible-characters": Shape(
        TABLE.replace("|", "|\u200b").replace("NVIDIA-", "NVIDIA\u00ad-\u200e"), TABLE_FACTS, TABLE_SAYS
    ),
    "table-with-a-note-behind-its-header": Shape(
        TABLE.replace("12.9     |", "12.9     | \u2190 \u2705 PyTorch"), TABLE_FACTS, TABLE_SAYS
    ),
    "table-in-colour-with-crlf": Shape(per_line(TABLE, "\x1b[1;32m{}\x1b[0m\r".format), TABLE_FACTS, TABLE_SAYS),
    "table-twice-by-watch": Shape(TABLE + TABLE.replace("30C", "44C"), TABLE_FACTS, TABLE_SAYS),
    "table-of-r610": Shape(
        R610_TABLE, {"gpus": TWO, "driver": "610.43.02", "cuda": "13.3", "system": "linux"}, TABLE_SAYS
    ),
    "table-of-windows": Shape(
        WINDOWS_TABLE,
        {"gpus": ["NVIDIA GeForce RTX 4090"], "driver": "581.15", "cuda": "13.0", "system": "windows", "wsl": False},
    ),
    "table-of-wsl-with-an-error-for-cuda": Shape(
        WSL_TABLE,
        {"gpus": ["NVIDIA GeForce RTX 4070 ..."], "driver": "555.99", "cuda": None, "system": "linux", "wsl": True},
        ("Linux nvidia-smi 555.52.01 on driver 555.99", "has compute capability 8.9, as every name"),
    ),
    "table-of-a-mismatched-container": Shape(TABLE.replace("SMI 575.57.08", "SMI 565.57.01"), TABLE_FACTS, TABLE_SAYS),
    "table-cut-inside-its-header": Shape(
        TABLE.replace("   Driver Version: 575.57.08      CUDA Version: 12.9     |", ""),
        {"gpus": TWO, "driver": None, "cuda": None},
        ("no driver version: the header is cut off", *TABLE_SAYS),
    ),
    "table-cut-inside-its-driver": Shape(
        TABLE.replace("57.08      CUDA Version: 12.9     |", "5"),
        {"gpus": TWO, "driver": "575.5", "cuda": None},
        ("The driver version 575.5 ends the paste and is taken to be whole.", *TABLE_SAYS),
    ),
    "table-cut-at-the-top": Shape(
        "\n".join(TABLE.splitlines()[6:]),
        {"gpus": TWO, "driver": None},
        ("no driver version: the header of the table was not copied", *TABLE_SAYS),
    ),
    "table-cut-below-its-first-gpu": Shape(
        "\n".join(TABLE.splitlines()[:10]),
        {"gpus": TWO[:1], "driver": "575.57.08"},
        ("No line closes the table below GPU 0: GPUs further down may be missing.",),
    ),
    "table-without-bars-or-header": Shape(
        "\n".join(line.replace("|", " ") for line in TABLE.splitlines()[8:16]),
        {"gpus": TWO, "driver": None},
        ("the header of the table was not copied", *TABLE_SAYS),
    ),
    "end-of-one-table-and-another": Shape(
        "\n".join(OLD_TABLE.splitlines()[7:]) + "\n" + TABLE,
        TABLE_FACTS,
        ("2 tables that differ (they start at lines 1, 13): the one at line 13 is read", *TABLE_SAYS),
    ),
    "tables-of-two-machines": Shape(
        f"host a\n{TABLE}host b\n{WINDOWS_TABLE}",
        TABLE_FACTS,
        ("2 tables that differ (they start at lines 4, 30): the one at line 4 is read", *TABLE_SAYS),
    ),
    # --- -q, -q -x, -L
    "query-of-grep-n": Shape(
        numbered(QUERY, "{}:{}"), {"gpus": ["NVIDIA H100 80GB HBM3"] * 2, "driver": "570.133.20", "cuda": "12.8"}
    ),
    "query-of-wsl": Shape(
        QUERY.replace("    Accounting Mode", "    Driver Model\n        Current : WDDM\n    Accounting Mode"),
        {"gpus": ["NVIDIA H100 80GB HBM3"] * 2, "driver": "570.133.20", "system": None},
        ("The driver model is WDDM",),
    ),
    "queries-of-two-machines": Shape(
        QUERY + QUERY.replace("570.133.20", "535.54.03").replace("H100 80GB HBM3", "H200"),
        {"gpus": ["NVIDIA H100 80GB HBM3"] * 2, "driver": "570.133.20"},
        ("2 logs that differ (they start at lines 1, 38): the one at line 1 is read",),
    ),
    "xml-as-html": Shape(html.escape(XML), {"gpus": ["NVIDIA A100-SXM4-80GB"], "driver": "535.54.03"}),
    "xml-numbered": Shape(numbered(XML, "{:4}  {}"), {"gpus": ["NVIDIA A100-SXM4-80GB"], "driver": "535.54.03"}),
    "xml-of-two-machines": Shape(
        XML + XML.replace("535.54.03", "550.90.07"),
        {"gpus": ["NVIDIA A100-SXM4-80GB"], "driver": "535.54.03"},
        ("several XML documents (another at line 18): the first is read",),
    ),
    "list-with-bullets": Shape(
        "- GPU 0: NVIDIA A40 (UUID: GPU-masked)\n- `GPU 1: NVIDIA A40 (UUID: GPU-masked)`\n",
        {"gpus": ["NVIDIA A40"] * 2, "driver": None},
        ("The paste names no driver version.",),
    ),
    "lists-of-two-machines": Shape(
        "a$ nvidia-smi -L\nGPU 0: NVIDIA A10 (UUID: x)\nb$ nvidia-smi -L\nGPU 0: NVIDIA L4\nGPU 1: NVIDIA L4\n\n",
        {"gpus": ["NVIDIA A10"]},
        ("2 lists of GPUs that differ (they start at lines 2, 4): the one at line 2", "names no driver version"),
    ),
    # --- collect_env
    "env-quoted-with-a-stray-mark": Shape(
        per_line(COLLECT_ENV.replace("Collecting e", "Collecting`e"), "> {}".format), ENV_FACTS
    ),
    "env-on-one-line": Shape(" ".join(COLLECT_ENV.split()), ENV_FACTS),
    "env-numbered": Shape(numbered(COLLECT_ENV, "{}: {}"), ENV_FACTS),
    "env-padded-to-the-width-of-a-terminal": Shape(per_line(COLLECT_ENV, lambda line: line.ljust(420)), ENV_FACTS),
    "env-of-a-pod": Shape(per_line(COLLECT_ENV, "web-0  | {}".format), ENV_FACTS),
    "env-behind-a-template": Shape(
        f"- OS (e.g., Linux): Linux\n- Python version: 3.8\n\n```text\n{COLLECT_ENV}```\n", ENV_FACTS
    ),
    "env-with-gpu-topology": Shape(
        COLLECT_ENV.replace(
            "\nNvidia driver",
            "\nGPU topology: GPU0   CPU Affinity\nGPU0   X   0-31\n\nLegend:\n  X  = Self\nNvidia driver",
        ),
        ENV_FACTS,
    ),
    "env-of-vllm": Shape(
        VLLM,
        {
            "gpus": ["NVIDIA GeForce RTX 5090", "NVIDIA GeForce RTX 5060 Ti"],
            "driver": "581.57",
            "os_version": "24.04",
            "glibc": "2.39",
            "wsl": True,
            "python": "3.12.3",
        },
    ),
    "env-of-vllm-twice": Shape(
        VLLM + VLLM.replace("581.57", "570.11"),
        {"driver": "581.57"},
        ("2 outputs of torch.utils.collect_env that differ (they start at lines 4, 46): the one at line 4 is read",),
    ),
    "envs-never-lend-each-other-facts": Shape(
        env(driver="Could not collect") + COLLECT_ENV.replace("Ubuntu 22.04.2 LTS", "Debian GNU/Linux 12 (bookworm)"),
        {"driver": None, "os": "ubuntu"},
        ("2 outputs of torch.utils.collect_env that differ", "names no driver version"),
    ),
    "env-of-windows-in-chinese": Shape(
        env(
            os="Microsoft Windows 11 \u4e13\u4e1a\u7248 (10.0.22631 64 \u4f4d)",
            platform="Windows-10-10.0.22631-SP0",
            libc="N/A",
            python="3.11.9 (tags/v3.11.9:de54cf5, Apr  2 2024, 10:12:12) [MSC v.1938 64 bit (AMD64)] (64-bit runtime)",
        ),
        {"system": "windows", "os": "windows", "os_version": "11", "arch": "x86_64", "glibc": None, "python": "3.11.9"},
    ),
    "env-of-windows-in-chinese-misread": Shape(
        env(os="Microsoft Windows 11 \u05e8\u04b5\ufffd\ufffd", platform="Windows-10-10.0.22631-SP0", libc="N/A"),
        {"system": "windows", "os_version": "11"},
    ),
    "env-of-windows-in-russian": Shape(
        env(
            os="\u041c\u0430\u0439\u043a\u0440\u043e\u0441\u043e\u0444\u0442 Windows 10 Pro",
            platform="Windows-10-10.0.19045-SP0",
            libc="N/A",
        ),
        {"system": "windows", "os_version": "10"},
    ),
    "env-of-windows-in-german": Shape(
        env(os="Microsoft\u00ae Windows\u00ae 11 Pro f\u00fcr Arbeitsstationen", platform="N/A", libc="N/A"),
        {"system": "windows", "os_version": "11"},
    ),
    "env-of-windows-server": Shape(
        env(os="Microsoft Windows Server 2022 Datacenter", platform="Windows-2022Server-10.0.20348-SP0", libc="N/A"),
        {"system": "windows", "os_version": "2022"},
    ),
    "env-of-macos": Shape(
        env(
            os="macOS 14.2.1 (arm64)",
            platform="macOS-14.2.1-arm64-arm-64bit",
            libc="N/A",
            gpus="No CUDA\n",
            driver="No CUDA",
            available="False",
        ),
        {"gpus": [], "state": "none", "system": "darwin", "os_version": "14.2.1", "arch": "aarch64"},
        ("names no GPU (no cuda) and no driver",),
    ),
    "env-of-a-release-line": Shape(
        env(os="CentOS Linux release 7.9.2009 (Core) (x86_64)"), {"os": "centos", "os_version": "7"}
    ),
    "env-of-a-double-architecture": Shape(
        env(platform="Linux-5.14.0-284.59.1.el9_2.x86_64-x86_64-with-glibc2.35"),
        {"kernel": "5.14.0-284.59.1.el9_2.x86_64", "arch": "x86_64"},
    ),
    "env-of-an-old-release": Shape(
        "PyTorch version: 1.5.0+cu101\nIs debug build: No\nCUDA used to build PyTorch: 10.1\n\nOS: Could not collect\n"
        "Python version: 3.7\nIs CUDA available: Yes\nGPU models and configuration: GPU 0: Quadro P1000\n"
        "Nvidia driver version: 426.25\ncuDNN version: Could not collect\n",
        {"gpus": ["Quadro P1000"], "driver": "426.25", "python": "3.7", "system": None},
    ),
    "env-cut-before-its-driver": Shape(
        COLLECT_ENV[: COLLECT_ENV.index("Nvidia driver")],
        {"gpus": ["NVIDIA A10G"] * 2, "driver": None},
        ("the text ends before its line 'Nvidia driver version', and may have ended before its last GPU",),
    ),
    "env-with-an-unreadable-driver": Shape(
        env(driver="550..xx"), {"driver": None}, ("its line 'Nvidia driver version' can't be read: '550..xx'",)
    ),
    "env-with-an-unreadable-libc": Shape(
        env(libc="musl-1.2.4", platform="Linux-6.8.0-45-generic-x86_64-with"),
        {"glibc": None},
        ("The line 'Libc version' can't be read: 'musl-1.2.4'.",),
    ),
    "env-with-gpus-in-words": Shape(
        env(gpus="1x RTX 3090\n", driver="Could not collect"),
        {"gpus": [None], "driver": None},
        ("can't be read: '1x RTX 3090'", "CUDA is available and no GPU", "names no driver", "names no model"),
    ),
    "env-with-an-intel-gpu": Shape(
        NO_CUDA + "Is XPU available: True\nIntel GPU models onboard:\n* Intel Arc\n",
        {"gpus": [], "state": "none"},
        ("finds an Intel GPU (XPU) there: it is not supported", "is taken to have none"),
    ),
    # --- other tools
    "detectron2": Shape(
        DETECTRON,
        {
            "gpus": ["NVIDIA A10G"] * 2,
            "driver": "515.65.01",
            "capabilities": ["8.6", "8.6"],
            "python": "3.9.16",
            "system": "linux",
        },
    ),
    "sglang": Shape(
        SGLANG,
        {
            "gpus": ["NVIDIA H100 80GB HBM3"] * 2,
            "driver": "570.124.06",
            "capabilities": ["9.0", "9.0"],
            "python": "3.12.11",
        },
    ),
    "mmcv": Shape(
        MMCV,
        {"gpus": ["NVIDIA GeForce RTX 3090"] * 4, "driver": None, "python": "3.7.10", "system": "linux"},
        ("The paste names no driver version.",),
    ),
    "transformers": Shape(
        TRANSFORMERS,
        {"gpus": [None], "python": "3.10.12", "glibc": "2.35", "arch": "x86_64"},
        ("PyTorch sees a GPU and none is named", "names no driver version", "names no model"),
    ),
    "diffusers": Shape(
        TRANSFORMERS + "- Accelerator: NVIDIA H100 80GB HBM3, 81559 MiB\n",
        {"gpus": ["NVIDIA H100 80GB HBM3"]},
        ("names a kind of GPU and no number of them", "names no driver version"),
    ),
    "accelerate": Shape(
        ACCELERATE,
        {"gpus": ["NVIDIA GeForce RTX 4090"], "system": "windows", "python": "3.11.7"},
        ("names a kind of GPU and no number of them", "names no driver version"),
    ),
    "lightning": Shape(
        LIGHTNING,
        {"gpus": ["NVIDIA A100 80GB PCIe"] * 2, "system": "linux", "arch": "x86_64", "python": "3.10.6"},
        ("names no driver version",),
    ),
    # --- several outputs in one paste
    "env-and-table": Shape(
        env(gpus="\nGPU 0: NVIDIA L40S\nGPU 1: NVIDIA RTX PRO 6000 Blackwell Server Edition\n", driver="575.57.08")
        + TABLE,
        {
            "gpus": ["NVIDIA L40S", "NVIDIA RTX PRO 6000 Blackwell Server Edition"],
            "bus_ids": ["0000:01:00.0", "0000:81:00.0"],
            "cuda": "12.9",
            "python": "3.11.9",
        },
    ),
    "env-that-cannot-read-r610-and-table": Shape(
        env(gpus="Could not collect\n", driver="Could not collect") + R610_TABLE,
        {"gpus": TWO, "driver": "610.43.02", "python": "3.11.9", "os": "ubuntu"},
        TABLE_SAYS,
    ),
    "env-and-table-of-another-machine": Shape(
        COLLECT_ENV + TABLE,
        {"gpus": ["NVIDIA A10G"] * 2, "driver": "550.90.07", "cuda": None},
        ("the table of `nvidia-smi` of another machine or time (driver 575.57.08, not 550.90.07)",),
    ),
    "env-without-gpu-and-an-error": Shape(
        NO_CUDA + FAILED,
        {"gpus": [], "state": "unusable", "python": "3.11.9", "os": "ubuntu"},
        ("finds no GPU, and an error message of `nvidia-smi` shows one",),
    ),
    "env-without-gpu-and-a-table": Shape(
        NO_CUDA + TABLE,
        {**TABLE_FACTS, "state": "usable", "python": "3.11.9"},
        ("finds no GPU, and the table of `nvidia-smi` shows one", *TABLE_SAYS),
    ),
    "table-and-an-error-in-a-container": Shape(
        f"{TABLE}\n$ docker run --gpus all x nvidia-smi\nFailed to initialize NVML: Unknown Error\n",
        TABLE_FACTS,
        ("(Failed to initialize NVML: Unknown Error)", *TABLE_SAYS),
    ),
    "version": Shape(
        VERSION,
        {"gpus": [None], "driver": "610.57.04", "cuda": "13.3"},
        ("names no GPU: one GPU of unknown kind is taken to be there", "names no model"),
    ),
    "version-and-list": Shape(
        VERSION + LIST, {"gpus": ["NVIDIA H200", "NVIDIA H200"], "driver": "610.57.04", "cuda": "13.3"}
    ),
    "table-typed-by-hand": Shape(
        TABLE.replace("Driver Version: 575.57.08", "Driver: 575.xx"),
        {"gpus": TWO, "driver": None, "cuda": "12.9"},
        ("no driver version: the header of the table does not name it", *TABLE_SAYS),
    ),
    "table-of-a-tegra": Shape(
        TABLE.replace("Driver Version: 575.57.08", "Driver Version: N/A      "),
        {"gpus": TWO, "driver": None, "cuda": "12.9"},
        TABLE_SAYS,
    ),
    "list-and-table": Shape(
        LIST.replace("NVIDIA H200", "NVIDIA L40S", 1).replace(
            "NVIDIA H200", "NVIDIA RTX PRO 6000 Blackwell Workstation Edition"
        )
        + TABLE,
        {
            "gpus": ["NVIDIA L40S", "NVIDIA RTX PRO 6000 Blackwell Workstation Edition"],
            "driver": "575.57.08",
            "mib": [46068, 97887],
        },
    ),
}
