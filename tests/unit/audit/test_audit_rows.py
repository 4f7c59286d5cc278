"""Every kind of drift, each by one change to an index that otherwise holds what the matrix says."""

from __future__ import annotations

from dataclasses import replace

import pytest
from audit_site import LINUX, MATRIX, PINS_2_9, PINS_2_10, audited, configuration, drifted, row

from provision.audit.model import AuditSummary

X86 = "manylinux_2_28_x86_64"
R29, R210 = "torch.releases['2.9.0']", "torch.releases['2.10.0']"


@pytest.mark.parametrize("kind", ["html", "json"])
@pytest.mark.parametrize("names_metadata", [True, False])
def test_an_index_that_holds_what_the_matrix_says_is_the_same(site, kind, names_metadata):
    site.options = {"kind": kind, "names_metadata": names_metadata}
    data = site.audit_over_http()
    assert drifted(data) == {}
    assert data.summary == AuditSummary(same=34, drift=0, not_readable=0, not_looked_at=3)
    assert data.wheels_read == 12
    assert {row.source for row in data.rows if row.verdict == "same"} == {"general package index"}


def replace_pins(site, *requires, tag=f"cp312-cp312-{X86}", version="2.9.0"):
    site.add("torch", version, tag, requires)


CHANGES = {
    "a Python more": (
        lambda s: s.add("torch", "2.9.0", f"cp313-cp313t-{X86}", PINS_2_9),
        {f"{R29}.platforms.linux_x86_64.pythons": ("cp312", "cp312 cp313t")},
    ),
    "a Python less": (
        lambda s: s.drop("torch", "2.10.0", f"cp313-cp313t-{X86}"),
        {f"{R210}.platforms.linux_x86_64.pythons": ("cp312 cp313t", "cp312")},
    ),
    "another platform tag": (
        lambda s: (
            s.drop("torch", "2.9.0", f"cp312-cp312-{X86}"),
            s.add("torch", "2.9.0", "cp312-cp312-manylinux_2_17_x86_64", PINS_2_9),
        ),
        {
            f"{R29}.platforms.linux_x86_64.general_tag": (
                f"cp312-cp312-{X86}",
                "cp312-cp312-manylinux_2_17_x86_64",
            )
        },
    ),
    "another ABI tag": (
        lambda s: (
            s.drop("torch", "2.10.0", "cp312-none-macosx_11_0_arm64"),
            s.add("torch", "2.10.0", "cp312-cp312-macosx_11_0_arm64", PINS_2_10),
        ),
        {
            f"{R210}.platforms.darwin_arm64.general_tag": (
                "cp312-none-macosx_11_0_arm64",
                "cp312-cp312-macosx_11_0_arm64",
            )
        },
    ),
    "another pin": (
        lambda s: replace_pins(s, PINS_2_9[0].replace("2.27.5", "2.27.7"), *PINS_2_9[1:]),
        {f"{R29}.platforms.linux_x86_64.requires": ("nvidia-nccl-cu12==2.27.5", "nvidia-nccl-cu12==2.27.7")},
    ),
    "another extra": (
        lambda s: replace_pins(s, PINS_2_9[0], f"cuda-toolkit[cudart]==12.8.1; {LINUX}", *PINS_2_9[2:]),
        {
            f"{R29}.platforms.linux_x86_64.requires": (
                "cuda-toolkit[cudart,nvrtc]==12.8.1",
                "cuda-toolkit[cudart]==12.8.1",
            )
        },
    ),
    "a pin that begins to hold for another platform": (
        lambda s: replace_pins(s, "triton==3.6.0", tag="cp312-cp312-manylinux_2_28_aarch64", version="2.10.0"),
        {f"{R210}.platforms.linux_aarch64.requires": ("nothing", "triton==3.6.0")},
    ),
    "a rebuild with another pin": (
        lambda s: s.add("torch", "2.9.0", f"1-cp312-cp312-{X86}", PINS_2_9[:2]),
        {f"{R29}.platforms.linux_x86_64.requires": ("triton==3.5.0", "nothing")},
    ),
    "a release that the matrix lacks": (
        lambda s: s.add("torch", "2.11.0", f"cp312-cp312-{X86}"),
        {"torch.releases['2.11.0']": (None, "1 wheels")},
    ),
    "a platform that the matrix lacks": (
        lambda s: s.add("torch", "2.9.0", "cp312-cp312-win_amd64"),
        {f"{R29}.platforms": (None, "windows_x86_64: cp312")},
    ),
    "a platform that nobody knows": (
        lambda s: s.add("torch", "2.9.0", "cp312-cp312-win_arm64"),
        {f"{R29}.platforms": (None, "windows_arm64: cp312")},
    ),
    "a torchvision for another torch": (
        lambda s: s.add("torchvision", "0.24.0", f"cp312-cp312-{X86}", ("torch==2.9.1",)),
        {f"{R29}.companions.torchvision": ("0.24.0", "0.24.0 asks for torch==2.9.1")},
    ),
    "no such torchaudio": (
        lambda s: s.drop("torchaudio", "2.9.0", f"cp312-cp312-{X86}"),
        {f"{R29}.companions.torchaudio": ("2.9.0", None)},
    ),
    "a newer patch of transformers": (
        lambda s: s.add("transformers", "4.57.7", requires=("tokenizers<=0.23.0,>=0.22.0",), requires_python=">=3.9"),
        {"transformers.rows['4.57.1'].last": ("4.57.1 to 4.57.6", "4.57.1 to 4.57.7")},
    ),
    "a newer minor of transformers": (
        lambda s: s.add("transformers", "5.0.0"),
        {"transformers.rows['5.0.0']": (None, "5.0.0 to 5.0.0")},
    ),
    "another Python and range of tokenizers": (
        lambda s: s.add("transformers", "4.57.6", requires=("tokenizers>=0.22",), requires_python=">=3.10"),
        {
            "transformers.rows['4.57.1'].python": ("3.9", "3.10"),
            "transformers.rows['4.57.1'].tokenizers": (">=0.22.0,<=0.23.0", ">=0.22"),
        },
    ),
    "another torch and numpy of accelerate": (
        lambda s: s.add("accelerate", "1.11.0", requires=("torch>=2.6", "numpy<3"), requires_python=">=3.10"),
        {"accelerate.rows['1.11.0'].torch": ("2.10", ">=2.6"), "accelerate.rows['1.11.0'].numpy": ("any", "<3")},
    ),
    "no minor of peft": (
        lambda s: (s.drop("peft", "0.17.0"), s.drop("peft", "0.17.1"), s.add("peft", "0.18.0")),
        {"peft.rows['0.17.0']": ("0.17.0", None), "peft.rows['0.18.0']": (None, "0.18.0 to 0.18.0")},
    ),
    "a free-threaded wheel": (
        lambda s: s.add("tokenizers", "0.23.2", f"cp314-cp314t-{X86}"),
        {"transformers.free_threaded.tokenizers": ("cp312t", "cp314t")},
    ),
}


