"""What the probe of the driver's set-up reads."""

from __future__ import annotations

from provision.detect.probes import driver_setup
from provision.detect.surroundings import Kernel, Surroundings
from provision.records import Driver, GpuState, Machine
from provision.versions import DriverVersion

RELEASE = DriverVersion("580.82.07")
MACHINE = Machine(gpu_state=GpuState.USABLE, driver=Driver(RELEASE, kernel_module_version=RELEASE))


def around(tree):
    return Surroundings(root=tree.root, environ={}, kernel=Kernel("Linux", "6.8.0", "x86_64", "box"))


def values(readings, name):
    return [reading.value for reading in readings if reading.name == name]


def test_lines_of_modprobe_files():
    text = (
        "# options nvidia NVreg_A=1\n"
        "options nvidia NVreg_EnableGpuFirmware=0 \\\n  NVreg_DeviceFileMode=0660\n"
        "options nvidia-drm modeset=1\n"
        "blacklist nouveau\nblacklist nvidiafb\nblacklist nvidia\ninstall nvidia /bin/false\n"
        "install nvidia modprobe -i nvidia-current\n"
    )
    assert driver_setup.parse_modprobe(text) == (
        (("NVreg_EnableGpuFirmware", "0"), ("NVreg_DeviceFileMode", "0660")),
        ("blacklist nvidia", "install nvidia /bin/false"),
    )


def test_effective_options():
    text = 'EnableMSI: 1\nDeviceFileMode: 438\nRegistryDwords: "RMUseSwI2c=0x01;"\nTemporaryFilePath: ""\n'
    assert driver_setup.parse_params(text) == {
        "EnableMSI": "1",
        "DeviceFileMode": "438",
        "RegistryDwords": "RMUseSwI2c=0x01;",
        "TemporaryFilePath": "",
    }


def test_a_file_of_etc_hides_that_of_the_distribution(tree):
    tree.write("/etc/modprobe.d/nvidia.conf", "options nvidia NVreg_EnableMSI=0\n")
    tree.write("/usr/lib/modprobe.d/nvidia.conf", "blacklist nvidia\n")
    tree.write("/proc/driver/nvidia/params", "EnableMSI: 1\n")
    readings = list(driver_setup._options(around(tree), MACHINE))
    assert values(readings, "driver.kept_from_loading") == []
    assert values(readings, "driver.module_option") == [("EnableMSI", "0", "1")]
    assert values(readings, "driver.params") == [1]


def test_set_up(tree):
    tree.write("/lib/firmware/nvidia/580.82.07/gsp_ga10x.bin.zst", "")
    tree.write("/dev/nvidia0", "")
    readings = list(driver_setup._setup(around(tree), MACHINE))
    assert values(readings, "driver.gsp_firmware") == [("gsp_ga10x.bin.zst",)]
    assert values(readings, "driver.dev_char_missing") == [("/dev/nvidia0",)]
    assert values(readings, "driver.persistence_daemon") == [False]
    assert values(readings, "driver.container_runtime") == [None]


def test_a_machine_without_a_gpu(tree):
    assert list(driver_setup._options(around(tree), Machine())) == []
    assert list(driver_setup._setup(around(tree), Machine())) == []
