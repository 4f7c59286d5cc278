"""Whole reports as other tools and systems print them, with figures of our own; shapes are made of them."""

from paste_texts import TABLE

VLLM = """\
INFO 01-31 09:00:00 [__init__.py:239] Automatically detected platform cuda.
Collecting environment information...
==============================
        System Info
==============================
OS                           : Ubuntu 24.04.3 LTS (x86_64)
GCC version                  : (Ubuntu 13.3.0-6ubuntu2~24.04) 13.3.0
Libc version                 : glibc-2.39

==============================
       PyTorch Info
==============================
PyTorch version              : 2.11.0+cu129
Is debug build               : False
CUDA used to build PyTorch   : 12.9
ROCM used to build PyTorch   : N/A
XPU used to build PyTorch    : N/A

==============================
      Python Environment
==============================
Python version               : 3.12.3 (main, Jan  8 2026, 11:30:50) [GCC 13.3.0] (64-bit runtime)
Python platform              : Linux-6.6.87.2-microsoft-standard-WSL2-x86_64-with-glibc2.39

==============================
       CUDA / GPU Info
==============================
Is CUDA available            : True
CUDA runtime version         : Could not collect
CUDA_MODULE_LOADING set to   :
GPU models and configuration :
GPU 0: NVIDIA GeForce RTX 5090
GPU 1: NVIDIA GeForce RTX 5060 Ti

Nvidia driver version        : 581.57
cuDNN version                : Could not collect

==============================
          CPU Info
==============================
Architecture:                            x86_64
CPU op-mode(s):                          32-bit, 64-bit
"""

DETECTRON = """\
----------------------  ----------------------------------------------------------------
sys.platform            linux
Python                  3.9.16 | packaged by conda-forge | (main, Feb  1 2023, 21:39:03) [GCC 11.3.0]
numpy                   1.23.5
Compiler                GCC 7.3
CUDA compiler           CUDA 11.3
PyTorch                 1.10.0 @/opt/env/lib/python3.9/site-packages/torch
PyTorch debug build     False
GPU available           Yes
GPU 0,1                 NVIDIA A10G (arch=8.6)
Driver version          515.65.01
CUDA_HOME               None - invalid!
----------------------  ----------------------------------------------------------------
PyTorch built with:
  - GCC 7.3
"""

SGLANG = """\
$ python3 -m sglang.check_env
Python: 3.12.11 (main, Jun  4 2025, 08:56:18) [GCC 11.4.0]
CUDA available: True
GPU 0,1: NVIDIA H100 80GB HBM3
GPU 0,1 Compute Capability: 9.0
CUDA_HOME: /usr/local/cuda
NVCC: Cuda compilation tools, release 12.6, V12.6.68
CUDA Driver Version: 570.124.06
570.124.06
PyTorch: 2.8.0+cu126
NVIDIA Topology:
\tGPU0\tGPU1\tNIC0\tCPU Affinity
GPU0\t X \tNV18\tPIX\t0-47
"""

MMCV = """\
2026-01-31 09:00:00,361 - mmdet - INFO - Environment info:
------------------------------------------------------------
sys.platform: linux
Python: 3.7.10 (default, Jun  4 2021, 14:48:32) [GCC 7.5.0]
CUDA available: True
GPU 0,1,2,3: NVIDIA GeForce RTX 3090
CUDA_HOME: /usr/local/cuda
PyTorch: 1.9.0
"""

TRANSFORMERS = """\
- `transformers` version: 4.41.0
- Platform: Linux-5.15.0-91-generic-x86_64-with-glibc2.35
- Python version: 3.10.12
- Huggingface_hub version: 0.23.0
- PyTorch version (GPU?): 2.3.0+cu121 (True)
- Tensorflow version (GPU?): not installed (NA)
- Using GPU in script?: <fill in>
"""

ACCELERATE = """\
- `Accelerate` version: 0.27.2
- Platform: Windows-10-10.0.22631-SP0
- Python version: 3.11.7
- PyTorch version (GPU?): 2.2.0+cu121 (True)
- PyTorch XPU available: False
- System RAM: 31.75 GB
- GPU type: NVIDIA GeForce RTX 4090
"""

LIGHTNING = """\
<details>
  <summary>Current environment</summary>

* CUDA:
\t- GPU:
\t\t- NVIDIA A100 80GB PCIe
\t\t- NVIDIA A100 80GB PCIe
\t- available:         True
\t- version:           11.6
* Lightning:
\t- torch:             1.12.1+cu116
* System:
\t- OS:                Linux
\t- architecture:
\t\t- 64bit
\t- processor:         x86_64
\t- python:            3.10.6
"""

R610_TABLE = TABLE.replace(
    "| NVIDIA-SMI 575.57.08              Driver Version: 575.57.08      CUDA Version: 12.9     |",
    "| NVIDIA-SMI 610.43.02              KMD Version: 610.43.02     CUDA UMD Version: 13.3     |",
)
WINDOWS_TABLE = """\
C:\\Users\\ada>nvidia-smi
Sat Jan 31 09:00:00 2026
+-----------------------------------------------------------------------------------------+
| NVIDIA-SMI 581.15                 Driver Version: 581.15         CUDA Version: 13.0     |
|-----------------------------------------+------------------------+----------------------+
| GPU  Name                  Driver-Model | Bus-Id          Disp.A | Volatile Uncorr. ECC |
|=========================================+========================+======================|
|   0  NVIDIA GeForce RTX 4090      WDDM  |   00000000:01:00.0  On |                  Off |
|  0%   34C    P8             12W /  450W |    1500MiB /  24564MiB |      2%      Default |
|                                         |                        |                  N/A |
+-----------------------------------------+------------------------+----------------------+
"""
WSL_TABLE = """\
+-----------------------------------------------------------------------------------------+
| NVIDIA-SMI 555.52.01              Driver Version: 555.99         CUDA Version: ERR!     |
|-----------------------------------------+------------------------+----------------------+
| GPU  Name                 Persistence-M | Bus-Id          Disp.A | Volatile Uncorr. ECC |
|   0  NVIDIA GeForce RTX 4070 ...    On  |   00000000:01:00.0  On |                  N/A |
|  0%   43C    P8              3W /  220W |     576MiB /  12282MiB |      0%      Default |
+-----------------------------------------+------------------------+----------------------+
"""