@pytest.mark.parametrize(("change", "expected"), CHANGES.values(), ids=CHANGES)
def test_one_change_is_one_drift(site, change, expected):
    change(site)
    data = site.audit()
    assert drifted(data) == expected
    assert data.summary.drift == len(expected)


def test_a_release_that_the_index_lacks(site):
    for key in [key for key in site.wheels if key[1:3] == ("torch", "2.9.0")]:
        del site.wheels[key]
    assert set(drifted(site.audit())) == {R29, f"{R29}.platforms.linux_x86_64"}


def test_a_release_that_was_withdrawn(site):
    site.options["yanked"] = [f"torch-2.9.0-cp312-cp312-{X86}.whl"]
    assert drifted(site.audit()) == {R29: ("listed", "yanked")}


def test_a_yanked_release_is_not_missed_in_the_matrix(site):
    site.add("torch", "2.11.0", f"cp312-cp312-{X86}")
    site.options["yanked"] = [f"torch-2.11.0-cp312-cp312-{X86}.whl"]
    assert drifted(site.audit()) == {}


def test_a_yanked_wheel_counts_as_gone(site):
    site.options["yanked"] = [f"torch-2.10.0-cp313-cp313t-{X86}.whl"]
    assert set(drifted(site.audit())) == {f"{R210}.platforms.linux_x86_64.pythons"}


def test_labels_and_previews_are_not_the_general_index(site):
    site.add("torch", "2.9.0+cu128", f"cp313-cp313-{X86}")
    site.add("torch", "2.11.0rc1", f"cp313-cp313-{X86}")
    site.add("transformers", "5.0.0rc1")
    assert drifted(site.audit()) == {}


def test_what_nobody_has_read_is_drift(site):
    release = MATRIX.releases[0]
    unread = replace(release, platforms=tuple(replace(row, requires=None) for row in release.platforms))
    matrix = replace(MATRIX, releases=(unread, *MATRIX.releases[1:]))
    site.write()
    data = audited(configuration(f"file://{site.root}/general"), "2.9", matrix)
    found = row(data, f"{R29}.platforms.linux_x86_64.requires")
    assert (found.verdict, found.matrix) == ("drift", None)
    assert found.index == "cuda-toolkit[cudart,nvrtc]==12.8.1, nvidia-nccl-cu12==2.27.5, triton==3.5.0"


def test_a_wish_narrows_the_audit_to_releases(site):
    data = site.audit("2.9")
    assert {row.place.partition("]")[0] for row in data.rows} == {"torch.releases['2.9.0'"}
    assert data.torch == "2.9"
    assert data.wheels_read == 3


# --- the PyTorch index --------------------------------------------------------------------------


def test_variants_are_compared_where_their_index_answers(site):
    site.add("torch", "2.9.0+cu128", f"cp312-cp312-{X86}", where="whl/cu128")
    site.add("torch", "2.10.0+cpu", f"cp312-cp312-{X86}", where="whl/cpu")
    site.add("torch", "2.10.0+cpu", "cp312-cp312-manylinux_2_28_aarch64", where="whl/cpu")
    data = site.audit(">=2.9")
    assert row(data, f"{R29}.variants.cu128").verdict == "same"
    cpu = row(data, f"{R210}.variants.cpu")
    assert (cpu.verdict, cpu.source) == ("drift", "PyTorch index")  # the wheel for macOS is not there
    assert cpu.index == "linux_x86_64 manylinux_2_28_x86_64, linux_aarch64 manylinux_2_28_aarch64"
    assert row(data, f"{R210}.variants.cu130").verdict == "not-looked-at"


def test_a_variant_with_another_tag_is_drift(site):
    site.add("torch", "2.9.0+cu128", "cp312-cp312-linux_x86_64", where="whl/cu128")
    found = row(site.audit("2.9"), f"{R29}.variants.cu128")
    assert (found.matrix, found.index) == (f"linux_x86_64 {X86}", "linux_x86_64 linux_x86_64")
    assert found.verdict == "drift"
