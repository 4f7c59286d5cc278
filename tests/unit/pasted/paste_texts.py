"""Short texts in the shape of each output."""

TABLE = """\
Wed Jul  1 09:00:00 2026
+-----------------------------------------------------------------------------------------+
| NVIDIA-SMI 575.57.08              Driver Version: 575.57.08      CUDA Version: 12.9     |
+-----------------------------------------+------------------------+----------------------+
| GPU  Name                 Persistence-M | Bus-Id          Disp.A | Volatile Uncorr. ECC |
| Fan  Temp   Perf          Pwr:Usage/Cap |           Memory-Usage | GPU-Util  Compute M. |
|                                         |                        |               MIG M. |
|=========================================+========================+======================|
|   0  NVIDIA L40S                    On  |   00000000:01:00.0 Off |                    0 |
| N/A   30C    P8             35W /  350W |       1MiB /  46068MiB |      0%      Default |
|                                         |                        |                  N/A |
+-----------------------------------------+------------------------+----------------------+
|   1  NVIDIA RTX PRO 6000 Blac...    Off |   00000000:81:00.0  On |                  Off |
|  0%   34C    P0             48W /  600W |    1000MiB /  97887MiB |     12%      Default |
|                                         |                        |             Disabled |
+-----------------------------------------+------------------------+----------------------+

+-----------------------------------------------------------------------------------------+
| Processes:                                                                              |
|  GPU   GI   CI              PID   Type   Process name                        GPU Memory |
|        ID   ID                                                               Usage      |
|=========================================================================================|
|    0   N/A  N/A            1720      C   /usr/bin/python3 -m Off                 173MiB |
+-----------------------------------------------------------------------------------------+
"""

OLD_TABLE = """\
+-----------------------------------------------------------------------------+
| NVIDIA-SMI 525.60.02    Driver Version: 526.98       CUDA Version: 12.0     |
|-------------------------------+----------------------+----------------------+
| GPU  Name        Persistence-M| Bus-Id        Disp.A | Volatile Uncorr. ECC |
| Fan  Temp  Perf  Pwr:Usage/Cap|         Memory-Usage | GPU-Util  Compute M. |
|                               |                      |               MIG M. |
|===============================+======================+======================|
|   0  NVIDIA A100-SXM...  On   | 00000000:17:00.0 Off |                   On |
| N/A   32C    P0    46W / 400W |                  N/A |     N/A      Default |
|                               |                      |             Enabled* |
+-------------------------------+----------------------+----------------------+
| MIG devices:                                                                |
|==================+======================+===========+=======================|
|  0    3   0   0  |     12MiB / 19968MiB | 14      0 |  1   0    1    0    0 |
|                  |      0MiB / 32767MiB |           |                       |
|  0    4   0   1  |     12MiB / 19968MiB | 14      0 |  1   0    1    0    0 |
+-----------------------------------------------------------------------------+
"""

QUERY = """\
==============NVSMI LOG==============

Timestamp                                              : Fri Jul  3 08:00:00 2026
Driver Version                                         : 570.133.20
CUDA Version                                           : 12.8

Attached GPUs                                          : 2
GPU 00000000:17:00.0
    Product Name                                       : NVIDIA H100 80GB HBM3
    Product Architecture                               : Hopper
    Display Mode                                       : Requested functionality has been deprecated
    MIG Mode
        Current                                        : Enabled
        Pending                                        : Enabled
    MIG Device
        Index                                          : 0
        GPU Instance ID                                : 2
        FB Memory Usage
            Total                                      : 40448 MiB
    Accounting Mode                                    : Disabled
    GPU UUID                                           : GPU-11111111-2222-3333-4444-555555555555
    PCI
        Bus                                            : 0x17
        Device Id                                      : 0x233010DE
        Bus Id                                         : 00000000:17:00.0
    FB Memory Usage
        Total                                          : 81559 MiB
        Used                                           : 59 MiB
    BAR1 Memory Usage
        Total                                          : 131072 MiB

GPU 00000000:65:00.0
    Product Name                                       : NVIDIA H100 80GB HBM3
    MIG Mode
        Current                                        : Disabled
    FB Memory Usage
        Total                                          : 81559 MiB
"""

LIST = """\
GPU 0: NVIDIA H200 (UUID: GPU-11111111-2222-3333-4444-555555555555)
  MIG 3g.71gb     Device  0: (UUID: MIG-11111111-2222-3333-4444-555555555555)
GPU 1: NVIDIA H200 (UUID: GPU-xxxxxxxx)
"""

COLLECT_ENV = """\
Collecting environment information...
PyTorch version: 2.4.0+cu121
Is debug build: False
CUDA used to build PyTorch: 12.1
ROCM used to build PyTorch: N/A

OS: Ubuntu 22.04.2 LTS (x86_64)
GCC version: (Ubuntu 11.4.0) 11.4.0
Libc version: glibc-2.35

Python version: 3.11.9 (main, Apr  6 2024, 17:59:24) [GCC 11.4.0] (64-bit runtime)
Python platform: Linux-6.8.0-45-generic-x86_64-with-glibc2.35
Is CUDA available: True
CUDA runtime version: 12.4.131
GPU models and configuration:
GPU 0: NVIDIA A10G
GPU 1: NVIDIA A10G

Nvidia driver version: 550.90.07
cuDNN version: Could not collect
"""

XML = """\
<?xml version="1.0" ?>
<!DOCTYPE nvidia_smi_log SYSTEM "nvsmi_device_v12.dtd">
<nvidia_smi_log>
	<driver_version>535.54.03</driver_version>
	<cuda_version>12.2</cuda_version>
	<attached_gpus>1</attached_gpus>
	<gpu id="00000000:01:00.0">
		<product_name>NVIDIA A100-SXM4-80GB</product_name>
		<uuid>GPU-11111111-2222-3333-4444-555555555555</uuid>
		<pci>
			<pci_device_id>20B210DE</pci_device_id>
			<pci_bus_id>00000000:01:00.0</pci_bus_id>
		</pci>
	</gpu>
</nvidia_smi_log>
"""

ENV_REPORT = """\
----------------------  -------------------------------------------------
sys.platform            linux
Python                  3.8.10 (default, Nov 22 2023, 10:22:35) [GCC 9.4.0]
PyTorch                 2.0.1+cu118 @/opt/env/lib/python3.8/site-packages/torch
GPU available           Yes
GPU 0                   NVIDIA A10G (arch=8.6)
Driver version          535.54.03
----------------------  -------------------------------------------------
"""

VERSION = """\
NVIDIA-SMI version  : 610.57.04
NVML version        : 610.57
DRIVER version      : Deprecated, see "KMD version" instead
CUDA version        : Deprecated, see "CUDA UMD version" instead
KMD version         : 610.57.04
CUDA UMD version    : 13.3
"""

ERROR = "Failed to initialize NVML: Driver/library version mismatch\nNVML library version: 580.173\n"

ALL = {
    "smi_xml": XML,
    "smi_query": QUERY,
    "collect_env": COLLECT_ENV,
    "smi_table": TABLE,
    "env_reports": ENV_REPORT,
    "smi_list": LIST,
    "smi_version": VERSION,
    "smi_errors": ERROR,
}
