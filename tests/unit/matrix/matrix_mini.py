"""A matrix of a few rows that holds one of everything."""

MINI = """\
schema: gpusetup.matrix/1
revision: 2026.11.23
read_on: 2026-11-23
sources:
  wheels: files of the wheels
  notes: release notes
torch:
  index: https://download.pytorch.org/whl/{variant}
  assumed_pythons: [3.12]
  releases:
    2.9.0:
      released: 2025-10-15
      platforms:
        linux_x86_64: {pythons: [cp312], glibc: 2.28, tag: manylinux_2_28_x86_64, general_tag: manylinux_2_28_x86_64, general_variant: cu128, requires: {nvidia-nccl-cu12: 2.27.5, "cuda-toolkit[cudart,nvrtc]": 12.8.1, triton: "3.5.0; python_version < '3.14'"}}
      variants:
        cu128: {toolkit: 12.8.1, on: [linux_x86_64], arch: {linux_x86_64: [sm_80, sm_90]}, ptx: [compute_90], cudnn: null, nccl: null, source: [wheels]}
      companions: {torchvision: 0.24.0, torchaudio: 2.9.0, triton: 3.5.0, transformers: ">=4.48,<6"}
      source: [wheels]
      read_on: 2026-11-23
    2.10.0:
      released: 2026-01-21
      platforms:
        linux_x86_64: {pythons: [cp312, cp313t], glibc: 2.28, tag: manylinux_2_28_x86_64, general_tag: manylinux_2_28_x86_64, general_variant: cu130}
        linux_aarch64: {pythons: [cp312], glibc: 2.28, tag: manylinux_2_28_aarch64, general_tag: manylinux_2_28_aarch64, general_variant: cpu}
        darwin_arm64: {pythons: [cp312, cp313t], macos: 14.0, tag: macosx_11_0_arm64, general_tag: macosx_11_0_arm64, other_tags: {cp313t: macosx_14_0_arm64}, abi_none: [cp312], general_variant: cpu, requires: {}}
      variants:
        cu130: {toolkit: 13.0.0, on: [linux_x86_64], unknown_on: [linux_aarch64], arch: {linux_x86_64: [sm_80, sm_90], linux_aarch64: null}, ptx: [], cudnn: null, nccl: null, doubtful: not opened, source: [wheels]}
        cpu: {on: [linux_x86_64, linux_aarch64, darwin_arm64], source: [wheels]}
      companions: {torchvision: 0.25.0, torchaudio: 2.10.0, triton: 3.6.0, transformers: ">=4.48,<6", numpy: "<3"}
      source: [wheels]
      read_on: 2026-11-23
cubins:
  source: [wheels]
  read_on: 2026-11-23
  tegra: [8.7]
  rows:
    sm_80: {at_least: 8.0, below: 9.0, excluded: [8.7], unified_from: 13.2}
    sm_87: {only: [8.7]}
    sm_90: {at_least: 9.0, below: 10.0}
cuda_majors:
  source: [notes]
  read_on: 2026-11-23
  wsl_branch: 495
  rows:
    12: {linux: 525.60.13, windows: 528.33}
    13: {linux: 580.65.06, windows: 580}
cuda_toolkits:
  source: [notes]
  read_on: 2026-11-23
  rows:
    12.8.1: {released: 2025-03-07, linux: 570.124.06, windows: 572.61}
    12.10.0: {released: null, linux: null, windows: null}
    13.0.0: {released: 2025-08-04, linux: 580.65.06, windows: null}
driver_branches:
  source: [notes]
  read_on: 2026-11-23
  rows:
    570: {cuda: 12.8, type: PB, released: 2025-01-27, eol: 2026-01-27, latest_linux: 570.211.01, latest_windows: 573.76}
    580: {cuda: 13.0, type: LTS, released: 2025-08-04, eol: 2028-08, latest_linux: 580.178.04, latest_windows: 582.78}
architectures:
  source: [notes]
  read_on: 2026-11-23
  rows:
    Ampere: {capabilities: [8.0, 8.6, 8.7], first_branch: 450, last_branch: null, kernel_module: either, first_cuda: 11.0, last_cuda: null}
    Hopper: {capabilities: [9.0], first_branch: 520, last_branch: null, kernel_module: either, first_cuda: 11.8, last_cuda: null}
  module_branches: {first_open: 515, open_default: 560, last_proprietary: 610, open_only: []}
transformers:
  source: [wheels]
  read_on: 2026-11-23
  free_threaded: {tokenizers: [cp314t]}
  rows:
    4.57.1: {last: 4.57.6, python: 3.9, torch: 2.1, tokenizers: ">=0.22.0,<=0.23.0"}
accelerate:
  source: [wheels]
  read_on: 2026-11-23
  rows:
    1.10.0: {last: 1.10.1, python: 3.9, torch: 2.0, numpy: "<3"}
    1.11.0: {last: 1.11.0, python: 3.10, torch: 2.10, numpy: null}
peft:
  source: [wheels]
  read_on: 2026-11-23
  rows:
    0.17.0: {last: 0.17.1, python: 3.9, torch: 1.13, numpy: null}
gpus:
  source: [notes]
  read_on: 2026-11-23
  rows:
    A100-SXM4-40GB: {nvml: [NVIDIA A100-SXM4-40GB], architecture: Ampere, capability: 8.0, class: data_center, pci: ["10de:20b0"], memory_gib: 40, bandwidth: 1555, tdp_w: 400, form: sxm, pcie: 4x16, nvlinks: 12, fabric_manager: true, ecc: true, tflops: {fp32: 19.5, bf16: 312}, source: [notes]}
    A16: {nvml: [NVIDIA A16], architecture: Ampere, capability: 8.6, class: data_center, pci: ["10de:25b6"], subsystem: ["25b6:10de:14a9"], tflops: {}, source: [notes]}
    A2: {nvml: [NVIDIA A2], architecture: Ampere, capability: 8.6, class: data_center, pci: ["10de:25b6"], subsystem: ["25b6:10de:157e"], tflops: {}, source: [notes]}
forward_compatibility:
  source: [notes]
  read_on: 2026-11-23
  classes: [data_center]
  refused_classes: [geforce]
  rows:
    12.8: {accepted: [470, 535], refused: [418, 560], source: [notes]}
    13.0: {accepted: [535], refused: null, doubtful: a start gate alone, source: [notes]}
chips:
  source: [notes]
  read_on: 2026-11-23
  older_too: [GeForce GT 930]
  rows:
    GA107:
      architecture: Ampere
      capability: 8.6
      geforce: GeForce RTX 2050 = 25a7 25a9; GeForce GT 930
      data_center: A17 = 25b8
      other: 25a3
    GA100:
      architecture: Ampere
      capability: 8.0
      geforce: GeForce RTX 2050; CMP 170HX = 2082
vgpu:
  source: [notes]
  read_on: 2026-11-23
  series:
    B: {use: business desktops, cuda: none}
    Q: {use: workstations, cuda: all, only_gib: {A2: 8}}
  boards:
    A100X: A100-SXM4-40GB
"""  # noqa: E501  rows stand on one line, as in the real file
